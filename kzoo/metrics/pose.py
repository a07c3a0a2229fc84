"""Streaming metrics of 2-D pose."""

import keras
from keras import ops

from kzoo.metrics.base import ratio, register
from kzoo.nn import geometry


def _positions(y_pred):
    """Joints as they are, maps read at their peaks."""
    return y_pred if len(y_pred.shape) == 3 else geometry.peak_position(y_pred)


@register
class MPJPE(keras.metrics.Metric):
    """Mean per-joint position error: mean over labelled joints of the Euclidean distance, in pixels.

    Args:
        pixels: side of the picture that a fraction of 1 stands for.
        joints: J.

    Call: y_true (B, J, 3) keypoints with v, y_pred (B, J, 2), fractions, or maps (B, h, w, J), read at their peaks
    (`geometry.peak_position`). `per_joint()` gives the (J,) vector, NaN for joints never
    labelled.
    """

    def __init__(self, pixels: float = 256.0, joints: int = 17, name: str = "mpjpe", **kwargs):
        super().__init__(name=name, **kwargs)
        self.pixels = pixels
        self.joints = joints
        self.total = self.add_variable((joints,), "zeros", name="total")
        self.count = self.add_variable((joints,), "zeros", name="count")

    def update_state(self, y_true, y_pred, sample_weight=None):
        y_true, y_pred = ops.cast(y_true, "float32"), ops.cast(y_pred, "float32")
        labelled = ops.cast(y_true[..., 2] > 0, "float32")
        distance = self.pixels * ops.sqrt(ops.sum(ops.square(_positions(y_pred) - y_true[..., :2]), axis=-1))
        self.total.assign_add(ops.sum(distance * labelled, axis=0))
        self.count.assign_add(ops.sum(labelled, axis=0))

    def result(self):
        return ratio(ops.sum(self.total), ops.sum(self.count))

    def per_joint(self):
        return ratio(self.total, self.count)

    def get_config(self):
        return {**super().get_config(), "pixels": self.pixels, "joints": self.joints}


@register
class PCK(keras.metrics.Metric):
    """Percentage of correct keypoints, as a fraction in [0, 1].

    A joint is correct within `threshold` times the longer side of the tight box around the person's labelled joints
    (Yang and Ramanan, PAMI 2013, §7; persons with a box smaller than 1/256 of the picture use that).

    Call: y_true (B, J, 3) keypoints with v, y_pred (B, J, 2), fractions, or maps (B, h, w, J), read at their peaks.
    """

    def __init__(self, threshold: float = 0.1, name: str = "pck", **kwargs):
        super().__init__(name=name, **kwargs)
        self.threshold = threshold
        self.correct = self.add_variable((), "zeros", name="correct")
        self.count = self.add_variable((), "zeros", name="count")

    def update_state(self, y_true, y_pred, sample_weight=None):
        y_true, y_pred = ops.cast(y_true, "float32"), ops.cast(y_pred, "float32")
        labelled = y_true[..., 2] > 0
        position = y_true[..., :2]
        low = ops.min(ops.where(labelled[..., None], position, 1e9), axis=1)
        high = ops.max(ops.where(labelled[..., None], position, -1e9), axis=1)
        reach = self.threshold * ops.maximum(ops.max(high - low, axis=-1), 1 / 256)
        distance = ops.sqrt(ops.sum(ops.square(_positions(y_pred) - position), axis=-1))
        self.correct.assign_add(ops.sum(ops.cast(labelled & (distance <= reach[:, None]), "float32")))
        self.count.assign_add(ops.sum(ops.cast(labelled, "float32")))

    def result(self):
        return ratio(self.correct, self.count)

    def get_config(self):
        return {**super().get_config(), "threshold": self.threshold}
