"""The input pipeline: TFDS records -> shuffle of encoded records -> decode -> one warp -> colour -> batch ->
prefetch."""

import tensorflow as tf
import tensorflow_datasets as tfds

from kzoo import UserError
from kzoo.data.builders import LABELS, label_of, size_of
from kzoo.data.transforms import ENCODED, PICTURES, View, example_map, source_of, stored

# Of encoded records that wait in the shuffle: TFDS has written them in a random order already.
SHUFFLE_BYTES = 96 * 2**20
RAM_BUDGET = 2 * 2**30  # bytes that tf.data's autotuning may fill with prefetched batches


def _records(builder, split: str, features: set[str], cache: bool) -> tf.data.Dataset:
    size_of(builder, split)
    decoders = tfds.decode.PartialDecoding(
        {name: True for name in features}, {name: tfds.decode.SkipDecoding() for name in features if name in ENCODED}
    )
    config = tfds.ReadConfig(try_autocache=False, skip_prefetch=True, interleave_cycle_length=1)
    records = builder.as_dataset(split=split, decoders=decoders, read_config=config)
    return records.cache() if cache else records


def _waiting(builder, split: str, features: set[str]) -> int:
    """Records that the shuffle may hold: all of a small split, of a large one as many as SHUFFLE_BYTES have room
    for."""
    size, whole = size_of(builder, split), builder.info.splits[split.partition("[")[0]]
    record = whole.num_bytes / whole.num_examples if features & set(PICTURES) else 1024  # joints and the like
    return min(size, max(1, int(SHUFFLE_BYTES / record)))


def _shuffle(records: tf.data.Dataset, waiting: int, seed) -> tf.data.Dataset:
    """`records.shuffle` whose seed may be a tensor and is the only one: the method would mix TensorFlow's global seed
    into its own."""
    specs = tf.nest.flatten(records.element_spec)
    variant = tf.raw_ops.ShuffleDataset(
        input_dataset=tf.data.experimental.to_variant(records),
        buffer_size=waiting,
        seed=seed,
        seed2=1,
        output_types=[spec.dtype for spec in specs],
        output_shapes=[spec.shape for spec in specs],
        reshuffle_each_iteration=False,
    )
    return tf.data.experimental.from_variant(variant, records.element_spec)


def pipeline(
    builder, split: str, view: View, *, batch_size: int, seed: int = 0, epochs: range | None = None, cache: bool = False
) -> tf.data.Dataset:
    """Batches of (image, labels), (image, labels, extras) when the view has extras, or (image, labels, weights) when it
    has borders.

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
    features = stored({*view.reads, *view.labels.values(), *view.extras})
    missing = features - set(builder.info.features)
    if missing:
        raise UserError(
            f"{builder.info.full_name} has no {', '.join(sorted(missing))}; it has {', '.join(sorted(builder.info.features))}"
        )
    records = _records(builder, split, features, cache)
    if epochs is None:
        numbered = records.enumerate().map(lambda position, record: (tf.constant(0, tf.int64), position, record))
    else:
        steps, waiting = steps_of(builder, split, batch_size), _waiting(builder, split, features)

        def one_epoch(epoch):
            shuffled = _shuffle(records, waiting, epoch + 7919 * (seed + 1))
            return shuffled.take(steps * batch_size).enumerate().map(lambda position, record: (epoch, position, record))

        numbered = tf.data.Dataset.range(epochs.start, epochs.stop).flat_map(one_epoch)
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
    """The first pictures of a split as they are stored, of clips the first frame: generator of (image (H, W, 3) uint8,
    mask (H, W) uint8 or None)."""
    source = source_of(builder.info.features)
    features = {source, *({"mask"} & set(builder.info.features))}
    for record in _records(builder, split, features, cache=False).take(limit).as_numpy_iterator():
        encoded = record["image"] if source == "image" else record["frames"][0]
        image = tf.io.decode_image(encoded, channels=3, expand_animations=False).numpy()
        yield image, tf.io.decode_png(record["mask"], channels=1).numpy()[..., 0] if "mask" in record else None


def values(builder, split: str, feature: str):
    """Each example's value of a feature that is no picture: generator of arrays."""
    return (record[feature] for record in _records(builder, split, {feature}, cache=False).as_numpy_iterator())


def without_label(inputs, labels, extras):
    """A batch of a data set without classes: their place is taken by -1."""
    return (
        inputs,
        {**labels, "label": tf.fill(tf.shape(next(iter(extras.values())))[:1], tf.constant(-1, tf.int64))},
        extras,
    )


def steps_of(builder, split: str, batch_size: int) -> int:
    """Whole batches of one epoch."""
    steps = size_of(builder, split) // batch_size
    if not steps:
        raise UserError(f"split {split!r} has {size_of(builder, split)} examples, fewer than --batch_size={batch_size}")
    return steps
