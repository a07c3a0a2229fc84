"""Losses: masked, float32, finite when nothing in the batch is labelled.

`Loss` subclasses rather than functions, because labels and outputs differ in rank, and Keras squeezes a trailing axis of 1 for functions.
"""

import keras
from keras import ops

from kzoo import geometry, hierarchy


def _register(cls):
    return keras.saving.register_keras_serializable("kzoo")(cls)


def _masked_mean(values, weights):
    """sum(values * weights) / sum(weights), and 0 where there is no weight."""
    return ops.sum(values * weights) / ops.maximum(ops.sum(weights), 1e-6)


def _labelled(keypoints):
    """(B, J) float32: 1 for a labelled joint, else 0."""
    return ops.cast(keypoints[..., 2] > 0, "float32")


def _staged(y_pred, rank: int):
    """float32 with an axis of stages after the batch, added where there is none."""
    y_pred = ops.cast(y_pred, "float32")
    return y_pred if len(y_pred.shape) == rank else y_pred[:, None]


LEVELS = {"limbs": hierarchy.LIMB_BONES, "groups": hierarchy.GROUP_BONES}
NORMS = {
    "l1": lambda difference: ops.sum(ops.abs(difference), axis=-1),
    "l2": lambda difference: ops.sum(ops.square(difference), axis=-1),
    "euclidean": lambda difference: ops.sqrt(ops.sum(ops.square(difference), axis=-1) + 1e-12),
}


@_register
class CoordinateLoss(keras.losses.Loss):
    """Distance of joints, mean over the labelled joints of the batch.

    Args:
        norm: "l1" for |dx| + |dy|, "l2" for dx^2 + dy^2, "euclidean" for sqrt(dx^2 + dy^2) (Nibali et al. 2018, eq. 7).
        scale: coordinates are multiplied by it first, so that 256 gives pixels of a 256-px picture.

    Call: y_true (B, J, 3) keypoints with v in 0/1/2, y_pred (B, J, 2) or (B, S, J, 2) of S stages, all fractions -> scalar, summed over
    the stages.
    """

    def __init__(self, norm: str = "l1", scale: float = 1.0, name: str = "coordinate_loss", **kwargs):
        super().__init__(name=name, **kwargs)
        if norm not in NORMS:
            raise ValueError(f"norm must be one of {', '.join(NORMS)}, got {norm!r}")
        self.norm, self.scale = norm, scale

    def call(self, y_true, y_pred):
        y_true, y_pred = ops.cast(y_true, "float32"), _staged(y_pred, 4)
        distance = NORMS[self.norm](self.scale * (y_pred - y_true[:, None, :, :2]))
        return y_pred.shape[1] * _masked_mean(distance, ops.broadcast_to(_labelled(y_true)[:, None], ops.shape(distance)))

    def get_config(self):
        return {**super().get_config(), "norm": self.norm, "scale": self.scale}


@_register
class HeatmapDivergence(keras.losses.Loss):
    """Jensen-Shannon divergence between a latent heat map and a Gaussian at the joint: the DSNT regulariser.

    Args:
        sigma: standard deviation of the target in cells of the map.

    Call: y_true (B, J, 3) keypoints, y_pred (B, h, w, J) logits -> scalar in [0, ln 2], mean over the labelled joints.

    Reference: Nibali et al., Numerical Coordinate Regression with Convolutional Neural Networks, 2018, §3.3.
    """

    def __init__(self, sigma: float = 1.0, name: str = "heatmap_divergence", **kwargs):
        super().__init__(name=name, **kwargs)
        self.sigma = sigma

    def call(self, y_true, y_pred):
        y_true = ops.cast(y_true, "float32")
        _, height, width, _ = y_pred.shape
        p = geometry.spatial_softmax(y_pred)
        q = geometry.gaussian_maps(y_true[..., :2], height, width, self.sigma)
        log_m = ops.log(0.5 * (p + q) + 1e-12)
        divergence = 0.5 * ops.sum(p * (ops.log(p + 1e-12) - log_m) + q * (ops.log(q + 1e-12) - log_m), axis=(1, 2))
        return _masked_mean(divergence, _labelled(y_true))

    def get_config(self):
        return {**super().get_config(), "sigma": self.sigma}


@_register
class HeatmapMSE(keras.losses.Loss):
    """Squared difference to Gaussians of height 1 at the joints: mean over the cells and the labelled joints, summed over the stages.

    Args:
        sigma: standard deviation of the target in cells of the map.
        scale: factor of the loss; 0.5 is Xiao et al. 2018.

    Call: y_true (B, J, 3) keypoints with v in 0/1/2, y_pred (B, h, w, J) or (B, S, h, w, J) of S stacks -> scalar.

    Reference: Tompson et al., NIPS 2014, §2.2; intermediate supervision: Newell et al., ECCV 2016, §3.4.
    """

    def __init__(self, sigma: float = 2.0, scale: float = 1.0, name: str = "heatmap_mse", **kwargs):
        super().__init__(name=name, **kwargs)
        self.sigma, self.scale = sigma, scale

    def call(self, y_true, y_pred):
        y_true, y_pred = ops.cast(y_true, "float32"), _staged(y_pred, 5)
        _, stages, height, width, _ = y_pred.shape
        target = geometry.gaussian_peaks(y_true[..., :2], height, width, self.sigma)[:, None]
        per_joint = ops.sum(ops.mean(ops.square(y_pred - target), axis=(2, 3)), axis=1)
        return self.scale * _masked_mean(per_joint, _labelled(y_true))

    def get_config(self):
        return {**super().get_config(), "sigma": self.sigma, "scale": self.scale}


