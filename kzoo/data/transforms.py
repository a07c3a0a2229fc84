"""What a network sees of an example: pictures decoded and warped, the labels carried along by the same matrix."""

import dataclasses
import functools
import math

import tensorflow as tf

from kzoo.data import augment, borders
from kzoo.nn.geometry import flip_permutation

PICTURES = ("image", "frames")  # features of a data set that are what its camera saw: one picture, or those of a clip
ENCODED = (*PICTURES, "mask")  # features that are pictures: kept encoded until after the shuffle


@dataclasses.dataclass(frozen=True)
class View:
    """What the network sees of an example.

    Args:
        size: side of the square input in pixels, or (height, width).
        labels: output name -> feature.
        extras: features for reports.
        reads: the features that the network's inputs are made of: one of PICTURES, keypoints_2d, a picture and its
            mask.
        geometric, photometric: ranges of the augmentation, None without.
        border: weight and sigma of `kzoo.data.borders.border_weights`: batches then end with these weights.
    """

    size: int | tuple[int, int]
    labels: dict[str, str]
    extras: tuple[str, ...] = ()
    reads: tuple[str, ...] = ("image",)
    geometric: augment.Geometric | None = None
    photometric: augment.Photometric | None = None
    border: tuple[float, float] | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of the input in pixels."""
        return (self.size, self.size) if isinstance(self.size, int) else tuple(self.size)


@dataclasses.dataclass(frozen=True)
class Placement:
    """Where an example's picture came to lie."""

    view: View
    matrix: tf.Tensor  # (3, 3) float32, output fractions -> pixels of the source
    random: tf.Tensor  # (3, 3) float32, output fractions -> fractions of the output without augmentation
    mirrored: tf.Tensor  # scalar bool
    source: tuple  # width and height of the source in pixels


