"""Every data set by name. A builder loads TensorFlow, so it is imported on demand; what it says of itself does not."""

import importlib

from kzoo.datasets import from_tfds
from kzoo.datasets.about import About

# name -> module of its `Builder`; `ABOUT` is in the package around it
DATASETS = {
    name: f"kzoo.datasets.{name}.{name}_dataset_builder"
    for name in ("people", "room", "coco_subset", "camvid", "human36m", "seven_scenes", "deeploc", "digits", "usps")
}
NAMES = (*DATASETS, *from_tfds.ABOUT)


def builder_class(name: str) -> type:
    """The builder of one of NAMES."""
    if name in DATASETS:
        return importlib.import_module(DATASETS[name]).Builder
    import tensorflow_datasets as tfds

    return tfds.builder_cls(name)


def about(name: str) -> About:
    """What one of NAMES says of itself."""
    return from_tfds.ABOUT[name] if name in from_tfds.ABOUT else importlib.import_module(f"kzoo.datasets.{name}").ABOUT
