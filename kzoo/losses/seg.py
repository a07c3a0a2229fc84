"""Losses of segmentation: cross-entropy of pixels and its relatives."""

import keras
from keras import ops

from kzoo.losses.base import masked_mean, register


@register
class PixelCrossEntropy(keras.losses.Loss):
    """Softmax cross-entropy per pixel, optionally of the hardest pixels only, and soft Dice.

    Args:
        ignore: id of pixels that weigh nothing.
        class_weights: (C,) weight of each class, or None for 1.
        label_smoothing: share of the label that is spread evenly over the classes.
        cross_entropy: weight of the cross-entropy; 0 leaves the Dice loss alone.
        dice: weight of the soft Dice loss, 1 - mean over the classes present in the batch of 2|PT| / (|P| + |T|)
            (Milletari et al. 2016).
        bootstrap: keep only so many counted pixels of each picture, those with the highest cross-entropy before class
            weights (Wu et al. 2016; Pohlen et al. 2017, §4: 512 * 64). An int is their number, a float in (0, 1] a
            share of the picture's pixels.

    Call: y_true (B, H, W) or (B, H, W, 1) ids, y_pred (B, H, W, C) logits -> (B, H, W), scaled so that the mean of all
    elements, which Keras takes, is the weighted mean over the counted pixels. A `sample_weight` (B, H, W), such as
    `kzoo.data.borders.border_weights`, multiplies the pixels without changing what their sum is divided by (Ronneberger
    et al. 2015, eq. 1), and Dice by its own mean.
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
        number = type(bootstrap) is int and bootstrap >= 1
        share = type(bootstrap) is float and 0 < bootstrap <= 1
        if not (bootstrap is None or number or share):
            raise ValueError(f"bootstrap must be a number of pixels or a share in (0, 1], got {bootstrap!r}")
        self.ignore = ignore
        self.class_weights = class_weights
        self.label_smoothing = label_smoothing
        self.cross_entropy = cross_entropy
        self.dice = dice
        self.bootstrap = bootstrap

    def call(self, y_true, y_pred):
        y_pred = ops.cast(y_pred, "float32")
        classes = y_pred.shape[-1]
        if self.class_weights is not None and len(self.class_weights) != classes:
            raise ValueError(f"class_weights has {len(self.class_weights)} numbers, the network {classes} classes")

        # What is asked, of which pixels.
        y_true = ops.cast(ops.reshape(y_true, ops.shape(y_pred)[:-1]), "int32")
        counted = ops.not_equal(y_true, self.ignore)
        one_hot = ops.one_hot(ops.where(counted, y_true, 0), classes, dtype="float32")
        counted = ops.cast(counted, "float32")

        # Cross-entropy of each pixel.
        log_p = ops.log_softmax(y_pred, axis=-1)
        target = one_hot * (1 - self.label_smoothing) + self.label_smoothing / classes
        pixels = -ops.sum(target * log_p, axis=-1)

        # What each pixel weighs.
        weights = counted if self.bootstrap is None else _hardest(pixels, counted, self.bootstrap)
        if self.class_weights is not None:
            class_weights = ops.convert_to_tensor(self.class_weights, "float32")
            weights = weights * ops.sum(one_hot * class_weights, axis=-1)

        # Every pixel's share of the mean, times the number of pixels that Keras divides by.
        loss = self.cross_entropy * pixels * weights / ops.maximum(ops.mean(weights), 1e-12)
        if self.dice:
            truth = one_hot * counted[..., None]
            probability = ops.exp(log_p) * counted[..., None]
            loss = loss + self.dice * self._dice(truth, probability)
        return loss

    @staticmethod
    def _dice(truth, probability):
        overlap = ops.sum(truth * probability, axis=(0, 1, 2))
        total = ops.sum(truth + probability, axis=(0, 1, 2))
        present = ops.cast(ops.sum(truth, axis=(0, 1, 2)) > 0, "float32")
        return masked_mean(1 - 2 * overlap / ops.maximum(total, 1e-6), present)

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
    """(B, H, W) weights of the `kept` counted pixels of each picture with the highest value: 1, elsewhere 0.

    Where several pixels tie for the last places, they get an equal share of those. Fewer counted pixels than `kept` are
    all kept.
    """
    height, width = pixels.shape[1:]
    kept = min(kept, height * width) if isinstance(kept, int) else max(1, round(kept * height * width))
    flat = ops.stop_gradient(ops.reshape(ops.where(counted > 0, pixels, -1.0), (-1, height * width)))
    last = ops.min(ops.top_k(flat, kept, sorted=False)[0], axis=-1, keepdims=True)  # -1 where fewer are counted
    above = ops.cast(flat > last, "float32")
    tied = ops.cast(ops.equal(flat, last), "float32")
    places = kept - ops.sum(above, axis=-1, keepdims=True)
    weights = above + tied * places / ops.maximum(ops.sum(tied, axis=-1, keepdims=True), 1.0)
    return counted * ops.reshape(weights, (-1, height, width))
