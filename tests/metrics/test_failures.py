"""Causes of error, on hand-made persons."""

import numpy as np
import pytest

from kzoo.metrics import failures
from kzoo.metrics.failures import CAUSES

PAIRS = [[1, 2], [3, 4], [5, 6], [7, 8], [9, 10], [11, 12], [13, 14], [15, 16]]
WRISTS = (9, 10)
AREA = 0.1


def person(*, hidden=()):
    """One person (1, 17, 3): the joints on a slanted line, far from each other by their similarity."""
    labels = np.full((1, 17, 3), 2.0)
    labels[0, :, 0], labels[0, :, 1] = np.linspace(0, 1, 17), np.linspace(0.9, 0.1, 17)
    labels[0, list(hidden), 2] = 1
    return labels


def distance(similarity, joint):
    """The distance that has this similarity."""
    return 2 * failures.COCO_SIGMAS[joint] * np.sqrt(-2 * AREA * np.log(similarity))


CASES = [  # joint, similarity to its own truth, hidden joints, cause
    (9, 1.0, (), "good"),
    (9, 0.86, (), "good"),
    (9, 0.86, (9,), "good"),
    (9, 0.84, (), "jitter"),
    (9, 0.51, (), "jitter"),
    (9, 0.84, (9,), "occluded"),
    (9, 0.49, (), "miss"),
    (0, 0.01, (), "miss"),
    (0, 0.01, (0,), "occluded"),
]


@pytest.mark.parametrize(("joint", "similarity", "hidden", "cause"), CASES)
def test_cause_of_one_joint(joint, similarity, hidden, cause):
    labels = person(hidden=hidden)
    coords = labels[..., :2].copy()
    coords[0, joint, 1] -= distance(similarity, joint)
    codes = failures.causes(labels, coords, np.array([AREA]), PAIRS)
    assert codes.dtype == np.int8 and CAUSES[codes[0, joint]] == cause
    assert (np.delete(codes[0], joint) == 0).all(), "the other joints are good"


def test_left_and_right_swapped():
    labels = person()
    coords = labels[..., :2].copy()
    coords[0, WRISTS] = coords[0, WRISTS[::-1]]
    coords[0, 9, 1] += distance(0.6, 9)  # near the right wrist is enough
    assert [CAUSES[c] for c in failures.causes(labels, coords, np.array([AREA]), PAIRS)[0, WRISTS]] == [
        "left-right",
        "left-right",
    ]
    labels[0, 10, 2] = 0  # where the mirrored joint lies is not known
    assert [failures.causes(labels, coords, np.array([AREA]), PAIRS)[0, j] for j in WRISTS] == [
        CAUSES.index("miss"),
        -1,
    ]


def test_area_from_the_joints_and_persons_without_labels():
    labels = np.concatenate([person(), person(), person()])
    labels[1, :, 2] = 0
    labels[2, 1:, 2] = 0  # one joint: no box
    coords = labels[..., :2] + 0.02
    estimated = failures.causes(labels, coords, None, PAIRS)
    np.testing.assert_array_equal(estimated[:1], failures.causes(labels[:1], coords[:1], np.array([0.38]), PAIRS))
    assert (estimated[1] == -1).all() and CAUSES[estimated[2, 0]] == "miss"


def test_shares_sum_to_one():
    assert failures.shares(np.array([[0, 0, 1], [4, -1, -1]], "int8")) == {
        "good": 0.5,
        "jitter": 0.25,
        "left-right": 0.0,
        "occluded": 0.0,
        "miss": 0.25,
    }
    assert sum(failures.shares(np.full((2, 3), -1, "int8")).values()) == 0


def test_gallery_takes_the_worst_of_distinct_examples():
    codes = np.array([[1, 1, 4], [1, 0, -1], [0, 0, 1]], "int8")
    errors = np.array([[5.0, 9.0, 80.0], [7.0, 1.0, np.nan], [0.0, 0.0, 3.0]])
    picks = failures.gallery_picks(codes, errors, 2)
    assert picks == {"jitter": [(0, 1), (1, 0)], "left-right": [], "occluded": [], "miss": [(0, 2)]}
