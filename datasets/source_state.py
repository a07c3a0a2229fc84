"""The state of a user's raw data, by which a change is noticed after it was prepared."""

import hashlib
import os
import pathlib
import zipfile
from collections.abc import Iterable

JUNK = ("thumbs.db", "desktop.ini", "icon\r")  # what file managers leave behind
OWN = ("run.json", "dataset_info.json")  # folders with these are runs and prepared data, not raw data
WHOLE = 16 * 2**20  # bytes; of larger files that are no text three samples are hashed
SAMPLE = 2**20
TEXT = (".json", ".txt", ".csv", ".tsv", ".xml", ".yaml", ".yml")


def paths_in(source) -> list[pathlib.Path]:
    """Files and folders that a source names in its fields; of paths inside an archive the archive."""
    found = []
    waiting = [source if isinstance(source, dict) else vars(source)]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            waiting += value.values()
        elif isinstance(value, list | tuple):
            waiting += value
        elif isinstance(value, zipfile.Path):
            found.append(pathlib.Path(value.root.filename))
        elif isinstance(value, pathlib.Path):
            found.append(value)
    return found


def files_of(paths: Iterable, top, passed: tuple[str, ...] = ()) -> dict[str, os.stat_result]:
    """{path relative to `top`: its stat} of all files at the paths and below; hidden ones are no data.

    passed: endings of files that are no data where they lie below a path; one that is a path itself counts.
    """
    found = {}
    seen = set()
    for path in map(os.path.abspath, paths):
        if os.path.isdir(path):
            below = {}
            _collect(path, top, below, seen)
            found |= {name: stat for name, stat in below.items() if not name.lower().endswith(passed)}
        elif os.path.isfile(path):
            found[os.path.relpath(path, top)] = os.stat(path)
    return dict(sorted(found.items()))


def _collect(folder: str, top, found: dict, seen: set):
    here = os.path.realpath(folder)
    if here in seen:  # named twice, or a link that leads back
        return
    seen.add(here)
    with os.scandir(folder) as entries:
        visible = [entry for entry in entries if not entry.name.startswith(".") and entry.name.lower() not in JUNK]
    if any(entry.name in OWN for entry in visible):
        return
    for entry in visible:
        try:
            if entry.is_dir():
                _collect(entry.path, top, found, seen)
            elif entry.is_file():
                found[os.path.relpath(entry.path, top)] = entry.stat()
        except OSError:  # a link to nothing, a folder that may not be read: preparing says so, if it matters
            continue


def state_of(files: dict[str, os.stat_result]) -> dict:
    """{"files": how many, "names": digest of names and sizes, "times": digest of the times}."""
    names, times = hashlib.sha256(), hashlib.sha256()
    for name, stat in files.items():
        names.update(f"{name}|{stat.st_size}\n".encode(errors="surrogateescape"))
        times.update(f"{stat.st_mtime_ns}|{stat.st_ctime_ns}\n".encode())  # the second one cannot be set back
    return {"files": len(files), "names": names.hexdigest()[:16], "times": times.hexdigest()[:16]}


def contents_of(files: dict[str, os.stat_result], top) -> str:
    """Digest of what the files hold."""
    total = hashlib.sha256()
    for name, stat in files.items():
        with open(os.path.join(top, name), "rb") as file:
            if stat.st_size <= WHOLE or name.lower().endswith(TEXT):
                total.update(hashlib.file_digest(file, "sha256").digest())
                continue
            for place in (0, stat.st_size // 2, stat.st_size - SAMPLE):
                file.seek(place)
                total.update(file.read(SAMPLE))
    return total.hexdigest()[:16]
