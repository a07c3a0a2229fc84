"""The data set `room`: what a camera sees that walks through a rendered room, and where it is: single frames, and
windows of three."""

import dataclasses
import itertools
from typing import ClassVar

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

from kzoo.datasets.people.people_dataset_builder import rendered
from kzoo.datasets.room import ABOUT, camera, render
from kzoo.datasets.room.furniture import CLASSES

POSE = ("x", "y", "z", "qw", "qx", "qy", "qz")
NOT_LABELLED = 255


@dataclasses.dataclass(eq=False)
class Config(tfds.core.BuilderConfig):
    """How frames become examples; give another one another name, under which TFDS keeps it.

    Attributes:
      steps: frames of a window, an odd number: the frame of interest is the middle one; 0: single frames.
      skip: frames from one of a window to the next; beyond an end of the sequence its last frame is repeated.
      labelled: the mask of every so manieth frame of a sequence is given, from its first on; those of the others are
      all 255.
    """

    steps: int = 0
    skip: int = 10
    labelled: int = 2


class Builder(tfds.core.GeneratorBasedBuilder):
    """A furnished room and a camera in it, rendered on first use: no download, and the same bits on every machine."""

    # TFDS would derive both from the package's name, but setup.cfg maps kzoo.datasets to another folder
    code_path = tfds.core.Path(__file__)
    pkg_dir_path = code_path.parent

    about = ABOUT
    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES: ClassVar = {"1.0.0": "First release."}
    BUILDER_CONFIGS: ClassVar = [
        Config(name="frames", description="Single frames with masks of every second, depth and intrinsics."),
        Config(name="labelled", labelled=1, description="Single frames with masks of all, depth and intrinsics."),
        Config(name="windows", steps=3, description="Three frames, ten apart, around every frame."),
    ]
    SIZES: ClassVar = {
        split: len(camera.SEQUENCES[split]) * camera.LENGTHS[split] for split in camera.SEQUENCES
    }  # frames, from the first

    def _info(self) -> tfds.core.DatasetInfo:
        """Features, in the units that README.md explains."""
        steps, size, metadata = self.builder_config.steps, (camera.HEIGHT, camera.WIDTH), {"pose": list(POSE)}
        if steps:
            features = {"frames": tfds.features.Video(shape=(steps, *size, 3), encoding_format="png")}
        else:
            features = {
                "image": tfds.features.Image(shape=(*size, 3), dtype=np.uint8, encoding_format="png"),
                "mask": tfds.features.Image(shape=(*size, 1), dtype=np.uint8, encoding_format="png"),
                "depth": tfds.features.Tensor(shape=size, dtype=np.float32, encoding="zlib"),
                "intrinsics": tfds.features.Tensor(shape=(3, 3), dtype=np.float32),
            }
            metadata.update(classes=list(CLASSES), flip_classes=[])
        time = (steps,) if steps else ()
        features |= {
            "position": tfds.features.Tensor(shape=(*time, 3), dtype=np.float32),
            "rotation": tfds.features.Tensor(shape=(*time, 4), dtype=np.float32),
            "sequence": tfds.features.Scalar(dtype=np.int64),
            "frame": tfds.features.Scalar(dtype=np.int64),
        }
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict(features), metadata=tfds.core.MetadataDict(metadata)
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager):
        """The splits `train` and `val`."""
        return {split: self._generate_examples(split, size) for split, size in self.SIZES.items()}

    def _generate_examples(self, split, size):
        """Yields (sequence and frame as one number, example) in the order of the frames."""
        frames, config = rendered(split, size, render), self.builder_config
        for example in (
            windows(frames, config.steps, config.skip) if config.steps else half_labelled(frames, config.labelled)
        ):
            yield example["sequence"] * 10**6 + example["frame"], example


def half_labelled(frames, labelled):
    """The frames, all 255 in the masks but of every so manieth."""
    for frame in frames:
        yield frame if frame["frame"] % labelled == 0 else {**frame, "mask": np.full_like(frame["mask"], NOT_LABELLED)}


def windows(frames, steps, skip):
    """The windows around the frames of each sequence; every frame is rendered and encoded once."""
    for _, group in itertools.groupby(frames, lambda frame: frame["sequence"]):
        sequence = [{**frame, "image": tf.io.encode_png(frame["image"]).numpy()} for frame in group]
        for middle, frame in enumerate(sequence):
            places = [middle + (step - steps // 2) * skip for step in range(steps)]
            window = [sequence[min(max(place, 0), len(sequence) - 1)] for place in places]
            yield {
                "frames": [member["image"] for member in window],
                "position": np.stack([member["position"] for member in window]),
                "rotation": np.stack([member["rotation"] for member in window]),
                "sequence": frame["sequence"],
                "frame": frame["frame"],
            }
