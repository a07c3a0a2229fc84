"""Exact scores of camera localisation in float64 NumPy, and the baselines that a network must beat.

They are what `eval.py` reports.

A pose is 7 numbers: the camera's centre in metres and its unit quaternion w, x, y, z, camera to world. Of a window
(N, T, 7) the middle frame is scored.
"""

import numpy as np

from kzoo import UserError
from kzoo.metrics import constant, seg_scores

# Metres, degrees.
THRESHOLDS = {"within_5cm_5deg": (0.05, 5.0), "within_25cm_2deg": (0.25, 2.0), "within_50cm_5deg": (0.5, 5.0)}
EMPTY = 1e-6  # length of a 4-vector that has no direction
BLOCK = 512  # queries that `retrieve` compares at a time


def middle_frame(frames, rank: int = 2) -> np.ndarray:
    """(N, T, …) -> (N, …); what has `rank` axes already stays as it is."""
    frames = np.asarray(frames)
    return frames if frames.ndim == rank else frames[:, frames.shape[1] // 2]


def unit_quaternion(quaternions) -> np.ndarray:
    """(…, 4) -> (…, 4) float64 of length 1 with w >= 0; what has no direction becomes the identity."""
    quaternions = np.asarray(quaternions, "float64")
    length = np.linalg.norm(quaternions, axis=-1, keepdims=True)
    unit = np.where(length < EMPTY, [1.0, 0, 0, 0], quaternions / np.maximum(length, EMPTY))
    return np.where(unit[..., :1] < 0, -unit, unit)


def decode_loc(outputs: dict) -> dict:
    """Poses, and classes of networks that segment too.

    Args:
        outputs: "position" (B, 3) or (B, T, 3) metres, "rotation" (B, 4) or (B, T, 4) quaternions of any length and
            either sign, optionally "logits" (B, H, W, C).
    Returns:
        {"position": (B, 3), "rotation": (B, 4) unit, w >= 0}, float32, and where there are logits "classes": (B, H, W)
        uint8.
    """
    answers = {
        "position": middle_frame(outputs["position"]).astype("float32"),
        "rotation": unit_quaternion(middle_frame(outputs["rotation"])).astype("float32"),
    }
    if "logits" in outputs:
        answers["classes"] = np.asarray(outputs["logits"]).argmax(axis=-1).astype("uint8")
    return answers


def loc_errors(labels, predictions) -> np.ndarray:
    """One number per picture, small is good: distance of the camera's centre (N,) in metres.

    NaN where an answer is not finite.
    """
    position = np.asarray(predictions["position"], "float64")
    return np.linalg.norm(position - middle_frame(labels)[:, :3], axis=-1)


def rotation_errors_deg(labels, predictions) -> np.ndarray:
    """2 acos |<q, q'>| of normalised quaternions, (N,) degrees in 0..180.

    labels (N, 7), predictions {"rotation": (N, 4)}.
    """
    truth = unit_quaternion(middle_frame(labels)[:, 3:])
    cosine = (truth * unit_quaternion(predictions["rotation"])).sum(axis=-1)
    return np.degrees(2 * np.arccos(np.minimum(np.abs(cosine), 1.0)))


def loc_scores(labels, predictions) -> dict[str, float]:
    """Medians and means of both errors, and shares of pictures within the usual bounds.

    Args:
        labels: (N, 7) or (N, T, 7) poses.
        predictions: {"position": (N, 3) metres, "rotation": (N, 4)}.
    Returns:
        {name: number}: names end in their unit, _m or _deg; within_… are fractions.
    """
    metres, degrees = loc_errors(labels, predictions), rotation_errors_deg(labels, predictions)
    scores = {
        "position_median_m": float(np.median(metres)),
        "position_mean_m": float(metres.mean()),
        "rotation_median_deg": float(np.median(degrees)),
        "rotation_mean_deg": float(degrees.mean()),
    }
    for name, (far, turned) in THRESHOLDS.items():
        scores[name] = float(((metres <= far) & (degrees <= turned)).mean())
    return scores


def _per_sequence(values, sequences) -> dict[str, float]:
    """Median of (N,) values for each of the distinct numbers in `sequences` (N,)."""
    return {str(sequence): float(np.median(values[sequences == sequence])) for sequence in np.unique(sequences)}


def _segmentation(mask, predicted, names) -> dict:
    """As `seg_scores.seg_report`, over the pictures that have a mask; {} where none has one."""
    mask, predicted = np.asarray(mask), np.asarray(predicted)
    mask = mask[..., 0] if mask.ndim == 4 else mask
    labelled = (mask < 255).any(axis=(1, 2))
    if not labelled.any():
        return {}
    mask, predicted = mask[labelled], predicted[labelled]
    largest = int(max(mask[mask < 255].max(), predicted.max()))
    names = names or [str(i) for i in range(1 + largest)]
    return seg_scores.seg_report(mask, {"classes": predicted}, {}, names)


def loc_report(labels, predictions, extras, names) -> dict:
    """Scores of camera localisation.

    Args:
        labels: (N, 7) or (N, T, 7) poses.
        predictions: {"position": (N, 3) metres, "rotation": (N, 4)}, and "classes": (N, H, W) uint8 of networks that
            segment too.
        extras: of the same pictures, each may be missing: sequence (N,), mask (N, H, W) or (N, H, W, 1) ids at the size
            of "classes", 255 = not labelled, and "class_names": C strings, by default their numbers.
        names: of the 7 numbers of a pose.
    Returns:
        {"scores": {name: number}, "tables": {title: {row: number}}, "notes": [text]}, and "confusion" as
        `seg_scores.seg_report` where pixels are scored.

    Reference: medians: Kendall et al., PoseNet, ICCV 2015; the bounds: Shotton et al., Scene Coordinate Regression
    Forests, CVPR 2013 (5 cm, 5 degrees), and Sattler et al., Benchmarking 6DOF Outdoor Visual Localization, CVPR 2018
    (the other two).
    """
    # The poses.
    metres, degrees = loc_errors(labels, predictions), rotation_errors_deg(labels, predictions)
    tables = {}
    if "sequence" in extras:
        sequences = np.asarray(extras["sequence"])
        tables["Median position error per sequence (m)"] = _per_sequence(metres, sequences)
        tables["Median rotation error per sequence (deg)"] = _per_sequence(degrees, sequences)

    frames = ""
    if np.ndim(labels) == 3:
        frames = f" Labels are windows of {np.shape(labels)[1]} frames, of which the middle one is scored."
    notes = [
        f"{len(metres)} pictures. Position: distance of the camera's centre in metres. Rotation: angle of the turn "
        f"between the answer and the truth, 2 acos |<q, q'>|, in degrees.{frames}",
        "within_25cm_2deg and the like: share of pictures with both errors at most that.",
        "Absolute pose regression does not consistently do better than looking up the most similar training picture "
        "(Sattler et al., Understanding the Limitations of CNN-based Absolute Camera Pose Regression, CVPR 2019): "
        "compare with retrieval before any claim.",
    ]

    # The classes of networks that segment too.
    result = {"scores": loc_scores(labels, predictions), "tables": tables, "notes": notes}
    if "mask" in extras and "classes" in predictions:
        pixels = _segmentation(extras["mask"], predictions["classes"], extras.get("class_names", ()))
        if pixels:
            result["scores"].update(pixels["scores"])
            tables.update(pixels["tables"])
            notes.extend(pixels["notes"])
            result["confusion"] = pixels["confusion"]
            result["class_names"] = list(pixels["tables"]["IoU per class"])
        else:
            notes.append("No picture of this split has a mask: the classes are not scored.")
    return result


def _mean_poses(poses) -> np.ndarray:
    """Means over the last but one axis: (…, K, 7) -> (…, 7) float64.

    Reference: Markley et al., Averaging Quaternions, J. Guidance, Control and Dynamics 2007, eq. 12-13: the mean
    quaternion is the eigenvector of sum q q^T with the largest eigenvalue, so that q and -q count the same.
    """
    poses = np.asarray(poses, "float64")
    rotations = unit_quaternion(poses[..., 3:])
    outer = (rotations[..., :, None] * rotations[..., None, :]).sum(axis=-3)  # (…, 4, 4)
    mean = np.linalg.eigh(outer)[1][..., -1]  # eigenvalues ascend
    return np.concatenate([poses[..., :3].mean(axis=-2), unit_quaternion(mean)], axis=-1)


def mean_pose(labels) -> np.ndarray:
    """The pose that answers every picture alike: mean position and quaternion of (N, 7), (N, T, 7) -> (7,) float64."""
    return _mean_poses(middle_frame(labels))


def retrieve(train_features, train_poses, features, k: int = 1) -> np.ndarray:
    """Pose of the most similar training picture, or the mean pose of the k most similar ones.

    Args:
        train_features: (M, D), one vector per training picture, such as the pooled features of a network trained on
            ImageNet.
        train_poses: (M, 7) or (M, T, 7).
        features: (N, D) of the pictures to locate.
        k: neighbours by cosine similarity, ties by their order.
    Returns:
        (N, 7) float64.
    Raises:
        UserError: k is not in 1..M, or the shapes do not agree.
    """
    train_poses = middle_frame(train_poses)
    train, query = np.asarray(train_features, "float32"), np.asarray(features, "float32")
    if train.ndim != 2 or query.ndim != 2 or train.shape[1] != query.shape[1] or len(train) != len(train_poses):
        shapes = f"{train.shape}, {query.shape} and {train_poses.shape}"
        raise UserError(f"retrieval needs features (M, D) and (N, D) and poses (M, 7), got {shapes}")
    if not 1 <= k <= len(train):
        raise UserError(f"k must be 1 to the {len(train)} training pictures, got {k}")
    train, query = _of_length_one(train), _of_length_one(query)
    nearest = []
    for start in range(0, len(query), BLOCK):
        similarity = query[start : start + BLOCK] @ train.T
        nearest.append(np.argsort(-similarity, axis=1, kind="stable")[:, :k])
    return _mean_poses(train_poses[np.concatenate(nearest)])


def _of_length_one(vectors) -> np.ndarray:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)


def baselines(train_poses, labels, train_features=None, features=None, k: int = 1) -> dict[str, dict]:
    """What needs no training.

    Args:
        train_poses: (M, 7) or (M, T, 7).
        labels: (N, 7) or (N, T, 7), of the split that is scored.
        train_features, features, k: see `retrieve`.
    Returns:
        predictions by name: {"mean pose": {"position": (N, 3), "rotation": (N, 4)}, "retrieval": the same}; retrieval
        only where there are features.
    """
    answers = {"mean pose": np.tile(mean_pose(train_poses), (len(labels), 1))}
    if features is not None:
        answers["retrieval"] = retrieve(train_features, train_poses, features, k)
    return {name: {"position": poses[:, :3], "rotation": poses[:, 3:]} for name, poses in answers.items()}


def collapsed(labels, predictions, names, flags, outputs) -> str | None:
    """A line with advice where the network answers nearly the same place for every picture."""
    if not constant.is_still(predictions["position"], middle_frame(labels)[:, :3]):
        return None
    return (
        "Collapsed: it answers nearly the same place for every picture. Train longer (--epochs), or with another rate: "
        "--find_lr tries them."
    )
