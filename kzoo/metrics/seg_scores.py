"""Exact scores of segmentation over all predictions, in NumPy."""

import numpy as np


def confusion_matrix(truth, predicted, classes: int) -> np.ndarray:
    """Pixel counts (C, C) int64, truth in rows; truth ids >= C (255 = ignore) are left out."""
    counted = truth < classes
    cells = truth[counted].astype("int64") * classes + predicted[counted]
    return np.bincount(cells, minlength=classes**2).reshape(classes, classes)


def iou_per_class(matrix) -> np.ndarray:
    """Intersection over union (C,), NaN for classes absent from the truth."""
    truth, predicted = matrix.sum(axis=1), matrix.sum(axis=0)
    both = np.diag(matrix)
    return np.where(truth > 0, both / np.maximum(truth + predicted - both, 1), np.nan)


def seg_errors(labels, predictions) -> np.ndarray:
    """One number per example, small is good: 1 - mean IoU of the picture's own classes (N,).

    NaN where every pixel is ignored.
    """
    classes = int(max(predictions["classes"].max(), labels[labels < 255].max(initial=0))) + 1
    errors = []
    for truth, predicted in zip(labels, predictions["classes"], strict=True):
        iou = iou_per_class(confusion_matrix(truth, predicted, classes))
        errors.append(1 - np.nanmean(iou) if np.isfinite(iou).any() else np.nan)
    return np.array(errors)


def seg_report(labels, predictions, extras, names) -> dict:
    """Scores of semantic segmentation, at the size of the network's input.

    Args:
        labels: (N, H, W) uint8 ids, 255 ignored.
        predictions: {"classes": (N, H, W) uint8}.
        names: C class names.
    Returns:
        as `pose_report`, and "confusion": (C, C) list of lists, truth in rows.
    """
    matrix = confusion_matrix(labels, predictions["classes"], len(names))
    iou = iou_per_class(matrix)
    result = {"miou": float(np.nanmean(iou)), "pixel_accuracy": float(np.trace(matrix) / max(matrix.sum(), 1))}
    notes = [
        f"{matrix.sum()} pixels of {len(labels)} pictures at {labels.shape[2]}x{labels.shape[1]} px (the input's size, "
        "padding ignored).",
        "mIoU: mean over the classes present in the truth, from one confusion matrix over all pictures.",
    ]
    return {
        "scores": result,
        "tables": {"IoU per class": dict(zip(names, map(float, iou), strict=True))},
        "notes": notes,
        "confusion": matrix.tolist(),
    }
