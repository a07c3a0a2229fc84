"""Prepared data are told apart by what their records hold, on every machine alike; runs of 0.1 by their own rule."""

import dataclasses
import json
import os
import pathlib
import shutil
import stat
import subprocess
import sys

import pytest
import tensorflow as tf

from kzoo import UserError
from kzoo.data import builders, fingerprints
from kzoo.data.description import DataSet


@pytest.fixture(scope="module")
def digits_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("digits")
    builders.prepare("digits", str(folder))
    return folder


@pytest.fixture
def copied(digits_dir, tmp_path):
    """A copy that a test may spoil."""
    shutil.copytree(digits_dir, tmp_path / "copy")
    return tmp_path / "copy"


def opened(folder):
    return builders.prepare("digits", str(folder))


def rewrite(folder, split, change):
    """Records of a split, changed; their number and the size of the file stay."""
    (path,) = pathlib.Path(opened(folder).data_dir).glob(f"*-{split}.tfrecord*")
    records = [
        change(number, record) for number, record in enumerate(tf.data.TFRecordDataset(str(path)).as_numpy_iterator())
    ]
    with tf.io.TFRecordWriter(str(path)) as writer:
        for record in records:
            writer.write(record)


def other_label(number, record):
    example = tf.train.Example.FromString(record)
    if number == 5:
        label = example.features.feature["label"].int64_list
        label.value[0] = (label.value[0] + 1) % 10
    return example.SerializeToString()


def test_two_processes_that_prepare_the_same_agree(digits_dir, tmp_path):
    """Though they write the features of an example in different orders."""
    code = (
        "import sys; from kzoo.data import builders; "
        "print(builders.fingerprint(builders.prepare('digits', sys.argv[1])), file=sys.stderr)"
    )
    prints = set()
    for name in ("a", "b"):
        command = [sys.executable, "-c", code, str(tmp_path / name)]
        found = subprocess.run(command, check=True, capture_output=True, text=True)
        prints.add(found.stderr.split()[-1])
    assert prints == {builders.fingerprint(opened(digits_dir))}


def test_one_other_label_is_another_data_set(digits_dir, copied):
    before, old_rule = builders.fingerprint(opened(digits_dir)), fingerprints.of_shards(opened(digits_dir))
    assert builders.fingerprint(opened(copied)) == before, "a copy is the same"
    rewrite(copied, "val", other_label)
    assert fingerprints.of_shards(opened(copied)) == old_rule, "the old rule did not see it"
    assert builders.fingerprint(opened(copied)) != before


def test_another_order_is_another_data_set(digits_dir, copied):
    (path,) = pathlib.Path(opened(copied).data_dir).glob("*-val.tfrecord*")
    records = list(tf.data.TFRecordDataset(str(path)).as_numpy_iterator())
    rewrite(copied, "val", lambda number, _: records[-1 - number])
    assert builders.fingerprint(opened(copied)) != builders.fingerprint(opened(digits_dir))


def test_it_is_worked_out_once(copied, monkeypatch):
    before = builders.fingerprint(opened(copied))
    monkeypatch.setattr(fingerprints, "_hash", lambda *_: pytest.fail("read again"))
    assert builders.fingerprint(opened(copied)) == before


@pytest.mark.parametrize("kept", ["", "[]", "{}", '{"fingerprint": 3}', "\x00"])
def test_a_damaged_note_is_not_believed(digits_dir, copied, kept):
    (pathlib.Path(opened(copied).data_dir) / fingerprints.KEPT).write_text(kept)
    assert builders.fingerprint(opened(copied)) == builders.fingerprint(opened(digits_dir))


def test_records_that_cannot_be_read_are_one_line(copied):
    (path,) = pathlib.Path(opened(copied).data_dir).glob("*-val.tfrecord*")
    content = path.read_bytes()
    for spoil in (lambda: path.write_bytes(content[:3000]), path.unlink):
        spoil()
        with pytest.raises(UserError, match="damaged") as caught:
            builders.fingerprint(opened(copied))
        assert "\n" not in str(caught.value)


def test_a_folder_that_is_only_read(copied):
    """Nothing can be kept there, and nothing is locked."""
    before = builders.fingerprint(opened(copied))
    place = pathlib.Path(opened(copied).data_dir)
    (place / fingerprints.KEPT).unlink()
    folders = [place, *[one for one in place.parents if copied in (one, *one.parents)]]
    for folder in folders:
        folder.chmod(stat.S_IRUSR | stat.S_IXUSR)
    try:
        assert builders.fingerprint(opened(copied)) == before
        if os.geteuid():  # root writes everywhere
            assert not (place / fingerprints.KEPT).exists()
    finally:
        for folder in folders:
            folder.chmod(stat.S_IRWXU)


def test_runs_of_both_rules(digits_dir, copied):
    builder = opened(digits_dir)
    saw = builders.describe(builder)
    old = dataclasses.replace(saw, fingerprint=fingerprints.of_shards(builder))
    assert fingerprints.difference(saw, builder) is None and fingerprints.difference(old, builder) is None
    assert fingerprints.difference(DataSet(saw.name, saw.splits), builder) is None, "a run that remembers none"
    rewrite(copied, "val", other_label)
    other = opened(copied)
    told = fingerprints.difference(saw, other)
    assert "other records" in told and saw.fingerprint in told and builders.fingerprint(other) in told
    assert "saw digits/1.0.0 {'train': 3}" in fingerprints.difference(DataSet(saw.name, {"train": 3}), builder)
    assert json.loads((pathlib.Path(other.data_dir) / fingerprints.KEPT).read_text())["fingerprint"]
