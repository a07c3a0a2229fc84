"""Streaming metrics of segmentation."""

import keras
from keras import ops

from kzoo.metrics.base import ratio, register


def _integer() -> str:
    return "int32" if keras.backend.backend() == "jax" else "int64"


def _counted(y_true, ignore):
    """True where the id is none of `ignore`."""
    counted = ops.ones_like(y_true, dtype="bool")
    for ignored in ignore:
        counted = counted & ops.not_equal(y_true, ignored)
    return counted


def _confusion(y_true, y_pred, classes: int, ignore):
    """Pixel counts (C, C) int32, truth in rows, and the number of counted pixels whose truth is no class at all."""
    y_true = ops.cast(ops.reshape(y_true, ops.shape(y_pred)[:-1]), "int32")
    predicted = ops.argmax(y_pred, axis=-1)
    counted = _counted(y_true, ignore)
    strange = counted & ((y_true < 0) | (y_true >= classes))
    truth = ops.one_hot(ops.where(counted & ~strange, y_true, -1), classes, dtype="float32")
    # Per picture in float32 (exact below 2**24 pixels), over the batch in integers.
    predicted = ops.one_hot(predicted, classes, dtype="float32")
    shape = (ops.shape(truth)[0], -1, classes)
    counts = ops.einsum("bnc,bnd->bcd", ops.reshape(truth, shape), ops.reshape(predicted, shape))
    return ops.sum(ops.cast(counts, "int32"), axis=0), ops.sum(ops.cast(strange, "int32"))


@register
class MeanIoU(keras.metrics.Metric):
    """Mean over classes of intersection over union, from logits.

    Classes absent from the truth are left out of the mean. A truth id that is neither a class nor ignored makes the
    result NaN: wrong data is not dropped in silence. Counts are int64, except on the JAX backend (int32: at most 2.1e9
    pixels in one cell).

    Args:
        classes: C.
        ignore: truth ids that count for nothing.

    Call: y_true (B, H, W) or (B, H, W, 1) ids, y_pred (B, H, W, C) logits or probabilities. `per_class()` gives the
    (C,) vector, NaN for absent classes; `matrix` holds the confusion matrix, truth in rows.
    """

    def __init__(self, classes: int, ignore=(255,), name: str = "miou", **kwargs):
        super().__init__(name=name, **kwargs)
        self.classes = classes
        self.ignore = tuple(ignore)
        self.matrix = self.add_variable((classes, classes), "zeros", dtype=_integer(), name="matrix")
        self.strange = self.add_variable((), "zeros", dtype=_integer(), name="strange")

    def update_state(self, y_true, y_pred, sample_weight=None):
        counts, strange = _confusion(y_true, y_pred, self.classes, self.ignore)
        self.matrix.assign_add(ops.cast(counts, self.matrix.dtype))
        self.strange.assign_add(ops.cast(strange, self.strange.dtype))

    def _iou(self):
        matrix = ops.cast(self.matrix, "float32")
        truth, predicted = ops.sum(matrix, axis=1), ops.sum(matrix, axis=0)
        both = ops.diagonal(matrix)
        return truth > 0, both / ops.maximum(truth + predicted - both, 1.0)

    def result(self):
        present, iou = self._iou()
        present = ops.cast(present, "float32")
        mean = ratio(ops.sum(iou * present), ops.sum(present))
        return ops.where(self.strange > 0, float("nan"), mean)

    def per_class(self):
        present, iou = self._iou()
        return ops.where(present, iou, float("nan"))

    def get_config(self):
        return {**super().get_config(), "classes": self.classes, "ignore": list(self.ignore)}


@register
class PixelAccuracy(keras.metrics.Metric):
    """Share of counted pixels whose most likely class is right.

    Call: y_true (B, H, W) or (B, H, W, 1) ids, y_pred (B, H, W, C) logits.
    """

    def __init__(self, ignore=(255,), name: str = "pixel_accuracy", **kwargs):
        super().__init__(name=name, **kwargs)
        self.ignore = tuple(ignore)
        self.correct = self.add_variable((), "zeros", dtype=_integer(), name="correct")
        self.count = self.add_variable((), "zeros", dtype=_integer(), name="count")

    def update_state(self, y_true, y_pred, sample_weight=None):
        y_true = ops.cast(ops.reshape(y_true, ops.shape(y_pred)[:-1]), "int32")
        counted = _counted(y_true, self.ignore)
        correct = counted & ops.equal(ops.cast(ops.argmax(y_pred, axis=-1), "int32"), y_true)
        self.correct.assign_add(ops.sum(ops.cast(correct, self.correct.dtype)))
        self.count.assign_add(ops.sum(ops.cast(counted, self.count.dtype)))

    def result(self):
        return ratio(ops.cast(self.correct, "float32"), ops.cast(self.count, "float32"))

    def get_config(self):
        return {**super().get_config(), "ignore": list(self.ignore)}
