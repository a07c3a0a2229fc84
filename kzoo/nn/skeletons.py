"""Human3.6M's skeleton of 17 joints: names, bones, and how to come to it from COCO's 17 joints."""

import numpy as np

H36M_JOINTS = (
    "hip",  # the middle of both hips; the root
    "right_hip",
    "right_knee",
    "right_ankle",
    "left_hip",
    "left_knee",
    "left_ankle",
    "spine",
    "thorax",  # between the shoulders, where the neck begins
    "nose",
    "head",  # its top
    "left_shoulder",
    "left_elbow",
    "left_wrist",
    "right_shoulder",
    "right_elbow",
    "right_wrist",
)
# Pairs of indices (parent, child) by side.
H36M_BONES = {
    "left": ((0, 4), (4, 5), (5, 6), (8, 11), (11, 12), (12, 13)),
    "right": ((0, 1), (1, 2), (2, 3), (8, 14), (14, 15), (15, 16)),
    "middle": ((0, 7), (7, 8), (8, 9), (9, 10)),
}
HEAD_TOP = 0.9  # the top of the head lies so many times (middle of the ears - thorax) beyond the middle of the ears


def _middle(joint: str, weight: float = 1.0) -> dict:
    """`weight` times the middle of a left and a right joint, as a weighted sum of both."""
    return {f"left_{joint}": 0.5 * weight, f"right_{joint}": 0.5 * weight}


# Each of Human3.6M's joints as a weighted sum of COCO's, for those that COCO does not have.
FROM_COCO = {
    "hip": _middle("hip"),
    "spine": {**_middle("hip", 0.5), **_middle("shoulder", 0.5)},
    "thorax": _middle("shoulder"),
    "head": {**_middle("ear", 1 + HEAD_TOP), **_middle("shoulder", -HEAD_TOP)},
}


def h36m_from(names) -> np.ndarray:
    """Matrix that takes joints of the order `names` to Human3.6M's order: (17, J) float32, its rows add up to 1.

    Args:
        names: J joint names: COCO's or Human3.6M's.
    Raises:
        ValueError: a joint that is needed is missing.
    """
    matrix = np.zeros((len(H36M_JOINTS), len(names)), "float32")
    for row, joint in enumerate(H36M_JOINTS):
        itself = {joint: 1.0}
        weights = itself if joint in names else FROM_COCO.get(joint, itself)
        for name, weight in weights.items():
            if name not in names:
                raise ValueError(
                    f"joint {joint!r} of Human3.6M needs {name!r}; the pose network has {', '.join(names)}"
                )
            matrix[row, list(names).index(name)] = weight
    return matrix
