"""Where DeepLoc lies: a training and a test folder of pictures, labels and one table of poses each.

The layout is that of programs which read the published files (see README.md); folders are matched by several names. A
broken source is refused by one line that names the file: ValueError, or FileNotFoundError where something is missing.
"""

import dataclasses
import pathlib
import re

import numpy as np

from kzoo import files
from kzoo.datasets import poses
from kzoo.datasets.pictures import ENDINGS, composed, open_plain
from kzoo.datasets.poses import Frame

# in the order of the paper's table of classes; their numbers in the files are not documented
CLASSES = ("background", "sky", "road", "sidewalk", "grass", "vegetation", "building", "poles", "dynamic", "other")
IGNORE = 255  # in the masks
# Names of a split's folder, in lower case as those below.
SPLITS = {"train": ("train",), "val": ("test", "validation", "val")}
PICTURES = ("leftimages", "left", "images")
LABELS = ("labels", "label")
TABLES = ("poses.txt", "pose.txt")
NAME = "img_name"
GAP = 10  # times the usual distance of frame numbers: where they leave a larger gap, another sequence begins
COUNTS = (
    "frames",
    "sequences",
    "labelled_frames",
    "pictures_without_pose",
    "labels_without_pose",
    "converted_pictures",
    "turned_pictures",
)


@dataclasses.dataclass(frozen=True)
class Source:
    """One DeepLoc.

    Attributes:
      path: the user's path.
      folders: split -> its folder.
    """

    path: str
    folders: dict


def find_source(path) -> Source:
    """The DeepLoc at `path`, or the only one in a folder right in it."""
    path = files.user_path(path).resolve()
    if not path.is_dir():
        raise FileNotFoundError(f"{path}: no such folder; expected one that holds DeepLoc")
    for roots in ([path], sorted(folder for folder in path.iterdir() if folder.is_dir())):
        candidates = [root for root in roots if _find(root, SPLITS["train"])]
        if len(candidates) > 1:
            raise ValueError(
                f"{path}: more than one DeepLoc: {', '.join(root.name for root in candidates)}; name one of them"
            )
        if candidates:
            return Source(str(path), {split: _one(candidates[0], names) for split, names in SPLITS.items()})
    raise FileNotFoundError(
        f"{path}: no DeepLoc: looked for the folder {SPLITS['train'][0]}; found: {poses.contents(path)}"
    )


def find_frames(folder: pathlib.Path, first: int, counts: dict) -> list[list[Frame]]:
    """The frames of a split by sequence, with their poses, all of them checked.

    Args:
      folder: of the split.
      first: number of its first sequence.
      counts: COUNTS are counted, but those of converted and turned pictures.
    """
    pictures = _files(_one(folder, PICTURES))
    labels = _labels(_one(folder, LABELS)) if _find(folder, LABELS) else {}
    table = _one(folder, TABLES)
    frames = {}
    for line, name, position, rotation in _poses(table):
        number = _number(name, f"{table}: line {line}")
        if name not in pictures:
            raise FileNotFoundError(f"{table}: line {line}: no picture {name} in {_one(folder, PICTURES)}")
        if number in frames:
            raise ValueError(f"{table}: line {line}: frame {number} has a pose already ({frames[number].picture.name})")
        frames[number] = Frame(0, number, pictures[name], position, rotation, label=labels.get(number))
    if not frames:
        raise ValueError(f"{table}: holds no poses")
    usual = np.median(np.diff(sorted(frames))) if len(frames) > 1 else 1
    runs = poses.runs(frames.values(), GAP * usual)
    counts["frames"] = len(frames)
    counts["sequences"] = len(runs)
    counts["labelled_frames"] = sum(frame.label is not None for frame in frames.values())
    counts["pictures_without_pose"] = len(pictures) - len(frames)
    counts["labels_without_pose"] = len(labels) - counts["labelled_frames"]
    numbered = []
    for number, run in enumerate(runs, first):
        numbered.append([dataclasses.replace(frame, sequence=number) for frame in run])
    return numbered


