"""Where the data lies: the lab's archive, a COCO folder or the official zips, all read through one record.

A broken file is refused by one line that names it: ValueError, or FileNotFoundError where something is missing.
"""

import collections
import dataclasses
import itertools
import json
import pathlib
import zipfile
from collections.abc import Mapping

from kzoo import files
from kzoo.datasets.coco_subset import archives
from kzoo.datasets.coco_subset.fields import check, check_annotation, check_image, is_whole, shown, whole
from kzoo.datasets.pictures import content_of, one_line, printable

ARCHIVE_URL = "https://lmb.informatik.uni-freiburg.de/data/DL_Labcourse/coco_subset.zip"
OFFICIAL_URLS = {
    "train": "http://images.cocodataset.org/zips/train2017.zip",
    "val": "http://images.cocodataset.org/zips/val2017.zip",
    "annotations": "http://images.cocodataset.org/annotations/annotations_trainval2017.zip",
}
SPLITS = ("train", "val")
MAX_JSON = 2**32  # bytes

# config -> the annotation files it may be prepared from, best first
COCO_TABLES = {
    "pose": ("person_keypoints_{}.json", "person_keypoints_{}2017.json"),
    "seg": ("instances_person_{}.json", "instances_{}.json", "instances_{}2017.json"),
    "things": ("instances_{}.json", "instances_{}2017.json"),
}
ARCHIVE_TABLES = {"pose": ("keypoints_256_{}.json",), "seg": ("keypoints_256_{}.json",)}
# places that file names are joined to: of one split, and of all
SPLIT_PLACES = ("images/{}2017", "images/{}", "{}2017", "{}")
PLACES = ("images", "")
ARCHIVE_PLACES = ("{}_256",)


@dataclasses.dataclass(frozen=True)
class Source:
    """One place that examples are read from.

    Attributes:
      kind: "archive", "folder" or "official".
      path: the user's path, or the address it came from.
      annotations: folder of the JSON files, on disk or inside a zip.
      places: split -> folders that its file names are joined to, by rank, see `Names`.
      tables: config -> names of the annotation files it may be prepared from.
    """

    kind: str
    path: str
    annotations: pathlib.Path | zipfile.Path
    places: Mapping[str, tuple[tuple, ...]]
    tables: Mapping[str, tuple[str, ...]]


@dataclasses.dataclass(frozen=True)
class Table:
    """One COCO annotation file: images by id, annotations by the id of their image, categories by id."""

    name: str
    images: Mapping[int, dict]
    annotations: Mapping[int, list[dict]]
    categories: Mapping[int, dict]


def find_source(path) -> Source:
    """The archive or the COCO folder at `path`: a zip file, a folder that holds it, or an unpacked folder."""
    path = files.user_path(path).resolve()
    if not path.exists():
        raise FileNotFoundError(
            f"{printable(path)}: no such file or folder; expected coco_subset.zip, its folder or a COCO folder"
        )
    kinds = (("archive", ARCHIVE_TABLES, (ARCHIVE_PLACES,)), ("folder", COCO_TABLES, (SPLIT_PLACES, PLACES)))
    for roots in archives.candidates(path):
        found = []
        for root, (kind, tables, ranks) in itertools.product(roots, kinds):
            patterns = itertools.chain.from_iterable(tables.values())
            names = {name.format(split) for name, split in itertools.product(patterns, SPLITS)}
            if any((root / "annotations" / name).is_file() for name in sorted(names)):
                places = {split: _places(root, ranks, split) for split in SPLITS}
                found.append((root, Source(kind, str(path), root / "annotations", places, tables)))
        if len({str(root) for root, _ in found}) > 1:
            names = ", ".join(sorted({printable(root) for root, _ in found}))
            raise ValueError(f"{printable(path)}: holds several data sets: {names}; give one of them")
        if found:
            return found[0][1]
    raise FileNotFoundError(
        f"{printable(path)}: neither the lab's archive (annotations/keypoints_256_train.json) nor a COCO folder "
        f"(annotations/person_keypoints_*.json, instances_*.json); found: {archives.contents(path)}"
    )


def _places(root, ranks, split):
    """The folders of a split, by rank."""
    return tuple(tuple(root / name.format(split) if name else root for name in rank) for rank in ranks)


def official_source(folders: Mapping[str, pathlib.Path]) -> Source:
    """The extracted official zips: "train", "val" and "annotations" -> folder."""
    places = {split: ((folders[split] / f"{split}2017",), (folders[split],)) for split in SPLITS}
    return Source("official", OFFICIAL_URLS["annotations"], folders["annotations"] / "annotations", places, COCO_TABLES)


def read_json(path):
    """The value that a JSON file holds; an object that has a name twice is refused."""
    try:
        return json.loads(content_of(path, MAX_JSON), object_pairs_hook=_object)
    except FileNotFoundError:
        raise
    except (ValueError, RecursionError) as error:
        why = "nested too deeply" if isinstance(error, RecursionError) else getattr(error, "why", one_line(error))
        raise ValueError(f"{printable(path)}: not a whole JSON file ({why})") from error


def _object(pairs):
    """A JSON object."""
    row = dict(pairs)
    if len(row) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in row if names.count(name) > 1)
        raise ValueError(f"{shown(twice)} stands twice in one record")
    return row


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
    """A COCO annotation file, checked: types and ranges, unique ids, and every annotation names an image of the
    file."""
    content = read_json(path)
    name = printable(path)
    lists = isinstance(content, dict) and all(isinstance(content.get(key), list) for key in ("images", "annotations"))
    check(lists, f"{name}: not a COCO annotation file: the lists 'images' and 'annotations' are expected")
    images = _unique(content["images"], "image", name)
    for key, row in images.items():
        check_image(row, f"{name}: image {key}")
    annotations = collections.defaultdict(list)
    for key, row in _unique(content["annotations"], "annotation", name).items():
        where = f"{name}: annotation {key}"
        image_id = whole(row, "image_id", where)
        check(image_id in images, f"{where} names image {image_id}, which the file does not list")
        check_annotation(row, where)
        annotations[image_id].append(row)
    categories = content.get("categories", [])
    check(isinstance(categories, list), f"{name}: 'categories' = {shown(categories)}: a list is expected")
    return Table(name, images, dict(annotations), _unique(categories, "category", name))


def file_names(source: Source, config: str) -> list[str]:
    """The file names of all records of all splits."""
    names = []
    for split in SPLITS:
        content = read_json(find_table(source, config, split))
        rows = content.get("images", []) if isinstance(content, dict) else content
        rows = [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
        names += [row["file_name"] for row in rows if isinstance(row.get("file_name"), str)]
    return names


def _unique(rows, what, path):
    """id -> row, in file order."""
    found = {}
    for row in rows:
        check(isinstance(row, dict), f"{path}: {what} that is no record: {shown(row)}")
        key = row.get("id")
        check(is_whole(key), f"{path}: {what} without an integer id: 'id' = {shown(key)}; 64 bits are allowed")
        check(key not in found, f"{path}: {what} id {key} is given twice")
        found[key] = row
    return found
