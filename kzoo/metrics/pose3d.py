"""Metrics of 3-D pose that stream: their state is sums and counts.

All take y_true and y_pred (B, T, J, 3) in metres and first move both skeletons, frame by frame, so that joint 0 is the
origin.
"""

import keras
from keras import ops

from kzoo.metrics import alignment, pose3d_scores
from kzoo.metrics.base import ratio, register

NAMES = {"none": "mpjpe_mm", "scale": "n_mpjpe_mm", "procrustes": "pa_mpjpe_mm"}  # by alignment


def _root_aligned(y_true, y_pred):
    y_true, y_pred = ops.cast(y_true, "float32"), ops.cast(y_pred, "float32")
    return alignment.root_aligned(y_true), alignment.root_aligned(y_pred)


def _length_mm(difference):
    """(…, 3) metres -> (…,) mm."""
    return pose3d_scores.MM * ops.sqrt(ops.sum(ops.square(difference), axis=-1))


def _count(values):
    """Number of elements, as a float32 tensor."""
    return ops.sum(ops.ones_like(values))


@register
class MPJPE3D(keras.metrics.Metric):
    """Mean per-joint position error in mm: mean over frames and joints, the root with its 0 too.

    Args:
        align: "none" (MPJPE), "scale" (N-MPJPE, Rhodin et al. 2018) or "procrustes" (PA-MPJPE), of each frame, after
            the root.
        joints: J.
        name: by default mpjpe_mm, n_mpjpe_mm or pa_mpjpe_mm.

    Call: y_true, y_pred (B, T, J, 3) metres. `per_joint()` gives the (J,) vector.

    Raises:
        ValueError: align is unknown.

    Reference: Ionescu et al., Human3.6M, PAMI 2014; alignments: see `kzoo.metrics.alignment`.
    """

    def __init__(self, align: str = "none", joints: int = 17, name: str | None = None, **kwargs):
        if align not in NAMES:
            raise ValueError(f"align must be one of {', '.join(NAMES)}, got {align!r}")
        super().__init__(name=name or NAMES[align], **kwargs)
        self.align = align
        self.joints = joints
        self.total = self.add_variable((joints,), "zeros", name="total")
        self.count = self.add_variable((), "zeros", name="count")

    def update_state(self, y_true, y_pred, sample_weight=None):
        target, predicted = _root_aligned(y_true, y_pred)
        aligned = alignment.ALIGNMENTS[self.align](predicted, target)
        errors = _length_mm(aligned - target)  # (B, T, J)
        self.total.assign_add(ops.sum(errors, axis=(0, 1)))
        self.count.assign_add(_count(errors[..., 0]))

    def result(self):
        return ops.mean(self.per_joint())

    def per_joint(self):
        return ratio(self.total, self.count)

    def get_config(self):
        return {**super().get_config(), "align": self.align, "joints": self.joints}


@register
class MPJVE(keras.metrics.Metric):
    """Mean per-joint velocity error: mean norm of the difference of frame-to-frame velocities, mm per frame.

    Times the frame rate it is mm/s: 25 for clips of 25 Hz. NaN for clips of one frame.

    Call: y_true, y_pred (B, T, J, 3) metres.

    Reference: Pavllo et al., 3D Human Pose Estimation in Video with Temporal Convolutions, CVPR 2019, §6.1 (at 50 Hz).
    """

    def __init__(self, name: str = "mpjve_mm", **kwargs):
        super().__init__(name=name, **kwargs)
        self.total = self.add_variable((), "zeros", name="total")
        self.count = self.add_variable((), "zeros", name="count")

    def update_state(self, y_true, y_pred, sample_weight=None):
        target, predicted = _root_aligned(y_true, y_pred)
        difference = predicted - target
        errors = _length_mm(difference[:, 1:] - difference[:, :-1])  # (B, T - 1, J)
        self.total.assign_add(ops.sum(errors))
        self.count.assign_add(_count(errors))

    def result(self):
        return ratio(self.total, self.count)


@register
class PCK3D(keras.metrics.Metric):
    """Percentage of correct keypoints in 3-D, as a fraction in [0, 1]: joints that are off by less than a threshold.

    Args:
        threshold_mm: in mm.

    Call: y_true, y_pred (B, T, J, 3) metres.

    Reference: Mehta et al., Monocular 3D Human Pose Estimation In The Wild Using Improved CNN Supervision, 3DV 2017.
    """

    def __init__(self, threshold_mm: float = pose3d_scores.PCK_THRESHOLD_MM, name: str = "pck3d", **kwargs):
        super().__init__(name=name, **kwargs)
        self.threshold_mm = threshold_mm
        self.correct = self.add_variable((), "zeros", name="correct")
        self.count = self.add_variable((), "zeros", name="count")

    def update_state(self, y_true, y_pred, sample_weight=None):
        target, predicted = _root_aligned(y_true, y_pred)
        errors = _length_mm(predicted - target)
        self.correct.assign_add(ops.sum(ops.cast(errors < self.threshold_mm, "float32")))
        self.count.assign_add(_count(errors))

    def result(self):
        return ratio(self.correct, self.count)

    def get_config(self):
        return {**super().get_config(), "threshold_mm": self.threshold_mm}
