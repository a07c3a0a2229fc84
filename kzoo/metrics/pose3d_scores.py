"""Exact scores of 3-D pose from clips, in float64 NumPy: what `eval.py` reports. Joints are metres, errors mm."""

import numpy as np

from kzoo.metrics import constant

MM = 1000.0  # per metre
FPS = 25  # of the clips; velocities are told per frame
PCK_THRESHOLD_MM = 150  # Mehta et al., 3DV 2017: about half the size of a head
AUC_THRESHOLDS_MM = np.arange(0, 151, 5)  # 0, 5, …, 150: the grid of MPI-INF-3DHP's evaluation code
POINT = 1e-6  # metres, as in `kzoo.metrics.alignment`


def decode_pose3d(outputs: dict) -> dict:
    """{"joints": (B, T, J, 3) float32 metres} of a batch of outputs."""
    return {"joints": np.asarray(outputs["joints"], "float32")}


def unflip_joints(joints, permutation):
    """Answer (B, T, J, 3) for the mirrored clip -> for the clip: x changes its sign, left and right are swapped."""
    return np.asarray(joints)[..., permutation, :] * np.array([-1, 1, 1], "float32")


def _root_aligned(joints) -> np.ndarray:
    joints = np.asarray(joints, "float64")
    return joints - joints[..., :1, :]


def _size(joints) -> np.ndarray:
    return np.maximum(np.linalg.norm(joints, axis=(-2, -1), keepdims=True), POINT)


def _scale_aligned(predicted, target) -> np.ndarray:
    unit = predicted / _size(predicted)
    return (unit * target).sum(axis=(-2, -1), keepdims=True) * unit


def _procrustes_aligned(predicted, target) -> np.ndarray:
    """As `kzoo.metrics.alignment.procrustes_aligned` (Umeyama 1991, eq. 34-43)."""
    centre = target.mean(axis=-2, keepdims=True)
    predicted = predicted - predicted.mean(axis=-2, keepdims=True)
    target = target - centre
    size = _size(target)
    predicted, target = predicted / _size(predicted), target / size
    covariance = predicted.swapaxes(-1, -2) @ target  # (…, 3, 3)
    covariance = np.where(np.isfinite(covariance), covariance, 0)  # NaN would raise; it comes back in the last line
    u, singular, vh = np.linalg.svd(covariance)
    signs = np.ones_like(singular)
    signs[..., 2] = np.where(np.linalg.det(u) * np.linalg.det(vh) < 0, -1, 1)
    scale = size * (singular * signs).sum(axis=-1)[..., None, None]
    return scale * (predicted @ (u * signs[..., None, :] @ vh)) + centre


ALIGNMENTS = {"none": lambda predicted, target: predicted, "scale": _scale_aligned, "procrustes": _procrustes_aligned}


def joint_errors_mm(labels, joints, align: str = "none") -> np.ndarray:
    """Distance of each joint in mm, after both skeletons are put with joint 0 in the origin.

    Args:
        labels, joints: (N, T, J, 3) metres.
        align: of each frame, after the root: "none", "scale" or "procrustes", see `kzoo.metrics.alignment`.
    Returns:
        (N, T, J) float64, NaN where an answer is not finite.
    """
    labels, joints = _root_aligned(labels), _root_aligned(joints)
    return MM * np.linalg.norm(ALIGNMENTS[align](joints, labels) - labels, axis=-1)


def velocity_errors_mm(labels, joints) -> np.ndarray:
    """Norm of the difference of frame-to-frame velocities, mm per frame.

    (N, T, J, 3) metres, twice -> (N, T - 1, J) float64.
    """
    difference = _root_aligned(joints) - _root_aligned(labels)
    return MM * np.linalg.norm(np.diff(difference, axis=1), axis=-1)


def pose3d_errors(labels, predictions) -> np.ndarray:
    """One number per clip, small is good: its mean joint error (N,) in mm.

    labels (N, T, J, 3) metres, predictions {"joints": the same}.
    """
    return joint_errors_mm(labels, predictions["joints"]).mean(axis=(1, 2))


def mean_pose(train, labels, names) -> dict:
    """The answer that needs no training: the mean skeleton of the clips `train` (M, T, J, 3), over all frames, in every
    frame of `labels` (N, T, J, 3)."""
    mean = np.asarray(train, "float64").mean(axis=(0, 1))
    return {"mean pose": {"joints": np.broadcast_to(mean, np.shape(labels))}}


def collapsed(labels, predictions, names, flags, outputs) -> str | None:
    """A line with advice where the network answers nearly the same joints for every clip."""
    if not constant.is_still(predictions["joints"], labels):
        return None
    return (
        "Collapsed: its joints are nearly the same for every clip, whatever it shows. Train longer (--epochs), or with "
        "another rate: --find_lr tries them."
    )


