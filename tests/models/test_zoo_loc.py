"""The networks of task loc, see zoo.py."""

import pytest
from zoo import SIZE, cases, check_contract, check_learning

from kzoo.data import builders, pipeline, transforms
from kzoo.tasks import TASKS


@pytest.fixture(scope="module")
def examples(room_dir):
    """{features: (inputs, labels)} of eight pictures."""
    builder = builders.prepare("room", room_dir)
    views = {
        reads: transforms.View(SIZE, {"pose": "pose", "mask": "mask"}, reads=reads)
        for reads in (("image",), ("image", "mask"))
    }
    return {
        "+".join(reads): next(pipeline.pipeline(builder, "train", view, batch_size=8).as_numpy_iterator())
        for reads, view in views.items()
    }


@pytest.mark.parametrize("arch", TASKS["loc"].archs)
def test_contract(arch):
    check_contract("loc", arch)


@pytest.mark.parametrize(("arch", "options"), cases("loc"))
def test_learns_saves_and_exports(arch, options, examples, tmp_path):
    check_learning("loc", arch, options, examples, tmp_path)
