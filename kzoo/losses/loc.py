"""Losses of camera localisation.

y_true is always the feature `pose`: position in metres and unit quaternion w, x, y, z.

All are float32 scalars. Learned weights come with the answer (`kzoo.nn.layers.LearnedWeights`): a loss stays a function
of label and answer. With them a loss may be negative: the minimum over a of e^-a L + a is 1 + log L.

"The report" is Ziller and Feiner, Practical to Advanced Deep Learning in Computer Vision, TU Munich.
"""

import keras
from keras import ops

from kzoo.losses import base as loss_base
from kzoo.losses import seg as seg_losses
from kzoo.losses.base import register
from kzoo.nn import rotations
from kzoo.nn.camera_heads import TERMS

DISTANCES = {  # (…, 3) difference -> scalar
    "l1": lambda difference: ops.mean(ops.abs(difference)),
    "mse": lambda difference: ops.mean(ops.square(difference)),
    "euclidean": lambda difference: ops.mean(loss_base.NORMS["euclidean"](difference)),
}
WEIGHTINGS = {  # (term, learned weight) -> weighted term; the weight is alpha, log sigma and nothing
    "geometric": lambda term, weight: ops.exp(-weight) * term + weight,
    "uncertainty": lambda term, weight: 0.5 * ops.exp(-2 * weight) * term + weight,
    "none": lambda term, weight: term,
}
SEMANTIC_WEIGHTINGS = {**WEIGHTINGS, "uncertainty": lambda term, weight: ops.exp(-2 * weight) * term + weight}
RELATIVES = ("difference", "composition")


def _allowed(value: str, allowed, what: str) -> str:
    if value not in allowed:
        raise ValueError(f"{what} must be one of {', '.join(allowed)}, got {value!r}")
    return value


def _mean_length(difference):
    """Mean Euclidean length of (…, K), with a gradient of 0 at 0: scalar."""
    return ops.mean(loss_base.NORMS["euclidean"](difference))


def _rotation_distance(truth, answer, nearest: bool):
    """Mean length of the difference of quaternions (…, 4), the answer normalised; nearest: to the closer of q, -q."""
    answer = rotations.normalise(answer)
    if nearest:
        truth = truth * ops.where(ops.sum(truth * answer, axis=-1, keepdims=True) < 0, -1.0, 1.0)
    return _mean_length(answer - truth)


