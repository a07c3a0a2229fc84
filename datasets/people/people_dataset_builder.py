"""The data set `people`: rendered articulated people, as pictures with keypoints and masks and as clips with 3-D
joints."""

import contextlib
import io
import itertools
import os
import pickle
import subprocess
import sys
from typing import ClassVar

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

from kzoo.datasets.people import ABOUT, clips, motion, render, studio
from kzoo.datasets.people.body import CLASSES
from kzoo.datasets.people.skeleton import JOINTS
from kzoo.nn.skeletons import H36M_JOINTS

MAX_WORKERS = 16
WORTH_WORKERS = 64  # pictures: below, starting processes takes longer than it saves


def _pictures():
    """Features and metadata of single pictures."""
    size, joints = render.SIZE, len(JOINTS)
    features = {
        "image": tfds.features.Image(shape=(size, size, 3), dtype=np.uint8, encoding_format="png"),
        "keypoints": tfds.features.Tensor(shape=(joints, 3), dtype=np.float32),
        "mask": tfds.features.Image(shape=(size, size, 1), dtype=np.uint8, encoding_format="png"),
        "joints": tfds.features.Tensor(shape=(joints, 3), dtype=np.float32),
        "camera": tfds.features.Tensor(shape=(3, 3), dtype=np.float32),
        "image_id": tfds.features.Scalar(dtype=np.int64),
        "area": tfds.features.Scalar(dtype=np.float32),
        "bbox": tfds.features.Tensor(shape=(4,), dtype=np.float32),
        "head_box": tfds.features.Tensor(shape=(4,), dtype=np.float32),
    }
    return features, {
        "classes": list(CLASSES),
        "joints": list(JOINTS),
        "flip_joints": swaps(JOINTS),
        "flip_classes": swaps(CLASSES),
    }


def _clips():
    """Features and metadata of clips."""
    size, length, joints = clips.SIZE, clips.LENGTH, len(H36M_JOINTS)
    features = {
        "frames": tfds.features.Video(shape=(length, size, size, 3), encoding_format="png"),
        "keypoints_2d": tfds.features.Tensor(shape=(length, joints, 2), dtype=np.float32),
        "joints": tfds.features.Tensor(shape=(length, joints, 3), dtype=np.float32),
        "root": tfds.features.Tensor(shape=(length, 3), dtype=np.float32),
        "intrinsics": tfds.features.Tensor(shape=(3, 3), dtype=np.float32),
        "subject": tfds.features.Scalar(dtype=np.int64),
        "action": tfds.features.ClassLabel(names=list(motion.ACTIONS)),
        "camera": tfds.features.ClassLabel(names=list(studio.CAMERAS)),
        "clip_id": tfds.features.Scalar(dtype=np.int64),
    }
    return features, {"joints": list(H36M_JOINTS), "flip_joints": swaps(H36M_JOINTS), "fps": clips.FPS}


class Builder(tfds.core.GeneratorBasedBuilder):
    """Articulated people, rendered on first use: no download, and the same bits on every machine."""

    about = ABOUT
    VERSION = tfds.core.Version("1.1.0")
    RELEASE_NOTES: ClassVar = {"1.1.0": "Adds head_box; the pictures are the same.", "1.0.0": "Initial release."}
    BUILDER_CONFIGS: ClassVar = [
        tfds.core.BuilderConfig(
            name="pictures", description="Single pictures with keypoints, part masks, 3-D joints and cameras."
        ),
        tfds.core.BuilderConfig(
            name="clips",
            version=tfds.core.Version("1.0.0"),
            release_notes={"1.0.0": "Initial release."},
            description="Clips of 8 frames by four cameras, with 3-D joints in Human3.6M's order.",
        ),
    ]
    SIZES: ClassVar = {"train": 2000, "val": 500}  # pictures
    CLIPS: ClassVar = {"train": 1280, "val": 256}  # subjects x 8 actions x 4 cameras x takes: 8 takes and 4
    pkg_dir_path = tfds.core.Path(
        __file__
    ).parent  # TFDS would look for README.md in kzoo/datasets, where no such folder is

    def _info(self) -> tfds.core.DatasetInfo:
        """Features, in the units that README.md explains."""
        features, metadata = {"pictures": _pictures, "clips": _clips}[self.builder_config.name]()
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict(features), metadata=tfds.core.MetadataDict(metadata)
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager):
        """The splits `train` and `val`."""
        sizes = {"pictures": self.SIZES, "clips": self.CLIPS}[self.builder_config.name]
        return {split: self._generate_examples(split, size) for split, size in sizes.items()}

    def _generate_examples(self, split, size):
        """Yields (image_id or clip_id, example) in the order of the index."""
        if self.builder_config.name == "pictures":
            for example in rendered(split, size):
                yield example["image_id"], example
        else:
            for clip in rendered(split, size, clips, clips.LENGTH):
                yield clip["clip_id"], {**clip, "frames": [encoded(frame) for frame in clip["frames"]]}


def encoded(frame):
    """A frame as a PNG file, packed five times as fast as TFDS would, which costs an eighth more bytes."""
    return io.BytesIO(tf.io.encode_png(frame, compression=1).numpy())


def swaps(names):
    """The pairs of indices that a mirrored picture exchanges."""
    return [
        [index, names.index(name.replace("left_", "right_"))]
        for index, name in enumerate(names)
        if name.startswith("left_")
    ]


def rendered(split, size, module=render, pictures=1):
    """Yields the examples of a split in order, drawn by one process per core, or by this one where no other can be had.

    `module` draws them, each of so many `pictures`. The workers are plain interpreters that import NumPy alone. (The
    standard library's process pool would fork a process that holds TensorFlow, or import the user's main module, and
    TensorFlow with it, once per worker.)
    """
    count = min(available_cores(), MAX_WORKERS) if size * pictures >= WORTH_WORKERS else 0
    with contextlib.ExitStack() as stack:
        streams = [stack.enter_context(start_worker(module, split, worker, size, count)) for worker in range(count)]
        for index, stream in zip(range(size), itertools.cycle(streams or [io.BytesIO()])):
            try:
                example = pickle.load(stream)
            except (EOFError, OSError, pickle.UnpicklingError):  # no worker, or it died
                example = module.render(split, index)
            yield example


@contextlib.contextmanager
def start_worker(module, split, start, stop, step):
    """The standard output of a process that pickles every step-th example of a split.

    Empty where none can be started.
    """
    command = [sys.executable, "-m", module.__name__, split, str(start), str(stop), str(step)]
    paths = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
    }
    try:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=paths)
    except OSError:
        yield io.BytesIO()
        return
    try:
        yield process.stdout
    finally:
        process.terminate()
        process.stdout.close()
        process.wait()


def available_cores():
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
