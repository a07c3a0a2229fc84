"""Where CamVid lies: two layouts of pictures and labels, read through one record.

A broken source is refused by one line that names the file: ValueError, or FileNotFoundError where something is missing.
"""

import dataclasses
import itertools
import pathlib

import numpy as np

from kzoo import files
from kzoo.datasets import encoded
from kzoo.datasets.pictures import ENDINGS, composed, one_line, open_picture, open_plain

CLASSES = (
    "sky",
    "building",
    "pole",
    "road",
    "pavement",
    "tree",
    "signsymbol",
    "fence",
    "car",
    "pedestrian",
    "bicyclist",
)
VOID = len(CLASSES)  # in the files
IGNORE = 255  # in the masks
SPLITS = ("train", "val", "test")
COUNTS = ("kept", "converted_pictures", "turned_pictures", "unlisted_pictures")
JPEG_QUALITY = 95

# Kind -> folders of a split's pictures and labels.
LAYOUTS = {"folders": ("images/{}", "labels/{}"), "segnet": ("{}", "{}annot")}


@dataclasses.dataclass(frozen=True)
class Source:
    """One place that examples are read from.

    Attributes:
      kind: a key of LAYOUTS.
      path: the user's path.
      root: the folder of the layout: `path`, or a folder in it.
    """

    kind: str
    path: str
    root: pathlib.Path

    def folders(self, split: str) -> tuple[pathlib.Path, pathlib.Path]:
        """The folders of a split's pictures and labels."""
        return _folders(self.root, self.kind, split)


@dataclasses.dataclass(frozen=True)
class Pair:
    """A picture, its label, and its name: the picture's file name without suffix."""

    name: str
    picture: pathlib.Path
    label: pathlib.Path


def find_source(path) -> Source:
    """The CamVid at `path`, or in a folder right in it."""
    path = files.user_path(path).resolve()
    if not path.is_dir():
        raise FileNotFoundError(f"{path}: no such folder; expected one that holds CamVid")
    for roots in ([path], sorted(folder for folder in path.iterdir() if folder.is_dir())):
        candidates = itertools.product(roots, LAYOUTS)
        sources = [Source(kind, str(path), root) for root, kind in candidates if _looks_like(root, kind)]
        if len(sources) > 1:
            names = ", ".join(f"{source.root} ({source.kind})" for source in sources)
            raise ValueError(f"{path}: more than one CamVid: {names}; name one of them")
        if sources:
            _check_classes(sources[0].root / "classes.txt")
            return sources[0]
    raise FileNotFoundError(
        f"{path}: not CamVid: neither images/train and labels/train nor train and trainannot are in it"
    )


def find_pairs(source: Source, split: str, counts: dict) -> list[Pair]:
    """Pictures and labels of one split: those of its list if there is one, else all, by name.

    The list is train.txt, … beside SegNet's folders.
    """
    pictures, labels = map(_files, source.folders(split))
    table = source.root / f"{split}.txt"
    if source.kind == "segnet" and table.is_file():
        names = _listed(table)
        counts["unlisted_pictures"] += len(set(pictures) - {picture for picture, _ in names})
    else:
        names = [(name, name) for name in sorted({*pictures, *labels})]
    missing = [f"{label} has no picture" for picture, label in names if picture not in pictures]
    missing += [f"{picture} has no label" for picture, label in names if label not in labels]
    if missing:
        more = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
        raise FileNotFoundError(
            f"{source.root}: split {split!r}: {missing[0]}{more}; every picture needs a label of its name"
        )
    if not names:
        raise ValueError(f"{source.root}: split {split!r} is empty")
    return [Pair(picture, pictures[picture], labels[label]) for picture, label in names]


def read_pair(pair: Pair, counts: dict) -> tuple[bytes, np.ndarray]:
    """A picture and its mask.

    Args:
      pair: where they lie.
      counts: "converted_pictures" and "turned_pictures" are counted.

    Returns:
      The picture as JPEG (the file's own bytes where they are an RGB JPEG already), and the mask: (H, W, 1) uint8, void
      is IGNORE.
    """
    label = open_plain(pair.label)
    if label.mode not in ("L", "P"):
        raise ValueError(
            f"{pair.label}: label of mode {label.mode}; expected one channel of 8 bits that holds class numbers"
        )
    ids = np.asarray(label)
    wrong = np.unique(ids[ids > VOID]).tolist()
    if wrong:
        raise ValueError(f"{pair.label}: class numbers {wrong[:5]}; allowed: 0 to {VOID - 1}, and {VOID} for void")
    picture = open_picture(pair.picture, label.size)
    if picture.image.size != label.size:
        sizes = [f"{width}x{height}" for width, height in (label.size, picture.image.size)]
        raise ValueError(f"{pair.label}: label is {sizes[0]}, its picture {pair.picture} is {sizes[1]}")
    content = encoded.own_bytes(picture, ("JPEG",), counts)
    content = content or encoded.jpeg(picture.image, quality=JPEG_QUALITY, subsampling=0)  # colours at full resolution
    return content, np.where(ids == VOID, IGNORE, ids).astype(np.uint8)[..., None]


def _folders(root, kind, split):
    """The folders of a split's pictures and labels."""
    return tuple(root / pattern.format(split) for pattern in LAYOUTS[kind])


def _looks_like(root, kind) -> bool:
    """Whether a folder holds at least one split in a layout."""
    for split in SPLITS:
        pictures, labels = _folders(root, kind, split)
        if pictures.is_dir() and labels.is_dir():
            return True
    return False


def _check_classes(path):
    """Refuses a list of classes in another order: the numbers in the labels would mean something else."""
    if not path.is_file():
        return
    names = tuple(_text(path).lower().split())
    if names[: len(CLASSES)] != CLASSES or len(names) > len(CLASSES) + 1:
        raise ValueError(f"{path}: classes are {' '.join(names)[:200]}; expected {' '.join(CLASSES)} (void)")


def _files(folder) -> dict[str, pathlib.Path]:
    """Name without suffix -> picture file; others and hidden ones are passed over."""
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: folder is missing")
    found = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in ENDINGS and not path.name.startswith("."):
            name = composed(path.stem)
            if name in found:
                raise ValueError(f"{path}: {found[name].name} has the same name")
            found[name] = path
    return found


def _listed(table) -> list[tuple[str, str]]:
    """Names of picture and label in each line of a list, without folders and suffixes, which differ by machine."""
    names = {}
    for number, line in enumerate(_text(table).splitlines(), 1):
        words = [composed(pathlib.PurePosixPath(word.replace("\\", "/")).stem) for word in line.split()]
        if not words:
            continue
        if len(words) != 2:
            raise ValueError(f"{table}: line {number} is {line[:200]!r}; expected a picture's path and a label's path")
        if words[0] in names:
            raise ValueError(f"{table}: line {number} names {words[0]} again")
        names[words[0]] = words[1]
    return list(names.items())


def _text(path) -> str:
    try:
        return path.read_text("utf-8")
    except (OSError, ValueError) as error:
        raise ValueError(f"{path}: not a readable text file ({one_line(error)})") from error
