"""The networks of task pose3d, see zoo.py."""

import pytest
from zoo import CHECKS, SIZE, cases, check_contract, train

from kzoo.data import builders, pipeline, transforms
from kzoo.tasks import TASKS


@pytest.fixture(scope="module")
def examples(clips_dir):
    """{feature: (inputs, labels)} of eight clips."""
    builder = builders.prepare("people/clips", clips_dir)
    views = {name: transforms.View(SIZE, {"joints": "joints"}, reads=(name,)) for name in ("frames", "keypoints_2d")}
    return {
        name: next(pipeline.pipeline(builder, "train", view, batch_size=8).as_numpy_iterator())
        for name, view in views.items()
    }


@pytest.mark.parametrize("arch", TASKS["pose3d"].archs)
def test_contract(arch):
    check_contract("pose3d", arch)


@pytest.fixture(scope="module", params=cases("pose3d"))
def trained(request, examples):
    return train("pose3d", *request.param, examples)


@pytest.mark.parametrize("check", CHECKS)
def test_trained(trained, check, tmp_path):
    CHECKS[check](trained, tmp_path)
