"""Data sets by name, prepared on first use, and what each tells about itself."""

import json
import os

import numpy as np
import tensorflow_datasets as tfds

from kzoo import UserError, cli
from kzoo.data import places, preparing
from kzoo.data.description import DataSet
from kzoo.data.fingerprints import of_records as fingerprint
from kzoo.data.splits import size_of  # noqa: F401 (asked here by everybody)
from kzoo.data.transforms import source_of
from kzoo.datasets import registry
from kzoo.datasets.about import OFFICIAL, About
from kzoo.datasets.registry import DATASETS, builder_class
from kzoo.datasets.sourced import Sourced

LABELS = ("label", "action")  # features that are the class of a whole example; the first one counts


def prepare(
    dataset: str, data_dir: str | None = None, data_source: str | None = None, *, refresh: bool = False
) -> tfds.core.DatasetBuilder:
    """The builder of a data set, prepared on first use with a progress bar.

    Args:
        dataset: "people", "coco_subset/pose", …: one of `registry.NAMES`, and a configuration if it has several.
        data_dir: where prepared data sets lie; None: TFDS's default (~/tensorflow_datasets or $TFDS_DATA_DIR). It is
            made where its parent folder is there.
        data_source: where the raw data lies, for data sets that are not generated; "official" downloads it.
        refresh: prepare it again although it is there, from the source it came from if none is given; the old records
            stay until the new ones are whole.
    Raises:
        UserError: unknown data set, no or unreadable source, or a prepared data set that came from another source or
            from another state of it.
    """
    data_dir, about = places.absolute(data_dir), about_of(dataset)
    given = places.absolute_source(data_source)
    found = find(dataset, data_dir, given)
    ready = found.is_prepared()
    if ready and refresh and about.source and not given:
        given = _source_of(found, about)
    if about.source and not given and not ready:
        raise UserError(f"{dataset} is not prepared in {found.data_dir}; give --data_source={about.source}")
    work = f"reading {given}" if about.source else about.made
    builder = preparing.prepared(
        lambda place: find(dataset, place, given), data_dir, name=dataset, work=work, refresh=refresh
    )
    if isinstance(builder, Sourced):
        _check_source(builder)
    return builder


def about_of(dataset: str) -> About:
    """What a data set says of itself; UserError for an unknown one, or an unknown configuration."""
    name, _, config = dataset.partition("/")
    if name not in registry.NAMES:
        raise UserError(
            f"unknown dataset {name!r}; allowed: {', '.join(registry.NAMES)}{cli.meant(name, registry.NAMES)}"
        )
    configs = [c.name for c in builder_class(name).BUILDER_CONFIGS]
    if config and config not in configs:
        known = [f"{name}/{config}" for config in configs] or [name]
        raise UserError(f"unknown configuration {dataset!r}; allowed: {', '.join(known)}{cli.meant(dataset, known)}")
    return registry.about(name)


def find(dataset: str, data_dir: str | None = None, data_source: str | None = None) -> tfds.core.DatasetBuilder:
    """The builder of a data set as it is there, prepared or not; arguments as of `prepare`, paths absolute."""
    about = about_of(dataset)
    name, _, config = dataset.partition("/")
    options = {}
    if data_source and not (data_source == OFFICIAL and about.downloadable):
        if not about.source:
            raise UserError(f"{name} is {'generated' if name in DATASETS else 'downloaded'}: it takes no --data_source")
        if not os.path.exists(data_source):
            raise UserError(f"no data at --data_source={data_source!r}; give {about.source}")
        options["data_source"] = data_source
    try:
        return builder_class(name)(config=config or None, data_dir=data_dir, **options)
    except Exception as error:  # of TFDS: what lies there is no prepared data, or damaged
        where = data_dir or "its default folder"
        raise UserError(
            f"{dataset} could not be opened in {where}: {preparing.reason(error)}; remove it there"
        ) from error


def _source_of(builder, about: About) -> str:
    """Where prepared data came from."""
    known = (builder.info.metadata or {}).get("source_path")
    if known and os.path.exists(known):
        return known
    if known and places.is_address(known):
        return OFFICIAL
    raise UserError(
        f"{builder.data_dir} was prepared from {known}, which is not there; give --data_source={about.source}"
    )


def _check_source(builder):
    """The prepared data are those of the source that was asked for, in its present state."""
    try:
        note = builder.check_source()
    except Exception as error:  # as of preparing: of the readers of sources
        told = preparing.reason(error)
        memory = not isinstance(error, preparing.SPOKEN) or isinstance(error, json.JSONDecodeError | UnicodeError)
        if memory:  # what is kept beside the records cannot be read, not the source
            told = f"{builder.data_dir} is damaged, train.py --refresh prepares it again: {told}"
        raise UserError(told) from error
    if note:
        print(note, flush=True)


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
