"""Exact scores of segmentation over all predictions, in NumPy."""

import numpy as np

BACKGROUND = "background"
ONE_CLASS = 0.999  # share of the pixels above which there is but one class
MANY = 5  # names that a note tells


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


def one_class(_, labels, names) -> dict:
    """The answer that needs no training: background everywhere; without such a class the one that is most frequent in
    `labels` (N, H, W), the truth."""
    counts = np.bincount(labels[labels < len(names)], minlength=len(names))
    chosen = names.index(BACKGROUND) if BACKGROUND in names else int(counts.argmax())
    return {f"all {names[chosen]}": {"classes": np.broadcast_to(np.uint8(chosen), labels.shape)}}


def collapsed(labels, predictions, names, flags, outputs) -> str | None:
    """A line with advice where (nearly) every pixel of every picture gets one class, and the truth has others."""
    truth = np.bincount(labels[labels < len(names)], minlength=len(names))
    answered = np.bincount(predictions["classes"][labels < len(names)], minlength=len(names))
    if not answered.sum() or answered.max() < ONE_CLASS * answered.sum() or (truth > 0).sum() < 2:
        return None
    if truth.max() >= ONE_CLASS * truth.sum():
        return None
    advice = []
    if not flags.get("class_weights") or flags["class_weights"] == "none":
        advice.append("--class_weights=median_frequency gives rare classes weight")
    if "dice" not in (flags.get("loss") or ""):
        advice.append("--loss=cross_entropy_dice counts each class alike")
    advice.append("--epochs more, or another rate: --find_lr tries them")
    return f"Collapsed: nearly every pixel of every picture is {names[answered.argmax()]}. {'; '.join(advice)}."


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
    present = [name for name, value in zip(names, iou, strict=True) if np.isfinite(value)]
    accuracy = float(np.trace(matrix) / max(matrix.sum(), 1))
    result = {"miou": float(np.nanmean(iou)) if len(present) > 1 else float("nan"), "pixel_accuracy": accuracy}
    notes = [
        f"{matrix.sum()} pixels of {len(labels)} pictures at {labels.shape[2]}x{labels.shape[1]} px (the input's size, "
        "padding ignored).",
        "mIoU: mean over the classes present in the truth, from one confusion matrix over all pictures.",
    ]
    if len(present) < 2:
        absent = [str(name) for name in names if name not in present]
        notes.append(
            f"No {', '.join(absent[:MANY])}{', …' if len(absent) > MANY else ''} in the truth of this split, only "
            f"{present[0] if present else 'ignored pixels'}: mIoU is not defined there. "
            f"{1 - accuracy:.2%} of the pixels were answered otherwise."
        )
    return {
        "scores": result,
        "tables": {"IoU per class": dict(zip(names, map(float, iou), strict=True))},
        "notes": notes,
        "confusion": matrix.tolist(),
    }
