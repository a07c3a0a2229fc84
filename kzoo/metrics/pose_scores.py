"""Exact scores of 2-D pose over all predictions, in NumPy. Each function states its units."""

import contextlib
import io

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from kzoo.metrics import constant, failures
from kzoo.nn import geometry

FRAME = 256  # MPJPE is told in pixels of a 256-px picture, whatever the size of the network's input
PCK_THRESHOLDS = (0.05, 0.1, 0.2)
AUC_RANGE = 0.2  # the area under PCK@t is taken over t in 0..0.2
FLAT = 0.05  # height of a peak, below which maps stay near 0
GALLERY = 6  # examples of each cause of error that a report names
RIGHT = 0.1  # of PCK: joints nearer than this count as right where scores are calibrated
RIGHT_WORDS = f"within {RIGHT} x the longer side of the tight box around the person's labelled joints (PCK@{RIGHT})"
HEAD_SIZE = 0.6  # MPII's head size over the diagonal of its head box (SC_BIAS of its evaluation code)


def joint_errors(keypoints, coords) -> np.ndarray:
    """Distances (N, J) in pixels of the 256-px frame, NaN for unlabelled joints.

    keypoints (N, J, 3), coords (N, J, 2), fractions.
    """
    errors = FRAME * np.linalg.norm(np.asarray(coords, "float64") - keypoints[..., :2], axis=-1)
    return np.where(keypoints[..., 2] > 0, errors, np.nan)


def person_extent(keypoints) -> np.ndarray:
    """Longer side (N,) of the tight box around the labelled joints, in pixels of the 256-px frame, at least 1."""
    position = np.where(keypoints[..., 2:] > 0, keypoints[..., :2], np.nan)
    with np.errstate(invalid="ignore"):
        spans = [_span(joints) for joints in position]
    return np.maximum(FRAME * np.max(spans, axis=-1), 1.0)


def _span(joints) -> np.ndarray:
    """Width and height (2,) of the box around (J, 2), of which some are NaN; 0 where all are."""
    if not np.isfinite(joints).any():
        return np.zeros(2)
    return np.nanmax(joints, axis=0) - np.nanmin(joints, axis=0)


def pose_errors(labels, predictions) -> np.ndarray:
    """One number per example, small is good: mean joint error (N,) in pixels of the 256-px frame.

    NaN where nothing is labelled.
    """
    errors = joint_errors(labels, predictions["coords"])
    counts = np.isfinite(errors).sum(axis=1)
    return np.where(counts > 0, np.nansum(errors, axis=1) / np.maximum(counts, 1), np.nan)


def right_joints(labels, predictions) -> np.ndarray:
    """1 where a joint counts as right, see RIGHT_WORDS, else 0: (N, J), NaN where it is not labelled."""
    errors = joint_errors(labels, predictions["coords"])
    return np.where(np.isfinite(errors), errors <= RIGHT * person_extent(labels)[:, None], np.nan)


def mean_pose(train, labels, names) -> dict:
    """The answer that needs no training: each joint's mean place where it is labelled, for every picture.

    Args:
        train: (M, J, 3) keypoints to average, labels: (N, J, 3), those that are scored.
    """
    labelled = train[..., 2:] > 0
    mean = (train[..., :2] * labelled).sum(axis=0, dtype="float64") / np.maximum(labelled.sum(axis=0), 1)
    shape = labels[..., :2].shape
    coords = np.broadcast_to(mean, shape)
    return {"mean pose": {"coords": coords, "scores": np.ones(shape[:2]), "confidence": np.ones(shape[0])}}


def collapsed(labels, predictions, names, flags, outputs) -> str | None:
    """A line with advice where the network answers nearly the same joints for every picture."""
    truth = np.where(labels[..., 2:] > 0, labels[..., :2], np.nan)
    if not constant.is_still(predictions["coords"], truth):
        return None
    advice = "Train longer (--epochs), or with another rate: --find_lr tries them"
    if "heatmaps" in outputs and "coords" not in outputs and (np.asarray(predictions["scores"]) < FLAT).all():
        advice += (
            ". Maps that stay near 0 have a small error already, as nearly all of a target is 0: wider Gaussians, "
            "--loss_set=sigma=<cells>, or --norm=batch where the network has none help them off"
        )
    return f"Collapsed: its joints are nearly the same for every picture, whatever it shows. {advice}."


