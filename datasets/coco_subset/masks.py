"""Masks from COCO segmentations: polygons, uncompressed and compressed RLE.

Coordinates are pixels, (0, 0) the outer corner of the first one. A polygon that cannot be painted is counted and left
out; an RLE that does not fit its picture is refused. Both are checked here: pycocotools fills polygons without looking
at its memory, and a number that is far off would end the process.
"""

import json

import numpy as np
from pycocotools import mask as coco_mask

from kzoo.datasets.coco_subset.fields import check, is_number, is_whole, shown

IGNORE = 255
FAR = 3  # sizes of its picture that a polygon may reach beyond it
LONGEST = 2**20  # pixels of a polygon's outline where it is filled: pycocotools takes 100 bytes for each


def paint(rows, size, labels, name: str, counts) -> np.ndarray | None:
    """The masks of one picture in one plane.

    As if crowds were painted first, then objects from large to small, so that a small one stays visible on a large
    one; but one after another, as all masks of a large picture do not fit into memory.

    Args:
      rows: annotation records.
      size: (width, height) of the picture in pixels.
      labels: category id -> value in the mask.
      name: of the file, for error messages.
      counts: "crowd_regions" and "bad_polygons" are counted.

    Returns:
      (H, W) uint8: 0 background, IGNORE in crowds; None when an object has no mask.
    """
    canvas = np.zeros(size[::-1], np.uint8)
    lowest = np.full(size[::-1], 2 * canvas.size, np.min_scalar_type(2 * canvas.size))  # rank of what a pixel shows
    for row in rows:
        mask = whole_mask(row.get("segmentation"), size, f"{name}: annotation {row['id']}", counts)
        if mask is None:
            return None
        crowd = bool(row.get("iscrowd", 0))
        counts["crowd_regions"] += crowd
        rank = np.count_nonzero(mask) + crowd * mask.size
        visible = (mask > 0) & (lowest >= rank)
        lowest[visible] = rank
        canvas[visible] = IGNORE if crowd else labels[row["category_id"]]
    return canvas


def whole_mask(segmentation, size, where: str, counts) -> np.ndarray | None:
    """(H, W) uint8 mask, 1 inside, of a picture of `size` (width, height); None without a usable polygon or RLE."""
    segmentation = parse(segmentation, where)
    if isinstance(segmentation, dict):
        return _rle(segmentation, size, where)
    return _fill(_polygons(segmentation, size, where, counts), size, counts)


def crop_mask(segmentation, corner, side: float, pixels: int, size, where: str, counts) -> np.ndarray | None:
    """The mask of one person in its crop.

    Polygons are moved into the crop's frame and filled there; an RLE is sampled at the centres of the crop's pixels.

    Args:
      segmentation: polygons or RLE in the frame of the picture.
      corner: (2,) x, y of the square crop in the picture.
      side: of the crop in pixels of the picture.
      pixels: of the crop's side in its own frame.
      size: (width, height) of the picture.
      where: record, for error messages.
      counts: "bad_polygons" is counted.

    Returns:
      (pixels, pixels) uint8, 1 inside; None without a usable polygon or RLE.
    """
    segmentation = parse(segmentation, where)
    if isinstance(segmentation, dict):
        return _sample(_rle(segmentation, size, where), corner, side, pixels)
    polygons = [(polygon - corner) * (pixels / side) for polygon in _polygons(segmentation, size, where, counts)]
    return _fill(polygons, (pixels, pixels), counts)


def parse(segmentation, where: str) -> list | dict:
    """The polygons or the RLE of a record; some tools store them as a JSON string."""
    value = segmentation
    if isinstance(segmentation, str):
        try:
            value = json.loads(segmentation)
        except (ValueError, RecursionError):
            value = 0
    check(
        value is None or isinstance(value, list | dict),
        f"{where} has a segmentation that is neither polygons nor RLE: {shown(segmentation)}",
    )
    return value or []


