"""What `kzoo.predict` writes: of each task a table about the user's own pictures, and the answers drawn on them."""

import contextlib
import csv
import dataclasses
import io
import json
import pathlib
import shutil
from collections.abc import Callable

import cv2
import matplotlib.colors
import numpy as np
from PIL import Image

from kzoo import UserError, files
from kzoo.figures import base as figures
from kzoo.figures import pose as pose_figures
from kzoo.nn import skeletons
from kzoo.nn.geometry import classes_at, transform_points

OVERLAYS, MASKS, CLASSES, VIDEO = "overlays", "masks", "classes.json", "annotated.mp4"
SIDES = {"left": "tab:orange", "right": "tab:cyan", "middle": "tab:pink"}  # of Human3.6M's bones
FAR = 1e4  # pixels beyond which lines are cut off: OpenCV counts in int32
INSET = 0.45  # of the shorter side: the squares that 3-D joints are drawn in
METRES = 2.2  # that such a square is high
SUBPIXEL = 4  # bits of OpenCV's drawing


def persons_of(picture) -> list[tuple[np.ndarray, np.ndarray, float]]:
    """((J, 2) pixels of the picture, (J,) scores, the person's score) of each one. What is not finite becomes 0, with a
    score of 0."""
    found = []
    for (matrix, box_score), answer in zip(picture.places, picture.answers, strict=True):
        points = transform_points(matrix, answer["coords"])
        finite = np.isfinite(points).all(axis=-1)
        scores = np.where(finite, answer["scores"], 0.0)
        found.append((np.where(finite[:, None], points, 0.0), scores, box_score * float(scores.mean())))
    return found


def pose_rows(picture, _) -> list[dict]:
    """A person each, as COCO's results have them."""
    return [
        {
            "image_id": picture.number,
            "file_name": picture.name,
            "category_id": 1,
            "keypoints": [round(float(value), 3) for value in np.column_stack([points, scores]).ravel()],
            "score": round(score, 5),
        }
        for points, scores, score in persons_of(picture)
    ]


def seg_rows(picture, _) -> list[list]:
    return [[picture.name, f"{MASKS}/{picture.stem}.png"]]


def loc_rows(picture, _) -> list[list]:
    return [
        [picture.name, *(f"{value:.6f}" for name in ("position", "rotation") for value in answer[name])]
        for answer in picture.answers
    ]


def pose3d_rows(picture, names) -> list[list]:
    return [
        [picture.name, name, *(f"{value:.5f}" for value in joint)]
        for answer in picture.answers
        for name, joint in zip(names, answer["joints"], strict=True)
    ]


def cluster_rows(picture, _) -> list[list]:
    return [
        [picture.name, int(answer["assignment"].argmax()), f"{answer['assignment'].max():.5f}"]
        for answer in picture.answers
    ]


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


def draw_pose(canvas, picture, names, scale):
    for points, scores, _ in persons_of(picture):
        known = scores > 0
        for colour, pairs in pose_figures.LIMBS.items():
            _lines(
                canvas,
                points * scale,
                [pair for pair in pairs if max(pair) < len(known) and known[list(pair)].all()],
                colour,
            )
        _dots(canvas, points[known] * scale)


def draw_seg(canvas, picture, names, scale):
    ((matrix, _),), (answer,) = picture.places, picture.answers
    classes = classes_at(answer["classes"], np.diag([*scale, 1.0]) @ matrix, canvas.shape[:2])
    palette = np.rint(255 * figures.class_colours(names)).astype("uint8")
    mixed = cv2.addWeighted(canvas, 0.45, palette[classes], 0.55, 0)
    shown = classes >= int(names[0] == "background")
    canvas[shown] = mixed[shown]


def draw_loc(canvas, picture, names, scale):
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
    for answer in picture.answers:
        _caption(canvas, f"cluster {int(answer['assignment'].argmax())}, {answer['assignment'].max():.2f}")


@dataclasses.dataclass(frozen=True)
class Results:
    """How a task's answers are kept and drawn. columns: of a CSV; none: the rows are the entries of a JSON list."""

    file: str
    rows: Callable  # (picture, names) -> list of rows
    # (canvas (h, w, 3) uint8 RGB, picture, names, (2,) its pixels per pixel of the picture) draws on the canvas
    draw: Callable
    columns: tuple[str, ...] = ()
    masks: bool = False


