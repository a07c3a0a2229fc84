"""DeepLoc: frames of a campus, the poses of the robot's camera and masks of ten classes, from the user's folder."""

from typing import ClassVar

import tensorflow_datasets as tfds

from kzoo.datasets import poses
from kzoo.datasets.deeploc import ABOUT, sources
from kzoo.datasets.sourced import Sourced


class Builder(Sourced, tfds.core.GeneratorBasedBuilder):
    """DeepLoc's frames with poses and masks; nothing is downloaded."""

    # TFDS would derive both from the package's name, but setup.cfg maps kzoo.datasets to another folder
    code_path = tfds.core.Path(__file__)
    pkg_dir_path = code_path.parent

    about = ABOUT
    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES: ClassVar = {"1.0.0": "First release."}
    BUILDER_CONFIGS: ClassVar = [poses.FRAMES_CONFIG, poses.WINDOWS_CONFIG]
    MANUAL_DOWNLOAD_INSTRUCTIONS = (
        "Put DeepLoc (http://deeploc.cs.uni-freiburg.de), unpacked, here: train/ and test/, each with LeftImages/, "
        "labels/ and poses.txt."
    )

    find_source = staticmethod(sources.find_source)

    def _info(self):
        config = self.builder_config
        metadata = {"pose": list(poses.COLUMNS), "source_path": None, "counts": {}}
        if config.steps > 1:
            features = {"frames": tfds.features.Video(shape=(config.steps, None, None, 3), doc="PNG or JPEG")}
        else:
            features = {
                "image": tfds.features.Image(shape=(None, None, 3), doc="PNG or JPEG"),
                "mask": tfds.features.Image(
                    shape=(None, None, 1), encoding_format="png", doc="0 to 9 the classes, 255 not labelled"
                ),
            }
            metadata.update(classes=list(sources.CLASSES), flip_classes=[])
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict({**features, **poses.pose_features(config)}),
            homepage="http://deeploc.cs.uni-freiburg.de/",
            metadata=tfds.core.MetadataDict(metadata),
        )

    def _split_generators(self, dl_manager):
        source = self._source(dl_manager)
        counts, sequences, first = {}, {}, 0
        for split, folder in source.folders.items():
            counts[split] = dict.fromkeys(sources.COUNTS, 0)
            sequences[split] = sources.find_frames(folder, first, counts[split])
            first += len(sequences[split])
        self.info.metadata.update(source_path=source.path, counts=counts)
        return {split: self._generate_examples(runs, counts[split]) for split, runs in sequences.items()}

    def _generate_examples(self, runs, counts):
        config, size = self.builder_config, None

        def read(frame):
            nonlocal size
            content, size = poses.read_picture(frame.picture, counts, size)
            return content

        for run in runs:
            if config.steps > 1:
                yield from poses.windows(run, config, read)
                continue
            for frame in run:
                example = {"image": read(frame), "mask": sources.read_mask(frame.label, size)}
                yield frame.key, {**example, **poses.pose_example(frame)}
