"""The COCO subset of the Deep Learning Lab Course: joints and masks of persons, from the lab's archive, a COCO folder
or COCO itself."""

import pathlib
from typing import ClassVar

import numpy as np
import tensorflow_datasets as tfds

from kzoo.datasets import source_state
from kzoo.datasets.coco_subset import ABOUT, classes, records, sources
from kzoo.datasets.sourced import Sourced


def _pose_features():
    """One person per example."""
    size = records.SIZE
    return {
        "image": tfds.features.Image(shape=(size, size, 3), encoding_format="jpeg"),
        "keypoints": tfds.features.Tensor(
            shape=(classes.NUM_JOINTS, 3), dtype=np.float32, doc="x, y as a fraction of the crop; v 0, 1, 2"
        ),
        "mask": tfds.features.Image(
            shape=(size, size, 1), encoding_format="png", doc="0 background, 1 person, 255 no mask given"
        ),
        "bbox": tfds.features.Tensor(shape=(4,), dtype=np.float32, doc="x, y, w, h in pixels of the original picture"),
        "area": tfds.features.Scalar(np.float32, doc="pixels of the original picture"),
        "image_id": tfds.features.Scalar(np.int64),
        "ann_id": tfds.features.Scalar(np.int64),
        "crop_to_image": tfds.features.Tensor(
            shape=(3, 3), dtype=np.float32, doc="homogeneous fraction of the crop -> pixels of the original picture"
        ),
    }


def _mask_features():
    """One whole picture per example."""
    return {
        "image": tfds.features.Image(shape=(None, None, 3), encoding_format="jpeg"),
        "mask": tfds.features.Image(
            shape=(None, None, 1), encoding_format="png", doc="0 background, classes from 1, 255 crowd"
        ),
        "image_id": tfds.features.Scalar(np.int64),
    }


FEATURES = {"pose": _pose_features, "seg": _mask_features, "things": _mask_features}
NAMES = {"pose": ("background", "person"), "seg": ("background", "person"), "things": classes.CLASSES}


class Builder(Sourced, tfds.core.GeneratorBasedBuilder):
    """COCO persons as 256x256 crops with joints (pose), and whole pictures with masks of persons (seg) or of 80 classes
    (things)."""

    # TFDS would derive both from the package's name, but setup.cfg maps kzoo.datasets to another folder
    code_path = tfds.core.Path(__file__)
    pkg_dir_path = code_path.parent

    about = ABOUT
    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES: ClassVar = {"1.0.0": "First release."}
    BUILDER_CONFIGS: ClassVar = [
        tfds.core.BuilderConfig(name="pose", description="Square crops of persons with 17 joints and a mask."),
        tfds.core.BuilderConfig(name="seg", description="Whole pictures with a mask of all persons."),
        tfds.core.BuilderConfig(name="things", description="Whole pictures with a mask of COCO's 80 classes."),
    ]
    MANUAL_DOWNLOAD_INSTRUCTIONS = (
        f"Put {sources.ARCHIVE_URL} (zipped or unpacked) or a COCO folder (annotations/ and images/ or train2017/ and "
        "val2017/) here. "
        "Without a manual folder COCO 2017 itself is downloaded: 20 GB."
    )

    passed = (*source_state.TEXT, ".md", ".html", ".py", ".zip")  # tables are named one by one
    find_source = staticmethod(sources.find_source)

    def find_official(self, dl_manager) -> sources.Source:
        """COCO 2017 itself, downloaded."""
        folders = dl_manager.download_and_extract(dict(sources.OFFICIAL_URLS))
        return sources.official_source({name: pathlib.Path(folder) for name, folder in folders.items()})

    def source_paths(self, source) -> list:
        """The tables of this configuration and the folders of pictures; an archive is one file."""
        if source.kind == "archive" and pathlib.Path(source.path).is_file():
            return [pathlib.Path(source.path)]
        fields = {**vars(source), "annotations": None}
        own = [sources.find_table(source, self.builder_config.name, split) for split in sources.SPLITS]
        return source_state.paths_in({**fields, "own": own})

    def _info(self):
        config = self.builder_config.name
        metadata = {
            "classes": list(NAMES[config]),
            "joints": list(classes.JOINTS),
            "flip_joints": [list(pair) for pair in classes.FLIP_JOINTS],
            "flip_classes": [],
            "source": None,
            "source_path": None,
            "counts": {},
        }
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict(FEATURES[config]()),
            homepage="https://cocodataset.org",
            metadata=tfds.core.MetadataDict(metadata),
        )

    def _split_generators(self, dl_manager):
        config = self.builder_config.name
        source = self._source(dl_manager)
        for split in sources.SPLITS:
            sources.find_table(source, config, split)
        counts = {split: dict.fromkeys(records.COUNTS[config], 0) for split in sources.SPLITS}
        self.info.metadata.update(source=source.kind, source_path=source.path, counts=counts)
        return {split: self._generate_examples(source, split, counts[split]) for split in sources.SPLITS}

    def _generate_examples(self, source, split, counts):
        return records.generate(source, self.builder_config.name, split, counts)
