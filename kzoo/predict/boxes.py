"""Boxes of persons: what the file of --boxes holds, and which picture each entry is about.

A picture is found by its path, or by the number it is named after; never another one than the one that is named.
"""

import collections
import dataclasses
import math
import os
import posixpath
import re
import unicodedata
from collections.abc import Iterable

import numpy as np

from kzoo import UserError, files
from kzoo.predict.listing import Found, own_number

KINDS = ("category_id", "category", "category_name", "label", "class")  # fields that tell whether it is a person
PERSON, YOLO_PERSON = 1, 0  # `category_id` in COCO's numbering, and in that of YOLO
FORM = '{"file_name" or "image_id": …, "bbox": [x, y, w, h], "score": optional}'


@dataclasses.dataclass(frozen=True)
class Entry:
    """place: in the file; name, number: of the picture, one of them may be None; box: (4,) x, y, w, h in pixels."""

    place: int
    name: str | None
    number: int | None
    box: np.ndarray
    score: float

    def __str__(self) -> str:
        return f"entry {self.place} ({files.printable(self.name) if self.name else f'image_id {self.number}'})"


@dataclasses.dataclass(frozen=True)
class Boxes:
    """entries: of persons, as they stand in the file; notes: lines on what else it holds."""

    entries: list[Entry]
    notes: list[str]


@dataclasses.dataclass
class Matched:
    """Whose boxes they are.

    boxes: place of a picture -> [(box, score)]; numbers: place of a picture -> what entries call it, where they do;
    lost: (entry, why) of those that are of no picture; notes: lines on those that were found without their folder.
    """

    boxes: dict[int, list] = dataclasses.field(default_factory=lambda: collections.defaultdict(list))
    numbers: dict[int, int] = dataclasses.field(default_factory=dict)
    lost: list[tuple[Entry, str]] = dataclasses.field(default_factory=list)
    notes: list[str] = dataclasses.field(default_factory=list)

    def add(self, place: int, entry: Entry):
        self.boxes[place].append((entry.box, entry.score))
        if entry.number is not None:
            self.numbers.setdefault(place, entry.number)


# The file


def read_boxes(path) -> Boxes:
    """The persons of a JSON list of FORM, of COCO's results, or of COCO's annotations.

    Raises:
        UserError: it is something else, or holds boxes but none of a person.
    """
    path = files.user_path(path)
    content, names, categories = files.read_json(path), {}, {}
    rows = content
    if isinstance(content, dict) and isinstance(content.get("annotations"), list):
        rows = content["annotations"]
        names = _table(content, "images", "file_name")
        categories = _table(content, "categories", "name")
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise UserError(f"boxes={files.printable(path)} must hold a list of {FORM}, or be COCO's annotations")
    persons, notes = _persons(path, rows, categories)
    return Boxes([_entry(path, place, rows[place], names) for place in persons], notes)


