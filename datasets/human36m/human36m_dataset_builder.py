"""Human3.6M: clips of eight frames at 25 Hz with joints in three dimensions, from the user's folder."""

import dataclasses
from typing import ClassVar

import numpy as np
import tensorflow_datasets as tfds

from kzoo.datasets.human36m import ABOUT, cameras, clips, sources
from kzoo.datasets.sourced import Sourced
from kzoo.nn.skeletons import H36M_JOINTS

CLIP_IDS = 10**6  # per recording; a recording has a few thousand frames


@dataclasses.dataclass(eq=False)
class Config(tfds.core.BuilderConfig):
    """How recordings become clips; give another one another name, under which TFDS keeps it.

    Attributes:
      length: frames of a clip, at 25 Hz.
      stride: frames from the beginning of a clip to that of the next, at 25 Hz; below `length` they overlap.
      size: width and height of the frames in pixels.
    """

    length: int = 8
    stride: int = 8
    size: int = 224


class Builder(Sourced, tfds.core.GeneratorBasedBuilder):
    """Clips of Human3.6M with 17 joints; nothing is downloaded."""

    # TFDS would derive both from the package's name, but setup.cfg maps kzoo.datasets to another folder
    code_path = tfds.core.Path(__file__)
    pkg_dir_path = code_path.parent

    about = ABOUT
    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES: ClassVar = {"1.0.0": "First release."}
    BUILDER_CONFIGS: ClassVar = [
        Config(name="clips", description="Clips of 8 frames at 25 Hz that do not overlap, 224x224 pixels.")
    ]
    MANUAL_DOWNLOAD_INSTRUCTIONS = (
        "Put Human3.6M (http://vision.imar.ro/human3.6m, on request) here: S1/Videos, … with metadata.xml and either "
        "S1/MyPoseFeatures/D3_Positions_mono, … or VideoPose3D's data_3d_h36m.npz."
    )

    find_source = staticmethod(sources.find_source)

    def _info(self):
        config, joints = self.builder_config, len(H36M_JOINTS)

        def numbers(*shape, doc):
            return tfds.features.Tensor(shape=shape, dtype=np.float32, doc=doc)

        features = {
            "frames": tfds.features.Video(shape=(config.length, config.size, config.size, 3), encoding_format="jpeg"),
            "keypoints_2d": numbers(
                config.length, joints, 2, doc="x, y as fractions of the frame, with the lens's distortion"
            ),
            "joints": numbers(
                config.length, joints, 3, doc="metres, camera coordinates, relative to the hip of the same frame"
            ),
            "root": numbers(config.length, 3, doc="the hip: metres, camera coordinates"),
            "intrinsics": numbers(3, 3, doc="of the frames in pixels, without distortion"),
            "subject": tfds.features.Scalar(np.int64),
            "action": tfds.features.ClassLabel(names=sources.ACTIONS),
            "camera": tfds.features.ClassLabel(names=cameras.CAMERAS),
            "clip_id": tfds.features.Scalar(np.int64, doc="unique over all splits"),
        }
        pairs = [
            [H36M_JOINTS.index(name), H36M_JOINTS.index(name.replace("left", "right"))]
            for name in H36M_JOINTS
            if name.startswith("left")
        ]
        metadata = {
            "joints": list(H36M_JOINTS),
            "flip_joints": pairs,
            "fps": 25,
            "source": None,
            "source_path": None,
            "counts": {},
        }
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict(features),
            homepage="http://vision.imar.ro/human3.6m/",
            metadata=tfds.core.MetadataDict({**metadata, "subjects": {}}),
        )

    def describe_split(self, split):
        """Whose recordings were read, and the counts."""
        subjects = [f"S{subject}" for subject in self.info.metadata["subjects"].get(split, ())]
        return f"{' '.join(subjects)}: {super().describe_split(split)}" if subjects else super().describe_split(split)

    def _split_generators(self, dl_manager):
        source = self._source(dl_manager)
        counts = {split: dict.fromkeys(clips.COUNTS, 0) for split in sources.SUBJECTS}
        recordings = sources.find_recordings(source, counts)
        found = cameras.read_cameras(source.cameras)
        for row in sum(recordings.values(), []):
            if (row.subject, row.camera) not in found:
                raise ValueError(f"{source.cameras}: no camera {row.camera} of S{row.subject}; {row.video} needs it")
        subjects = {split: sorted({row.subject for row in rows}) for split, rows in recordings.items()}
        self.info.metadata.update(source=source.kind, source_path=source.path, counts=counts, subjects=subjects)
        starts = {"train": 0, "val": len(recordings["train"])}
        return {
            split: self._generate_examples(rows, found, starts[split], counts[split])
            for split, rows in recordings.items()
        }

    def _generate_examples(self, recordings, found, first, counts):
        for number, row in enumerate(recordings, first):
            labels = {"subject": row.subject, "action": row.action, "camera": row.camera}
            for start, example in clips.generate(row, found[row.subject, row.camera], self.builder_config, counts):
                clip_id = number * CLIP_IDS + start
                yield clip_id, {**example, **labels, "clip_id": clip_id}