def area_under_pck(errors, extent) -> float:
    """Area under PCK@t for t in 0..0.2, over 0.2: exact, because a joint counts from t = error / extent on.

    Args:
        errors: (N, J), NaN for unlabelled joints.
        extent: (N,), in the same unit.
    """
    return float(np.nanmean(np.maximum(0, 1 - errors / (AUC_RANGE * extent[:, None]))))


def pckh(errors, head_box, threshold: float = 0.5) -> float:
    """Share of joints within threshold x the head's size (Andriluka et al., MPII Human Pose, CVPR 2014).

    Args:
        errors: (N, J) in pixels of the 256-px frame, NaN for unlabelled joints.
        head_box: (N, 4), x, y, width, height in fractions of the frame. Persons whose box is empty are left out.
    Returns:
        number in 0..1, NaN where no person has a head box.
    """
    size = HEAD_SIZE * FRAME * np.linalg.norm(np.asarray(head_box, "float64")[:, 2:], axis=-1)
    counted = np.isfinite(errors) & (size > 0)[:, None]
    if not counted.any():
        return float("nan")
    return float((errors <= threshold * size[:, None])[counted].mean())


def oks(truth, found, area, bbox=None) -> np.ndarray:
    """Object keypoint similarity of one answer to each person, as pycocotools computes it.

    That is COCOeval.computeOks; it knows no crowds there.

    Args:
        truth: (N, 17, 3) keypoints, in pixels.
        found: (N, 17, 2), in pixels.
        area: (N,) in pixels squared.
        bbox: (N, 4) x, y, width, height.
    Returns:
        (N,) float64 in 0..1. A person without labelled joint is compared by the distance of all joints to the box grown
        to three times its size: NaN without `bbox`.
    """
    truth, found = np.asarray(truth, "float64"), np.asarray(found, "float64")
    area = np.asarray(area, "float64") + np.spacing(1)
    labelled = truth[..., 2] > 0
    offset = found - truth[..., :2]
    if bbox is not None:
        bbox = np.asarray(bbox, "float64")[:, None]
        low, high = bbox[..., :2] - bbox[..., 2:], bbox[..., :2] + 2 * bbox[..., 2:]
        outside = np.maximum(0, low - found) + np.maximum(0, found - high)
        unlabelled = ~labelled.any(axis=1, keepdims=True)
        offset = np.where(unlabelled[..., None], outside, offset)
        labelled = labelled | unlabelled
    ks = failures.similarity((offset**2).sum(axis=-1), area)
    counts = labelled.sum(axis=1)
    return np.where(counts > 0, (ks * labelled).sum(axis=1) / np.maximum(counts, 1), np.nan)


def coco_keypoint_scores(labels, predictions, extras) -> dict[str, float]:
    """COCO keypoint AP and AR by pycocotools, in pixels of the original pictures.

    Boxes are the truth's: every crop is a known person.

    Args:
        labels: (N, J, 3) keypoints, fractions of the crop.
        predictions: {"coords": (N, J, 2), "confidence": (N,)}.
        extras: arrays image_id, ann_id, area (N,), bbox (N, 4) and crop_to_image (N, 3, 3) of the same examples.
    Returns:
        AP, AP50, AP75, AP_M, AP_L, AR in [0, 1]; -1 as in pycocotools where there is nothing to score. And OKS, its
        mean over the persons.
    """
    # Truth and answers in COCO's own form.
    truth = geometry.transform_points(extras["crop_to_image"], labels[..., :2])
    predicted = geometry.transform_points(extras["crop_to_image"], predictions["coords"])
    annotations, results = [], []
    for i in range(len(labels)):
        visible = labels[i, :, 2:]
        keypoints = np.concatenate([np.where(visible > 0, truth[i], 0), visible], axis=1)
        answer = np.concatenate([predicted[i], np.ones_like(visible)], axis=1)
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
        results.append({**common, "score": float(predictions["confidence"][i]), "keypoints": answer.ravel().tolist()})

    # Its own evaluation.
    images = sorted({annotation["image_id"] for annotation in annotations})
    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools prints its progress
        coco = COCO()
        coco.dataset = {
            "info": {},
            "images": [{"id": image} for image in images],
            "annotations": annotations,
            "categories": [{"id": 1, "name": "person"}],
        }
        coco.createIndex()
        evaluation = COCOeval(coco, coco.loadRes(results), "keypoints")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()

    similarities = oks(np.concatenate([truth, labels[..., 2:]], axis=-1), predicted, extras["area"])
    names = ("AP", "AP50", "AP75", "AP_M", "AP_L", "AR")
    scores = dict(zip(names, map(float, evaluation.stats[:6]), strict=True))
    return {**scores, "OKS": float(np.nanmean(similarities))}


