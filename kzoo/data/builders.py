"""Data sets by name, prepared on first use, and what each tells about itself."""

import hashlib
import os

import numpy as np
import tensorflow_datasets as tfds

from kzoo import UserError
from kzoo.data.description import DataSet
from kzoo.data.transforms import source_of
from kzoo.datasets import registry
from kzoo.datasets.about import OFFICIAL
from kzoo.datasets.registry import DATASETS, builder_class

LABELS = ("label", "action")  # features that are the class of a whole example; the first one counts


def prepare(dataset: str, data_dir: str | None = None, data_source: str | None = None) -> tfds.core.DatasetBuilder:
    """The builder of a data set, prepared on first use with a progress bar.

    Args:
        dataset: "people", "coco_subset/pose", …: one of `registry.NAMES`, and a configuration if it has several.
        data_dir: where prepared data sets lie; None: TFDS's default (~/tensorflow_datasets or $TFDS_DATA_DIR).
        data_source: where the raw data lies, for data sets that are not generated; "official" downloads it.
    Raises:
        UserError: unknown data set, no or unreadable source, or a prepared data set that came from another source.
    """
    name, _, config = dataset.partition("/")
    if name not in registry.NAMES:
        raise UserError(f"unknown dataset {name!r}; allowed: {', '.join(registry.NAMES)}")
    make, about = builder_class(name), registry.about(name)
    configs = [c.name for c in make.BUILDER_CONFIGS]
    if config and config not in configs:
        raise UserError(
            f"unknown configuration {dataset!r}; allowed: {', '.join(f'{name}/{c}' for c in configs) or name}"
        )
    options = {}
    if data_source and not (data_source == OFFICIAL and about.downloadable):
        if not about.source:
            raise UserError(f"{name} is {'generated' if name in DATASETS else 'downloaded'}: it takes no --data_source")
        if not os.path.exists(data_source):
            raise UserError(f"no data at --data_source={data_source!r}; give {about.source}")
        options["data_source"] = data_source
    try:
        builder = make(config=config or None, data_dir=data_dir, **options)
        if about.source and not data_source and not builder.is_prepared():
            raise UserError(f"{dataset} is not prepared in {builder.data_dir}; give --data_source={about.source}")
        builder.download_and_prepare()
    except (ValueError, OSError, AssertionError, tfds.download.DownloadError) as error:
        raise UserError(f"{dataset} could not be prepared: {' '.join(str(error).split())[:400]}") from error
    return builder


def size_of(builder: tfds.core.DatasetBuilder, split: str) -> int:
    """Number of examples of a split, slices like "train[:64]" included."""
    try:
        size = builder.info.splits[split].num_examples
    except (KeyError, ValueError) as error:
        raise UserError(
            f"unknown split {split!r}; allowed: {', '.join(builder.info.splits)}, and slices like train[:100]"
        ) from error
    if size <= 0:
        raise UserError(
            f"split {split!r} is empty; allowed: {', '.join(builder.info.splits)}, and slices like train[:100]"
        )
    return size


def fingerprint(builder: tfds.core.DatasetBuilder) -> str:
    """Twelve hex digits that change with the prepared records: a hash over the names, lengths and sizes of the
    shards."""
    parts = [f"{s.name}:{s.shard_lengths}:{s.num_bytes}" for s in builder.info.splits.values()]
    return hashlib.sha256(f"{builder.info.full_name}|{'|'.join(sorted(parts))}".encode()).hexdigest()[:12]


def describe(builder: tfds.core.DatasetBuilder) -> DataSet:
    """What a run remembers of a prepared data set."""
    splits = {name: split.num_examples for name, split in builder.info.splits.items()}
    metadata = dict(builder.info.metadata or {})
    return DataSet(builder.info.full_name, splits, fingerprint(builder), metadata)


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
