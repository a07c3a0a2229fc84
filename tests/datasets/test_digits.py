"""The digits of scikit-learn as a data set: pixels and labels as in its package, splits, metadata."""

import pathlib
import pickle
from typing import ClassVar

import numpy as np
import pytest
import tensorflow_datasets as tfds
from sklearn.datasets import load_digits

from kzoo.datasets.digits import digits_dataset_builder
from kzoo.datasets.digits.digits_dataset_builder import Builder, bytes_to_levels, levels_to_bytes


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """The whole set."""
    builder = Builder(data_dir=tmp_path_factory.mktemp("digits"))
    builder.download_and_prepare()
    return builder


def examples(builder, split):
    """Examples of a split, sorted by id."""
    return sorted(tfds.as_numpy(builder.as_dataset(split=split)), key=lambda example: int(example["image_id"]))


class TestBuilder(tfds.testing.DatasetBuilderTestCase):
    """TFDS's own checks, on a few examples."""

    DATASET_CLASS = Builder
    SPLITS: ClassVar = {"train": 4, "val": 2}
    EXAMPLE_DIR = pathlib.Path(digits_dataset_builder.__file__).parent  # nothing is downloaded, so any folder serves

    def setUp(self):
        self.enterContext(pytest.MonkeyPatch.context()).setattr(Builder, "SIZES", self.SPLITS)
        super().setUp()


def test_levels_come_back():
    levels = np.arange(17)
    stored = levels_to_bytes(levels)
    assert stored.dtype == np.uint8 and (stored[0], stored[-1]) == (0, 255)
    np.testing.assert_array_equal(stored, [int(v * 255 / 16 + 0.5) for v in range(17)])
    np.testing.assert_array_equal(bytes_to_levels(stored), levels)


def test_all_digits_of_the_package(prepared):
    truth = load_digits()
    found = {split: examples(prepared, split) for split in ("train", "val")}
    assert {split: len(rows) for split, rows in found.items()} == {"train": 1437, "val": 360}
    rows = [*found["train"], *found["val"]]
    assert [row["image_id"] for row in rows] == list(range(1797))
    images = np.stack([row["image"] for row in rows])
    assert images.shape == (1797, 8, 8, 1) and images.dtype == np.uint8
    np.testing.assert_array_equal(bytes_to_levels(images[..., 0]), truth.images)
    np.testing.assert_array_equal([row["label"] for row in rows], truth.target)


def test_what_it_says_of_itself(prepared):
    names = [str(digit) for digit in range(10)]
    assert dict(prepared.info.metadata) == {"classes": names, "flip_classes": []}
    assert prepared.info.features["label"].names == names
    assert prepared.info.full_name == "digits/1.0.0" and "CC BY 4.0" in prepared.info.description
    assert "Alpaydin" in prepared.info.citation


def test_pickled(prepared):
    """What multi-process readers do."""
    assert len(examples(pickle.loads(pickle.dumps(prepared)), "val[:3]")) == 3


def test_splits_separate_writers():
    """The form's order of digits begins anew where a writer does, in README.md: at 1,415, shortly before `val`."""
    target = "".join(map(str, load_digits().target))
    form = target[:40]
    starts = [place for place in range(len(target)) if target.startswith(form, place)]
    assert starts[:4] == [0, 130, 256, 386] and [start for start in starts if start <= 1437][-1] == 1415
