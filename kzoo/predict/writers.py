"""What `kzoo.predict` writes: of each task a table about the user's own pictures, and the answers drawn on them."""

import contextlib
import csv
import errno
import io
import json
import os
import pathlib
import shutil

import cv2
import numpy as np
from PIL import Image

from kzoo import UserError, files
from kzoo.evaluation import tables
from kzoo.figures import base as figures
from kzoo.nn.geometry import classes_at
from kzoo.tasks import TASKS
from kzoo.tasks.base import MASKS, Results

OVERLAYS, CLASSES, VIDEO = "overlays", "classes.json", "annotated.mp4"
STOPPED = "stopped"  # folder of what was finished, where the results of an earlier call are not replaced by a part
WRITTEN = (OVERLAYS, MASKS, CLASSES, VIDEO, STOPPED, *(task.answers.writer.file for task in TASKS.values()))
SPARE = 2**20  # bytes that must be free for another frame: OpenCV does not tell when the disk is full


def check_free(out, *, overwrite: bool) -> pathlib.Path:
    """The folder to write to. What killed processes left in it is taken away.

    Raises:
        UserError: it cannot be written to, or holds results of an earlier call that are not to be replaced.
    """
    out = files.user_path(out)
    shown = files.printable(out)
    if os.path.lexists(out) and not out.is_dir():
        raise UserError(f"out={shown} is a file; give a folder")
    files.sweep(out)
    found = [name for name in WRITTEN if os.path.lexists(out / name)]
    if found and not overwrite:
        raise UserError(
            f"out={shown} holds results already ({', '.join(found)}); give another folder, or overwrite to replace them"
        )
    writing = tuple(f"-{name}" for name in WRITTEN)
    if any(path.name.startswith(files.WRITING) and path.name.endswith(writing) for path in out.glob(".*")):
        raise UserError(f"out={shown}: another process is writing to it; give another folder")
    files.check_writable(out)
    return out


class Unwritten(UserError):
    """The disk is full, or refuses for another reason; what was finished stays."""


