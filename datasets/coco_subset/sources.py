"""Where the data lies: the lab's archive, a COCO folder or the official zips, all read through one record.

A broken file is refused by one line that names it: ValueError, or FileNotFoundError where something is missing.
"""

import collections
import dataclasses
import io
import itertools
import json
import pathlib
import zipfile
import zlib
from collections.abc import Mapping

from PIL import Image

ARCHIVE_URL = "https://lmb.informatik.uni-freiburg.de/data/DL_Labcourse/coco_subset.zip"
OFFICIAL_URLS = {
    "train": "http://images.cocodataset.org/zips/train2017.zip",
    "val": "http://images.cocodataset.org/zips/val2017.zip",
    "annotations": "http://images.cocodataset.org/annotations/annotations_trainval2017.zip",
}
SPLITS = ("train", "val")

# config -> the annotation files it may be prepared from, best first
COCO_TABLES = {
    "pose": ("person_keypoints_{}.json", "person_keypoints_{}2017.json"),
    "seg": ("instances_person_{}.json", "instances_{}.json", "instances_{}2017.json"),
    "things": ("instances_{}.json", "instances_{}2017.json"),
}
ARCHIVE_TABLES = {"pose": ("keypoints_256_{}.json",), "seg": ("keypoints_256_{}.json",)}
COCO_PICTURES = ("images", "{}2017", "{}", "images/{}2017", "images/{}")
ARCHIVE_PICTURES = ("{}_256",)

# what reading a broken file raises: a zip member may be cut, garbled or encrypted
_BROKEN = (
    OSError,
    ValueError,
    SyntaxError,
    EOFError,
    RuntimeError,
    zipfile.BadZipFile,
    zlib.error,
    Image.DecompressionBombError,
)


@dataclasses.dataclass(frozen=True)
class Source:
    """One place that examples are read from.

    Attributes:
      kind: "archive", "folder" or "official".
      path: the user's path, or the address it came from.
      annotations: folder of the JSON files, on disk or inside a zip.
      pictures: split -> folders that may hold its pictures.
      tables: config -> names of the annotation files it may be prepared from.
    """

    kind: str
    path: str
    annotations: pathlib.Path | zipfile.Path
    pictures: Mapping[str, tuple]
    tables: Mapping[str, tuple[str, ...]]


@dataclasses.dataclass(frozen=True)
class Table:
    """One COCO annotation file: images by id, annotations by the id of their image, category names by id."""

    name: str
    images: Mapping[int, dict]
    annotations: Mapping[int, list[dict]]
    categories: Mapping[int, str]


def find_source(path) -> Source:
    """The archive or the COCO folder at `path`: a zip file, a folder that holds it, or an unpacked folder."""
    path = pathlib.Path(path).expanduser().resolve()
    if not path.exists():
        raise FileNotFoundError(
            f"{path}: no such file or folder; expected coco_subset.zip, its folder or a COCO folder"
        )
    for root in _roots(path):
        annotations = root / "annotations"
        for kind, tables, pictures in (
            ("archive", ARCHIVE_TABLES, ARCHIVE_PICTURES),
            ("folder", COCO_TABLES, COCO_PICTURES),
        ):
            patterns = itertools.chain.from_iterable(tables.values())
            names = {name.format(split) for name, split in itertools.product(patterns, SPLITS)}
            if any((annotations / name).is_file() for name in sorted(names)):
                folders = {}
                for split in SPLITS:
                    folders[split] = tuple(root / name.format(split) for name in pictures)
                return Source(kind, str(path), annotations, folders, tables)
    raise FileNotFoundError(
        f"{path}: neither the lab's archive (annotations/keypoints_256_train.json) nor a COCO folder "
        "(annotations/person_keypoints_*.json, instances_*.json)"
    )


def official_source(folders: Mapping[str, pathlib.Path]) -> Source:
    """The extracted official zips: "train", "val" and "annotations" -> folder."""
    pictures = {split: (folders[split] / f"{split}2017", folders[split]) for split in SPLITS}
    return Source(
        "official", OFFICIAL_URLS["annotations"], folders["annotations"] / "annotations", pictures, COCO_TABLES
    )


