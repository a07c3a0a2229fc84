"""USPS: 9,298 handwritten digits of 16x16 pixels, from the user's folder with libsvm's two files."""

from typing import ClassVar

import numpy as np
import tensorflow_datasets as tfds

from kzoo.datasets.sourced import Sourced
from kzoo.datasets.usps import ABOUT, sources


class Builder(Sourced, tfds.core.GeneratorBasedBuilder):
    """Handwritten digits from envelopes with their class; nothing is downloaded."""

    # TFDS would derive both from the package's name, but setup.cfg maps kzoo.datasets to another folder
    code_path = tfds.core.Path(__file__)
    pkg_dir_path = code_path.parent

    about = ABOUT
    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES: ClassVar = {"1.0.0": "First release."}
    MANUAL_DOWNLOAD_INSTRUCTIONS = f"Put usps.bz2 and usps.t.bz2 of {sources.HOMEPAGE} here."

    find_source = staticmethod(sources.find_source)

    def _info(self):
        image = tfds.features.Image(
            shape=(sources.SIDE, sources.SIDE, 1), dtype=np.uint8, encoding_format="png", doc="0 background, 255 ink"
        )
        features = {
            "image": image,
            "label": tfds.features.ClassLabel(names=list(sources.CLASSES)),
            "image_id": tfds.features.Scalar(np.int64, doc="place in the file, those of usps.t behind those of usps"),
        }
        metadata = {"classes": list(sources.CLASSES), "flip_classes": [], "source_path": None, "counts": {}}
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict(features),
            homepage=sources.HOMEPAGE,
            supervised_keys=("image", "label"),
            metadata=tfds.core.MetadataDict(metadata),
        )

    def _split_generators(self, dl_manager):
        source = self._source(dl_manager)
        splits = {split: sources.read_file(path) for split, path in source.files.items()}
        self.info.metadata.update(
            source_path=source.path, counts={split: {"kept": len(labels)} for split, (_, labels) in splits.items()}
        )
        starts = {"train": 0, "val": len(splits["train"][1])}
        return {split: self._generate_examples(*examples, starts[split]) for split, examples in splits.items()}

    def _generate_examples(self, images, labels, start):
        for image_id, (image, label) in enumerate(zip(images, labels, strict=True), start):
            yield image_id, {"image": image, "label": int(label), "image_id": image_id}
