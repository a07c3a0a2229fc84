"""The user's own picture files: read, and brought to a network's input as the pipeline brings those of a data set."""

import math
import os

import cv2
import numpy as np

from kzoo import UserError
from kzoo.data import augment
from kzoo.datasets import pictures


def read_picture(path) -> np.ndarray:
    """A picture file: (H, W, 3) uint8 RGB, upright; by the reader of the data sets, `kzoo.datasets.pictures`.

    Raises:
        UserError: a file that is no picture, is damaged, or has more pixels than `pictures.limit_pixels` allows.
    """
    try:
        return pictures.read(path)
    except OSError as error:
        raise UserError(f"cannot read {pictures.printable(path)}: {error.strerror}") from error
    except ValueError as error:
        raise UserError(str(error)) from error


def as_image(source) -> np.ndarray:
    """(H, W, 3) uint8 RGB of a path, or of an array that is one already.

    Raises:
        UserError: a file that is no picture, or an array of another shape or type.
    """
    if isinstance(source, str | os.PathLike):
        return read_picture(source)
    if not isinstance(source, np.ndarray):
        raise UserError(f"a picture must be a path or an image (H, W, 3) uint8 RGB, got {type(source).__name__}")
    if source.ndim != 3 or source.shape[-1] != 3 or source.dtype != np.uint8 or not source.size:
        raise UserError(f"an image must be (H, W, 3) uint8 RGB, got {source.shape} {source.dtype}")
    return source


def to_input(image, shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """A picture as the input pipeline brings it to a network, and the way back.

    All of the picture, its aspect kept, black beside it. Large ones are shrunk by powers of 2 first, by the mean over
    areas, as long as 1.25 x the pixels remain, see `transforms.decode_reduced`.

    Args:
        image: (H, W, 3) uint8.
        shape: (height, width) of the network's input.
    Returns:
        (height, width, 3) uint8; (3, 3) float64, fractions of it -> pixels of the picture.
    """
    size = np.array(image.shape[:2])
    spare = max(size / shape) / 1.25
    if spare >= 2:
        factor = 2 ** int(math.log2(spare))
        smaller = [-(-int(side) // factor) for side in size[::-1]]
        image = cv2.resize(image, smaller, interpolation=cv2.INTER_AREA)
    matrix = augment.fit_matrix(*image.shape[:2], shape)
    fitted = augment.warp_and_jitter(image, matrix, shape, [0, 0], None).numpy()
    height, width = size / image.shape[:2]
    return fitted, np.diag([width, height, 1.0]) @ matrix.numpy().astype("float64")