def _roots(path):
    """Folders, on disk or inside a zip, where `annotations` may be."""
    if path.is_file():
        return _zip_roots(path)
    roots = [path, path / "coco_subset"]
    archive = path / "coco_subset.zip"
    return roots + (_zip_roots(archive) if archive.is_file() else [])


def _zip_roots(path):
    """The two places inside a zip where `annotations` may be: the archive's own folder and the top."""
    try:
        root = zipfile.Path(path)
    except _BROKEN as error:
        raise ValueError(f"{path}: not a readable zip file ({_one_line(error)})") from error
    return [root / "coco_subset", root]


def read_json(path):
    """The value that a JSON file holds."""
    try:
        return json.loads(path.read_bytes())
    except _BROKEN as error:
        raise ValueError(f"{path}: not a whole JSON file ({_one_line(error)})") from error


def find_table(source: Source, config: str, split: str):
    """Path of the annotation file that `config` is prepared from."""
    if config not in source.tables:
        allowed = ", ".join(source.tables)
        raise ValueError(
            f"{source.path}: the lab's archive has no labels for the config {config!r}; it can be prepared as {allowed}"
        )
    names = [name.format(split) for name in source.tables[config]]
    for name in names:
        if (source.annotations / name).is_file():
            return source.annotations / name
    raise FileNotFoundError(f"{source.annotations}: the split {split!r} of {config!r} needs one of {', '.join(names)}")


def read_table(path) -> Table:
    """A COCO annotation file, checked: ids are unique and every annotation names an image of the file."""
    content = read_json(path)
    lists = isinstance(content, dict) and all(isinstance(content.get(key), list) for key in ("images", "annotations"))
    check(lists, f"{path}: not a COCO annotation file: the lists 'images' and 'annotations' are expected")
    images = _unique(content["images"], "image", path)
    annotations = collections.defaultdict(list)
    for key, row in _unique(content["annotations"], "annotation", path).items():
        image_id = field(row, "image_id", f"{path}: annotation {key}")
        check(image_id in images, f"{path}: annotation {key} names image {image_id}, which the file does not list")
        annotations[image_id].append(row)
    categories = {key: row.get("name") for key, row in _unique(content.get("categories", []), "category", path).items()}
    return Table(str(path), images, dict(annotations), categories)


def _unique(rows, what, path):
    """id -> row, in file order."""
    found = {}
    for row in rows:
        check(
            isinstance(row, dict) and isinstance(row.get("id"), int),
            f"{path}: {what} without an integer id: {str(row)[:80]}",
        )
        check(row["id"] not in found, f"{path}: {what} id {row['id']} is given twice")
        found[row["id"]] = row
    return found


def check(good: bool, message: str):
    """Refuses with one line what is not good."""
    if not good:
        raise ValueError(message)


def field(row: Mapping, name: str, where: str):
    """`row[name]`, or one line that says which record lacks it."""
    check(isinstance(row, Mapping) and name in row, f"{where} has no {name!r}")
    return row[name]


def read_picture(folders, name: str, size=None) -> tuple[Image.Image, bytes | None]:
    """One picture.

    Args:
      folders: folders that may hold it.
      name: its file name; folders in front of it are not used.
      size: (width, height) in pixels that the annotations are made for, or None.

    Returns:
      The picture as RGB, and the file's own bytes where they are an RGB JPEG already, else None.
    """
    name = pathlib.PurePosixPath(name).name
    path = next((folder / name for folder in folders if (folder / name).is_file()), None)
    if path is None:
        raise FileNotFoundError(f"{name}: picture is missing; looked in {', '.join(map(str, folders))}")
    try:
        content = path.read_bytes()
        picture = Image.open(io.BytesIO(content))
        picture.load()
    except _BROKEN as error:
        raise ValueError(f"{path}: picture cannot be read ({_one_line(error)})") from error
    if size is not None and picture.size != tuple(size):
        raise ValueError(
            f"{path}: picture is {picture.size[0]}x{picture.size[1]}, its annotations are for {size[0]}x{size[1]}"
        )
    ready = picture.mode == "RGB" and picture.format == "JPEG"
    return picture.convert("RGB"), content if ready else None


def _one_line(error) -> str:
    """The error's text without line breaks and without the memory address of a buffer."""
    return " ".join(str(error).split(" <_io.")[0].split()) or type(error).__name__
