"""Losses of 2-D pose: coordinates, heat maps, discs, parts."""

import keras
from keras import ops

from kzoo.losses.base import NORMS, labelled, masked_mean, register, staged
from kzoo.nn import geometry, hierarchy

LEVELS = {"limbs": hierarchy.LIMB_BONES, "groups": hierarchy.GROUP_BONES}


@register
class CoordinateLoss(keras.losses.Loss):
    """Distance of joints, mean over the labelled joints of the batch.

    Args:
        norm: "l1" for |dx| + |dy|, "l2" for dx^2 + dy^2, "euclidean" for sqrt(dx^2 + dy^2) (Nibali et al. 2018, eq. 7).
        scale: coordinates are multiplied by it first, so that 256 gives pixels of a 256-px picture.

    Call: y_true (B, J, 3) keypoints with v in 0/1/2, y_pred (B, J, 2) or (B, S, J, 2) of S stages, all fractions ->
    scalar, summed over the stages.
    """

    def __init__(self, norm: str = "l1", scale: float = 1.0, name: str = "coordinate_loss", **kwargs):
        super().__init__(name=name, **kwargs)
        if norm not in NORMS:
            raise ValueError(f"norm must be one of {', '.join(NORMS)}, got {norm!r}")
        self.norm = norm
        self.scale = scale

    def call(self, y_true, y_pred):
        y_true, y_pred = ops.cast(y_true, "float32"), staged(y_pred, 4)
        distance = NORMS[self.norm](self.scale * (y_pred - y_true[:, None, :, :2]))  # (B, S, J)
        weights = ops.broadcast_to(labelled(y_true)[:, None], ops.shape(distance))
        return y_pred.shape[1] * masked_mean(distance, weights)

    def get_config(self):
        return {**super().get_config(), "norm": self.norm, "scale": self.scale}


@register
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
        return masked_mean(divergence, labelled(y_true))

    def get_config(self):
        return {**super().get_config(), "sigma": self.sigma}


@register
class HeatmapMSE(keras.losses.Loss):
    """Squared difference to Gaussians of height 1 at the joints.

    Mean over the cells and the labelled joints, summed over the stages.

    Args:
        sigma: standard deviation of the target in cells of the map.
        scale: factor of the loss; 0.5 is Xiao et al. 2018.

    Call: y_true (B, J, 3) keypoints with v in 0/1/2, y_pred (B, h, w, J) or (B, S, h, w, J) of S stacks -> scalar.

    Reference: Tompson et al., NIPS 2014, §2.2; intermediate supervision: Newell et al., ECCV 2016, §3.4.
    """

    def __init__(self, sigma: float = 2.0, scale: float = 1.0, name: str = "heatmap_mse", **kwargs):
        super().__init__(name=name, **kwargs)
        self.sigma = sigma
        self.scale = scale

    def call(self, y_true, y_pred):
        y_true, y_pred = ops.cast(y_true, "float32"), staged(y_pred, 5)
        _, stages, height, width, _ = y_pred.shape
        target = geometry.gaussian_peaks(y_true[..., :2], height, width, self.sigma)[:, None]
        per_joint = ops.sum(ops.mean(ops.square(y_pred - target), axis=(2, 3)), axis=1)
        return self.scale * masked_mean(per_joint, labelled(y_true))

    def get_config(self):
        return {**super().get_config(), "sigma": self.sigma, "scale": self.scale}


@register
class PartMSE(keras.losses.Loss):
    """Squared difference to pictures of parts drawn from bones.

    Mean over the cells and the parts whose joints are all labelled.

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
        self.level = level
        self.sigma = sigma

    def call(self, y_true, y_pred):
        y_true, y_pred = ops.cast(y_true, "float32"), ops.cast(y_pred, "float32")
        height, width = y_pred.shape[2:4]
        bones = LEVELS[self.level]
        target, valid = hierarchy.segment_maps(y_true[..., :2], labelled(y_true), bones, height, width, self.sigma)
        squared = ops.square(y_pred - target[:, None])  # (B, S, h, w, P)
        per_part = ops.sum(ops.mean(squared, axis=(2, 3)), axis=1)
        return masked_mean(per_part, valid)

    def get_config(self):
        return {**super().get_config(), "level": self.level, "sigma": self.sigma}


@register
class DiscCrossEntropy(keras.losses.Loss):
    """Sigmoid cross-entropy of "this cell lies on the joint": 1 within a disc around it.

    Mean over the cells and the labelled joints.

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
        per_joint = ops.mean(ops.softplus(y_pred) - target * y_pred, axis=(1, 2))
        return masked_mean(per_joint, labelled(y_true))

    def get_config(self):
        return {**super().get_config(), "radius": self.radius}