def pck3d(errors_mm, threshold_mm: float = PCK_THRESHOLD_MM) -> float:
    """Share of joints that are off by less than `threshold_mm`, as a fraction."""
    return float((errors_mm < threshold_mm).mean())


def auc3d(errors_mm) -> float:
    """Mean of `pck3d` over the thresholds 0, 5, …, 150 mm, as a fraction.

    30/31 where all is right, since no error is below 0.
    """
    return float(np.mean([pck3d(errors_mm, threshold) for threshold in AUC_THRESHOLDS_MM]))


def _per_group(values, groups) -> dict[str, float]:
    """Mean of `values` (N,) for each of the distinct strings in `groups` (N,), in alphabetical order."""
    groups = np.asarray(groups).astype(str)
    return {str(group): float(values[groups == group].mean()) for group in np.unique(groups)}


def pose3d_report(labels, predictions, extras, names) -> dict:
    """Scores of 3-D pose.

    Args:
        labels: (N, T, J, 3) metres, root-relative.
        predictions: {"joints": the same shape}.
        names: J joint names.
        extras: of the same clips, each may be missing: action and camera (N,) strings, subject (N,) integers.
    Returns:
        {"scores": {name: number}, "tables": {title: {row: number}}, "notes": [text]}, all in mm but pck3d@150 and
        auc3d, fractions.

    Reference: MPJPE: Ionescu et al., PAMI 2014; PA-MPJPE: "protocol 2" of Pavllo et al., CVPR 2019, §5; MPJVE: there,
    §6.1; N-MPJPE: Rhodin et al., ECCV 2018; 3DPCK and AUC: Mehta et al., 3DV 2017.
    """
    # Errors, and their means over joints, actions and cameras.
    errors = {align: joint_errors_mm(labels, predictions["joints"], align) for align in ALIGNMENTS}
    clips = {align: values.mean(axis=(1, 2)) for align, values in errors.items()}  # all clips have as many frames
    velocities = velocity_errors_mm(labels, predictions["joints"])
    velocity = float(velocities.mean()) if velocities.size else float("nan")
    per_joint = map(float, errors["none"].mean(axis=(0, 1)))
    tables = {"MPJPE per joint (mm)": dict(zip(names, per_joint, strict=True))}
    if "action" in extras:
        tables["MPJPE per action (mm)"] = _per_group(clips["none"], extras["action"])
        tables["PA-MPJPE per action (mm)"] = _per_group(clips["procrustes"], extras["action"])
    if "camera" in extras:
        tables["MPJPE per camera (mm)"] = _per_group(clips["none"], extras["camera"])
    per_action = list(tables.get("MPJPE per action (mm)", {}).values())

    # The scores, in the order of the report.
    scores = {"mpjpe_mm": float(errors["none"].mean())}
    if per_action:
        scores["mpjpe_actions_mm"] = float(np.mean(per_action))
    scores |= {
        "pa_mpjpe_mm": float(errors["procrustes"].mean()),
        "n_mpjpe_mm": float(errors["scale"].mean()),
        "mpjve_mm": velocity,
        f"pck3d@{PCK_THRESHOLD_MM}": pck3d(errors["none"]),
        "auc3d": auc3d(errors["none"]),
    }

    # How they are meant.
    count, frames, joints = errors["none"].shape
    subjects = ""
    if "subject" in extras:
        subjects = f" of subjects {', '.join(map(str, np.unique(extras['subject'])))}"
    notes = [
        f"{count} clips of {frames} frames, {count * frames} frames in all{subjects}; a frame that is in two clips "
        "counts twice.",
        "MPJPE, 3DPCK and AUC: answer and truth are moved, frame by frame, so that the root (joint 0, "
        f"{names[0]}) of both is the origin; nothing else is aligned. The root counts with its error 0 as one of "
        f"{joints} joints, as in VideoPose3D.",
        "N-MPJPE: after the root also the scale, per frame, that makes the squared error smallest. PA-MPJPE "
        "(protocol 2): scale, rotation and translation, per frame, without mirroring.",
        f"MPJVE: difference of velocities in mm per frame at {FPS} Hz, {FPS * velocity:.4g} mm/s; at Human3.6M's own "
        "50 Hz a frame has about half of it.",
        f"3DPCK: share of joints off by less than {PCK_THRESHOLD_MM} mm. AUC: its mean over the thresholds 0, 5, …, "
        f"150 mm, at most 30/31; both over all {joints} joints (the tables of MPI-INF-3DHP leave out root, spine and "
        "head).",
    ]
    if per_action:
        notes.append("MPJPE over actions: mean of the actions' own means, so that each action counts the same.")
    return {"scores": scores, "tables": tables, "notes": notes}
