"""The input pipeline: TFDS records -> shuffle while encoded -> decode -> one warp -> colour -> batch -> prefetch."""

import cv2
import tensorflow as tf
import tensorflow_datasets as tfds

from kzoo import UserError
from kzoo.data import splits
from kzoo.data.builders import LABELS, label_of, size_of
from kzoo.data.transforms import ENCODED, PICTURES, View, example_map, source_of, stored

# Of encoded records that wait in the shuffle: TFDS has written them in a random order already.
SHUFFLE_BYTES = 96 * 2**20
RAM_BUDGET = 2 * 2**30  # bytes that tf.data's autotuning may fill with prefetched batches


def _records(builder, split: str, features: set[str], cache: bool) -> tf.data.Dataset:
    size_of(builder, split)
    encoded = {name: tfds.decode.SkipDecoding() for name in features if name in ENCODED}
    decoders = tfds.decode.PartialDecoding(dict.fromkeys(features, True), encoded)
    config = tfds.ReadConfig(try_autocache=False, skip_prefetch=True, interleave_cycle_length=1)
    records = builder.as_dataset(split=splits.readable(builder, split), decoders=decoders, read_config=config)
    return records.cache() if cache else records


def _waiting(builder, split: str, features: set[str]) -> int:
    """Records that the shuffle may hold: a whole small split, of a large one what SHUFFLE_BYTES have room for."""
    size = size_of(builder, split)
    record = splits.bytes_of_record(builder, split) if features & set(PICTURES) else 1024  # joints and the like
    return min(size, max(1, int(SHUFFLE_BYTES / max(1, record))))


def _shuffle(records: tf.data.Dataset, waiting: int, seed) -> tf.data.Dataset:
    """`records.shuffle` whose seed may be a tensor and is the only one.

    The method would mix TensorFlow's global seed into its own.
    """
    specs = tf.nest.flatten(records.element_spec)
    types = [spec.dtype for spec in specs]
    shapes = [spec.shape for spec in specs]
    variant = tf.raw_ops.ShuffleDataset(
        input_dataset=tf.data.experimental.to_variant(records),
        buffer_size=waiting,
        seed=seed,
        seed2=1,
        output_types=types,
        output_shapes=shapes,
        reshuffle_each_iteration=False,
    )
    return tf.data.experimental.from_variant(variant, records.element_spec)


def pipeline(
    builder, split: str, view: View, *, batch_size: int, seed: int = 0, epochs: range | None = None, cache: bool = False
) -> tf.data.Dataset:
    """Batches of (image, labels), or with a third: extras where the view has them, weights where it has borders.

    Args:
        builder: prepared, see `prepare`.
        split: TFDS split, slices allowed.
        view: what the network sees.
        batch_size: examples a batch.
        seed: of shuffle and augmentation. The order and the random numbers of an epoch depend on (seed, epoch) alone.
        epochs: epochs to run through, shuffled, whole batches only; None: once, in order, with the remainder.
        cache: keep the encoded records in memory.
    Returns:
        what `view.reads` names, image (B, height, width, 3) or frames (B, T, height, width, 3) uint8 for instance, and
        {feature: …} where it names several; labels {output: (B, …)}.
    Raises:
        UserError: unknown split, or too few examples for one batch.
    """
    cv2.setNumThreads(1)  # the pipeline works on several examples at once
    features = stored({*view.reads, *view.labels.values(), *view.extras})
    missing = features - set(builder.info.features)
    if missing:
        raise UserError(
            f"{builder.info.full_name} has no {', '.join(sorted(missing))}; "
            f"it has {', '.join(sorted(builder.info.features))}"
        )

    # Records with the number of their epoch and their place in it.
    records = _records(builder, split, features, cache)
    if epochs is None:
        numbered = records.enumerate().map(lambda position, record: (tf.constant(0, tf.int64), position, record))
    else:
        steps = steps_of(builder, split, batch_size)
        waiting = _waiting(builder, split, features)

        def one_epoch(epoch):
            shuffled = _shuffle(records, waiting, epoch + 7919 * (seed + 1)).take(steps * batch_size)
            return shuffled.enumerate().map(lambda position, record: (epoch, position, record))

        numbered = tf.data.Dataset.range(epochs.start, epochs.stop).flat_map(one_epoch)

    # Batches of what the network sees of them.
    batches = numbered.map(example_map(builder, view, seed), num_parallel_calls=tf.data.AUTOTUNE).batch(batch_size)
    options = tf.data.Options()
    options.autotune.ram_budget = RAM_BUDGET
    options.deterministic = True
    return batches.with_options(options).prefetch(2)


def in_order(
    builder,
    split: str,
    shape: tuple[int, int],
    *,
    label: str,
    extras: tuple[str, ...],
    reads: tuple[str, ...],
    batch_size: int,
) -> tf.data.Dataset:
    """A split once, in order: batches of (what a network reads, {"label": (B, …)}, {extra: (B, …)}).

    Args:
        label: feature that answers are compared with; of classes of whole examples there may be none, the labels then
        are -1; extras: further features, those that the data set has.
        the others: as of `pipeline` and `View`.
    """
    features = builder.info.features
    if label in LABELS:
        label = label_of(builder)
    number = next(name for name in ("image_id", "frame", "clip_id", label) if name in features)
    known = tuple(name for name in extras if name in features)
    view = View(shape, {"label": label} if label else {}, extras=known or (number,), reads=reads)
    batches = pipeline(builder, split, view, batch_size=batch_size)
    return batches if label else batches.map(without_label)


def pictures(builder, split: str, limit: int = 500):
    """The first pictures of a split as they are stored, of clips the first frame.

    Generator of (image (H, W, 3) uint8, mask (H, W) uint8 or None).
    """
    source = source_of(builder.info.features)
    features = {source, *({"mask"} & set(builder.info.features))}
    for record in _records(builder, split, features, cache=False).take(limit).as_numpy_iterator():
        encoded = record["image"] if source == "image" else record["frames"][0]
        image = tf.io.decode_image(encoded, channels=3, expand_animations=False).numpy()
        mask = None
        if "mask" in record:
            mask = tf.io.decode_png(record["mask"], channels=1).numpy()[..., 0]
        yield image, mask


def values(builder, split: str, feature: str):
    """Each example's value of a feature that is no picture: generator of arrays."""
    return (record[feature] for record in _records(builder, split, {feature}, cache=False).as_numpy_iterator())


def without_label(inputs, labels, extras):
    """A batch of a data set without classes: their place is taken by -1."""
    count = tf.shape(next(iter(extras.values())))[:1]
    return inputs, {**labels, "label": tf.fill(count, tf.constant(-1, tf.int64))}, extras


def steps_of(builder, split: str, batch_size: int) -> int:
    """Whole batches of one epoch."""
    steps = size_of(builder, split) // batch_size
    if not steps:
        raise UserError(f"split {split!r} has {size_of(builder, split)} examples, fewer than --batch_size={batch_size}")
    return steps
