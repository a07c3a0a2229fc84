"""Parts of a data set by name: whatever TFDS reads is counted, shuffled and read; what it does not read is one line."""

import numpy as np
import pytest

from kzoo import UserError
from kzoo.data import builders, pipeline, splits, transforms

SIZES = {  # of 64 training and 32 validation examples
    "train": 64,
    "train+val": 96,
    "train + val": 96,
    "all": 96,
    "all+val": 128,
    "train[:8]+val": 40,
    "train[60:]+train[:5]": 9,
    "train[:50%]+val[50%:]": 48,
    "train[-3:]": 3,
    "train[0shard]": 64,
    "train[:1shard]+val[:2]": 66,
    "train[:0]+val": 32,
}


@pytest.fixture(scope="module")
def people(people_dir):
    return builders.prepare("people", people_dir)


def ids(people, split, epochs=None, batch_size=1):
    view = transforms.View(32, {"coords": "keypoints"}, extras=("image_id",))
    batches = pipeline.pipeline(people, split, view, batch_size=batch_size, epochs=epochs)
    return [int(number) for _, _, extras in batches.as_numpy_iterator() for number in extras["image_id"]]


@pytest.mark.parametrize("split", SIZES)
def test_every_split_of_tfds_is_read(people, split):
    size = SIZES[split]
    assert builders.size_of(people, split) == size and pipeline.steps_of(people, split, 2) == size // 2
    in_order = ids(people, split)
    assert len(in_order) == size
    assert sorted(ids(people, split, epochs=range(1))) == sorted(in_order), "the shuffle reads them all"
    assert sum(1 for _ in pipeline.values(people, split, "keypoints")) == size


def test_sums_are_read_in_their_order(people):
    train, val = ids(people, "train"), ids(people, "val")
    assert ids(people, "all") == train + val == ids(people, "train+val")
    assert ids(people, "train[60:]+train[:5]") == train[60:] + train[:5]


@pytest.mark.parametrize("split", ["all[:5]", "train[3]", "train[200:]", "train[:200%]", "train[5shard]", "train++val"])
def test_what_tfds_cannot_read_is_one_line(people, split):
    with pytest.raises(UserError) as caught:
        splits.parts(people, split)
    message = str(caught.value)
    assert repr(split) in message and "train+val" in message and "\n" not in message


@pytest.mark.parametrize(
    ("split", "wanted", "sample"),
    [
        ("train", 32, "train[:32]"),
        ("train", 100, "train"),
        ("train[:50]", 32, "train[:50]"),
        ("train+val", 32, "train[:32]"),
        ("val+train", 40, "val[:32]+train[:8]"),
        ("all", 10, "train[:10]"),
    ],
)
def test_the_first_examples(people, split, wanted, sample):
    assert splits.first(people, split, wanted) == sample
    np.testing.assert_array_equal(ids(people, sample), ids(people, split)[: builders.size_of(people, sample)])


@pytest.mark.parametrize(
    ("split", "other", "count"),
    [("val", "train", 0), ("val", "train+val", 32), ("train[:10]", "train[5:]", 5), ("all", "val[:3]", 3)],
)
def test_examples_of_two_splits(people, split, other, count):
    assert splits.shared(people, split, other) == count
