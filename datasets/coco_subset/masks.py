"""Masks from COCO segmentations: polygons, uncompressed and compressed RLE.

Coordinates are pixels, (0, 0) the outer corner of the first one. A polygon that cannot be painted is counted and left
out; an RLE that does not fit its picture is refused.
"""

import json

import numpy as np
from pycocotools import mask as coco_mask

from kzoo.datasets.coco_subset.sources import check

IGNORE = 255


def paint(rows, size, labels, name: str, counts) -> np.ndarray | None:
    """The masks of one picture in one plane.

    Crowds are painted first, then objects from large to small, so that a small one stays visible on a large one.

    Args:
      rows: annotation records.
      size: (width, height) of the picture in pixels.
      labels: category id -> value in the mask.
      name: of the file, for error messages.
      counts: "crowd_regions" and "bad_polygons" are counted.

    Returns:
      (H, W) uint8: 0 background, IGNORE in crowds; None when an object has no mask.
    """
    layers = []
    for row in rows:
        mask = whole_mask(row.get("segmentation"), size, f"{name}: annotation {row['id']}", counts)
        if mask is None:
            return None
        crowd = bool(row.get("iscrowd", 0))
        counts["crowd_regions"] += crowd
        layers.append((crowd, int(mask.sum()), mask, IGNORE if crowd else labels[row["category_id"]]))
    canvas = np.zeros(size[::-1], np.uint8)
    for _, _, mask, value in sorted(layers, key=lambda layer: layer[:2], reverse=True):
        canvas[mask > 0] = value
    return canvas


def whole_mask(segmentation, size, where: str, counts) -> np.ndarray | None:
    """(H, W) uint8 mask, 1 inside, of a picture of `size` (width, height); None without a usable polygon or RLE."""
    segmentation = parse(segmentation, where)
    if isinstance(segmentation, dict):
        return _decode(_rle(segmentation, size, where), where)
    polygons = _polygons(segmentation, where, counts)
    return _fill(polygons, size) if polygons else None


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
        return _sample(_decode(_rle(segmentation, size, where), where), corner, side, pixels)
    polygons = [(polygon - corner) * (pixels / side) for polygon in _polygons(segmentation, where, counts)]
    return _fill(polygons, (pixels, pixels)) if polygons else None


def parse(segmentation, where: str) -> list | dict:
    """The polygons or the RLE of a record; some tools store them as a JSON string."""
    if isinstance(segmentation, str):
        try:
            segmentation = json.loads(segmentation)
        except ValueError:
            segmentation = 0
    check(
        segmentation is None or isinstance(segmentation, list | dict),
        f"{where} has a segmentation that is neither polygons nor RLE",
    )
    return segmentation or []


def _polygons(segmentation, where, counts) -> list[np.ndarray]:
    """(points, 2) polygons, without such that are no polygon.

    Those have fewer than three points, an odd number of values or a value that is not finite.
    """
    good = []
    for polygon in segmentation:
        try:
            numbers = np.asarray(polygon, np.float64)
        except (TypeError, ValueError):
            numbers = np.zeros(())
        check(numbers.ndim == 1, f"{where} has a polygon that is not a list of numbers")
        if len(numbers) >= 6 and len(numbers) % 2 == 0 and np.isfinite(numbers).all():
            good.append(numbers.reshape(-1, 2))
        else:
            counts["bad_polygons"] += 1
    return good


def _fill(polygons, size) -> np.ndarray:
    """(H, W) uint8 union of polygons; `size` is (width, height)."""
    width, height = size
    return coco_mask.decode(
        coco_mask.merge(coco_mask.frPyObjects([polygon.ravel().tolist() for polygon in polygons], height, width))
    )


def _rle(segmentation, size, where) -> dict:
    """Compressed RLE of a compressed or uncompressed one; `size` is the picture's (width, height)."""
    width, height = size
    given = segmentation.get("size")
    counts = segmentation.get("counts")
    check(
        given == [height, width],
        f"{where} has an RLE mask of [height, width] {given}, its picture has {[height, width]}",
    )
    if isinstance(counts, list):
        whole = all(isinstance(count, int) and count >= 0 for count in counts) and sum(counts) == width * height
        check(whole, f"{where} has an RLE mask that does not fill its picture")
        return coco_mask.frPyObjects({"size": given, "counts": counts}, height, width)
    check(isinstance(counts, str) and counts.isascii(), f"{where} has an RLE mask without counts")
    return {"size": given, "counts": counts.encode()}


def _decode(rle, where) -> np.ndarray:
    """(H, W) uint8 mask."""
    try:
        return coco_mask.decode(rle)
    except ValueError as error:
        raise ValueError(f"{where} has an RLE mask that does not fill its picture") from error


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
