"""From the records of a source to examples: what is kept, the crop, the joints and the masks.

Coordinates: (0, 0) is the outer corner of the first pixel. Whatever is left out or mended is counted in `counts`.
"""

import math

import numpy as np
from PIL import Image

from kzoo.datasets import encoded, pictures
from kzoo.datasets.coco_subset import fields, masks, sources
from kzoo.datasets.coco_subset.classes import CLASS_IDS
from kzoo.datasets.coco_subset.fields import check
from kzoo.datasets.coco_subset.masks import IGNORE
from kzoo.datasets.coco_subset.names import Names
from kzoo.datasets.sourced import describe

SIZE = 256  # pixels of a crop's side
BOX_SCALE = 1.25  # the crop's side over the longer side of the person's box
MIN_JOINTS = 8  # labelled joints of a person that is kept
MIN_HEIGHT = 64  # pixels of the box of a person that is kept
JPEG_QUALITY = 95
LARGEST_SIDE = 8192  # pixels of a square that is cut out as it is

_PICTURE_COUNTS = ("converted_pictures", "turned_pictures", "not_turned_pictures", "found_without_folders")
_MASK_COUNTS = ("kept", "dropped_without_mask", "without_objects", "crowd_regions", "bad_polygons", *_PICTURE_COUNTS)
# config -> what is counted
COUNTS = {
    "pose": (
        "kept", "dropped_other_class", "dropped_crowd", "dropped_bad_box", "dropped_few_joints", "dropped_small",
        "unused_pictures", "without_mask", "bad_polygons", "joints_outside_crop", "joints_outside_picture",
        *_PICTURE_COUNTS,
    ),
    "seg": _MASK_COUNTS,
    "things": _MASK_COUNTS,
}  # fmt: skip


def generate(source: sources.Source, config: str, split: str, counts: dict):
    """Yields (key, example) of one split and counts into `counts`."""
    readers = {("archive", "pose"): _archive_pose, ("archive", "seg"): _archive_seg}
    path = sources.find_table(source, config, split)
    reader = (
        readers.get((source.kind, config)) or {"pose": _coco_pose, "seg": _coco_seg, "things": _coco_things}[config]
    )
    names = Names(source.places[split], lambda: sources.file_names(source, config), counts)
    for key, example in reader(path, names, counts):
        counts["kept"] += 1
        yield key, example
    if not counts["kept"]:
        raise ValueError(f"{path}: no example is left in the split {split!r}: {describe(counts)}")


# pose, from COCO


def _coco_pose(path, names, counts):
    """One example per person that is large and complete enough."""
    table = sources.read_table(path)
    names.check_once(table)
    fields.check_skeleton(table.categories, table.name)
    for image_id, image in table.images.items():
        where = f"{table.name}: image {image_id}"
        rows = table.annotations.get(image_id, [])
        size = fields.size_of(image)
        picture = None
        if rows and size is None:
            picture = _picture(names, image, where, counts)
            size = picture.image.size
        kept = [row for row in rows if not _dropped(row, size, f"{table.name}: annotation {row['id']}", counts)]
        if not kept:
            counts["unused_pictures"] += 1
            continue
        picture = picture or _picture(names, image, where, counts)
        counts["converted_pictures"] += picture.turned or picture.mode != "RGB"
        counts["turned_pictures"] += picture.turned
        for row in kept:
            yield row["id"], _person(row, picture.image, f"{table.name}: annotation {row['id']}", counts)


def _dropped(row, size, where, counts) -> bool:
    """Whether a person is left out; the first reason is counted."""
    rules = {
        "dropped_other_class": lambda: row.get("category_id", 1) != 1,
        "dropped_crowd": lambda: row.get("iscrowd", 0),
        "dropped_bad_box": lambda: not _box_is_good(fields.numbers(row, "bbox", 4, where), size),
        "dropped_few_joints": lambda: (fields.joints(row, where)[:, 2] > 0).sum() < MIN_JOINTS,
        "dropped_small": lambda: row["bbox"][3] < MIN_HEIGHT,
    }
    reason = next((name for name, rule in rules.items() if rule()), None)
    if reason:
        counts[reason] += 1
    return reason is not None


