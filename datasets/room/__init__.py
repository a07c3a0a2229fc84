"""The data set `room`: a camera in a furnished room.

The builder loads TensorFlow, so it is imported only when asked for.
"""

__all__ = ["Builder"]


def __getattr__(name):
    if name == "Builder":
        from kzoo.datasets.room.room_dataset_builder import Builder

        return Builder
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