def _polygons(segmentation, size, where, counts) -> list[np.ndarray]:
    """(points, 2) polygons, without such that are no polygon of this picture.

    Those have fewer than three points, an odd number of values, a value that is not finite, or a point that is more
    than FAR sizes of the picture beyond it.
    """
    good = []
    for polygon in segmentation:
        numbers = isinstance(polygon, list) and all(map(is_number, polygon))
        check(numbers, f"{where} has a polygon that is not a list of numbers: {shown(polygon)}")
        if len(polygon) < 6 or len(polygon) % 2:
            counts["bad_polygons"] += 1
            continue
        points = np.asarray(polygon, np.float64).reshape(-1, 2)
        near = (points >= np.multiply(size, -FAR)) & (points <= np.multiply(size, FAR + 1))  # NaN is not
        if near.all():
            good.append(points)
        else:
            counts["bad_polygons"] += 1
    return good


def _fill(polygons, size, counts) -> np.ndarray | None:
    """(H, W) uint8 union of polygons, None of none; `size` is (width, height). Endless outlines count as bad."""
    outlines = []
    for polygon in polygons:
        steps = np.abs(polygon - np.roll(polygon, 1, axis=0)).max(1)
        if steps.sum() + len(polygon) <= LONGEST:
            outlines.append(polygon.ravel().tolist())
        else:
            counts["bad_polygons"] += 1
    if not outlines:
        return None
    width, height = size
    return coco_mask.decode(coco_mask.merge(coco_mask.frPyObjects(outlines, height, width)))


def _rle(segmentation, size, where) -> np.ndarray:
    """(H, W) uint8 mask of an RLE, compressed or not, that fills its picture; `size` is the picture's (width, height).

    Runs go down the columns and begin with one outside.
    """
    width, height = size
    given = segmentation.get("size")
    check(
        given == [height, width],
        f"{where} has an RLE mask of [height, width] {shown(given)}, its picture has {[height, width]}",
    )
    runs = segmentation.get("counts")
    check(isinstance(runs, str | list), f"{where} has an RLE mask without counts, text or a list: {shown(runs)}")
    given = runs
    if isinstance(runs, str):
        runs = _uncompressed(runs)
    fills = runs is not None and all(is_whole(run) and run >= 0 for run in runs) and sum(runs) == width * height
    check(
        fills,
        f"{where} has an RLE mask that does not fill its picture: 'counts' = {shown(given)}; runs of {width * height} "
        "pixels in all are expected",
    )
    inside = (np.arange(len(runs)) % 2).astype(np.uint8)
    return np.repeat(inside, runs).reshape(width, height).T


def _uncompressed(text: str) -> list[int] | None:
    """The runs of a compressed RLE, None where it is none.

    Numbers are written with 5 bits a letter, from the low ones, as those of two's complement; bit 5: more letters
    follow. From the fourth on it is the difference to the number two places before.
    """
    runs = []
    value = shift = 0
    for letter in text:
        bits = ord(letter) - 48
        if not 0 <= bits < 64 or shift > 60:
            return None
        value |= (bits & 31) << shift
        shift += 5
        if bits & 32:
            continue
        if bits & 16:
            value -= 1 << shift
        runs.append(value + (runs[-2] if len(runs) > 2 else 0))
        value = shift = 0
    return runs if not shift else None


def _sample(mask, corner, side, pixels) -> np.ndarray:
    """(pixels, pixels) nearest values of an (H, W) mask under the centres of a crop's pixels; 0 outside."""
    centres = (np.arange(pixels) + 0.5) * side / pixels
    columns, rows = (np.floor(start + centres).astype(int) for start in corner)
    rows_in, columns_in = (
        (index >= 0) & (index < length) for index, length in zip((rows, columns), mask.shape, strict=True)
    )
    crop = np.zeros((pixels, pixels), np.uint8)
    crop[np.ix_(rows_in, columns_in)] = mask[np.ix_(rows[rows_in], columns[columns_in])]
    return crop