def _box_is_good(box, size) -> bool:
    """Whether a box (x, y, w, h in pixels) is finite, has a size, and lies on the picture and is not larger than it."""
    x, y, w, h = box
    width, height = size
    return bool(
        np.isfinite(box).all() and 0 < w <= width + 1 and 0 < h <= height + 1 and -w < x < width and -h < y < height
    )


def _person(row, picture, where, counts) -> dict:
    """The example of one person: `picture` is the whole RGB picture."""
    box = fields.numbers(row, "bbox", 4, where)
    side = BOX_SCALE * max(box[2:])
    corner = box[:2] + box[2:] / 2 - side / 2
    joints = fields.joints(row, where)
    outside = (joints[:, :2] < 0).any(1) | (joints[:, :2] >= picture.size).any(1)
    counts["joints_outside_picture"] += int((outside & (joints[:, 2] > 0)).sum())
    area = row.get("area", box[2] * box[3])
    mask = masks.crop_mask(row.get("segmentation"), corner, side, SIZE, picture.size, where, counts)
    return {
        "image": _jpeg(crop(picture, corner, side)),
        "keypoints": crop_joints(joints, corner, side, counts),
        "mask": _labelled_mask(mask, counts),
        "bbox": np.float32(box),
        "area": np.float32(area),
        "image_id": row["image_id"],
        "ann_id": row["id"],
        "crop_to_image": np.float32([[side, 0, corner[0]], [0, side, corner[1]], [0, 0, 1]]),
    }


def crop(picture: Image.Image, corner, side: float) -> Image.Image:
    """The square at `corner` (x, y) of `side` pixels as a SIZE x SIZE picture.

    Black outside the picture, antialiased when shrunk. Of very large squares the picture is shrunk first, by the mean
    over whole pixels.
    """
    if side > LARGEST_SIDE:
        factor = math.ceil(side / LARGEST_SIDE)
        return crop(picture.reduce(factor), np.divide(corner, factor), side / factor)
    margin = math.ceil(side / SIZE) + 1  # the filter looks past the square's border
    low = np.floor(corner).astype(int) - margin
    high = np.ceil(np.add(corner, side)).astype(int) + margin
    offset = corner - low
    return picture.crop((*low.tolist(), *high.tolist())).resize(
        (SIZE, SIZE), Image.Resampling.BILINEAR, box=(*offset.tolist(), *(offset + side).tolist())
    )


def crop_joints(joints, corner, side: float, counts) -> np.ndarray:
    """(J, 3) joints in pixels -> float32 fractions of the crop; zero where unlabelled or outside the crop."""
    fractions = np.float32((joints[:, :2] - corner) / side)
    labelled = joints[:, 2] > 0
    inside = ((fractions >= 0) & (fractions < 1)).all(1)
    counts["joints_outside_crop"] += int((labelled & ~inside).sum())
    return np.where((labelled & inside)[:, None], np.column_stack([fractions, joints[:, 2]]), 0).astype(np.float32)


def _labelled_mask(mask, counts) -> np.ndarray:
    """(SIZE, SIZE, 1) uint8 mask; all IGNORE, and counted, where there is none."""
    if mask is None:
        counts["without_mask"] += 1
        return np.full((SIZE, SIZE, 1), IGNORE, np.uint8)
    return mask[..., None]


# whole pictures, from COCO


def _coco_seg(path, names, counts):
    """Whole pictures with every person's mask: 1 person, IGNORE crowd."""
    return _coco_masks(path, names, counts, {1: 1})


def _coco_things(path, names, counts):
    """Whole pictures with the masks of all 80 classes."""
    return _coco_masks(path, names, counts, CLASS_IDS)


