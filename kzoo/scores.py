"""Exact scores over all predictions, in NumPy: what `eval.py` reports. Each function states its units."""

import contextlib
import io

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from kzoo import geometry

FRAME = 256  # MPJPE is told in pixels of a 256-px picture, whatever the size of the network's input
PCK_THRESHOLDS = (0.05, 0.1, 0.2)


def joint_errors(keypoints, coords) -> np.ndarray:
    """Distances (N, J) in pixels of the 256-px frame, NaN for unlabelled joints. keypoints (N, J, 3), coords (N, J, 2), fractions."""
    errors = FRAME * np.linalg.norm(np.asarray(coords, "float64") - keypoints[..., :2], axis=-1)
    return np.where(keypoints[..., 2] > 0, errors, np.nan)


def person_extent(keypoints) -> np.ndarray:
    """Longer side (N,) of the tight box around the labelled joints, in pixels of the 256-px frame, at least 1."""
    position = np.where(keypoints[..., 2:] > 0, keypoints[..., :2], np.nan)
    with np.errstate(invalid="ignore"):
        spans = [np.nanmax(p, axis=0) - np.nanmin(p, axis=0) if np.isfinite(p).any() else np.zeros(2) for p in position]
    return np.maximum(FRAME * np.max(spans, axis=-1), 1.0)


def pose_errors(labels, predictions) -> np.ndarray:
    """One number per example, small is good: mean joint error (N,) in pixels of the 256-px frame, NaN where nothing is labelled."""
    errors = joint_errors(labels, predictions["coords"])
    counts = np.isfinite(errors).sum(axis=1)
    return np.where(counts > 0, np.nansum(errors, axis=1) / np.maximum(counts, 1), np.nan)


def coco_keypoint_scores(labels, predictions, extras) -> dict[str, float]:
    """COCO keypoint AP and AR by pycocotools, in pixels of the original pictures. Boxes are the truth's: every crop is a known person.

    Args:
        labels: (N, J, 3) keypoints, fractions of the crop.
        predictions: {"coords": (N, J, 2), "confidence": (N,)}.
        extras: arrays image_id, ann_id, area (N,), bbox (N, 4) and crop_to_image (N, 3, 3) of the same examples.
    Returns:
        AP, AP50, AP75, AP_M, AP_L, AR in [0, 1]; -1 as in pycocotools where there is nothing to score.
    """
    truth = geometry.transform_points(extras["crop_to_image"], labels[..., :2])
    found = geometry.transform_points(extras["crop_to_image"], predictions["coords"])
    annotations, results = [], []
    for i in range(len(labels)):
        visible = labels[i, :, 2:]
        keypoints = np.concatenate([np.where(visible > 0, truth[i], 0), visible], axis=1)
        common = {"image_id": int(extras["image_id"][i]), "category_id": 1}
        annotations.append(
            {
                **common,
                "id": i + 1,
                "iscrowd": 0,
                "area": float(extras["area"][i]),
                "bbox": extras["bbox"][i].tolist(),
                "keypoints": keypoints.ravel().tolist(),
                "num_keypoints": int((visible > 0).sum()),
            }
        )
        results.append(
            {
                **common,
                "score": float(predictions["confidence"][i]),
                "keypoints": np.concatenate([found[i], np.ones_like(visible)], axis=1).ravel().tolist(),
            }
        )
    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools prints its progress
        coco = COCO()
        coco.dataset = {
            "info": {},
            "images": [{"id": i} for i in sorted({a["image_id"] for a in annotations})],
            "annotations": annotations,
            "categories": [{"id": 1, "name": "person"}],
        }
        coco.createIndex()
        evaluation = COCOeval(coco, coco.loadRes(results), "keypoints")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return dict(zip(("AP", "AP50", "AP75", "AP_M", "AP_L", "AR"), map(float, evaluation.stats[:6]), strict=True))


