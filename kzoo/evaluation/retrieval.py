"""Features of whole pictures for image retrieval, by an encoder that is not trained here: what localisation is compared
with."""

import cv2
import keras
import numpy as np
from tqdm.auto import tqdm

from kzoo import UserError, runs
from kzoo.nn.encoders import encode

THUMBNAIL = (16, 12)  # width and height


def thumbnails(images) -> np.ndarray:
    """Pictures shrunk to 16x12 pixels without their mean: (B, H, W, 3) uint8 -> (B, 576) float32, where no trained
    encoder is at hand."""
    small = np.stack([cv2.resize(image, THUMBNAIL, interpolation=cv2.INTER_AREA) for image in images]).astype("float32")
    return (small - small.mean(axis=(1, 2), keepdims=True)).reshape(len(small), -1)


def pooled(shape: tuple[int, int], encoder: str, weights: str):
    """Function from pictures to the mean of an encoder's last map: (B, H, W, 3) uint8 -> (B, K) float32."""
    with runs.float32():
        image = keras.Input((*shape, 3), dtype="uint8")
        last = encode(image, encoder, weights)[-1]
        return keras.Model(image, keras.layers.GlobalAveragePooling2D()(last)).predict_on_batch


def method(flags: dict, shape: tuple[int, int]) -> tuple:
    """How pictures are compared in the baseline of a run, in words, and the function: by the run's encoder as it was
    before training."""
    if flags["encoder"] is None or flags["encoder_weights"] in (None, "none"):
        return "thumbnails of 16x12 px", thumbnails
    try:
        network = pooled(shape, flags["encoder"], flags["encoder_weights"])
    except UserError as error:  # the weights are not here any more
        return f"thumbnails of 16x12 px, as {error}", thumbnails
    return f"{flags['encoder']} as given by --encoder_weights, mean of its last map", network


def features(function, pipeline, examples: int) -> tuple[np.ndarray, np.ndarray]:
    """Features (N, K) and labels (N, …) of a split; of a window the middle frame's.

    Args:
        function: from `method`; pipeline: batches of (pictures, {"label": …}, extras).
    """
    found, labels = [], []
    with tqdm(total=examples, unit="img", desc="retrieval", dynamic_ncols=True) as bar:
        for pictures, truth, _ in pipeline.as_numpy_iterator():
            found.append(np.asarray(function(pictures if pictures.ndim == 4 else pictures[:, pictures.shape[1] // 2])))
            labels.append(truth["label"])
            bar.update(len(pictures))
    return np.concatenate(found), np.concatenate(labels)
