"""What `kzoo.predict` writes: of each task a table about the user's own pictures, and the answers drawn on them."""

import contextlib
import csv
import io
import json
import pathlib
import shutil

import cv2
import numpy as np
from PIL import Image

from kzoo import UserError, files
from kzoo.figures import base as figures
from kzoo.nn.geometry import classes_at
from kzoo.tasks import TASKS
from kzoo.tasks.base import MASKS, Results

OVERLAYS, CLASSES, VIDEO = "overlays", "classes.json", "annotated.mp4"
WRITTEN = (OVERLAYS, MASKS, CLASSES, VIDEO, *(task.answers.writer.file for task in TASKS.values()))


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
        out: folder; results: the task's `answers.writer`; names: of its units; fps: of the video that is annotated,
        None for pictures.
    """

    def __init__(self, out, results: Results, names, fps: float | None):
        self.out, self.results, self.names, self.fps = pathlib.Path(out), results, list(names), fps
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