RESULTS = {
    "pose": Results("keypoints.json", pose_rows, draw_pose),
    "seg": Results("masks.csv", seg_rows, draw_seg, ("file", "mask"), masks=True),
    "loc": Results("poses.csv", loc_rows, draw_loc, ("file", "x", "y", "z", "qw", "qx", "qy", "qz")),
    "pose3d": Results("joints.csv", pose3d_rows, draw_pose3d, ("file", "joint", "x", "y", "z")),
    "cluster": Results("clusters.csv", cluster_rows, draw_cluster, ("file", "cluster", "confidence")),
}
WRITTEN = (OVERLAYS, MASKS, CLASSES, VIDEO, *(results.file for results in RESULTS.values()))


def check_free(out, *, overwrite: bool):
    """Raises UserError where a folder cannot be written to, or holds results of an earlier call that are not to be
    replaced."""
    out = pathlib.Path(out)
    if out.exists() and not out.is_dir():
        raise UserError(f"out={out} is a file; give a folder")
    found = [name for name in WRITTEN if (out / name).exists()]
    if found and not overwrite:
        raise UserError(
            f"out={out} holds results already ({', '.join(found)}); give another folder, or overwrite to replace them"
        )


class Writer:
    """Writes pictures' answers as they come, under temporary names; at the end of `with` they get theirs, and
    results of an earlier call go.

    Args:
        out: folder; task: key of RESULTS; names: of the task's units; fps: of the video that is annotated, None for
        pictures.
    """

    def __init__(self, out, task: str, names, fps: float | None):
        self.out, self.results, self.names, self.fps = pathlib.Path(out), RESULTS[task], list(names), fps
        self.column = "file" if fps is None else "frame"
        self.open_files, self.folders, self.written, self.entries = contextlib.ExitStack(), {}, 0, 0
        self.made, self.video = set(), None

    def __enter__(self):
        self.table = self.open_files.enter_context(
            open(self._made(self.results.file), "w", newline="", encoding="utf-8")
        )
        self._write(("[",) if not self.results.columns else (self._csv([(self.column, *self.results.columns[1:])]),))
        for name in [MASKS] * self.results.masks + [OVERLAYS] * (self.fps is None):
            self.folders[name] = self._made(name)
            self.folders[name].mkdir()
        return self

    def __exit__(self, *error):
        if not any(error):
            self._write(() if self.results.columns else ("\n]\n",))
            if self.results.masks:
                colours = np.rint(255 * figures.class_colours(self.names)).astype(int).tolist()
                classes = [{"id": i, "name": name, "colour": colours[i]} for i, name in enumerate(self.names)]
                self._made(CLASSES).write_text(json.dumps(classes, indent=1) + "\n")
            self.open_files.close()
            for name in set(WRITTEN) - self.made:
                path = self.out / name
                shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        self.open_files.__exit__(*error)

    def _made(self, name: str) -> pathlib.Path:
        """Where to write what is called `name` in the end."""
        self.made.add(name)
        return self.open_files.enter_context(files.replacing(self.out / name))

    def _write(self, texts):
        for text in texts:
            self.table.write(text)

    @staticmethod
    def _csv(rows) -> str:
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(rows)
        return text.getvalue()

    def write(self, picture):
        """A picture that has all its answers."""
        rows = self.results.rows(picture, self.names)
        if self.results.columns:
            self._write((self._csv(rows),))
        else:
            self._write(("," * bool(self.entries + index) + "\n" + json.dumps(row) for index, row in enumerate(rows)))
        self.entries += len(rows)
        if self.results.masks:
            ((matrix, _),), (answer,) = picture.places, picture.answers
            mask = Image.fromarray(classes_at(answer["classes"], matrix, picture.size))
            mask.putpalette(np.rint(255 * figures.class_colours(self.names)).astype("uint8").tobytes())
            mask.save(self.folders[MASKS] / f"{picture.stem}.png")
        canvas = np.array(picture.shown)
        scale = np.array(canvas.shape[1::-1]) / picture.size[::-1]
        self.results.draw(canvas, picture, self.names, scale)
        self._show(cv2.cvtColor(canvas, cv2.COLOR_RGB2BGR), picture.stem)
        self.written += 1

    def _show(self, canvas, stem: str):
        """canvas: BGR."""
        if self.fps is None:
            _, encoded = cv2.imencode(".png", canvas, [cv2.IMWRITE_PNG_COMPRESSION, 3])
            encoded.tofile(self.folders[OVERLAYS] / f"{stem}.png")
            return
        if self.video is None:
            temporary = self._made(VIDEO)
            self.video = cv2.VideoWriter(str(temporary), cv2.VideoWriter_fourcc(*"mp4v"), self.fps, canvas.shape[1::-1])
            self.open_files.callback(self.video.release)  # before the file is renamed
            if not self.video.isOpened():
                raise UserError(f"OpenCV cannot write {self.out / VIDEO}; give the frames as pictures instead")
        self.video.write(canvas)