def decode_reduced(encoded, shape: tuple, jpeg: bool, output: tuple[int, int]):
    """Picture, shrunk by 2, 4 or 8 while decoding as long as 1.25 x the output's pixels remain.

    It is shrunk in the DCT, so without aliasing.

    Args:
        encoded: JPEG or PNG bytes.
        shape: (H, W, 3), None where it differs by example.
        jpeg: only JPEG can shrink.
        output: (height, width).
    """

    def decode(step=0):
        return tf.io.decode_jpeg(encoded, channels=3, ratio=2**step)  # the kernel reads PNG too, at ratio 1

    if not jpeg:
        return tf.ensure_shape(decode(), shape)
    if None not in shape:
        spare = max(shape[0] / output[0], shape[1] / output[1]) / 1.25
        step = min(3, max(0, int(math.log2(spare))))
        reduced = [-(-side // 2**step) for side in shape[:2]]
        return tf.ensure_shape(decode(step), [*reduced, 3])
    size = tf.cast(tf.io.extract_jpeg_shape(encoded)[:2], tf.float32)
    spare = tf.reduce_max(size / tf.constant(output, tf.float32)) / 1.25
    step = tf.cast(tf.math.floor(tf.math.log(tf.maximum(spare, 1.0)) / math.log(2.0)), tf.int32)
    decoders = [functools.partial(decode, by) for by in range(4)]
    return tf.switch_case(tf.clip_by_value(step, 0, 3), decoders)


def _border_weights(mask, weight: float, sigma: float):
    weights = tf.numpy_function(lambda m: borders.border_weights(m, weight, sigma), [mask], tf.float32, stateful=False)
    return tf.ensure_shape(weights, mask.shape)


def _mask(encoded, placed: Placement, swapped):
    """Encoded ids -> (height, width) uint8; swapped: (256,) uint8, each id's in a mirrored picture."""
    mask = tf.io.decode_png(encoded, channels=1)
    shape = placed.view.shape
    own = augment.fit_matrix(tf.shape(mask)[0], tf.shape(mask)[1], shape) @ placed.random
    mask = augment.warp(mask, own, shape, interpolation="NEAREST", fill=255)
    in_mirror = tf.gather(swapped, tf.cast(mask, tf.int32))
    return tf.where(placed.mirrored, in_mirror, mask)[..., 0]


def _keypoints(keypoints, placed: Placement, swapped):
    drop_outside = placed.view.geometric is not None
    moved = augment.warp_keypoints(keypoints, placed.matrix, placed.source, drop_outside=drop_outside)
    return tf.where(placed.mirrored, tf.gather(moved, swapped), moved)


def _keypoints_2d(positions, placed: Placement, swapped):
    """(T, J, 2) fractions, those outside the picture too."""
    moved = augment.warp_points(positions, placed.matrix, placed.source)
    return tf.where(placed.mirrored, tf.gather(moved, swapped, axis=-2), moved)


def _joints(joints, placed: Placement, swapped):
    """(T, J, 3) metres in camera coordinates: the camera turns about its axis, or sees all in a mirror."""
    turned = augment.turn_joints(joints, placed.random, placed.view.shape)
    return tf.where(placed.mirrored, tf.gather(turned, swapped, axis=-2), turned)


DERIVED = {"pose": ("position", "rotation")}  # features that are made of others, joined along their last axis
# Other features are as they are.
MOVED = {"mask": _mask, "keypoints": _keypoints, "keypoints_2d": _keypoints_2d, "joints": _joints}


def stored(names) -> set[str]:
    """The features that must be read for these."""
    return set().union(*(DERIVED.get(name, (name,)) for name in names))


def source_of(features) -> str:
    """Which of PICTURES a data set has."""
    return next(name for name in PICTURES if name in features)


def example_map(builder, view: View, seed: int):
    """Function (epoch, position, record) -> (input, labels[, extras]) of one example.

    Or (input, labels, weights) where there are borders.

    Args:
        builder: prepared, see `kzoo.data.builders.prepare`.
        seed: of the augmentation, with epoch and position.
    """
    # How the data set keeps its pictures, and what a mirror swaps in it.
    metadata = builder.info.metadata or {}
    source = source_of(builder.info.features)
    kept = builder.info.features[source]
    shape = (*kept.shape[-3:-1], 3)  # grey pictures are decoded to three equal channels
    jpeg = getattr(kept, "feature", kept).encoding_format == "jpeg"
    ids = flip_permutation(256, metadata.get("flip_classes", ()))  # up to 255 = ignore
    swapped = {"mask": tf.constant(ids.astype("uint8"))}
    if "joints" in metadata:
        joints = tf.constant(flip_permutation(len(metadata["joints"]), metadata["flip_joints"]))
        swapped.update({feature: joints for feature in MOVED if feature != "mask"})

    def pictures(record):
        """(H, W, 3) or (T, H, W, 3) uint8."""
        if source == "image":
            return decode_reduced(record["image"], shape, jpeg, view.shape)
        frames = tf.unstack(tf.ensure_shape(record["frames"], kept.shape[:1]))
        return tf.stack([decode_reduced(frame, shape, jpeg, view.shape) for frame in frames])

    def example(epoch, position, record):
        # Where the picture comes to lie.
        of_example = tf.stack([tf.cast(seed, tf.int64) * 1_000_003 + epoch, position])
        seeds = tf.random.experimental.stateless_split(of_example, 2)
        seen = pictures(record) if source in view.reads else None
        height, width = shape[:2] if seen is None else tf.unstack(tf.shape(seen)[-3:-1])
        random = tf.eye(3)
        mirrored = tf.constant(False)
        if view.geometric:
            random, mirrored = augment.random_matrix(seeds[0], view.geometric, view.shape[1] / view.shape[0])
        matrix = augment.fit_matrix(height, width, view.shape) @ random
        placed = Placement(view, matrix, random, mirrored, (width, height))

        def carried(feature):
            if feature in PICTURES:
                return augment.warp_and_jitter(seen, placed.matrix, view.shape, seeds[1], view.photometric)
            if feature in DERIVED:
                pose = tf.concat([record[part] for part in DERIVED[feature]], axis=-1)
                return augment.turn_pose(pose, placed.random, view.shape)
            if feature in MOVED:
                return MOVED[feature](record[feature], placed, swapped[feature])
            return record[feature]

        # What the network reads, and what is carried along with it.
        inputs = {feature: carried(feature) for feature in view.reads}
        inputs = inputs if len(inputs) > 1 else inputs[view.reads[0]]
        labels = {output: carried(feature) for output, feature in view.labels.items()}
        if view.border:  # only for masks
            return inputs, labels, {output: _border_weights(mask, *view.border) for output, mask in labels.items()}
        if view.extras:
            return inputs, labels, {name: carried(name) for name in view.extras}
        return inputs, labels

    return example
