"""The data set `digits`: 1,797 real handwritten digits of 8x8 pixels, which scikit-learn's package holds."""

from typing import ClassVar

import numpy as np
import tensorflow_datasets as tfds

from kzoo.datasets.digits import ABOUT, HOMEPAGE

LEVELS = 16  # of grey above 0 in scikit-learn's file
CLASSES = tuple(map(str, range(10)))


class Builder(tfds.core.GeneratorBasedBuilder):
    """Handwritten digits with their class; nothing is downloaded."""

    # TFDS would derive both from the package's name, but setup.cfg maps kzoo.datasets to another folder
    code_path = tfds.core.Path(__file__)
    pkg_dir_path = code_path.parent

    about = ABOUT
    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES: ClassVar = {"1.0.0": "First release."}
    SIZES: ClassVar = {"train": 1437, "val": 360}  # in the file's order

    def _info(self):
        features = {
            "image": tfds.features.Image(
                shape=(8, 8, 1), dtype=np.uint8, encoding_format="png", doc="0 background, 255 ink"
            ),
            "label": tfds.features.ClassLabel(names=list(CLASSES)),
            "image_id": tfds.features.Scalar(np.int64, doc="place in scikit-learn's file"),
        }
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict(features),
            homepage=HOMEPAGE,
            supervised_keys=("image", "label"),
            metadata=tfds.core.MetadataDict({"classes": list(CLASSES), "flip_classes": []}),
        )

    def _split_generators(self, dl_manager):
        starts = dict(zip(self.SIZES, np.cumsum([0, *self.SIZES.values()]).tolist(), strict=False))
        return {split: self._generate_examples(starts[split], size) for split, size in self.SIZES.items()}

    def _generate_examples(self, start, size):
        from sklearn.datasets import load_digits  # a second that only preparing the set costs

        digits = load_digits()
        for image_id in range(start, start + size):
            image = levels_to_bytes(digits.images[image_id])
            yield image_id, {"image": image[..., None], "label": int(digits.target[image_id]), "image_id": image_id}


def levels_to_bytes(levels) -> np.ndarray:
    """Grey levels 0 to 16, any shape -> uint8, 16 as 255."""
    return np.rint(np.asarray(levels, "float64") * 255 / LEVELS).astype(np.uint8)


def bytes_to_levels(image) -> np.ndarray:
    """The inverse of `levels_to_bytes`: float64 0 to 16, as scikit-learn has them."""
    return np.rint(np.asarray(image, "float64") * LEVELS / 255)
