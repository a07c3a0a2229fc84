"""Features of whole pictures for image retrieval, by an encoder that is not trained here: what localisation is compared
with."""

from collections.abc import Callable

import cv2
import keras
import numpy as np
from tqdm.auto import tqdm

from kzoo import UserError
from kzoo.nn.encoders import encode
from kzoo.training import environment

THUMBNAIL = (16, 12)  # width and height


def thumbnails(images) -> np.ndarray:
    """Pictures shrunk to 16x12 pixels without their mean: (B, H, W, 3) uint8 -> (B, 576) float32, where no trained
    encoder is at hand."""
    small = np.stack([cv2.resize(image, THUMBNAIL, interpolation=cv2.INTER_AREA) for image in images]).astype("float32")
    return (small - small.mean(axis=(1, 2), keepdims=True)).reshape(len(small), -1)


def pooled(shape: tuple[int, int], encoder: str, weights: str):
    """Function from pictures to the mean of an encoder's last map: (B, H, W, 3) uint8 -> (B, K) float32."""
    with environment.float32():
        image = keras.Input((*shape, 3), dtype="uint8")
        last = encode(image, encoder, weights)[-1]
        return keras.Model(image, keras.layers.GlobalAveragePooling2D()(last)).predict_on_batch


def method(
    shape: tuple[int, int], *, encoder: str | None = None, weights: str | None = None
) -> tuple[str, Callable[[np.ndarray], np.ndarray]]:
    """How pictures are compared where nothing is trained, in words, and the function.

    Args:
        shape: (height, width) of the pictures; encoder, weights: a trained one, see `kzoo.nn.encoders.encode`; without
        them, or where the weights are not here any more, thumbnails are compared.
    """
    if encoder is None or weights in (None, "none"):
        return "thumbnails of 16x12 px", thumbnails
    try:
        network = pooled(shape, encoder, weights)
    except UserError as error:
        return f"thumbnails of 16x12 px, as {error}", thumbnails
    return f"{encoder} as given by --encoder_weights, mean of its last map", network


def features(function, pipeline, examples: int) -> tuple[np.ndarray, np.ndarray]:
    """Features (N, K) and labels (N, …) of a split; of a window the middle frame's.

    Args:
        function: from `method`; pipeline: batches of (pictures, {"label": …}, extras); examples: of the split.
    """
    vectors, labels = [], []
    with tqdm(total=examples, unit="img", desc="retrieval", dynamic_ncols=True) as bar:
        for pictures, truth, _ in pipeline.as_numpy_iterator():
            if pictures.ndim == 5:  # (B, T, H, W, 3)
                pictures = pictures[:, pictures.shape[1] // 2]
            vectors.append(np.asarray(function(pictures)))
            labels.append(truth["label"])
            bar.update(len(pictures))
    return np.concatenate(vectors), np.concatenate(labels)
