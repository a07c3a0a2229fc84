"""Where a scene of 7-Scenes lies: the official layout by sequences, and one whose lists name single frames.

A broken source is refused by one line that names the file: ValueError, or FileNotFoundError where something is missing.
"""

import dataclasses
import itertools
import pathlib
import re

import numpy as np

from kzoo import files
from kzoo.datasets import poses
from kzoo.datasets.pictures import open_plain
from kzoo.datasets.poses import Frame

SPLITS = {"train": "training", "val": "test"}  # here -> in the publication
LISTS = {  # kind -> list of each split
    "sequences": {"train": "TrainSplit.txt", "val": "TestSplit.txt"},
    "frames": {"train": "train.txt", "val": "test.txt"},
}
COUNTS = ("frames", "sequences", "runs", "converted_pictures", "turned_pictures")
FOCAL = 585  # pixels, of pictures of SIZE
CENTRE = (320, 240)
SIZE = (640, 480)
NO_DEPTH = (0, 65535)  # in the files

_SEQUENCE = re.compile(r"(?:sequence|seq-?)\s*(\d+)", re.IGNORECASE)
_LISTED = re.compile(r"(?:.*/)?seq-(\d+)/frame-(\d+)(?:\.\w+)*")
_FILE = re.compile(r"frame-(\d+)\.(color|pose|depth)\.(png|jpe?g|txt)", re.IGNORECASE)


@dataclasses.dataclass(frozen=True)
class Source:
    """One scene.

    Attributes:
      kind: a key of LISTS.
      path: the user's path.
      root: the scene's folder: `path`, or the only one in it.
    """

    kind: str
    path: str
    root: pathlib.Path


def find_source(path) -> Source:
    """The scene at `path`, or the only one in a folder right in it."""
    path = files.user_path(path).resolve()
    if not path.is_dir():
        raise FileNotFoundError(f"{path}: no such folder; expected that of one scene of 7-Scenes")
    for roots in ([path], sorted(folder for folder in path.iterdir() if folder.is_dir())):
        candidates = itertools.product(roots, LISTS)
        sources = [Source(kind, str(path), root) for root, kind in candidates if _looks_like(root, kind)]
        if len({source.root for source in sources}) > 1:
            names = ", ".join(source.root.name for source in sources)
            raise ValueError(f"{path}: holds several scenes: {names}; give the folder of one of them")
        if len(sources) > 1:
            raise ValueError(
                f"{sources[0].root}: holds both TrainSplit.txt and train.txt; remove the lists that shall not count"
            )
        if sources:
            return sources[0]
    lists = " nor ".join(" and ".join(names.values()) for names in LISTS.values())
    raise FileNotFoundError(f"{path}: no scene of 7-Scenes: neither {lists} are in it; found: {poses.contents(path)}")


def find_splits(source: Source, depth: bool = False) -> dict[str, list[Frame]]:
    """The frames of each split with their poses, all of them checked.

    Args:
      source: the scene.
      depth: whether every frame must have its depth.
    """
    folders = {}
    splits = {}
    for split, name in LISTS[source.kind].items():
        listed = _listed(source.root / name, source.kind)
        splits[split] = []
        for sequence, number in listed:
            if sequence not in folders:
                folders[sequence] = _files(source.root, sequence)
            numbers = sorted(folders[sequence]) if number is None else [number]
            splits[split] += [_frame(source.root, folders, sequence, number, depth) for number in numbers]
    train = {frame.key for frame in splits["train"]}
    for frame in splits["val"]:
        if frame.key in train:
            raise ValueError(f"{source.root}: {frame.picture.parent.name}/frame-{frame.number:06d} is in both splits")
    return splits


def intrinsics(size: tuple[int, int]) -> np.ndarray:
    """(3, 3) float32 in pixels of a picture of `size` (width, height).

    (0, 0) is the outer corner of the first pixel.
    """
    across, down = size[0] / SIZE[0], size[1] / SIZE[1]
    return np.float32([[FOCAL * across, 0, CENTRE[0] * across], [0, FOCAL * down, CENTRE[1] * down], [0, 0, 1]])


def read_depth(path: pathlib.Path, size: tuple[int, int]) -> np.ndarray:
    """(H, W) float32 metres, 0 where there is none; `size` (width, height) is its picture's."""
    picture = open_plain(path)
    if not picture.mode.startswith("I"):
        raise ValueError(
            f"{path}: depth of mode {picture.mode}; expected one channel of 16 bits that holds millimetres"
        )
    if picture.size != size:
        raise ValueError(f"{path}: depth is {picture.width}x{picture.height}, its picture is {size[0]}x{size[1]}")
    millimetres = np.asarray(picture)
    return np.where(np.isin(millimetres, NO_DEPTH), 0, millimetres / 1000).astype(np.float32)


def _looks_like(root, kind) -> bool:
    return all((root / name).is_file() for name in LISTS[kind].values())


def _listed(table, kind) -> list[tuple[int, int | None]]:
    """(sequence, frame) of each line of a list; frame is None where the list names whole sequences."""
    pattern, example = (_SEQUENCE, "sequence1") if kind == "sequences" else (_LISTED, "seq-01/frame-000000")
    found = {}
    for line_number, line in enumerate(poses.read_text(table).splitlines(), 1):
        text = line.strip().replace("\\", "/")
        if not text or text.startswith("#"):
            continue
        match = pattern.fullmatch(text)
        if not match:
            raise ValueError(f"{table}: line {line_number} is {line[:100]!r}; expected one like {example!r}")
        entry = (int(match[1]), int(match[2]) if kind == "frames" else None)
        if entry in found:
            raise ValueError(f"{table}: line {line_number} names {text} again")
        found[entry] = line_number
    if not found:
        raise ValueError(f"{table}: names no frames")
    return list(found)


def _files(root, sequence) -> dict[int, dict[str, pathlib.Path]]:
    """Frame number -> {"color", "pose", "depth": file} of a sequence; other files are passed over."""
    folder = root / f"seq-{sequence:02d}"
    if not folder.is_dir():
        packed = " (seq-*.zip must be unpacked first)" if any(root.glob("seq-*.zip")) else ""
        raise FileNotFoundError(f"{folder}: folder is missing{packed}; found: {poses.contents(root)}")
    found = {}
    for path in sorted(folder.iterdir()):
        match = _FILE.fullmatch(path.name)
        if match:
            kinds = found.setdefault(int(match[1]), {})
            if match[2].lower() in kinds:
                raise ValueError(f"{path}: {kinds[match[2].lower()].name} is the same frame")
            kinds[match[2].lower()] = path
    if not found:
        raise FileNotFoundError(f"{folder}: no frame-000000.color.png or .jpg; found: {poses.contents(folder)}")
    return found


def _frame(root, folders, sequence, number, depth) -> Frame:
    """One frame; its picture and pose, and its depth if asked for, must be there."""
    files = folders[sequence].get(number, {})
    for kind, suffix in {
        "color": "color.png (or .jpg)",
        "pose": "pose.txt",
        **({"depth": "depth.png"} if depth else {}),
    }.items():
        if kind not in files:
            missing = root / f"seq-{sequence:02d}" / f"frame-{number:06d}.{suffix}"
            raise FileNotFoundError(
                f"{missing} is missing" + ("; only the official pictures have depth" if kind == "depth" else "")
            )
    position, rotation = poses.read_matrix(files["pose"])
    return Frame(sequence, number, files["color"], position, rotation, depth=files.get("depth"))
