"""How networks read the user's pictures: one by one, as crops of persons, as clips or windows of frames; and the way
back.

A step's input is one item: (array as the network reads it, [(picture, part)]): the answer's `part`, all of it or one
frame's, is an answer for that picture. Items come in the pictures' order and are made one by one, so that little is in
memory whatever the number of pictures.
"""

import dataclasses
import itertools
from collections import deque
from collections.abc import Callable, Iterator

import numpy as np
from PIL import Image

from kzoo.data import image_io
from kzoo.datasets.coco_subset import records

ALL = ...  # the part of an answer that is all of it


@dataclasses.dataclass(eq=False)
class Picture:
    """A picture file or a frame of a video, and what was found in it so far.

    name: the file as it was given, or the frame's number; stem: of the files that are written, unique; number: its id
    in COCO's results, unique;
    keys: of its boxes, see `crops`; size: (H, W) in pixels; shown: (h, w, 3) uint8 RGB for drawing, at most LONGEST;
    places: of each answer that is expected, the (3, 3) matrix from fractions of the network's input to pixels, and the
    box's score;
    boxes: of persons, (4,) x, y, w, h in pixels beside each of the places, where there are some;
    answers: those that came, {name: array}.
    """

    name: str
    stem: str
    number: int
    keys: tuple
    size: tuple[int, int]
    shown: np.ndarray
    places: list[tuple[np.ndarray, float]] = dataclasses.field(default_factory=list)
    answers: list[dict] = dataclasses.field(default_factory=list)
    boxes: list[np.ndarray] = dataclasses.field(default_factory=list)


def singles(sequence, shape) -> Iterator[tuple]:
    """Items of networks that read pictures: each picture as a whole. sequence: of (picture, image)."""
    for picture, image in sequence:
        array, matrix = image_io.to_input(image, shape)
        picture.places.append((matrix, 1.0))
        yield array, [(picture, ALL)]


def crops(sequence, shape, boxes: dict, problem: Callable[[str], None]) -> Iterator[tuple]:
    """Items of persons: the square around each box x BOX_SCALE, cut as `coco_subset` cuts; (None, [(picture, ALL)])
    where there is none.

    Args:
        boxes: {one of a picture's keys: [((4,) x, y, w, h in pixels, score)]}.
    """
    for picture, image in sequence:
        height, width = picture.size
        whole = Image.fromarray(image)
        # of all persons before the first one is handed on: only then it is known how many answers the picture awaits
        arrays = []
        for box, score in [entry for key in picture.keys for entry in boxes.get(key, ())]:
            x, y, w, h = box
            if max(w, h) < 1 or w > width + 1 or h > height + 1 or not -w < x < width or not -h < y < height:
                problem(
                    f"{picture.name}: the box {box.tolist()} is left out: it does not lie on the picture of "
                    f"{width}x{height} pixels"
                )
                continue
            side = records.BOX_SCALE * max(w, h)
            corner = np.array([x + (w - side) / 2, y + (h - side) / 2])
            array, matrix = image_io.to_input(
                np.asarray(records.crop(whole, corner, side)), shape
            )  # pixels of the crop, of SIZE
            pixel = side / records.SIZE
            picture.places.append((np.array([[pixel, 0, corner[0]], [0, pixel, corner[1]], [0, 0, 1]]) @ matrix, score))
            picture.boxes.append(box)
            arrays.append(array)
        for array in arrays or [None]:
            yield array, [(picture, ALL)]


def windows(sequence, shape, length: int, skip: int) -> Iterator[tuple]:
    """Items of networks that answer for the middle frame: around each picture `length` pictures, `skip` apart, the ends
    repeated."""
    offsets, kept, waiting = skip * (np.arange(length) - length // 2), {}, deque()

    def window(last):
        centre, picture = waiting.popleft()
        frames = np.stack([kept[index] for index in np.clip(centre + offsets, 0, last)])
        kept.pop(centre + offsets[0], None)
        return frames, [(picture, ALL)]

    last = -1
    for last, (picture, image) in enumerate(sequence):
        kept[last], matrix = image_io.to_input(image, shape)
        picture.places.append((matrix, 1.0))
        waiting.append((last, picture))
        if waiting[0][0] + offsets[-1] <= last:
            yield window(last)
    while waiting:
        yield window(last)


def clips(sequence, shape, length: int) -> Iterator[tuple]:
    """Items of networks that answer for each frame: clips one after the other. The last one reaches back over frames
    that have an answer; where there are too few frames the last one is repeated."""
    kept, new = deque(maxlen=length), []

    def clip():
        start = len(kept) - len(new)
        return np.stack([*kept, *[kept[-1]] * (length - len(kept))]), [
            (picture, start + i) for i, picture in enumerate(new)
        ]

    for picture, image in sequence:
        array, matrix = image_io.to_input(image, shape)
        picture.places.append((matrix, 1.0))
        kept.append(array)
        new.append(picture)
        if len(new) == length:
            yield clip()
            new = []
    if new:
        yield clip()


def batches_of(items, size: int) -> Iterator[list]:
    """Lists of up to `size` items."""
    items = iter(items)
    while batch := list(itertools.islice(items, size)):
        yield batch


def answered(batch: list, answer: Callable) -> Iterator[Picture]:
    """Hands the answers for a batch of items to their pictures; the pictures that have all of theirs.

    Args:
        answer: (B, …) uint8 -> {name: (B, …)}.
    """
    inputs = [array for array, _ in batch if array is not None]
    answers = answer(np.stack(inputs)) if inputs else {}
    index = 0
    for array, targets in batch:
        for picture, part in targets:
            if array is not None:
                own = {name: value[index] for name, value in answers.items()}
                # of clips what is one number for all frames, a confidence for instance, is no frame's
                of_part = {name: value[part] for name, value in own.items() if np.ndim(value) or part is ALL}
                picture.answers.append(of_part)
            if len(picture.answers) == len(picture.places):
                yield picture
        index += array is not None
