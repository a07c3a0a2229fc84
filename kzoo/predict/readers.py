"""What `kzoo.predict` reads: picture files and videos."""

import dataclasses
import itertools
import math
import os
import pathlib
from collections.abc import Callable, Iterator

import cv2
import numpy as np

from kzoo import UserError, cli, files
from kzoo.data import image_io
from kzoo.inference.feeding import Picture
from kzoo.predict import listing

LONGEST = 1600  # pixels of the longer side of what is drawn
DAMAGED = "empty, damaged or no picture"
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # quiet: what is wrong with a video is told here


def read_pictures(named_paths, problem: Callable[[str], None]) -> Iterator[tuple[Picture, np.ndarray]]:
    """(picture, (H, W, 3) uint8 RGB) of each file; `problem` is told of those that cannot be read, a line each."""
    for path, stem, number in named_paths:
        why = _no_file(path)
        if not why:
            try:
                image = image_io.read_picture(path)
            except (UserError, OSError, cv2.error) as error:
                why = _why(error)
        if why:
            problem(f"{files.printable(path)} is left out: {why}")
            continue
        yield Picture(files.readable(path), stem, number, (number,), image.shape[:2], _shown(image)), image


def _no_file(path: pathlib.Path) -> str:
    """Why a path should not be opened; pipes block for ever."""
    if path.suffix.lower() in listing.VIDEOS:
        return cli.in_flags("it is a video: video=<file>")
    if path.is_file():
        return ""
    if path.is_symlink() and not path.exists():
        return "it is a link to nothing"
    return "it is no regular file" if path.exists() else "it is gone"


def _why(error) -> str:
    """Of a picture that cannot be read: a reader's own words, the system's, or none."""
    cause = error.__cause__ or error
    if why := getattr(cause, "why", None):
        return why
    return (isinstance(cause, OSError) and cause.strerror) or DAMAGED


def _shown(image) -> np.ndarray:
    height, width = image.shape[:2]
    scale = LONGEST / max(height, width)
    if scale >= 1:
        return image
    return cv2.resize(image, [max(1, round(scale * side)) for side in (width, height)], interpolation=cv2.INTER_AREA)


@dataclasses.dataclass(frozen=True)
class Pictures:
    """Files of pictures, see `listing.named`: a sequence is the pictures of one folder."""

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


@dataclasses.dataclass(frozen=True)
class Video:
    """A video that can be read: frames a second, and how many frames its file announces, 0 where it does not."""

    path: str
    fps: float
    length: int
    unit = "frames"

    def sequences(self, problem: Callable[[str, int], None]) -> Iterator[Iterator[tuple[Picture, np.ndarray]]]:
        """All frames are one sequence; `problem` is told how many are missing where the file ends too early."""
        yield self.frames(problem)

    def frames(self, problem: Callable[[str, int], None]) -> Iterator[tuple[Picture, np.ndarray]]:
        """(picture, (H, W, 3) uint8 RGB) of each frame, numbered from 0."""
        capture = _opened(self.path)
        try:
            for number in itertools.count():
                more, image = capture.read()
                if not more:
                    break
                image = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
                stem = f"frame_{number:06d}"
                yield Picture(str(number), stem, number, (number,), image.shape[:2], _shown(image)), image
        finally:
            capture.release()
        if number < self.length:
            problem(
                f"{files.printable(self.path)}: it announces {self.length} frames, and {number} can be read",
                self.length - number,
            )


def _opened(path: str) -> cv2.VideoCapture:
    """OpenCV dies of a text that is not UTF-8, and takes bytes."""
    return cv2.VideoCapture(os.fsencode(path) if os.name != "nt" else path)


def open_video(path) -> Video:
    """Raises UserError where there is no such file or no frame in it can be read."""
    path = files.user_path(path)
    shown = files.printable(path)
    if not path.is_file():
        raise UserError(f"no video at video={shown}")
    capture = _opened(str(path))
    try:
        if not capture.isOpened() or not capture.grab():
            raise UserError(
                f"video={shown} is no video that OpenCV can read, or it was cut off; allowed: MP4, AVI, MKV, WebM, MOV "
                "and others of FFmpeg"
            )
        fps, length = capture.get(cv2.CAP_PROP_FPS), capture.get(cv2.CAP_PROP_FRAME_COUNT)
    finally:
        capture.release()
    return Video(str(path), fps if math.isfinite(fps) and 0 < fps <= 1000 else 25.0, max(0, int(length)))
