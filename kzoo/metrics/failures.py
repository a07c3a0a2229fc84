"""Why a joint was missed, in NumPy: causes of error, for one person per picture.

The causes are those of Ronchi and Perona, Benchmarking and Error Diagnosis in Multi-Instance Pose Estimation, ICCV
2017, §3, without swaps between persons and with hidden joints as a cause of their own.
"""

import numpy as np

from kzoo.nn.geometry import flip_permutation

# Spread of annotators, per joint.
COCO_SIGMAS = np.array([26, 25, 25, 35, 35, 79, 79, 72, 72, 62, 62, 107, 107, 87, 87, 89, 89]) / 1000
CAUSES = ("good", "jitter", "left-right", "occluded", "miss")
# Similarity that human annotators reach, and that of a joint that is roughly right (ibid., §3.1).
GOOD = 0.85
NEAR = 0.5
# Where no area is known: person's area over the square of the longer side of the tight box of the joints.
EXTENT_TO_AREA = 0.38


def similarity(squared, areas, sigmas=COCO_SIGMAS) -> np.ndarray:
    """Keypoint similarity exp(-d^2 / (2 area (2 sigma)^2)) in 0..1, whose mean over the labelled joints is COCO's OKS.

    Args:
        squared: (N, J) squared distances.
        areas: (N,) of the persons, in the same unit squared.
        sigmas: (J,) per joint.
    """
    squared, areas = np.asarray(squared, "float64"), np.asarray(areas, "float64")
    return np.exp(-squared / (2 * areas[:, None] * (2 * sigmas) ** 2))


def causes(labels, coords, areas, flip_pairs, sigmas=COCO_SIGMAS) -> np.ndarray:
    """Cause of the error of each joint, by the similarity ks of the answer to the truth.

    good: ks >= 0.85. Of the others, occluded: the truth is hidden (v = 1); jitter: ks >= 0.5; left-right (their
    inversion): ks >= 0.5 to the truth of the mirrored joint; miss: all else.

    Args:
        labels: (N, J, 3) keypoints.
        coords: (N, J, 2), both in fractions of the crop.
        areas: (N,) of the persons, fractions of the crop's area; None: 0.38 times the square of the longer side of the
            tight box around the labelled joints, the median over 764 persons of the COCO subset (over 500 of `people`:
            0.25).
        flip_pairs: pairs of indices of left and right joints.
        sigmas: (J,).
    Returns:
        (N, J) int8: index into CAUSES, -1 for unlabelled joints.
    """
    truth, coords = np.asarray(labels[..., :2], "float64"), np.asarray(coords, "float64")
    visible = labels[..., 2]
    if areas is None:
        inside = np.where(visible[..., None] > 0, truth, np.nan)
        inside[~(visible > 0).any(axis=1)] = 0
        areas = EXTENT_TO_AREA * (np.nanmax(inside, axis=1) - np.nanmin(inside, axis=1)).max(axis=1) ** 2
    areas = np.maximum(areas, 1e-6)  # of one labelled joint, whose box is empty
    mirrored = flip_permutation(labels.shape[1], flip_pairs)
    own = similarity(((coords - truth) ** 2).sum(axis=-1), areas, sigmas)
    other = similarity(((coords - truth[:, mirrored]) ** 2).sum(axis=-1), areas, sigmas)
    rules = {
        "good": own >= GOOD,
        "occluded": visible == 1,
        "jitter": own >= NEAR,
        "left-right": (other >= NEAR) & (visible[:, mirrored] > 0),
    }
    numbers = [CAUSES.index(name) for name in rules]
    codes = np.select(list(rules.values()), numbers, CAUSES.index("miss"))
    return np.where(visible > 0, codes, -1).astype("int8")


def shares(codes) -> dict[str, float]:
    """{cause: share of the labelled joints}."""
    counts = np.bincount(codes[codes >= 0], minlength=len(CAUSES))
    return dict(zip(CAUSES, (counts / max(counts.sum(), 1)).tolist(), strict=True))


def gallery_picks(codes, errors, per_cause: int) -> dict[str, list[tuple[int, int]]]:
    """The worst joints of each cause but "good", each of another example.

    Args:
        codes: (N, J) of `causes`.
        errors: (N, J), large is bad.
        per_cause: how many at most.
    Returns:
        {cause: [(example, joint), …]}, worst first.
    """
    picks = {}
    for code, cause in enumerate(CAUSES[1:], start=1):
        examples, joints = np.nonzero(codes == code)
        order = np.argsort(-np.asarray(errors)[examples, joints], kind="stable")
        worst = {}
        for index in order:
            worst.setdefault(int(examples[index]), int(joints[index]))
        picks[cause] = list(worst.items())[:per_cause]
    return picks
