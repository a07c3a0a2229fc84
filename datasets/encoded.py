"""Pictures as records hold them: the bytes of the user's file where TensorFlow reads the same picture from them, else
encoded anew."""

import io

import numpy as np
from PIL import Image

from kzoo.datasets.pictures import Picture

ALIKE = 2  # mean difference of two decoders' grey values; where they agree it is below 0.1


def jpeg(image: Image.Image, **options) -> bytes:
    """An RGB picture as JPEG; `options` are Pillow's."""
    return _encoded(image, "JPEG", **options)


def png(image: Image.Image) -> bytes:
    """An RGB picture as PNG."""
    return _encoded(image, "PNG")


def own_bytes(picture: Picture, formats: tuple[str, ...], counts: dict) -> bytes | None:
    """The bytes of a picture's file, or None where they must be encoded anew.

    Kept are RGB files of some formats that need no turn and that TensorFlow, which reads records, can decode.

    Args:
      picture: what was read.
      formats: that records hold, of JPEG and PNG.
      counts: "converted_pictures" and "turned_pictures" are counted.
    """
    counts["turned_pictures"] += picture.turned
    good = picture.format in formats and picture.mode == "RGB" and not picture.turned and _tensorflow_agrees(picture)
    counts["converted_pictures"] += not good
    return picture.content if good else None


def _tensorflow_agrees(picture: Picture) -> bool:
    """Whether TensorFlow decodes the same picture: it refuses lossless and arithmetic JPEG, for instance."""
    import tensorflow as tf

    try:
        seen = tf.io.decode_jpeg(picture.content, channels=3, dct_method="INTEGER_ACCURATE").numpy()  # PNG too
    except tf.errors.OpError:
        return False
    if seen.shape[1::-1] != picture.image.size:
        return False
    return np.abs(seen.astype(np.int16) - np.asarray(picture.image)).mean() < ALIKE


def _encoded(image, kind, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()
