"""What the losses share. All are masked, in float32, and finite when nothing is labelled."""

import keras
from keras import ops

import kzoo.nn.conventions  # noqa: F401


def register(cls):
    return keras.saving.register_keras_serializable("kzoo")(cls)


def masked_mean(values, weights):
    """sum(values * weights) / sum(weights), and 0 where there is no weight."""
    return ops.sum(values * weights) / ops.maximum(ops.sum(weights), 1e-6)


def labelled(keypoints):
    """(B, J) float32: 1 for a labelled joint, else 0."""
    return ops.cast(keypoints[..., 2] > 0, "float32")


def staged(y_pred, rank: int):
    """float32 with an axis of stages after the batch, added where there is none."""
    y_pred = ops.cast(y_pred, "float32")
    return y_pred if len(y_pred.shape) == rank else y_pred[:, None]


NORMS = {
    "l1": lambda difference: ops.sum(ops.abs(difference), axis=-1),
    "l2": lambda difference: ops.sum(ops.square(difference), axis=-1),
    "euclidean": lambda difference: ops.sqrt(ops.sum(ops.square(difference), axis=-1) + 1e-12),
}
