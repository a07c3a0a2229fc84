"""Answers on the user's own pictures: persons apart from each other, classes with their names."""

import types

import numpy as np
import pytest
from matplotlib.colors import to_rgb

from kzoo.figures import overlays
from kzoo.figures.base import SIDES

NAMES = ["left_shoulder", "left_elbow", "right_shoulder", "right_elbow"]
POINTS = np.array([[0.2, 0.2], [0.2, 0.8], [0.8, 0.2], [0.8, 0.8]])


def picture(persons, boxes=()):
    places = [(np.diag([100.0, 100.0, 1.0]) + np.eye(3)[:, [2]] @ [[0, 0, 0]] + offset(i), 0.5) for i in range(persons)]
    answers = [{"coords": POINTS, "scores": np.array([0.9, 0.9, 0.9, 0.1])} for _ in range(persons)]
    return types.SimpleNamespace(places=places, answers=answers, boxes=list(boxes))


def offset(person):
    moved = np.zeros((3, 3))
    moved[0, 2] = 110.0 * person
    return moved


def drawn(*arguments, **options):
    canvas = np.full((100, 330, 3), 255, "uint8")
    overlays.draw_pose(canvas, picture(*arguments), NAMES, np.ones(2), **options)
    return canvas


def colours(part) -> set:
    found, counts = np.unique(part.reshape(-1, 3), axis=0, return_counts=True)
    return {
        tuple(colour)
        for colour, count in zip(found.tolist(), counts, strict=True)
        if count > 30 and max(colour) - min(colour) > 60
    }


def test_persons_have_colours_boxes_and_scores():
    canvas = drawn(3, [np.array([110.0 * i + 5, 10, 90, 85]) for i in range(3)])
    persons = [colours(canvas[:, 110 * i : 110 * i + 105]) for i in range(3)]
    assert all(persons) and not persons[0] & persons[1] and not persons[1] & persons[2]
    assert (canvas[95, 20:80] != 255).any(), "the lower side of the box"


def sides(canvas) -> list[str]:
    """Whose colours there are, or nearly: lines are smoothed."""
    pixels = canvas.reshape(-1, 3).astype(float)
    near = {side: np.linalg.norm(pixels - 255 * np.array(to_rgb(colour)), axis=1) for side, colour in SIDES.items()}
    return [side for side, distances in near.items() if distances.min() < 90]


@pytest.mark.parametrize(
    ("min_score", "shown"), [(0.0, ["left", "right", "middle"]), (0.5, ["left", "middle"]), (0.95, [])]
)
def test_one_person_shows_its_sides_but_no_joint_below_the_score(min_score, shown):
    assert sides(drawn(1, min_score=min_score)) == shown


@pytest.mark.parametrize("side", [20, 300])
def test_classes_have_their_names(side):
    answers = [{"classes": np.ones((8, 8), "uint8")}]
    made = types.SimpleNamespace(places=[(np.diag([side, side, 1.0]), 1.0)], answers=answers)
    canvas = np.full((side, side, 3), 200, "uint8")
    overlays.draw_seg(canvas, made, ["background", "$人"], np.ones(2))
    assert (len(np.unique(canvas.reshape(-1, 3), axis=0)) > 1) == (side == 300)
