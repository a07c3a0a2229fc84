"""The USPS builder on small files of libsvm's format: what is read, and what is refused.

KZOO_USPS=<folder with usps.bz2 and usps.t.bz2> adds the test on the real digits.
"""

import bz2
import os
import pathlib
import pickle
import shutil
from typing import ClassVar

import numpy as np
import pytest
import tensorflow_datasets as tfds

from kzoo.datasets.usps import sources
from kzoo.datasets.usps.usps_dataset_builder import Builder

SIZES = {"train": 12, "val": 5}
HOMEPAGE = "www.csie.ntu.edu.tw/~cjlin/libsvmtools/datasets/multiclass.html"
real_data = pytest.mark.skipif("KZOO_USPS" not in os.environ, reason="KZOO_USPS does not name a folder with USPS")


# a small USPS


def digits(split):
    """Values (N, 256) of -1 to 1 in steps of 1/1000, both ends among them, and labels (N,) 1 to 10."""
    rng = np.random.default_rng(len(split))
    values = rng.integers(-1000, 1001, (SIZES[split], 256)) / 1000
    values[0, :3] = -1, 1, 0
    return values, rng.permutation(SIZES[split]) % 10 + 1


def line(label, values):
    """A line of a file, the zeros left out."""
    return " ".join([str(label), *(f"{place}:{value:.3f}" for place, value in enumerate(values, 1) if value)])


def lines(split):
    values, labels = digits(split)
    return [line(label, row) for row, label in zip(values, labels, strict=True)]


def write(root, packed=True):
    """A folder with both files."""
    root.mkdir(parents=True, exist_ok=True)
    for split, name in sources.FILES.items():
        put(root / (f"{name}.bz2" if packed else name), lines(split))
    return root


def put(path, content):
    text = "".join(f"{row}\n" for row in content).encode()
    path.write_bytes(bz2.compress(text) if path.suffix == ".bz2" else text)


def prepared(tmp_path, source):
    """A builder whose data are prepared."""
    builder = Builder(data_dir=tmp_path / "prepared", data_source=source)
    builder.download_and_prepare()
    return builder


def examples(builder, split):
    """Examples of a split, sorted by id."""
    return sorted(tfds.as_numpy(builder.as_dataset(split=split)), key=lambda example: int(example["image_id"]))


class TestBuilder(tfds.testing.DatasetBuilderTestCase):
    """TFDS's own test of a builder, on a generated manual folder."""

    DATASET_CLASS = Builder
    SPLITS: ClassVar = SIZES

    @classmethod
    def setUpClass(cls):
        folder = pathlib.Path(tfds.testing.make_tmp_dir())
        cls.addClassCleanup(shutil.rmtree, folder, ignore_errors=True)
        cls.EXAMPLE_DIR = write(folder)
        super().setUpClass()


# what is read


@pytest.mark.parametrize(("packed", "given"), [(True, "folder"), (True, "parent"), (False, "folder")])
def test_digits(tmp_path, packed, given):
    root = write(tmp_path / "data" / "usps", packed)
    source = root if given == "folder" else root.parent
    builder = prepared(tmp_path, source)
    found = {split: examples(builder, split) for split in SIZES}
    assert [int(row["image_id"]) for split in SIZES for row in found[split]] == list(range(sum(SIZES.values())))
    for split, rows in found.items():
        values, labels = digits(split)
        images = np.stack([row["image"] for row in rows])
        assert images.dtype == np.uint8 and images.shape == (SIZES[split], 16, 16, 1)
        assert images[0, 0, :3, 0].tolist() == [0, 255, 128], "background, ink, and the middle that the file leaves out"
        np.testing.assert_allclose(images.reshape(-1, 256) / 127.5 - 1, values, atol=0.5001 / 127.5)
        np.testing.assert_array_equal([row["label"] for row in rows], labels - 1)
    names = [str(digit) for digit in range(10)]
    counts = {split: {"kept": size} for split, size in SIZES.items()}
    assert dict(builder.info.metadata) == {
        "classes": names,
        "flip_classes": [],
        "source_path": str(source),
        "counts": counts,
    }


# what is refused


def damaged(path, place, row):
    """Replaces one line."""

    def damage(root):
        content = lines(next(split for split, name in sources.FILES.items() if path.startswith(f"{name}.bz2")))
        content[place] = row(content[place])
        put(root / path, content)

    return damage


def rewritten(path, content):
    return lambda root: put(root / path, content)


def raw(path, content):
    return lambda root: (root / path).write_bytes(content)


