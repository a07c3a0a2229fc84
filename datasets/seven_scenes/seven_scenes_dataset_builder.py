"""7-Scenes: frames of one room and the poses of their hand-held camera, from the user's folder."""

from typing import ClassVar

import numpy as np
import tensorflow_datasets as tfds

from kzoo.datasets import poses
from kzoo.datasets.seven_scenes import sources


class Builder(tfds.core.GeneratorBasedBuilder):
    """One scene of 7-Scenes; nothing is downloaded."""

    # TFDS would derive both from the package's name, but setup.cfg maps kzoo.datasets to another folder
    code_path = tfds.core.Path(__file__)
    pkg_dir_path = code_path.parent

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES: ClassVar = {"1.0.0": "First release."}
    BUILDER_CONFIGS: ClassVar = [
        poses.FRAMES_CONFIG,
        poses.WINDOWS_CONFIG,
        poses.Config(name="depth", description="Single frames with their depth.", depth=True),
    ]
    MANUAL_DOWNLOAD_INSTRUCTIONS = (
        "Put one scene of https://www.microsoft.com/en-us/research/project/rgb-d-dataset-7-scenes/, unpacked, here: TrainSplit.txt, "
        "TestSplit.txt, seq-01/, …"
    )

    def __init__(self, *, data_source=None, **kwargs):
        """`data_source`: the folder of one scene or the one that holds it; None: the manual folder."""
        self._data_source = data_source
        super().__init__(**kwargs)

    def __getstate__(self):
        return {"_original_state": {**super().__getstate__()["_original_state"], "data_source": self._data_source}}

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
            features["depth"] = tfds.features.Tensor(shape=(None, None), dtype=np.float32, encoding="zlib", doc="metres, 0: none")
        metadata = {"pose": list(poses.COLUMNS), "scene": None, "source": None, "source_path": None, "counts": {}}
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict({**features, **poses.pose_features(config)}),
            homepage="https://www.microsoft.com/en-us/research/project/rgb-d-dataset-7-scenes/",
            metadata=tfds.core.MetadataDict(metadata),
        )

    def download_and_prepare(self, *, download_config=None, **kwargs):
        """As in TFDS; refuses to pass a set that was prepared from another source for the one asked for."""
        mode = download_config.download_mode if download_config else tfds.download.GenerateMode.REUSE_DATASET_IF_EXISTS
        if self._data_source is not None and self.is_prepared() and not mode.overwrite_dataset:
            wanted, found = sources.find_source(self._data_source).path, self.info.metadata["source_path"]
            if wanted != found:
                raise ValueError(f"{self.data_dir} was prepared from {found}, not from {wanted}: choose another data_dir or remove it")
        super().download_and_prepare(download_config=download_config, **kwargs)

    def _download_and_prepare(self, dl_manager, download_config):
        """Prints the counts when all is prepared."""
        super()._download_and_prepare(dl_manager, download_config)
        for split, counts in self.info.metadata["counts"].items():
            print(f"{self.name} {split}: {', '.join(f'{key} {value}' for key, value in counts.items() if value)}")

    def _split_generators(self, dl_manager):
        source = sources.find_source(dl_manager.manual_dir if self._data_source is None else self._data_source)
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