def _coco_masks(path, names, counts, labels):
    """Whole pictures; `labels` maps the category ids that are painted to mask values. Others are background."""
    table = sources.read_table(path)
    names.check_once(table)
    fields.check_classes(table.categories, table.name)
    for image_id, image in table.images.items():
        rows = table.annotations.get(image_id, [])
        for row in rows:
            where = f"{table.name}: annotation {row['id']}"
            category = fields.whole(row, "category_id", where)
            check(category in CLASS_IDS, f"{where} has category {category}, which is not one of COCO's 80")
        rows = [row for row in rows if row["category_id"] in labels]
        picture = _picture(names, image, f"{table.name}: image {image_id}", counts)
        mask = masks.paint(rows, picture.image.size, labels, table.name, counts)
        if mask is None:
            counts["dropped_without_mask"] += 1
            continue
        counts["without_objects"] += not rows
        yield image_id, {"image": _stored(picture, counts), "mask": mask[..., None], "image_id": image_id}


# the lab's archive


def _archive_rows(path, names, counts):
    """(number, record, picture, mask or None, where) of all records of the lab's archive."""
    rows = sources.read_json(path)
    name = pictures.printable(path)
    check(isinstance(rows, list), f"{name}: a list of records with file_name, keypoints and segmentation is expected")
    for number, row in enumerate(rows):
        where = f"{name}: record {number}"
        image = {"file_name": fields.field(row, "file_name", where), "width": SIZE, "height": SIZE}
        fields.check_image(image, where)
        picture = _picture(names, image, where, counts)
        segmentation = masks.parse(row.get("segmentation"), where)
        if isinstance(segmentation, list):
            segmentation = segmentation[:1]  # the course uses the first polygon only
        yield number, row, picture, masks.whole_mask(segmentation, (SIZE, SIZE), where, counts), where


def _archive_pose(path, names, counts):
    """One example per crop of the archive; the crop is its own original picture."""
    for number, row, picture, mask, where in _archive_rows(path, names, counts):
        joints = fields.joints(row, where)
        labelled = joints[joints[:, 2] > 0, :2]
        low, high = (labelled.min(0), labelled.max(0)) if len(labelled) > 1 else (np.zeros(2), np.full(2, SIZE))
        yield (
            number,
            {
                "image": _stored(picture, counts),
                "keypoints": crop_joints(joints, np.zeros(2), SIZE, counts),
                "mask": _labelled_mask(mask, counts),
                "bbox": np.float32([*low, *(high - low)]),
                "area": np.float32(np.prod(high - low) if mask is None else mask.sum()),
                "image_id": number,
                "ann_id": number,
                "crop_to_image": np.float32([[SIZE, 0, 0], [0, SIZE, 0], [0, 0, 1]]),
            },
        )


def _archive_seg(path, names, counts):
    """The crops that have a polygon."""
    for number, _, picture, mask, _ in _archive_rows(path, names, counts):
        if mask is None:
            counts["dropped_without_mask"] += 1
            continue
        yield number, {"image": _stored(picture, counts), "mask": mask[..., None], "image_id": number}


# pictures


def _picture(names, image, where, counts) -> pictures.Picture:
    """The picture of an image record, in the size that its annotations are made for."""
    size = fields.size_of(image)
    try:
        path = names.find(image["file_name"])
        picture = pictures.open_picture(path, size)
    except (ValueError, FileNotFoundError) as error:
        raise (FileNotFoundError if isinstance(error, OSError) else ValueError)(f"{where}: {error}") from error
    counts["not_turned_pictures"] += picture.as_stored
    width, height = picture.image.size
    if size is not None and (width, height) != size:
        turned = " as EXIF turns it" if picture.turned else ""
        raise ValueError(
            f"{where}: {pictures.printable(path)}: picture is {width}x{height}{turned}, its annotations are for "
            f"{size[0]}x{size[1]}"
        )
    return picture


def _stored(picture: pictures.Picture, counts) -> bytes:
    """A whole picture as records hold it."""
    return encoded.own_bytes(picture, ("JPEG",), counts) or _jpeg(picture.image)


def _jpeg(image: Image.Image) -> bytes:
    """The picture as JPEG."""
    return encoded.jpeg(image, quality=JPEG_QUALITY)
