"""The networks of task loc, see zoo.py."""

import pytest
from zoo import CHECKS, SIZE, cases, check_contract, train

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


@pytest.fixture(scope="module", params=cases("loc"))
def trained(request, examples):
    return train("loc", *request.param, examples)


@pytest.mark.parametrize("check", CHECKS)
def test_trained(trained, check, tmp_path):
    CHECKS[check](trained, tmp_path)
