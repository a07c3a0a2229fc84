"""What `kzoo.predict` reads: picture files, folders and videos, boxes of persons."""

import dataclasses
import glob
import itertools
import math
import pathlib
import re
from collections.abc import Callable, Iterable, Iterator

import cv2
import numpy as np

from kzoo import UserError, files
from kzoo.data import image_io
from kzoo.inference.feeding import Picture

# Of pictures in a folder.
ENDINGS = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp", ".gif", ".ppm", ".pgm", ".jp2")
LONGEST = 1600  # pixels of the longer side of what is drawn


def find_pictures(patterns: Iterable[str]) -> list[pathlib.Path]:
    """The files of globs, folders (their pictures, by ending) and names, each once, numbers in names in their order.

    Raises:
        UserError: nothing matches one of them.
    """
    found = {}
    for pattern in patterns:
        path = pathlib.Path(pattern).expanduser()
        if path.is_dir():
            paths = [
                file for file in path.iterdir() if file.suffix.lower() in ENDINGS and not file.name.startswith(".")
            ]
        else:
            paths = [path] if path.is_file() else map(pathlib.Path, glob.glob(str(path), recursive=True))
        paths = sorted((file for file in paths if file.is_file()), key=_in_order)
        if not paths:
            raise UserError(
                f"images={pattern}: no picture is there; give a file, a folder, or a glob, on a command line in "
                "quotes: 'photos/*.jpg'"
            )
        found.update(dict.fromkeys(paths))
    return list(found)


def _in_order(path) -> list:
    """frame_9 comes before frame_10."""
    return [(int(part), "") if part.isdecimal() else (0, part) for part in re.split(r"(\d+)", str(path))]


def named(paths) -> list[tuple[pathlib.Path, str, int]]:
    """(file, unique stem, unique number) of files.

    The number is the stem's where that is one which is free, else they are running numbers.
    """
    stems, numbers = {}, {}
    for path in paths:
        tries = itertools.chain([path.stem], (f"{path.stem}_{count}" for count in itertools.count(2)))
        stems.setdefault(next(stem for stem in tries if stem not in stems), path)
        if path.stem.isdecimal():
            numbers.setdefault(int(path.stem), path)
    own = {path: number for number, path in numbers.items()}
    running = (number for number in itertools.count(1) if number not in numbers)
    return [(path, stem, own[path] if path in own else next(running)) for stem, path in stems.items()]


def read_pictures(named_paths, problem: Callable[[str], None]) -> Iterator[tuple[Picture, np.ndarray]]:
    """(picture, (H, W, 3) uint8 RGB) of each file; `problem` is told of those that cannot be read, a line each."""
    for path, stem, number in named_paths:
        try:
            image = image_io.read_picture(path)
        except (UserError, cv2.error) as error:
            cause = error.__cause__
            why = getattr(cause, "why", None) or getattr(cause, "strerror", None) or "empty, damaged or no picture"
            problem(f"{path} is left out: {why}")
            continue
        keys = (path.name, int(path.stem)) if path.stem.isdecimal() else (path.name,)
        yield Picture(str(path), stem, number, keys, image.shape[:2], _shown(image)), image


def _shown(image) -> np.ndarray:
    height, width = image.shape[:2]
    scale = LONGEST / max(height, width)
    if scale >= 1:
        return image
    return cv2.resize(image, [max(1, round(scale * side)) for side in (width, height)], interpolation=cv2.INTER_AREA)


@dataclasses.dataclass(frozen=True)
class Pictures:
    """Files of pictures, see `named`: a sequence is the pictures of one folder."""

    files: list[tuple[pathlib.Path, str, int]]
    fps = None
    unit = "pictures"

    @property
    def length(self) -> int:
        return len(self.files)

    def sequences(self, problem: Callable[[str], None]) -> Iterator[Iterator[tuple[Picture, np.ndarray]]]:
        """Of each folder what `read_pictures` gives."""
        for _, group in itertools.groupby(self.files, key=lambda entry: entry[0].parent):
            yield read_pictures(group, problem)


def open_pictures(patterns: Iterable[str]) -> Pictures:
    """The files of `find_pictures`."""
    return Pictures(named(find_pictures(patterns)))


@dataclasses.dataclass(frozen=True)
class Video:
    """A video that can be read: frames a second, and how many frames its file announces, 0 where it does not."""

    path: str
    fps: float
    length: int
    unit = "frames"

    def sequences(self, problem: Callable[[str], None]) -> Iterator[Iterator[tuple[Picture, np.ndarray]]]:
        """All frames are one sequence; there is nothing to tell `problem`."""
        yield self.frames()

    def frames(self) -> Iterator[tuple[Picture, np.ndarray]]:
        """(picture, (H, W, 3) uint8 RGB) of each frame, numbered from 0."""
        capture = cv2.VideoCapture(self.path)
        try:
            for number in itertools.count():
                more, image = capture.read()
                if not more:
                    return
                image = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
                stem = f"frame_{number:06d}"
                yield Picture(str(number), stem, number, (number,), image.shape[:2], _shown(image)), image
        finally:
            capture.release()


def open_video(path) -> Video:
    """Raises UserError where there is no such file or no frame in it can be read."""
    if not pathlib.Path(path).is_file():
        raise UserError(f"no video at video={path}")
    capture = cv2.VideoCapture(str(path))
    try:
        if not capture.isOpened() or not capture.grab():
            raise UserError(
                f"video={path} is no video that OpenCV can read; allowed: MP4, AVI, MKV, WebM, MOV and others of FFmpeg"
            )
        fps, length = capture.get(cv2.CAP_PROP_FPS), capture.get(cv2.CAP_PROP_FRAME_COUNT)
    finally:
        capture.release()
    return Video(str(path), fps if math.isfinite(fps) and 0 < fps <= 1000 else 25.0, max(0, int(length)))


def read_boxes(path) -> dict:
    """Persons by file name or image id: {key: [((4,) x, y, w, h in pixels, score)]}.

    Args:
        path: of a JSON list of boxes of persons, see `kzoo.predict`.
    Raises:
        UserError: it is something else.
    """
    rows = files.read_json(path)
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise UserError(
            f'boxes={path} must hold a list of {{"file_name" or "image_id": …, "bbox": [x, y, w, h], '
            '"score": optional}'
        )
    persons = {}
    for number, row in enumerate(rows):
        if row.get("category_id", 1) != 1:
            continue  # COCO's 1 is person
        key, box, score = _box_of(row)
        if key is None:
            raise UserError(
                f'boxes={path}: entry {number} is {str(row)[:80]}; it needs "file_name" (text) or "image_id" (number), '
                'and "bbox" [x, y, width, height] in pixels, the last two above 0'
            )
        persons.setdefault(key, []).append((box, score))
    return persons


def _box_of(row: dict) -> tuple:
    """Key, (4,) box and score of an entry; no key where something is missing or impossible."""
    try:
        box, score = np.asarray(row["bbox"], "float64"), float(row.get("score", 1.0))
    except (KeyError, TypeError, ValueError):
        return None, None, None
    possible = box.shape == (4,) and np.isfinite([*box, score]).all() and (box[2:] > 0).all()
    key = row.get("file_name", row.get("image_id"))
    if isinstance(key, str):
        key = pathlib.PurePosixPath(key).name
    return key if possible and isinstance(key, str | int) else None, box, score
