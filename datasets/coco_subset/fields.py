"""Fields of annotation records: checked for type and range where they enter; each mistake is one line that names the
file and the record.

A field that is optional may be absent; null is no value of any but "segmentation".
"""

import math
import reprlib
from collections.abc import Mapping

import numpy as np

from kzoo.datasets.coco_subset.classes import CATEGORIES, JOINTS, NUM_JOINTS
from kzoo.datasets.pictures import printable

INT64 = 2**63
LARGEST = 1e9  # of a joint's coordinates and of an area, in pixels

_short = reprlib.Repr()
_short.maxlevel, _short.maxstring, _short.maxother = 3, 60, 60


def check(good: bool, message: str):
    """Refuses with one line what is not good."""
    if not good:
        raise ValueError(message)


def shown(value) -> str:
    """What was received, short and in one line, however deep or long it is."""
    return printable(_short.repr(value))[:100]


def field(row: Mapping, name: str, where: str):
    """`row[name]`, or one line that says which record lacks it."""
    check(isinstance(row, Mapping) and name in row, f"{where} has no {name!r}")
    return row[name]


def is_whole(value) -> bool:
    """Whether a value is an integer that 64 bits hold."""
    return isinstance(value, int) and not isinstance(value, bool) and -INT64 <= value < INT64


def is_number(value) -> bool:
    """Whether a value is a number; NaN and infinity are."""
    return is_whole(value) or isinstance(value, float)


def whole(row, name: str, where: str) -> int:
    """An integer of 64 bits."""
    value = field(row, name, where)
    check(is_whole(value), f"{where} has {name!r} = {shown(value)}: an integer of 64 bits is expected")
    return value


def numbers(row, name: str, length: int, where: str) -> np.ndarray:
    """(length,) float64 field of a record; NaN and infinity may be in it."""
    value = field(row, name, where)
    good = isinstance(value, list) and len(value) == length and all(map(is_number, value))
    check(good, f"{where} has {name!r} = {shown(value)}: {length} numbers are expected")
    return np.asarray(value, np.float64)


def check_image(image, where: str):
    """ "file_name", and "width" and "height", of which both or none must be there."""
    name = field(image, "file_name", where)
    check(isinstance(name, str) and name.strip(), f"{where} has 'file_name' = {shown(name)}: a name is expected")
    for side in ("width", "height"):
        value = image.get(side, 1)
        good = is_number(value) and math.isfinite(value) and value >= 1 and value == int(value)
        check(good, f"{where} has {side!r} = {shown(value)}: a number of pixels is expected")


def size_of(image) -> tuple[int, int] | None:
    """(width, height) that an image record tells, or None."""
    return (int(image["width"]), int(image["height"])) if "width" in image and "height" in image else None


def check_annotation(row, where: str):
    """What every annotation may have: "category_id", "iscrowd", "bbox", "area", "keypoints"."""
    if "category_id" in row:
        whole(row, "category_id", where)
    crowd = row.get("iscrowd", 0)
    check(isinstance(crowd, int) and crowd in (0, 1), f"{where} has 'iscrowd' = {shown(crowd)}: 0 or 1 is expected")
    if "bbox" in row:
        numbers(row, "bbox", 4, where)
    area = row.get("area", 0)
    good = is_number(area) and 0 <= area <= LARGEST**2
    check(good, f"{where} has 'area' = {shown(area)}: a number of pixels is expected")


def joints(row, where: str) -> np.ndarray:
    """(J, 3) joints in pixels: x, y, v = 0 unlabelled, 1 occluded, 2 visible."""
    values = numbers(row, "keypoints", 3 * NUM_JOINTS, where).reshape(-1, 3)
    good = (abs(values[:, :2]) <= LARGEST).all(1) & np.isin(values[:, 2], (0, 1, 2))
    for place in np.flatnonzero(~good)[:1]:
        received = ", ".join(f"{value:g}" for value in values[place])
        raise ValueError(
            f"{where} has 'keypoints' whose joint {place} is {received}: finite x and y and v = 0, 1 or 2 are expected"
        )
    return values


def check_classes(categories: Mapping[int, Mapping], path):
    """Refuses categories that are not called as COCO calls those of their ids: masks would mean something else."""
    for key, row in categories.items():
        same = _plain(row.get("name")) == CATEGORIES.get(key)
        name = shown(row.get("name"))
        check(same, f"{path}: category {key} is {name}, which is not COCO's class of that id{_expected(key)}")


def check_skeleton(categories: Mapping[int, Mapping], path):
    """Refuses another category than the person, and joints that are not COCO's in COCO's order, where they are named.

    Other joints would be called, mirrored and scored as COCO's.
    """
    listed = ", ".join(f"{key} {shown(row.get('name'))}" for key, row in list(categories.items())[:5])
    check(
        not categories or 1 in categories, f"{path}: its categories are {listed}; allowed: 1 'person', as COCO has it"
    )
    row = categories.get(1, {})
    name = row.get("name", "person")
    check(_plain(name) == "person", f"{path}: category 1 is {shown(name)}; allowed: 'person'")
    names = row.get("keypoints", list(JOINTS))
    check(
        isinstance(names, list) and all(isinstance(name, str) for name in names),
        f"{path}: category 1 has 'keypoints' = {shown(names)}: the names of its joints are expected",
    )
    for place, (given, wanted) in enumerate(zip(names, JOINTS, strict=False)):
        same = _plain(given) == wanted
        check(
            same,
            f"{path}: joint {place} of category 1 is {shown(given)}, COCO's is {wanted!r}; allowed: COCO's "
            f"{NUM_JOINTS} joints in their order: {', '.join(JOINTS)}",
        )
    check(
        len(names) == NUM_JOINTS,
        f"{path}: category 1 has {len(names)} joints; allowed: COCO's {NUM_JOINTS} in their order: {', '.join(JOINTS)}",
    )


def _expected(key) -> str:
    return f", {CATEGORIES[key]!r}" if key in CATEGORIES else ""


def _plain(name):
    """A class's or joint's name however it is spelled: Left-Eye, left eye and left_eye are one; classes have blanks."""
    if not isinstance(name, str):
        return None
    plain = name.strip().lower()
    joint = plain.replace(" ", "_").replace("-", "_")
    return joint if joint in JOINTS else plain
