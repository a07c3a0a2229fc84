"""7-Scenes: frames of one room and the poses of their hand-held camera, from the user's folder."""

from typing import ClassVar

import numpy as np
import tensorflow_datasets as tfds

from kzoo.datasets import poses
from kzoo.datasets.seven_scenes import ABOUT, sources
from kzoo.datasets.sourced import Sourced


class Builder(Sourced, tfds.core.GeneratorBasedBuilder):
    """One scene of 7-Scenes; nothing is downloaded."""

    # TFDS would derive both from the package's name, but setup.cfg maps kzoo.datasets to another folder
    code_path = tfds.core.Path(__file__)
    pkg_dir_path = code_path.parent

    about = ABOUT
    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES: ClassVar = {"1.0.0": "First release."}
    BUILDER_CONFIGS: ClassVar = [
        poses.FRAMES_CONFIG,
        poses.WINDOWS_CONFIG,
        poses.Config(name="depth", description="Single frames with their depth.", depth=True),
    ]
    MANUAL_DOWNLOAD_INSTRUCTIONS = (
        "Put one scene of https://www.microsoft.com/en-us/research/project/rgb-d-dataset-7-scenes/, unpacked, here: "
        "TrainSplit.txt, "
        "TestSplit.txt, seq-01/, …"
    )

    find_source = staticmethod(sources.find_source)

    def _info(self):
        config = self.builder_config
        if config.steps > 1:
            features = {"frames": tfds.features.Video(shape=(config.steps, None, None, 3), doc="PNG or JPEG")}
        else:
            features = {
                "image": tfds.features.Image(shape=(None, None, 3), doc="PNG or JPEG"),
                "intrinsics": tfds.features.Tensor(shape=(3, 3), dtype=np.float32, doc="nominal, pixels of the image"),
            }
        if config.depth:
            features["depth"] = tfds.features.Tensor(
                shape=(None, None), dtype=np.float32, encoding="zlib", doc="metres, 0: none"
            )
        metadata = {"pose": list(poses.COLUMNS), "scene": None, "source": None, "source_path": None, "counts": {}}
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict({**features, **poses.pose_features(config)}),
            homepage="https://www.microsoft.com/en-us/research/project/rgb-d-dataset-7-scenes/",
            metadata=tfds.core.MetadataDict(metadata),
        )

    def _split_generators(self, dl_manager):
        source = self._source(dl_manager)
        splits = sources.find_splits(source, self.builder_config.depth)
        counts = {split: dict.fromkeys(sources.COUNTS, 0) for split in splits}
        self.info.metadata.update(scene=source.root.name, source=source.kind, source_path=source.path, counts=counts)
        return {split: self._generate_examples(frames, counts[split]) for split, frames in splits.items()}

    def _generate_examples(self, frames, counts):
        config, size = self.builder_config, None
        runs = poses.runs(frames)
        counts.update(frames=len(frames), sequences=len({frame.sequence for frame in frames}), runs=len(runs))

        def read(frame):
            nonlocal size
            content, size = poses.read_picture(frame.picture, counts, size)
            return content

        for run in runs:
            if config.steps > 1:
                yield from poses.windows(run, config, read)
                continue
            for frame in run:
                example = {"image": read(frame), "intrinsics": sources.intrinsics(size)}
                if config.depth:
                    example["depth"] = sources.read_depth(frame.depth, size)
                yield frame.key, {**example, **poses.pose_example(frame)}