def read_mask(path: pathlib.Path | None, size: tuple[int, int]) -> np.ndarray:
    """(H, W, 1) uint8 class numbers; all IGNORE where a frame has no label. `size` (width, height) is its picture's."""
    if path is None:
        return np.full((size[1], size[0], 1), IGNORE, np.uint8)
    label = open_plain(path)
    if label.mode not in ("L", "P"):
        raise ValueError(f"{path}: label of mode {label.mode}; expected one channel of 8 bits that holds class numbers")
    if label.size != size:
        raise ValueError(f"{path}: label is {label.width}x{label.height}, its picture is {size[0]}x{size[1]}")
    ids = np.asarray(label)
    wrong = np.unique(ids[(ids >= len(CLASSES)) & (ids != IGNORE)]).tolist()
    if wrong:
        raise ValueError(
            f"{path}: class numbers {wrong[:5]}; allowed: 0 to {len(CLASSES) - 1}, and {IGNORE} for not labelled"
        )
    return ids[..., None].astype(np.uint8)


def _find(folder, names) -> list[pathlib.Path]:
    """What in a folder has one of the names, whatever its case."""
    return sorted(path for path in folder.iterdir() if path.name.lower() in names)


def _one(folder, names) -> pathlib.Path:
    """What has one of the names; exactly one must be there."""
    candidates = _find(folder, names)
    if not candidates:
        raise FileNotFoundError(f"{folder}: looked for {' or '.join(names)}; found: {poses.contents(folder)}")
    if len(candidates) > 1:
        raise ValueError(
            f"{folder}: holds {' and '.join(path.name for path in candidates)}; only one of them can be meant"
        )
    return candidates[0]


def _files(folder) -> dict[str, pathlib.Path]:
    """Name without suffix -> picture file; others and hidden ones are passed over."""
    found = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in ENDINGS and not path.name.startswith("."):
            name = composed(path.stem)
            if name in found:
                raise ValueError(f"{path}: {found[name].name} has the same name")
            found[name] = path
    return found


def _labels(folder) -> dict[int, pathlib.Path]:
    """Frame number -> label."""
    found = {}
    for path in _files(folder).values():
        number = _number(path.stem, path)
        if number in found:
            raise ValueError(f"{path}: {found[number].name} is a label of the same frame")
        found[number] = path
    return found


def _number(name, where) -> int:
    """The frame's number: the first digits of a file's name, as in Image_17."""
    match = re.search(r"\d+", name)
    if not match:
        raise ValueError(f"{where}: no frame number in the name {name[:100]!r}; expected one like Image_17")
    return int(match[0])


def _poses(table):
    """Yields (line, name without suffix, position, rotation) of each row of the table."""
    columns = [NAME, *poses.COLUMNS]
    for line, text in enumerate(poses.read_text(table).splitlines(), 1):
        words = text.replace(",", " ").split()
        if not words:
            continue
        if line == 1 and set(columns) <= set(words):
            columns = words
            continue
        if len(words) != len(columns):
            raise ValueError(
                f"{table}: line {line} has {len(words)} values; expected {len(columns)}: {' '.join(columns)}"
            )
        row = dict(zip(columns, words, strict=True))
        try:
            pose = np.array([row[column] for column in poses.COLUMNS], np.float64)
        except ValueError as error:
            raise ValueError(f"{table}: line {line} is {text[:100]!r}; expected {' '.join(columns)}") from error
        if not np.isfinite(pose).all():
            raise ValueError(f"{table}: line {line}: pose is not finite: {' '.join(words)}")
        length = np.linalg.norm(pose[3:])
        if abs(length - 1) > poses.UNIT:
            raise ValueError(f"{table}: line {line}: quaternion has the length {length:.4g}; expected 1")
        name = composed(row[NAME])
        stem = pathlib.PurePosixPath(name).stem if name.lower().endswith(ENDINGS) else name
        yield line, stem, pose[:3].astype(np.float32), poses.unit_quaternion(pose[3:])