@_register
class PartMSE(keras.losses.Loss):
    """Squared difference to pictures of parts drawn from bones: mean over the cells and the parts whose joints are all labelled.

    Args:
        level: key of `LEVELS`: limbs or groups of COCO's joints.
        sigma: standard deviation across the bone, in cells of the map.

    Call: y_true (B, 17, 3) keypoints with v in 0/1/2, y_pred (B, S, h, w, P) of S predictions -> scalar, summed over S.

    Reference: Tang, Yu and Wu, ECCV 2018, bone-based part representation.
    """

    def __init__(self, level: str = "limbs", sigma: float = 2.0, name: str = "part_mse", **kwargs):
        super().__init__(name=name, **kwargs)
        if level not in LEVELS:
            raise ValueError(f"level must be one of {', '.join(LEVELS)}, got {level!r}")
        self.level, self.sigma = level, sigma

    def call(self, y_true, y_pred):
        y_true, y_pred = ops.cast(y_true, "float32"), ops.cast(y_pred, "float32")
        height, width = y_pred.shape[2:4]
        target, valid = hierarchy.segment_maps(y_true[..., :2], _labelled(y_true), LEVELS[self.level], height, width, self.sigma)
        return _masked_mean(ops.sum(ops.mean(ops.square(y_pred - target[:, None]), axis=(2, 3)), axis=1), valid)

    def get_config(self):
        return {**super().get_config(), "level": self.level, "sigma": self.sigma}


@_register
class DiscCrossEntropy(keras.losses.Loss):
    """Sigmoid cross-entropy of "this cell lies on the joint": 1 within a disc around it, mean over the cells and the labelled joints.

    Args:
        radius: of the disc, fraction of the picture's side; 0.04 is 10 px of 256.

    Call: y_true (B, J, 3) keypoints with v in 0/1/2, y_pred (B, h, w, J) logits -> scalar.

    Reference: Bulat and Tzimiropoulos, ECCV 2016, eq. 1.
    """

    def __init__(self, radius: float = 0.04, name: str = "disc_cross_entropy", **kwargs):
        super().__init__(name=name, **kwargs)
        self.radius = radius

    def call(self, y_true, y_pred):
        y_true, y_pred = ops.cast(y_true, "float32"), ops.cast(y_pred, "float32")
        _, height, width, _ = y_pred.shape
        target = geometry.disc_maps(y_true[..., :2], height, width, self.radius)
        return _masked_mean(ops.mean(ops.softplus(y_pred) - target * y_pred, axis=(1, 2)), _labelled(y_true))

    def get_config(self):
        return {**super().get_config(), "radius": self.radius}