@register
class PoseLoss(keras.losses.Loss):
    """Absolute and relative terms of position and log-quaternion, summed under learned weights.

    These are the report's eq. (1) to (3).

    The terms are trans_abs and rot_abs, of each frame, and trans_rel and rot_rel, of consecutive frames of a window.
    Without an axis of time, or with windows of one frame, there are only the first two: the other two weights then get
    no gradient.

    Args:
        weighting: "geometric" for e^-a L + a (eq. 2; Kendall and Cipolla 2017; MapNet's), "uncertainty" for L / (2 s^2)
            + log s with the weight being log s (eq. 3; Kendall, Gal and Cipolla 2018), "none" for trans + beta * rot.
        relative: "difference" for the plain differences of consecutive positions and log-quaternions (MapNet's),
            "composition" for the true relative pose, position in the first frame's coordinates and log-quaternion of
            q_1* q_2 (MapNet++'s).
        norm: what L is: "l1" for the absolute difference, mean over the batch, the frames and the 3 components too (a
            third of the L1 norm of the paper; it is what MapNet's initial weights 0 and -3 were chosen for); "mse" for
            its square, mean over the same; "euclidean" for the length of the 3-vector, mean over batch and frames.
        beta: factor of the rotation's terms where nothing is learned; with learned weights it must stay 1.

    Call: y_true (B, 7) or (B, T, 7), y_pred (B, 10) or (B, T, 10): position in metres, log-quaternion (`rotations.log`)
    in radians, and the weights of trans_abs, rot_abs, trans_rel and rot_rel -> scalar.

    Raises:
        ValueError: an option is unknown, or beta is given though weights are learned.

    Reference: Brahmbhatt et al., Geometry-Aware Learning of Maps for Camera Localization, CVPR 2018, eq. 2-4.
    """

    def __init__(
        self,
        weighting: str = "geometric",
        relative: str = "difference",
        norm: str = "l1",
        beta: float = 1.0,
        name: str = "pose_loss",
        **kwargs,
    ):
        super().__init__(name=name, **kwargs)
        self.weighting = _allowed(weighting, WEIGHTINGS, "weighting")
        self.relative = _allowed(relative, RELATIVES, "relative")
        self.norm = _allowed(norm, DISTANCES, "norm")
        self.beta = beta
        if beta != 1 and weighting != "none":
            raise ValueError(
                f"beta is for weighting='none', the weights of weighting={weighting!r} are learned; got beta={beta}"
            )

    def call(self, y_true, y_pred):
        terms = self.terms(y_true, y_pred)
        y_pred = ops.cast(y_pred, "float32")
        weights = ops.reshape(y_pred[..., 6:], (-1, len(TERMS)))
        weights = ops.mean(weights, axis=0)  # each was broadcast over the batch and the frames
        total = 0.0
        for index, (name, term) in enumerate(terms.items()):
            factor = self.beta if name.startswith("rot") else 1.0
            total = total + WEIGHTINGS[self.weighting](factor * term, weights[index])
        return total

    def terms(self, y_true, y_pred) -> dict:
        """{name: scalar} of the terms before they are weighted, two or four of them, in the order of TERMS."""
        y_true, y_pred = ops.cast(y_true, "float32"), ops.cast(y_pred, "float32")
        answer = y_pred[..., :6]
        pairs = {"abs": (self._logarithms(y_true), answer)}
        if len(y_pred.shape) == 3 and y_pred.shape[1] > 1:
            turned = ops.concatenate([answer[..., :3], rotations.exp(answer[..., 3:])], axis=-1)
            truth = self._relatives(y_true)
            moved = self._relatives(turned) if self.relative == "composition" else _differences(answer)
            pairs["rel"] = (truth, moved)
        distance = DISTANCES[self.norm]
        terms = {}
        for kind, (truth, predicted) in pairs.items():
            terms[f"trans_{kind}"] = distance(predicted[..., :3] - truth[..., :3])
            terms[f"rot_{kind}"] = distance(predicted[..., 3:6] - truth[..., 3:6])
        return terms

    @staticmethod
    def _logarithms(pose):
        """Position and quaternion (…, 7) -> position and log-quaternion (…, 6)."""
        return ops.concatenate([pose[..., :3], rotations.log(pose[..., 3:])], axis=-1)

    def _relatives(self, pose):
        """(B, T, 7) -> (B, T - 1, 6) between consecutive frames."""
        if self.relative == "difference":
            return _differences(self._logarithms(pose))
        return self._logarithms(rotations.relative(pose[:, :-1], pose[:, 1:]))

    def get_config(self):
        return {
            **super().get_config(),
            "weighting": self.weighting,
            "relative": self.relative,
            "norm": self.norm,
            "beta": self.beta,
        }


def _differences(frames):
    """Of consecutive frames: (B, T, K) -> (B, T - 1, K)."""
    return frames[:, 1:] - frames[:, :-1]


