"""The recipes' scores on the built-in data set, by the very commands of the README. Minutes long: pytest -m slow"""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from running import ROOT

from kzoo.data import builders, pipeline, transforms
from kzoo.metrics import pose_scores


@pytest.fixture(scope="module")
def train(tmp_path_factory):
    """Function of (task, arch): scores of the recipe on `people`, and the data_dir it was prepared in."""

    def run(task, arch):
        folder = tmp_path_factory.mktemp(arch)
        command = [
            sys.executable,
            "train.py",
            f"--task={task}",
            f"--arch={arch}",
            f"--data_dir={folder}",
            f"--out={folder / 'run'}",
        ]
        every_core = {
            name: value for name, value in os.environ.items() if name != "TF_NUM_INTRAOP_THREADS"
        }  # which conftest.py sets
        subprocess.run(command, cwd=ROOT, check=True, env=every_core)
        return json.loads((folder / "run" / "report.json").read_text())["scores"], str(folder)

    return run


@pytest.mark.slow
def test_quick_start(train):
    found, _ = train("seg", "unet")
    assert found["miou"] >= 0.60


@pytest.mark.slow
def test_softargmax_leaves_the_mean_pose_behind(train):
    found, folder = train("pose", "softargmax")
    builder = builders.prepare("people", folder)
    keypoints = {}
    for split in ("train", "val"):
        view = transforms.View(32, {"coords": "keypoints"})
        batches = pipeline.pipeline(builder, split, view, batch_size=100).as_numpy_iterator()
        keypoints[split] = np.concatenate([labels["coords"] for _, labels in batches])
    labelled = keypoints["train"][..., 2:] > 0
    mean_pose = (keypoints["train"][..., :2] * labelled).sum(axis=0) / labelled.sum(axis=0)
    baseline = np.nanmean(
        pose_scores.joint_errors(keypoints["val"], np.broadcast_to(mean_pose, keypoints["val"][..., :2].shape))
    )
    assert found["mpjpe"] < 0.35 * baseline