def boxes(extras) -> str:
    """Where the persons' boxes came from, measured on the labels.

    A crop is a multiple of its truth's box, or the whole picture.
    """
    if "crop_to_image" not in extras:
        return "whole picture"
    scale = extras["crop_to_image"][:, 0, 0] / np.maximum(extras["bbox"][:, 2:].max(axis=-1), 1e-6)
    middle = np.median(scale)
    return f"ground truth x {middle:.4g}" if np.ptp(scale) < 0.01 * middle else "the data set's crops"


def mirrored_pairs(names) -> list[tuple[int, int]]:
    """Index pairs of the names "left_…" and "right_…"."""
    mirror = {i: name.replace("left_", "right_") for i, name in enumerate(names) if name.startswith("left_")}
    return [(i, names.index(name)) for i, name in mirror.items() if name in names]


def pose_report(labels, predictions, extras, names) -> dict:
    """Scores of 2-D pose.

    Args:
        labels: (N, J, 3) keypoints.
        predictions: {"coords": (N, J, 2), "confidence": (N,)}, fractions of the crop.
        extras: see `coco_keypoint_scores`, AP is left out where the data set has no original coordinates; head_box
            (N, 4), see `pckh`.
        names: J joint names.
    Returns:
        {"scores": {name: number}, "tables": {title: {row: number}}, "notes": [text], "boxes": text, "failures": {cause:
        [(example, joint), …]} of COCO's 17 joints, the worst of each cause of error}.
    """
    # In pixels of the crop.
    errors = joint_errors(labels, predictions["coords"])
    extent = person_extent(labels)
    labelled = np.isfinite(errors)
    result = {"mpjpe": float(np.nanmean(errors)), "median_error": float(np.nanmedian(errors))}
    for threshold in PCK_THRESHOLDS:
        result[f"pck@{threshold}"] = float((errors <= threshold * extent[:, None])[labelled].mean())
    result["auc"] = area_under_pck(errors, extent)
    notes = [
        f"MPJPE and median in pixels of a {FRAME}-px crop over {int(labelled.sum())} labelled joints (v > 0) of "
        f"{len(labels)} persons.",
        "PCK@t: within t x the longer side of the tight box around the person's labelled joints. "
        f"AUC: area under PCK@t for t in 0..{AUC_RANGE}, over {AUC_RANGE}.",
    ]
    if "head_box" in extras and (extras["head_box"][:, 2:] > 0).any():
        result["pckh@0.5"] = pckh(errors, extras["head_box"])
        persons = int((extras["head_box"][:, 2:] > 0).any(axis=-1).sum())
        notes.append(
            f"PCKh@0.5: within half of 0.6 x the head box's diagonal, over the {persons} persons with a head box."
        )

    # In pixels of the original pictures.
    areas = None
    if "crop_to_image" in extras:
        areas = extras["area"] / np.abs(np.linalg.det(extras["crop_to_image"][:, :2, :2]))
        result.update(coco_keypoint_scores(labels, predictions, extras))
        notes.append(
            "AP and AR: OKS by pycocotools in original pixels, GROUND-TRUTH boxes, over the persons of this split only."
        )

    # Joint by joint, and by the cause of the error.
    counts = labelled.sum(axis=0)
    per_joint = {}
    for j, name in enumerate(names):
        per_joint[name] = float(np.nansum(errors[:, j]) / counts[j]) if counts[j] else float("nan")
    tables = {"MPJPE per joint (px)": per_joint}
    picks = {}
    if len(names) == len(failures.COCO_SIGMAS):
        codes = failures.causes(labels, predictions["coords"], areas, mirrored_pairs(names))
        tables["Share of labelled joints by cause"] = failures.shares(codes)
        picks = failures.gallery_picks(codes, errors, GALLERY)
        area = "by the labels" if areas is not None else f"taken as {failures.EXTENT_TO_AREA} x extent squared"
        notes.append(
            "Causes (Ronchi and Perona 2017): good, ks >= 0.85; of the others occluded, v = 1; jitter, ks >= 0.5; "
            f"left-right (their inversion), ks >= 0.5 to the mirrored joint; miss. Area {area}."
        )
    return {"scores": result, "tables": tables, "notes": notes, "boxes": boxes(extras), "failures": picks}
