"""Which pictures are meant: files, folders and globs become a list of files; nothing is passed over in silence.

Of a folder or a glob everything is taken that may be a picture. Left aside without a word are hidden files and what is
known to lie beside pictures, by its ending (NOTES) or because it is text; sub-folders are told.
"""

import codecs
import dataclasses
import glob
import itertools
import os
import pathlib
import re
import unicodedata
from collections.abc import Iterable, Mapping

from kzoo import UserError, files

ENDINGS = (  # of pictures, those of cameras and programs too that nobody here reads: they are named then
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".apng", ".webp", ".tif", ".tiff", ".bmp", ".dib", ".gif", ".ppm"),
    *(".pgm", ".pbm", ".pnm", ".pfm", ".jp2", ".j2k", ".jxl", ".mpo", ".avif", ".heic", ".heif", ".hif", ".svg"),
    *(".exr", ".hdr", ".dng", ".cr2", ".cr3", ".nef", ".arw", ".raf", ".orf", ".rw2", ".psd", ".eps", ".ico", ".tga"),
)
VIDEOS = (".mp4", ".mov", ".m4v", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".wmv", ".3gp", ".mts")
NOTES = (
    *(".txt", ".json", ".jsonl", ".xml", ".csv", ".tsv", ".md", ".html", ".htm", ".yaml", ".yml", ".log", ".ini"),
    *(".db", ".aae", ".xmp", ".lnk", ".py", ".sh"),
)
LONGEST_STEM = 240  # bytes: an ending, and _12 to tell it apart, have room in a file's name
INT64 = 2**63


@dataclasses.dataclass(frozen=True)
class Found:
    """A file, by its path as it was given, and the folder that its name is told from: the images folder, or that
    before the first * of a glob."""

    path: pathlib.Path
    root: pathlib.Path


@dataclasses.dataclass(frozen=True)
class Listing:
    """files: in their order, each once; notes: lines on what was not looked into."""

    files: list[Found]
    notes: list[str]


def find_pictures(patterns: Iterable[str]) -> Listing:
    """The files of globs, folders and names, numbers in names in their order.

    Raises:
        UserError: nothing matches one of them.
    """
    found, notes = {}, []
    for pattern in patterns:
        if not os.fspath(pattern):
            raise UserError("images= is empty; give a file, a folder, or a glob")
        path = files.user_path(pattern)
        if path.is_dir():
            root, paths, folders = path, *_of_folder(path)
        elif os.path.lexists(path) and not {"*", "?"} & set(path.name):  # those stand for others too
            root, paths, folders = path.parent, [path], 0
        else:
            root, paths, folders = _of_glob(path)
        hint = ""
        if folders:
            below = files.printable(root / "**" / "*.jpg")
            hint = f"{folders} folder{'s' * (folders > 1)} in {files.printable(root)} not looked into: '{below}'"
            notes.append(hint)
        if not paths:
            raise UserError(
                f"images={files.printable(pattern)}: no picture is there; give a file, a folder, or a glob, on a "
                f"command line in quotes: 'photos/*.jpg'{'; ' * bool(hint)}{hint}"
            )
        for file in sorted(paths, key=_in_order):
            found.setdefault(os.path.abspath(file), Found(file, root))
    return Listing(list(found.values()), notes)


def _of_folder(folder: pathlib.Path) -> tuple[list[pathlib.Path], int]:
    """What may be a picture, and how many folders are in it."""
    try:
        entries = [entry for entry in folder.iterdir() if not entry.name.startswith(".")]
    except OSError as error:
        raise UserError(f"images={files.printable(folder)} cannot be read: {error.strerror}") from error
    return _split(entries)


def _of_glob(path: pathlib.Path) -> tuple[pathlib.Path, list[pathlib.Path], int]:
    """The same, and the folder before the first part that is not there as it is written: names may hold brackets."""
    root, rest = pathlib.Path(path.anchor), list(path.parts[bool(path.anchor) :])
    while len(rest) > 1 and (root / rest[0]).is_dir():
        root = root / rest.pop(0)
    matching = glob.glob(os.path.join(*rest), root_dir=root, recursive=True)
    paths, folders = _split([root / name for name in matching])
    return root, paths, 0 if "**" in rest else folders


def _split(entries: list[pathlib.Path]) -> tuple[list[pathlib.Path], int]:
    folders = {entry for entry in entries if entry.is_dir()}
    return [entry for entry in entries if entry not in folders and not _is_note(entry)], len(folders)


def _is_note(path: pathlib.Path) -> bool:
    """Known to lie beside pictures, or text."""
    ending = path.suffix.lower()
    if ending in NOTES:
        return True
    if ending in (*ENDINGS, *VIDEOS) or not path.is_file():
        return False
    try:
        with open(path, "rb") as file:
            start = file.read(1024)
    except OSError:
        return False
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return True
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(start)  # a letter may be cut at the end
    except UnicodeDecodeError:
        return False
    return "\0" not in text


def _in_order(path) -> list:
    """frame_9 comes before frame_10."""
    return [(int(part), "") if part.isdecimal() else (0, part) for part in re.split(r"(\d+)", str(path))]


def own_number(stem: str) -> int | None:
    """42 of 000042 and of COCO_val2014_000000000042."""
    found = re.fullmatch(r"(?:COCO_.*_)?(\d+)", stem, re.DOTALL)
    number = int(found[1]) if found else INT64
    return number if number < INT64 else None


def named(paths: Iterable[pathlib.Path], numbers: Mapping[int, int]) -> list[tuple[pathlib.Path, str, int]]:
    """(file, unique stem of what is written, unique number) of files.

    The number is that which boxes call it, else the stem's where that is one which is free, else they are running
    numbers. Stems that differ in case or in the form of their accents alone are the same on some file systems.

    Args:
        numbers: place in `paths` -> what boxes call it.
    """
    paths = list(paths)
    taken, used, stems = {}, set(), []
    for place, number in sorted(numbers.items()):
        taken.setdefault(number, place)
    for place, path in enumerate(paths):
        stem = _short(files.readable(path.stem))
        tries = itertools.chain([stem], (f"{stem}_{count}" for count in itertools.count(2)))
        stems.append(next(each for each in tries if _folded(each) not in used))
        used.add(_folded(stems[-1]))
        number = own_number(path.stem)
        if number is not None and numbers.get(place) not in taken:
            taken.setdefault(number, place)
    own = {place: number for number, place in taken.items()}
    running = (number for number in itertools.count(1) if number not in taken)
    return [
        (path, stem, own[place] if place in own else next(running))
        for place, (path, stem) in enumerate(zip(paths, stems, strict=True))
    ]


def _short(stem: str) -> str:
    return stem.encode()[:LONGEST_STEM].decode("utf-8", "ignore")


def _folded(stem: str) -> str:
    return unicodedata.normalize("NFC", stem).casefold()