def _table(content: dict, table: str, name: str) -> dict:
    """{id: name} of a table of COCO's annotations."""
    rows = content.get(table)
    rows = [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
    found = {_whole(row.get("id")): row.get(name) for row in rows}
    return {key: value for key, value in found.items() if key is not None and isinstance(value, str)}


def _persons(path, rows: list[dict], categories: dict) -> tuple[list[int], list[str]]:
    """Places of the rows that are of one person, and what there is to be said of the others."""
    path, notes = files.printable(path), []
    given = [next((row[name] for name in KINDS if row.get(name) is not None), None) for row in rows]
    kinds = [_kind(value) for value in given]
    wrong = [place for place, kind in enumerate(kinds) if kind is None and given[place] is not None]
    if wrong:
        name = next(name for name in KINDS if rows[wrong[0]].get(name) is not None)
        raise UserError(
            f"boxes={path}: entry {wrong[0]} has {name} {_short(given[wrong[0]])}; allowed: a number, or a class's name"
        )
    known = {kind for kind in kinds if isinstance(kind, int)}
    if categories:
        wanted = {number for number, name in categories.items() if name.strip().lower() == "person"}
    elif known == {YOLO_PERSON}:
        wanted = known
        notes.append(f"boxes={path}: category_id {YOLO_PERSON} is the only one, and is taken as person")
    else:
        wanted = {PERSON}
    wanted = {*wanted, None, "person"}
    others = sorted(set(kinds) - wanted, key=str)
    kept = [place for place, kind in enumerate(kinds) if kind in wanted]
    shown = ", ".join(str(categories.get(each, each))[:40] for each in others[:5]) + ", …" * (len(others) > 5)
    if rows and not kept:
        raise UserError(
            f"boxes={path} holds no person: its {'categories' if categories else 'category_id'} {shown}; allowed: "
            f"{'one called person' if categories else f'{PERSON}, or {YOLO_PERSON} where it is the only one'}"
        )
    if len(kept) < len(rows):
        notes.append(f"boxes={path}: {len(rows) - len(kept)} of {len(rows)} boxes are of no person ({shown})")
    crowds = [place for place in kept if rows[place].get("iscrowd") in (1, True)]
    if crowds:
        notes.append(f"boxes={path}: {len(crowds)} boxes are of crowds (iscrowd), not of one person")
    return [place for place in kept if place not in set(crowds)] if crowds else kept, notes


def _kind(value) -> int | str | None:
    """The number of a category, or its name in small letters where a tool writes names; None: it has none."""
    number = _whole(value)
    if number is not None or not isinstance(value, str):
        return number
    return value.strip().lower() or None


def _entry(path, place: int, row: dict, names: dict) -> Entry:
    """Raises UserError where something is missing or impossible."""
    values, score = row.get("bbox"), _real(row.get("score", 1.0))
    box = [_real(value) for value in values] if isinstance(values, list) else []
    possible = len(box) == 4 and None not in box and score is not None and box[2] > 0 and box[3] > 0
    name, given = row.get("file_name"), row.get("image_id")
    number = _whole(given)
    if name is None:
        name = names.get(number) or (given if isinstance(given, str) and number is None else None)
    elif not isinstance(name, str):
        name, number = None, _whole(name)
    if not possible or (not name and number is None):
        raise UserError(
            f'boxes={files.printable(path)}: entry {place} is {_short(row)}; it needs "file_name" (text) or "image_id" '
            '(number), "bbox" [x, y, width, height] in pixels, the last two above 0, and a number as "score", if any'
        )
    return Entry(place, name or None, number, np.array(box), score)


def _short(value) -> str:
    try:
        return files.printable(str(value)[:80])
    except (ValueError, RecursionError):  # Python writes no number of more than 4,300 digits
        return "too long to be shown"


def _real(value) -> float | None:
    """A finite number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:  # an integer of 400 digits
        return None


def _whole(value) -> int | None:
    """42, 42.0 and "42" are 42."""
    if isinstance(value, str):
        text = value.strip()
        return int(text) if text.isascii() and text.isdigit() and len(text) < 100 else None
    number = _real(value)
    return int(value) if number is not None and number == int(number) else None


# Whose they are


def match(entries: Iterable[Entry], pictures: list[Found]) -> Matched:
    """Entries and the pictures of a listing.

    By path first: as it was given, from the images folder, or absolute; the same with Windows' separators and another
    form of accents; by the end of the path, at least the file's name, where that is one picture's alone and no other
    name of the file claims it. Then by number.
    """
    index, matched = _Index(pictures), Matched()
    found = {}  # name -> (places that it may be, whether all of its parts fit)
    for entry in entries:
        if entry.name and entry.name not in found:
            found[entry.name] = index.by_name(entry.name)
    claims = collections.defaultdict(lambda: {True: set(), False: set()})
    for name, (places, exact) in found.items():
        if len(places) == 1:
            claims[places[0]][exact].add(_key(name))
    alone = []  # (name, picture) of those that have a name in common, and no folder
    for entry in entries:
        places, exact = found.get(entry.name, ([], False))
        if not places:
            places, exact = index.by_number(_number_of(entry)), True
        rivals = claims[places[0]] if len(places) == 1 and not exact else {True: (), False: ()}
        if not places:
            matched.lost.append((entry, f"no such picture is among the {len(pictures)}"))
        elif len(places) > 1:
            shown = " or ".join(files.printable(pictures[place].path) for place in places[:2])
            matched.lost.append((entry, f"it may be {shown}{' or another' * (len(places) > 2)}"))
        elif rivals[True] or len(rivals[False]) > 1:
            shown = files.printable(pictures[places[0]].path)
            matched.lost.append((entry, f"{shown} has its name, but not its folder"))
        else:
            matched.add(places[0], entry)
            if not exact and index.common(places[0], entry.name) == 1:
                alone.append((entry.name, pictures[places[0]].path))
    if alone:
        name, path = map(files.printable, alone[0])
        matched.notes.append(f"{len(alone)} boxes are found by the name alone, without its folder: {name} is {path}")
    return matched


def _number_of(entry: Entry) -> int | None:
    """Of the picture: of one that has a name too, if the name ends with it."""
    if not entry.name:
        return entry.number
    if _whole(entry.name) is not None:
        return _whole(entry.name)
    digits = re.search(r"(\d+)(\.\w+)?$", entry.name)
    return entry.number if digits and int(digits[1]) == entry.number else None


def match_frames(entries: Iterable[Entry]) -> Matched:
    """The same for frames of a video, whose places are their numbers."""
    matched = Matched()
    for entry in entries:
        number = _frame_of(entry)
        if number is None:
            matched.lost.append((entry, "frames of a video are called by their number, image_id from 0"))
        else:
            matched.boxes[number].append((entry.box, entry.score))
    return matched


def beyond(entries: Iterable[Entry], length: int) -> list[tuple[Entry, str]]:
    """(entry, why) of those whose frame a video of this length does not have."""
    numbers = [(entry, _frame_of(entry)) for entry in entries]
    why = f"the video has {length} frames, from 0"
    return [(entry, why) for entry, number in numbers if number is not None and not 0 <= number < length]


def _frame_of(entry: Entry) -> int | None:
    name = posixpath.basename(_key(entry.name or ""))
    named = re.fullmatch(r"(?:frame_)?(\d+)(\.\w+)?", name, re.ASCII)
    return int(named[1]) if named else entry.number


class _Index:
    """Places of pictures by what they may be called."""

    def __init__(self, pictures: list[Found]):
        self.exact, self.same = collections.defaultdict(list), collections.defaultdict(list)
        self.last, self.number = collections.defaultdict(list), collections.defaultdict(list)
        self.trailing, self.paths = collections.defaultdict(list), []
        for place, found in enumerate(pictures):
            self.paths.append(_key(os.path.abspath(found.path)).split("/"))
            names = {found.path, os.path.abspath(found.path)}
            if found.path.is_relative_to(found.root):
                names.add(found.path.relative_to(found.root))
            for name in {files.readable(name) for name in names}:
                self.exact[name].append(place)
            for name in {_key(name) for name in names}:
                self.same[name].append(place)
            stem = found.path.stem
            for name in {_key(found.path.name), _key(stem)}:
                self.last[name].append(place)
            digits = re.search(r"\d+$", stem)
            if own_number(stem) is not None:
                self.number[own_number(stem)].append(place)
            elif digits:
                self.trailing[int(digits[0])].append(place)

    def by_name(self, name: str) -> tuple[list[int], bool]:
        """Places of the pictures that a name may be of, and whether it fits as a whole."""
        key = _key(name)
        if places := self.exact.get(files.readable(name)) or self.same.get(key):
            return places, True
        parts = key.split("/")
        places = self.last.get(parts[-1], [])
        fitting = {place: self._common(place, parts) for place in places}
        most = max(fitting.values(), default=0)
        return [place for place in places if fitting[place] == most], most == len(parts)

    def common(self, place: int, name: str) -> int:
        """`_common` of a picture and a name."""
        return self._common(place, _key(name).split("/"))

    def _common(self, place: int, parts: list[str]) -> int:
        """How many parts at the ends of two paths are the same; the last ones are."""
        pairs = zip(self.paths[place][-2::-1], parts[-2::-1], strict=False)
        count = 1
        for mine, theirs in pairs:
            if mine != theirs:
                break
            count += 1
        return count

    def by_number(self, number: int | None) -> list[int]:
        return self.number.get(number) or self.trailing.get(number, [])


def _key(name) -> str:
    """What names have in common that mean the same file."""
    text = unicodedata.normalize("NFC", files.readable(name)).replace("\\", "/")
    return posixpath.normpath(text) if text else ""
