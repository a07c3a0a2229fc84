"""The data set `people`: rendered articulated people.

The builder loads TensorFlow, so it is imported only when asked for.
"""

__all__ = ["Builder"]


def __getattr__(name):
    if name == "Builder":
        from kzoo.datasets.people.people_dataset_builder import Builder

        return Builder
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
