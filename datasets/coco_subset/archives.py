"""Where in a folder or zip file a data set may lie. Nothing is unpacked: members of a zip are read where they are."""

import pathlib
import tarfile
import zipfile

from kzoo.datasets.pictures import one_line, printable

ARCHIVE = "coco_subset.zip"
PASSED_OVER = "__MACOSX"  # what macOS adds to its zips
SHOWN = 6  # names, of what was found


def candidates(path: pathlib.Path) -> list[list]:
    """Folders, on disk or inside a zip, in which `annotations` may be: those of one list are equally good."""
    if path.is_file():
        return _zip_roots(path)
    if not path.is_dir():
        raise ValueError(f"{printable(path)}: neither a file nor a folder")
    roots = [[path], [path / "coco_subset"]]
    if (path / ARCHIVE).is_file():
        roots += _zip_roots(path / ARCHIVE)
    return [*roots, sorted(child for child in path.iterdir() if child.is_dir())]


def contents(path: pathlib.Path) -> str:
    """Names of what lies in a folder or archive, for messages."""
    if path.is_dir():
        names = sorted(child.name for child in path.iterdir())
    else:
        names = sorted({info.filename.split("/")[0] for info in _opened(path).infolist()})
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(map(printable, names[:SHOWN])) + more if names else "nothing"


def _zip_roots(path) -> list[list[zipfile.Path]]:
    """The archive's own folder, the top, and all folders that hold one called annotations."""
    archive = _opened(path)
    folders = {info.filename.rpartition("/")[0] + "/" for info in archive.infolist()}
    parents = {folder.removesuffix("annotations/") for folder in folders if f"/{folder}".endswith("/annotations/")}
    first = [parent for parent in ("coco_subset/", "") if parent in parents]
    others = sorted(parents - set(first))
    root = zipfile.Path(archive)
    return [[root / parent if parent else root for parent in group] for group in (*[[one] for one in first], others)]


def _opened(path) -> zipfile.ZipFile:
    """A zip file whose members have plain names: "/" between folders, no "./" in front.

    Members whose names lead out of the archive are passed over: nobody asks for them.
    """
    if not zipfile.is_zipfile(path):
        raise ValueError(f"{printable(path)}: not a readable zip file ({_instead(path)})")
    try:
        archive = zipfile.ZipFile(path)
        members = {}
        for info in archive.infolist():
            parts = [part for part in info.filename.replace("\\", "/").split("/") if part not in ("", ".")]
            if not parts or ".." in parts or parts[0] == PASSED_OVER:
                continue
            folder = info.filename.endswith(("/", "\\"))
            info.filename = "/".join(parts) + ("/" if folder else "")
            other = members.setdefault(info.filename, info)
            if not folder and (other.CRC, other.file_size) != (info.CRC, info.file_size):
                raise ValueError(f"it holds two different files {printable(info.filename)!r}")
    except Exception as error:  # of a garbled directory
        raise ValueError(f"{printable(path)}: not a readable zip file ({one_line(error)})") from error
    archive.filelist, archive.NameToInfo = list(members.values()), members
    return archive


def _instead(path) -> str:
    """What a file is that is no zip."""
    try:
        with tarfile.open(path) as archive:
            names = [printable(member.name) for member, _ in zip(archive, range(SHOWN), strict=False)]
    except Exception:  # whatever it is
        return "it is damaged, or something else"
    return f"a tar archive that begins with {', '.join(names)}: unpack it and give its folder"
