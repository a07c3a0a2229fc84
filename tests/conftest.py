"""Quiet TensorFlow, one thread per worker, and a small prepared data set for all tests."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault(
    "TF_NUM_INTRAOP_THREADS", "1"
)  # the workers of xdist fill the cores; inherited by programs that tests start
os.environ.setdefault(
    "OMP_NUM_THREADS", "1"
)  # likewise of scikit-learn, whose threads wait for each other where cores are taken

import pytest


@pytest.fixture(scope="session", autouse=True)
def plain_graphs():
    """Graphs as they are traced: to optimise those of tiny networks takes longer than it saves. Programs that tests
    start do it."""
    import tensorflow as tf

    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})


@pytest.fixture(scope="session")
def people_dir(tmp_path_factory):
    """A data_dir in which `people` is prepared with 64 training and 32 validation examples; one per worker."""
    from kzoo.data import builders

    folder = str(tmp_path_factory.mktemp("people"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(builders.builder_class("people"), "SIZES", {"train": 64, "val": 32})
        builders.prepare("people", folder)
    return folder


@pytest.fixture(scope="session")
def clips_dir(tmp_path_factory):
    """A data_dir in which `people/clips` is prepared with 32 training and 16 validation clips; one per worker."""
    from kzoo.data import builders

    folder = str(tmp_path_factory.mktemp("clips"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(builders.builder_class("people"), "CLIPS", {"train": 32, "val": 16})
        builders.prepare("people/clips", folder)
    return folder


@pytest.fixture(scope="session")
def room_dir(tmp_path_factory):
    """A data_dir in which `room` is prepared in its three configurations, with 24 training and 12 validation frames;
    one per worker."""
    from kzoo.data import builders

    folder = str(tmp_path_factory.mktemp("room"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(builders.builder_class("room"), "SIZES", {"train": 24, "val": 12})
        for config in ("frames", "labelled", "windows"):
            builders.prepare(f"room/{config}", folder)
    return folder


@pytest.fixture(scope="session")
def eight(people_dir):
    """Images (8, 64, 64, 3) and the labels of both tasks."""
    from kzoo.data import builders, pipeline, transforms

    builder = builders.prepare("people", people_dir)
    view = transforms.View(64, {"keypoints": "keypoints", "mask": "mask"})
    images, labels = next(pipeline.pipeline(builder, "train", view, batch_size=8).as_numpy_iterator())
    return images, labels