@register
class SemanticsLoss(keras.losses.Loss):
    """Cross-entropy of the pixels under a learned weight, L / s^2 + log s: the report's eq. (4).

    L is the mean over the labelled pixels of the batch. Where none is labelled (every second frame of DeepLoc has no
    mask) the whole loss is 0 and so are its gradients: log s is not drawn down by a term that has nothing to weigh.

    Args:
        weighting: "uncertainty" for eq. (4), the weight being log s; "geometric" for e^-a L + a; "none" for L.
        ignore: id of pixels without label.
        class_weights: (C,) weight of each class, or None for 1.

    Call: y_true (B, H, W) or (B, H, W, 1) ids, y_pred (B, H, W, C + 1): logits and the weight -> scalar.

    Raises:
        ValueError: weighting is unknown, or class_weights are not C numbers.

    Reference: Kendall, Gal and Cipolla, Multi-Task Learning Using Uncertainty to Weigh Losses, CVPR 2018, eq. 10.
    """

    def __init__(
        self,
        weighting: str = "uncertainty",
        ignore: int = 255,
        class_weights=None,
        name: str = "semantics_loss",
        **kwargs,
    ):
        super().__init__(name=name, **kwargs)
        self.weighting = _allowed(weighting, SEMANTIC_WEIGHTINGS, "weighting")
        self.ignore = ignore
        self.class_weights = class_weights

    def call(self, y_true, y_pred):
        y_pred = ops.cast(y_pred, "float32")
        cross_entropy = seg_losses.PixelCrossEntropy(ignore=self.ignore, class_weights=self.class_weights)
        pixels = cross_entropy.call(y_true, y_pred[..., :-1])
        weighted = SEMANTIC_WEIGHTINGS[self.weighting](ops.mean(pixels), ops.mean(y_pred[..., -1]))
        labelled = ops.any(ops.not_equal(ops.cast(y_true, "int32"), self.ignore))
        return ops.where(labelled, weighted, 0.0)

    def get_config(self):
        return {
            **super().get_config(),
            "weighting": self.weighting,
            "ignore": self.ignore,
            "class_weights": self.class_weights,
        }


@register
class PositionLoss(keras.losses.Loss):
    """Euclidean distance in metres, mean over the batch and the frames; its gradient is 0 where the answer is right.

    Call: y_true (B, 7) or (B, T, 7), y_pred (B, 3) or (B, T, 3) metres -> scalar.

    Reference: Kendall, Grimes and Cipolla, PoseNet, ICCV 2015, eq. 2, first term.
    """

    def __init__(self, name: str = "position_loss", **kwargs):
        super().__init__(name=name, **kwargs)

    def call(self, y_true, y_pred):
        return _mean_length(ops.cast(y_pred, "float32") - ops.cast(y_true, "float32")[..., :3])


@register
class RotationLoss(keras.losses.Loss):
    """Length of the difference of unit quaternions, mean over the batch and the frames.

    PoseNet's beta is the weight of this loss.

    Args:
        nearest: compare with q or -q, whichever is closer. The paper compares with q: right only while answers stay
            away from half-turns, where w >= 0 makes q jump to -q.

    Call: y_true (B, 7) or (B, T, 7), y_pred (B, 4) or (B, T, 4), normalised here -> scalar, at most 2.

    Reference: Kendall, Grimes and Cipolla, PoseNet, ICCV 2015, eq. 2, second term, with the prediction normalised as in
    its released code.
    """

    def __init__(self, nearest: bool = False, name: str = "rotation_loss", **kwargs):
        super().__init__(name=name, **kwargs)
        self.nearest = nearest

    def call(self, y_true, y_pred):
        return _rotation_distance(ops.cast(y_true, "float32")[..., 3:], ops.cast(y_pred, "float32"), self.nearest)

    def get_config(self):
        return {**super().get_config(), "nearest": self.nearest}


@register
class AuxPoseLoss(keras.losses.Loss):
    """PoseNet's loss of its auxiliary heads: position + beta * rotation of each, summed over the heads.

    Args:
        beta: factor of the rotation.
        nearest: as in `RotationLoss`.

    Call: y_true (B, 7), y_pred (B, S, 7) of S heads, quaternions normalised here -> scalar.

    Reference: Kendall, Grimes and Cipolla, PoseNet, ICCV 2015, §3.2; the released network weighs these heads with 0.3
    (position) and 150 (rotation) where the last one has 1 and 500: this loss with the weight 0.3.
    """

    def __init__(self, beta: float = 500.0, nearest: bool = False, name: str = "aux_pose_loss", **kwargs):
        super().__init__(name=name, **kwargs)
        self.beta = beta
        self.nearest = nearest

    def call(self, y_true, y_pred):
        y_true = ops.cast(y_true, "float32")[:, None]  # (B, 1, 7)
        y_pred = ops.cast(y_pred, "float32")
        position = _mean_length(y_pred[..., :3] - y_true[..., :3])
        rotation = _rotation_distance(y_true[..., 3:], y_pred[..., 3:], self.nearest)
        return y_pred.shape[1] * (position + self.beta * rotation)

    def get_config(self):
        return {**super().get_config(), "beta": self.beta, "nearest": self.nearest}