def pose_report(labels, predictions, extras, names) -> dict:
    """Scores of 2-D pose.

    Args:
        labels: (N, J, 3) keypoints; predictions: {"coords": (N, J, 2), "confidence": (N,)}, fractions of the crop.
        extras: see `coco_keypoint_scores`; AP is left out where the data set has no original coordinates.
        names: J joint names.
    Returns:
        {"scores": {name: number}, "tables": {title: {row: number}}, "notes": [text]}.
    """
    errors, extent = joint_errors(labels, predictions["coords"]), person_extent(labels)
    labelled = np.isfinite(errors)
    result = {"mpjpe": float(np.nanmean(errors)), "median_error": float(np.nanmedian(errors))}
    for threshold in PCK_THRESHOLDS:
        result[f"pck@{threshold}"] = float((errors <= threshold * extent[:, None])[labelled].mean())
    notes = [
        f"MPJPE and median in pixels of a {FRAME}-px crop over {int(labelled.sum())} labelled joints (v > 0) of {len(labels)} persons.",
        "PCK@t: within t x the longer side of the tight box around the person's labelled joints.",
    ]
    if "crop_to_image" in extras:
        result.update(coco_keypoint_scores(labels, predictions, extras))
        notes.append("AP and AR: OKS by pycocotools in original pixels, GROUND-TRUTH boxes, over the persons of this split only.")
    counts = labelled.sum(axis=0)
    per_joint = {name: float(np.nansum(errors[:, j]) / counts[j]) if counts[j] else float("nan") for j, name in enumerate(names)}
    return {"scores": result, "tables": {"MPJPE per joint (px)": per_joint}, "notes": notes}


def confusion_matrix(truth, predicted, classes: int) -> np.ndarray:
    """Pixel counts (C, C) int64, truth in rows; truth ids >= C (255 = ignore) are left out."""
    counted = truth < classes
    return np.bincount(truth[counted].astype("int64") * classes + predicted[counted], minlength=classes**2).reshape(classes, classes)


def iou_per_class(matrix) -> np.ndarray:
    """Intersection over union (C,), NaN for classes absent from the truth."""
    both, truth, predicted = np.diag(matrix), matrix.sum(axis=1), matrix.sum(axis=0)
    return np.where(truth > 0, both / np.maximum(truth + predicted - both, 1), np.nan)


def seg_errors(labels, predictions) -> np.ndarray:
    """One number per example, small is good: 1 - mean IoU of the picture's own classes (N,), NaN where every pixel is ignored."""
    classes = int(max(predictions["classes"].max(), labels[labels < 255].max(initial=0))) + 1
    ious = [iou_per_class(confusion_matrix(t, p, classes)) for t, p in zip(labels, predictions["classes"], strict=True)]
    return np.array([1 - np.nanmean(iou) if np.isfinite(iou).any() else np.nan for iou in ious])


def seg_report(labels, predictions, extras, names) -> dict:
    """Scores of semantic segmentation, at the size of the network's input.

    Args:
        labels: (N, H, W) uint8 ids, 255 ignored; predictions: {"classes": (N, H, W) uint8}; names: C class names.
    Returns:
        as `pose_report`, and "confusion": (C, C) list of lists, truth in rows.
    """
    matrix = confusion_matrix(labels, predictions["classes"], len(names))
    iou = iou_per_class(matrix)
    result = {"miou": float(np.nanmean(iou)), "pixel_accuracy": float(np.trace(matrix) / max(matrix.sum(), 1))}
    notes = [
        f"{matrix.sum()} pixels of {len(labels)} pictures at {labels.shape[2]}x{labels.shape[1]} px (the input's size, padding ignored).",
        "mIoU: mean over the classes present in the truth, from one confusion matrix over all pictures.",
    ]
    return {
        "scores": result,
        "tables": {"IoU per class": dict(zip(names, map(float, iou), strict=True))},
        "notes": notes,
        "confusion": matrix.tolist(),
    }