class Writer:
    """Writes pictures' answers as they come, under temporary names; at the end of `with` they get theirs, and
    results of an earlier call go.

    Whatever ends it early, a signal, a full disk or a fault, what was finished is kept: under the final names, or in
    the folder STOPPED where there are results of an earlier call. Where nothing was finished nothing is left.

    Args:
        out: folder; results: the task's `answers.writer`; names: of its units; fps: of the video that is annotated,
        None for pictures.
    """

    def __init__(self, out, results: Results, names, fps: float | None):
        self.out, self.results, self.names, self.fps = pathlib.Path(out), results, list(names), fps
        self.column = "file" if fps is None else "frame"
        self.closing = b"" if results.columns else b"\n]\n"  # after the last row
        self.open_files, self.new, self.end, self.written = contextlib.ExitStack(), {}, 0, 0
        self.place, self.video, self.made = self.out, None, []

    def __enter__(self):
        try:
            self.made = files.make_folder(self.out)
            self._begin()
        except BaseException as error:
            self.open_files.close()
            files.remove_empty(self.made)
            if isinstance(error, OSError):
                raise UserError(f"could not write to {files.printable(self.out)}: {files.reason(error)}") from error
            raise
        return self

    def _begin(self):
        # Unbuffered: whatever happens, the rows of finished pictures are there.
        self.table = self.open_files.enter_context(open(self._temporary(self.results.file), "wb", buffering=0))
        self._append("[" if not self.results.columns else self._csv([(self.column, *self.results.columns[1:])]))
        for name in [MASKS] * self.results.masks + [OVERLAYS] * (self.fps is None):
            self._temporary(name).mkdir()
        if self.results.masks:
            colours = np.rint(255 * figures.class_colours(self.names)).astype(int).tolist()
            classes = [{"id": i, "name": name, "colour": colours[i]} for i, name in enumerate(self.names)]
            self._temporary(CLASSES).write_text(json.dumps(classes, indent=1) + "\n", encoding="utf-8")

    def _temporary(self, name: str) -> pathlib.Path:
        """Where to write what is called `name` in the end."""
        if name not in self.new:
            self.new[name] = self.open_files.enter_context(files.temporary_for(self.out / name))
        return self.new[name]

    def __exit__(self, kind, error, _):
        with files.uninterrupted():
            try:
                self.table.close()
                if self.video is not None:
                    self.video.release()
                if self.written:
                    self._finish(whole=error is None)
            except OSError as unwritten:
                raise Unwritten(f"could not write {files.printable(self.out)}: {files.reason(unwritten)}") from error
            finally:
                self.open_files.close()
                files.remove_empty(self.made)

    def _finish(self, *, whole: bool):
        """Final names."""
        try:
            for temporary in self.new.values():
                files.sync(temporary)
        except OSError:
            if whole:
                raise
        if whole or not any(os.path.lexists(self.out / name) for name in WRITTEN):
            files.swap(self.out, self.new, gone=WRITTEN)
            return
        folder = self.open_files.enter_context(files.temporary_for(self.out / STOPPED))
        folder.mkdir()
        for name, temporary in self.new.items():
            os.rename(temporary, folder / name)
        files.swap(self.out, {STOPPED: folder})
        self.place = self.out / STOPPED

    def _append(self, text: str):
        """Rows at the end of the table, all or none of them."""
        data = text.encode("utf-8", "backslashreplace")
        rest = memoryview(data + self.closing)
        self.table.seek(self.end)
        try:
            while rest:
                rest = rest[self.table.write(rest) :]
        except OSError:
            self.table.truncate(self.end)
            self.table.seek(self.end)
            self.table.write(self.closing)  # where it was before: needs no room
            raise
        self.end += len(data)

    @staticmethod
    def _csv(rows) -> str:
        """What begins like a formula is no longer one: a file's name gets ./ before it, other text a quote."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        for first, *others in rows:
            writer.writerow(["./" * first.startswith(tables.FORMULA) + first, *map(tables.csv_cell, others)])
        return text.getvalue()

    def write(self, picture):
        """A picture that has all its answers.

        Raises:
            Unwritten: nothing of it is left.
        """
        # one step: also a second signal leaves no picture without its row
        with files.uninterrupted():
            try:
                self._write(picture)
            except BaseException as error:
                for name in {MASKS, OVERLAYS} & self.new.keys():
                    self._picture(name, picture).unlink(missing_ok=True)
                if not isinstance(error, OSError):
                    raise
                raise Unwritten(f"could not write {files.printable(self.out)}: {files.reason(error)}") from error
            self.written += 1

    def _write(self, picture):
        if self.fps is not None and shutil.disk_usage(self.out).free < SPARE:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        if self.results.masks:
            ((matrix, _),), (answer,) = picture.places, picture.answers
            mask = Image.fromarray(classes_at(answer["classes"], matrix, picture.size))
            mask.putpalette(np.rint(255 * figures.class_colours(self.names)).astype("uint8").tobytes())
            encoded = io.BytesIO()
            mask.save(encoded, "png")
            self._picture(MASKS, picture).write_bytes(encoded.getvalue())
        canvas = np.array(picture.shown)
        scale = np.array(canvas.shape[1::-1]) / picture.size[::-1]
        self.results.draw(canvas, picture, self.names, scale)
        self._show(cv2.cvtColor(canvas, cv2.COLOR_RGB2BGR), picture)
        rows = self.results.rows(picture, self.names)
        if self.results.columns:
            self._append(self._csv(rows))
        else:
            first = self.end == 1
            self._append(
                "".join("," * (not first or index > 0) + "\n" + json.dumps(row) for index, row in enumerate(rows))
            )

    def _picture(self, name: str, picture) -> pathlib.Path:
        """Of a picture in a folder."""
        return self.new[name] / os.fsdecode(f"{picture.stem}.png".encode())

    def _show(self, canvas, picture):
        """canvas: BGR."""
        if self.fps is None:
            _, encoded = cv2.imencode(".png", canvas, [cv2.IMWRITE_PNG_COMPRESSION, 3])
            self._picture(OVERLAYS, picture).write_bytes(encoded)
            return
        if self.video is None:
            path = self._temporary(VIDEO)
            name = os.fsencode(path) if os.name != "nt" else str(path)  # OpenCV dies of a text that is not UTF-8
            self.video = cv2.VideoWriter(name, cv2.VideoWriter_fourcc(*"mp4v"), self.fps, canvas.shape[1::-1])
            if not self.video.isOpened():
                raise UserError(f"OpenCV cannot write {self.out / VIDEO}; give the frames as pictures instead")
        self.video.write(canvas)
