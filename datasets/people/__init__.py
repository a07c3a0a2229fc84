"""The data set `people`: rendered articulated people.

The builder loads TensorFlow, so it is imported only when asked for.
"""

from kzoo.datasets.about import RENDERED, About

__all__ = ["ABOUT", "Builder"]

ABOUT = About(licence="made by kzoo, Apache-2.0 like kzoo", limits=RENDERED)


def __getattr__(name):
    if name == "Builder":
        from kzoo.datasets.people.people_dataset_builder import Builder

        return Builder
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