@_register
class PixelCrossEntropy(keras.losses.Loss):
    """Softmax cross-entropy per pixel, optionally of the hardest pixels only, and soft Dice.

    Args:
        ignore: id of pixels that weigh nothing.
        class_weights: (C,) weight of each class, or None for 1.
        label_smoothing: share of the label that is spread evenly over the classes.
        cross_entropy: weight of the cross-entropy; 0 leaves the Dice loss alone.
        dice: weight of the soft Dice loss, 1 - mean over the classes present in the batch of 2|PT| / (|P| + |T|) (Milletari et al. 2016).
        bootstrap: keep only so many counted pixels of each picture, those with the highest cross-entropy before class weights (Wu et al.
            2016; Pohlen et al. 2017, §4: 512 * 64). An int is their number, a float in (0, 1] a share of the picture's pixels.

    Call: y_true (B, H, W) or (B, H, W, 1) ids, y_pred (B, H, W, C) logits -> (B, H, W), scaled so that the mean of all elements, which
    Keras takes, is the weighted mean over the counted pixels. A `sample_weight` (B, H, W), such as `kzoo.seg.borders.border_weights`,
    multiplies the pixels without changing what their sum is divided by (Ronneberger et al. 2015, eq. 1), and Dice by its own mean.
    """

    def __init__(
        self,
        ignore: int = 255,
        class_weights=None,
        label_smoothing: float = 0.0,
        cross_entropy: float = 1.0,
        dice: float = 0.0,
        bootstrap: float | int | None = None,
        name: str = "pixel_cross_entropy",
        **kwargs,
    ):
        super().__init__(name=name, **kwargs)
        if not (cross_entropy or dice):
            raise ValueError("cross_entropy and dice are both 0: nothing is left of the loss")
        number, share = type(bootstrap) is int and bootstrap >= 1, type(bootstrap) is float and 0 < bootstrap <= 1
        if not (bootstrap is None or number or share):
            raise ValueError(f"bootstrap must be a number of pixels or a share in (0, 1], got {bootstrap!r}")
        self.ignore, self.class_weights, self.label_smoothing = ignore, class_weights, label_smoothing
        self.cross_entropy, self.dice, self.bootstrap = cross_entropy, dice, bootstrap

    def call(self, y_true, y_pred):
        y_pred = ops.cast(y_pred, "float32")
        classes = y_pred.shape[-1]
        if self.class_weights is not None and len(self.class_weights) != classes:
            raise ValueError(f"class_weights has {len(self.class_weights)} numbers, the network {classes} classes")
        y_true = ops.cast(ops.reshape(y_true, ops.shape(y_pred)[:-1]), "int32")
        counted = ops.not_equal(y_true, self.ignore)
        one_hot = ops.one_hot(ops.where(counted, y_true, 0), classes, dtype="float32")
        log_p = ops.log_softmax(y_pred, axis=-1)
        target = one_hot * (1 - self.label_smoothing) + self.label_smoothing / classes
        counted = ops.cast(counted, "float32")
        pixels = -ops.sum(target * log_p, axis=-1)
        weights = counted if self.bootstrap is None else _hardest(pixels, counted, self.bootstrap)
        if self.class_weights is not None:
            weights = weights * ops.sum(one_hot * ops.convert_to_tensor(self.class_weights, "float32"), axis=-1)
        # every pixel's share of the mean, times the number of pixels that Keras divides by
        loss = self.cross_entropy * pixels * weights / ops.maximum(ops.mean(weights), 1e-12)
        if self.dice:
            loss = loss + self.dice * self._dice(one_hot * counted[..., None], ops.exp(log_p) * counted[..., None])
        return loss

    @staticmethod
    def _dice(truth, probability):
        overlap, total = ops.sum(truth * probability, axis=(0, 1, 2)), ops.sum(truth + probability, axis=(0, 1, 2))
        present = ops.cast(ops.sum(truth, axis=(0, 1, 2)) > 0, "float32")
        return _masked_mean(1 - 2 * overlap / ops.maximum(total, 1e-6), present)

    def get_config(self):
        return {
            **super().get_config(),
            "ignore": self.ignore,
            "class_weights": self.class_weights,
            "label_smoothing": self.label_smoothing,
            "cross_entropy": self.cross_entropy,
            "dice": self.dice,
            "bootstrap": self.bootstrap,
        }


def _hardest(pixels, counted, kept):
    """(B, H, W) weights of the `kept` counted pixels of each picture with the highest value: 1, and where several pixels tie for the last
    places, an equal share of those; 0 elsewhere. Fewer counted pixels than that are all kept."""
    height, width = pixels.shape[1:]
    kept = min(kept, height * width) if isinstance(kept, int) else max(1, round(kept * height * width))
    flat = ops.stop_gradient(ops.reshape(ops.where(counted > 0, pixels, -1.0), (-1, height * width)))
    last = ops.min(ops.top_k(flat, kept, sorted=False)[0], axis=-1, keepdims=True)  # -1 where fewer are counted
    above, tied = ops.cast(flat > last, "float32"), ops.cast(ops.equal(flat, last), "float32")
    places = kept - ops.sum(above, axis=-1, keepdims=True)
    weights = above + tied * places / ops.maximum(ops.sum(tied, axis=-1, keepdims=True), 1.0)
    return counted * ops.reshape(weights, (-1, height, width))


JOINT_NORMS = {"mse": lambda difference: ops.mean(ops.square(difference), axis=-1), "euclidean": NORMS["euclidean"], "l1": NORMS["l1"]}


@_register
class JointLoss(keras.losses.Loss):
    """Distance of 3-D joints, mean over all joints of all frames of all clips.

    Args:
        norm: "mse" for the squared difference, mean over x, y and z too; "euclidean" for the distance: the loss is then MPJPE (Pavllo et
            al. 2019, §5), with a gradient of 0 where the answer is right; "l1" for |dx| + |dy| + |dz|.
        scale: coordinates are multiplied by it first, so that 1000 gives mm for metres.

    Call: y_true, y_pred (B, T, J, 3) metres, all labelled -> scalar. Nothing is aligned: what is relative to the root already stays so.

    Raises:
        ValueError: norm is unknown.
    """

    def __init__(self, norm: str = "euclidean", scale: float = 1.0, name: str = "joint_loss", **kwargs):
        super().__init__(name=name, **kwargs)
        if norm not in JOINT_NORMS:
            raise ValueError(f"norm must be one of {', '.join(JOINT_NORMS)}, got {norm!r}")
        self.norm, self.scale = norm, scale

    def call(self, y_true, y_pred):
        y_true, y_pred = ops.cast(y_true, "float32"), ops.cast(y_pred, "float32")
        return ops.mean(JOINT_NORMS[self.norm](self.scale * (y_pred - y_true)))

    def get_config(self):
        return {**super().get_config(), "norm": self.norm, "scale": self.scale}