PIXELS = " ".join(f"{place}:0.5" for place in range(1, 256))
REFUSED = {  # damage, words of the message
    "257 features": (damaged("usps.bz2", 1, lambda row: f"{row} 257:0.5"), ["usps.bz2", "257 features", "256 pixels"]),
    "64 features": (rewritten("usps.t.bz2", ["3 1:0.5 64:1"]), ["usps.t.bz2", "64 features", "256 pixels"]),
    "label 0": (
        damaged("usps.t.bz2", 3, lambda row: f"0 {row.partition(' ')[2]}"),
        ["usps.t.bz2", "digit 4", "label 0;", "1 to 10"],
    ),
    "label 11": (
        damaged("usps.bz2", 0, lambda row: f"11 {row.partition(' ')[2]}"),
        ["usps.bz2", "digit 1 ", "label 11;", "1 to 10"],
    ),
    "label 2.5": (damaged("usps.bz2", 0, lambda row: f"2.5 {row.partition(' ')[2]}"), ["label 2.5;"]),
    "value 1.5": (
        damaged("usps.bz2", 2, lambda row: f"4 {PIXELS} 256:1.5"),
        ["usps.bz2", "digit 3 ", "value 1.5 in feature 256", "-1 to 1"],
    ),
    "value -2": (damaged("usps.bz2", 2, lambda row: "4 1:-2"), ["digit 3 ", "value -2 in feature 1;"]),
    "value nan": (damaged("usps.bz2", 2, lambda row: "4 7:nan"), ["digit 3 ", "value nan in feature 7;"]),
    "feature 0": (damaged("usps.bz2", 0, lambda row: "4 0:1"), ["usps.bz2", "not a readable file", "index 0"]),
    "words": (damaged("usps.bz2", 0, lambda row: "<html>"), ["usps.bz2", "not a readable file"]),
    "not packed": (raw("usps.t.bz2", b"1 1:1\n"), ["usps.t.bz2", "not a readable file"]),
    "cut": (
        lambda root: (root / "usps.bz2").write_bytes((root / "usps.bz2").read_bytes()[:500]),
        ["usps.bz2", "not a readable file"],
    ),
    "empty": (rewritten("usps.t.bz2", []), ["usps.t.bz2", "no digit"]),
    "no test file": (lambda root: (root / "usps.t.bz2").unlink(), ["usps.t.bz2 is missing", HOMEPAGE]),
    "no training file": (lambda root: (root / "usps.bz2").unlink(), ["usps.bz2 is missing", HOMEPAGE]),
    "no file": (
        lambda root: [file.unlink() for file in root.iterdir()],
        ["not USPS", "usps.bz2 and usps.t.bz2", HOMEPAGE],
    ),
    "no folder": (shutil.rmtree, ["no such folder", "usps.bz2 and usps.t.bz2", HOMEPAGE]),
}


@pytest.mark.parametrize("name", REFUSED)
def test_broken_sources_are_refused_in_one_line(tmp_path, name):
    damage, words = REFUSED[name]
    root = write(tmp_path / "usps")
    damage(root)
    with pytest.raises((ValueError, FileNotFoundError)) as caught:
        prepared(tmp_path, root)
    message = str(caught.value)
    assert "\n" not in message and str(root) in message
    assert all(word in message for word in words), message
    assert not list((tmp_path / "prepared").rglob("*.tfrecord*"))


def test_without_a_source(tmp_path):
    """No manual folder: TFDS's error says what to put where."""
    config = tfds.download.DownloadConfig(manual_dir=tmp_path / "manual")
    with pytest.raises(AssertionError, match=HOMEPAGE):
        Builder(data_dir=tmp_path / "prepared").download_and_prepare(download_config=config)


# prepared data


def test_another_source_is_refused(tmp_path, capsys):
    first, second = write(tmp_path / "first"), write(tmp_path / "second")
    builder = prepared(tmp_path, first)
    assert "usps val: kept 5\n" in capsys.readouterr().out
    with pytest.raises(ValueError, match="was prepared from .*first, not from .*second"):
        prepared(tmp_path, second)
    assert len(examples(pickle.loads(pickle.dumps(builder)), "train")) == SIZES["train"]


@real_data
def test_real_digits():
    """Sizes and examples per class as published, and ink that is where digits are."""
    counts = {
        "train": [1194, 1005, 731, 658, 652, 556, 664, 645, 542, 644],
        "val": [359, 264, 198, 166, 200, 160, 170, 147, 166, 177],
    }
    for split, path in sources.find_source(os.environ["KZOO_USPS"]).files.items():
        images, labels = sources.read_file(path)
        assert np.bincount(labels).tolist() == counts[split]
        assert images[:, 4:12, 4:12].mean() > 2 * images[:, [0, -1]].mean()
