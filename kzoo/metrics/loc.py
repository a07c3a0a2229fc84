"""Metrics of camera localisation, sums and counts as in `base.py`: means; medians are in `localisation.py`.

y_true is the feature `pose` (B, 7) or (B, T, 7): position in metres and unit quaternion w, x, y, z. Of a window the
middle frame counts.
"""

import keras
from keras import ops

from kzoo.metrics.base import ratio, register
from kzoo.nn import rotations


def _middle(frames):
    """(B, T, K) -> (B, K); (B, K) as it is. float32."""
    frames = ops.cast(frames, "float32")
    return frames if len(frames.shape) == 2 else frames[:, frames.shape[1] // 2]


def _add_to(metric, errors):
    """Count (B,) errors in."""
    metric.total.assign_add(ops.sum(errors))
    metric.count.assign_add(ops.sum(ops.ones_like(errors)))


@register
class PositionError(keras.metrics.Metric):
    """Mean distance of the camera's centre from its true place, in metres.

    Call: y_true (B, 7) or (B, T, 7), y_pred (B, 3) or (B, T, 3) metres.
    """

    def __init__(self, name: str = "position_error", **kwargs):
        super().__init__(name=name, **kwargs)
        self.total = self.add_variable((), "zeros", name="total")
        self.count = self.add_variable((), "zeros", name="count")

    def update_state(self, y_true, y_pred, sample_weight=None):
        _add_to(self, ops.sqrt(ops.sum(ops.square(_middle(y_pred) - _middle(y_true)[:, :3]), axis=-1)))

    def result(self):
        return ratio(self.total, self.count)


@register
class RotationError(keras.metrics.Metric):
    """Mean angle between the camera's orientation and the true one, in degrees, 0..180.

    Call: y_true (B, 7) or (B, T, 7), y_pred (B, 4) or (B, T, 4) quaternions of any length and either sign.
    """

    def __init__(self, name: str = "rotation_error", **kwargs):
        super().__init__(name=name, **kwargs)
        self.total = self.add_variable((), "zeros", name="total")
        self.count = self.add_variable((), "zeros", name="count")

    def update_state(self, y_true, y_pred, sample_weight=None):
        truth, answer = rotations.normalise(_middle(y_true)[:, 3:]), rotations.normalise(_middle(y_pred))
        _add_to(self, rotations.angle_deg(truth, answer))

    def result(self):
        return ratio(self.total, self.count)
