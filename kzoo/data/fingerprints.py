"""What tells one prepared data set from another: a hash over its records, the same on every machine.

Records are hashed feature by feature: two processes write the features of one example in different orders. The hash is
kept beside the records for as long as their files keep size and time.
"""

import hashlib
import json
import os
import pathlib
import re

import tensorflow as tf
import tensorflow_datasets as tfds

from kzoo import UserError, files
from kzoo.data.description import DataSet

KEPT = "fingerprint.json"  # beside the prepared records
DIGITS = 16
OLD_DIGITS = 12  # of runs of 0.1, see `of_shards`


def of_records(builder: tfds.core.DatasetBuilder) -> str:
    """Sixteen hex digits that change with any record of a prepared data set: pictures, labels, their order.

    Raises:
        UserError: the records cannot be read.
    """
    paths = {name: sorted(map(os.fspath, split.filepaths)) for name, split in builder.info.splits.items()}
    kept = pathlib.Path(builder.data_dir, KEPT)
    try:
        shards = {os.path.basename(path): _stamp(path) for own in paths.values() for path in own}
        known = _known(kept, shards)
        if known:
            return known
        found = _hash(builder, paths)
    except (OSError, tf.errors.OpError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{builder.info.full_name} in {builder.data_dir} is damaged, remove it: {reason}") from error
    try:
        files.write_json(kept, {"fingerprint": found, "shards": shards})
    except UserError:  # a folder that is only read: worked out again next time
        pass
    return found


def _stamp(path: str) -> list[int]:
    """Size and times of a file; the last one cannot be set back."""
    found = os.stat(path)
    return [found.st_size, found.st_mtime_ns, found.st_ctime_ns]


def _known(kept: pathlib.Path, shards: dict) -> str | None:
    """The fingerprint that was kept for these files."""
    try:
        value = json.loads(kept.read_text())
    except (OSError, ValueError):
        return None
    if not isinstance(value, dict) or value.get("shards") != shards:
        return None
    found = value.get("fingerprint")
    return found if isinstance(found, str) and re.fullmatch(f"[0-9a-f]{{{DIGITS}}}", found) else None


def _hash(builder, paths: dict[str, list[str]]) -> str:
    total = hashlib.sha256(builder.info.full_name.encode())
    for split in sorted(paths):
        total.update(f"|{split}|".encode())
        count = 0
        for record in tf.data.TFRecordDataset(paths[split]).as_numpy_iterator():
            features = tf.train.Example.FromString(record).features.feature
            for name in sorted(features):
                content = features[name].SerializeToString(deterministic=True)
                total.update(f"{name}:{len(content)}:".encode())
                total.update(content)
            count += 1
        told = builder.info.splits[split].num_examples
        if count != told:
            raise ValueError(f"the split {split!r} holds {count} records, dataset_info.json says {told}")
    return total.hexdigest()[:DIGITS]


def of_shards(builder: tfds.core.DatasetBuilder) -> str:
    """The rule of 0.1: twelve hex digits over names, lengths and sizes of shards, which other labels may share."""
    parts = [f"{s.name}:{s.shard_lengths}:{s.num_bytes}" for s in builder.info.splits.values()]
    return hashlib.sha256(f"{builder.info.full_name}|{'|'.join(sorted(parts))}".encode()).hexdigest()[:OLD_DIGITS]


def difference(saw: DataSet, builder: tfds.core.DatasetBuilder) -> str | None:
    """Why a prepared data set is not the one that a run saw, in words; None where it is the same."""
    name, where = builder.info.full_name, builder.data_dir
    splits = {split: found.num_examples for split, found in builder.info.splits.items()}
    if (name, splits) != (saw.name, saw.splits):
        return f"the run saw {saw.name} {saw.splits}, {where} holds {name} {splits}"
    if not saw.fingerprint:
        return None
    found = of_shards(builder) if len(saw.fingerprint) == OLD_DIGITS else of_records(builder)
    if found != saw.fingerprint:
        return f"the run saw {name} (fingerprint {saw.fingerprint}), {where} holds other records (fingerprint {found})"
    return None
