"""The user's own picture files: read, and brought to a network's input as the pipeline brings those of a data set."""

import math

import cv2
import numpy as np

from kzoo import UserError
from kzoo.data import augment


def read_picture(path):
    """A picture file: (H, W, 3) uint8 RGB.

    JPEG, PNG, WebP, TIFF, …; grey, CMYK, with alpha or 16 bits; turned as its EXIF says.
    """
    try:
        encoded = np.fromfile(path, "uint8")
    except OSError as error:
        raise UserError(f"cannot read --image={path}: {error.strerror}") from error
    image = cv2.imdecode(encoded, cv2.IMREAD_COLOR) if len(encoded) else None
    if image is None:
        raise UserError(f"--image={path} is no picture; allowed: JPEG, PNG, WebP, TIFF, BMP, GIF")
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


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
