"""Export: the network rebuilt in float32 with the trained weights, as a SavedModel whose `serve` signature takes uint8 pictures."""

import keras
import numpy as np
import tensorflow as tf

from kzoo import UserError, files

TOLERANCE = 1e-4  # largest difference to `predict` that an export may have, relative to the output's range where that is above 1


def export_saved_model(model: keras.Model, path, example: np.ndarray) -> float:
    """Write a SavedModel and check it.

    Args:
        model: float32 network.
        path: folder to write; replaced when it exists.
        example: (B, H, W, 3) uint8, pictures to check the export on.
    Returns:
        largest difference between the loaded SavedModel's outputs and `model.predict`'s.
    Raises:
        UserError: not the TensorFlow backend, a full disk, or outputs that differ.
    """
    if keras.backend.backend() != "tensorflow":
        raise UserError(f"SavedModel export needs KERAS_BACKEND=tensorflow, got {keras.backend.backend()!r}")
    expected = model.predict_on_batch(example)
    with files.replacing(path) as temporary:
        model.export(temporary, format="tf_saved_model", verbose=False)
        loaded = tf.saved_model.load(temporary)  # kept: its functions do not outlive it
        served = loaded.serve(tf.constant(example))
        worst = max(
            float(np.abs(served[name].numpy() - expected[name]).max() / max(1.0, np.abs(expected[name]).max())) for name in expected
        )
        if not worst <= TOLERANCE:
            raise UserError(
                f"the SavedModel's outputs differ from predict by {worst:.2e}, allowed {TOLERANCE}; nothing was written to {path}"
            )
    return worst


EXPORTS = {"saved_model": export_saved_model}  # --export -> function; also the name of the folder in the run
