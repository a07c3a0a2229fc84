"""Answers drawn on the user's own pictures by OpenCV, one function per task, for `kzoo.predict`.

Each is (canvas, picture, names, scale): canvas (h, w, 3) uint8 RGB is drawn on, picture is a
`kzoo.predict.readers.Picture` with all its answers, names are those of the task's units, scale (2,) is the canvas's
pixels per pixel of the picture.
"""

import cv2
import matplotlib.colors
import numpy as np

from kzoo.figures import pose as pose_figures
from kzoo.figures.base import class_colours
from kzoo.nn import skeletons
from kzoo.nn.geometry import classes_at, transform_points

SIDES = {"left": "tab:orange", "right": "tab:cyan", "middle": "tab:pink"}  # of Human3.6M's bones
FAR = 1e4  # pixels beyond which lines are cut off: OpenCV counts in int32
INSET = 0.45  # of the shorter side: the squares that 3-D joints are drawn in
METRES = 2.2  # that such a square is high
SUBPIXEL = 4  # bits of OpenCV's drawing


def persons_of(picture) -> list[tuple[np.ndarray, np.ndarray, float]]:
    """((J, 2) pixels of the picture, (J,) scores, the person's score) of each one. What is not finite becomes 0, with a
    score of 0."""
    persons = []
    for (matrix, box_score), answer in zip(picture.places, picture.answers, strict=True):
        points = transform_points(matrix, answer["coords"])
        finite = np.isfinite(points).all(axis=-1)
        scores = np.where(finite, answer["scores"], 0.0)
        persons.append((np.where(finite[:, None], points, 0.0), scores, box_score * float(scores.mean())))
    return persons


def draw_pose(canvas, picture, names, scale, min_score: float = 0.0):
    """Each person's skeleton, without the joints that were not found, and those whose score is below `min_score`."""
    for points, scores, _ in persons_of(picture):
        seen = (scores > 0) & (scores >= min_score)
        for colour, pairs in pose_figures.LIMBS.items():
            drawn = [pair for pair in pairs if max(pair) < len(seen) and seen[list(pair)].all()]
            _lines(canvas, points * scale, drawn, colour)
        _dots(canvas, points[seen] * scale)


def draw_seg(canvas, picture, names, scale):
    """Classes as colours over the picture; a first class named background is left out."""
    ((matrix, _),), (answer,) = picture.places, picture.answers
    classes = classes_at(answer["classes"], np.diag([*scale, 1.0]) @ matrix, canvas.shape[:2])
    palette = np.rint(255 * class_colours(names)).astype("uint8")
    mixed = cv2.addWeighted(canvas, 0.45, palette[classes], 0.55, 0)
    shown = classes >= int(names[0] == "background")
    canvas[shown] = mixed[shown]


def draw_loc(canvas, picture, names, scale):
    """The camera's place and turn in words."""
    for answer in picture.answers:
        x, y, z = answer["position"]
        degrees = np.degrees(2 * np.arccos(np.clip(abs(answer["rotation"][0]), 0, 1)))
        _caption(canvas, f"x {x:.2f} y {y:.2f} z {z:.2f} m", f"turned {degrees:.0f} deg")


def draw_pose3d(canvas, picture, names, scale):
    """From the camera at the lower left end, from the person's left or right (the camera's x axis) at the lower right
    one."""
    side = max(8, round(INSET * min(canvas.shape[:2])))
    bones = skeletons.H36M_BONES if tuple(names) == skeletons.H36M_JOINTS else {}
    for answer in picture.answers:
        joints = np.nan_to_num(np.asarray(answer["joints"], "float64"))
        for across, left in ((0, 0), (2, canvas.shape[1] - side)):
            inset = np.full((side, side, 3), 40, "uint8")
            points = (joints[:, [across, 1]] / METRES + 0.5) * side
            for name, pairs in bones.items():
                _lines(inset, points, pairs, SIDES[name])
            _dots(inset, points)
            place = canvas[-side:, left : left + side]
            place[:] = cv2.addWeighted(place, 0.25, inset, 0.75, 0)


def draw_cluster(canvas, picture, names, scale):
    """The likeliest cluster and its share in words."""
    for answer in picture.answers:
        _caption(canvas, f"cluster {int(answer['assignment'].argmax())}, {answer['assignment'].max():.2f}")


def _lines(canvas, points, pairs, colour: str):
    """Bones in pixels: points (J, 2) with the origin at the corner, pairs of indices."""
    colour = [int(round(255 * value)) for value in matplotlib.colors.to_rgb(colour)]
    width = max(1, round(min(canvas.shape[:2]) / 130))
    at = _whole(points)
    for a, b in pairs:
        if max(a, b) < len(points):
            cv2.line(canvas, at[a], at[b], colour, width, cv2.LINE_AA, SUBPIXEL)


def _dots(canvas, points):
    radius = round(min(canvas.shape[:2]) / 130 * 2**SUBPIXEL)
    for point in _whole(points):
        for scale, colour in ((1.35, (0, 0, 0)), (1.0, (255, 255, 255))):
            cv2.circle(canvas, point, max(2**SUBPIXEL // 2, round(scale * radius)), colour, -1, cv2.LINE_AA, SUBPIXEL)


def _whole(points) -> list[list[int]]:
    return (
        np.rint((np.clip(points, -FAR, FAR) - 0.5) * 2**SUBPIXEL).astype(int).tolist()
    )  # OpenCV puts pixel centres on integers


def _caption(canvas, *lines: str):
    """Text at the upper left end, as large as there is room; none on pictures that are too small for it."""
    sizes = [cv2.getTextSize(line, cv2.FONT_HERSHEY_SIMPLEX, 1.0, 2)[0] for line in lines]
    width, height = max(width for width, _ in sizes), max(height for _, height in sizes)
    scale = min(canvas.shape[0] / 14 / height, 0.96 * canvas.shape[1] / width)
    if scale < 0.22:
        return
    step = round(1.7 * scale * height)
    canvas[: step * len(lines) + step // 4] //= 3
    for number, line in enumerate(lines, start=1):
        at = (round(0.02 * canvas.shape[1]), step * number - step // 6)
        cv2.putText(
            canvas, line, at, cv2.FONT_HERSHEY_SIMPLEX, scale, (255, 255, 255), max(1, round(1.5 * scale)), cv2.LINE_AA
        )
