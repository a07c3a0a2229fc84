"""Losses of 3-D pose."""

import keras
from keras import ops

from kzoo.losses.base import NORMS, register

JOINT_NORMS = {
    "mse": lambda difference: ops.mean(ops.square(difference), axis=-1),
    "euclidean": NORMS["euclidean"],
    "l1": NORMS["l1"],
}


@register
class JointLoss(keras.losses.Loss):
    """Distance of 3-D joints, mean over all joints of all frames of all clips.

    Args:
        norm: "mse" for the squared difference, mean over x, y and z too; "euclidean" for the distance: the loss is then
            MPJPE (Pavllo et al. 2019, §5), with a gradient of 0 where the answer is right; "l1" for |dx| + |dy| + |dz|.
        scale: coordinates are multiplied by it first, so that 1000 gives mm for metres.

    Call: y_true, y_pred (B, T, J, 3) metres, all labelled -> scalar. Nothing is aligned: what is relative to the root
    already stays so.

    Raises:
        ValueError: norm is unknown.
    """

    def __init__(self, norm: str = "euclidean", scale: float = 1.0, name: str = "joint_loss", **kwargs):
        super().__init__(name=name, **kwargs)
        if norm not in JOINT_NORMS:
            raise ValueError(f"norm must be one of {', '.join(JOINT_NORMS)}, got {norm!r}")
        self.norm = norm
        self.scale = scale

    def call(self, y_true, y_pred):
        y_true, y_pred = ops.cast(y_true, "float32"), ops.cast(y_pred, "float32")
        return ops.mean(JOINT_NORMS[self.norm](self.scale * (y_pred - y_true)))

    def get_config(self):
        return {**super().get_config(), "norm": self.norm, "scale": self.scale}
