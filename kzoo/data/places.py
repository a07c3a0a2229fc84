"""Where prepared data sets lie: the folder that a user names, and the one that a run had, wherever it is now."""

import os
import pathlib
import re
from collections.abc import Iterator

from kzoo import UserError, files
from kzoo.datasets.about import OFFICIAL

WINDOWS = re.compile(r"[A-Za-z]:[\\/]|\\\\")  # C:\…, \\server\…


def absolute(path) -> str | None:
    """A user's path, ~ expanded, whatever becomes of the working directory; None and addresses stay what they are."""
    if not path:
        return None
    path = os.fspath(path)
    if is_address(path):
        return path
    if os.name != "nt" and WINDOWS.match(path):
        raise UserError(f"{path!r} is a folder of Windows, which is not here")
    return os.path.abspath(files.expanded(path))


def absolute_source(data_source) -> str | None:
    """The same of raw data; "official" is no path."""
    return data_source if data_source == OFFICIAL else absolute(data_source)


def is_address(path: str) -> bool:
    """gs://bucket/…"""
    return "://" in path


def check(data_dir: str | None, name: str):
    """Refuses a folder for prepared data that is none, or whose parent folder is not there: a slip of the pen.

    Args:
        data_dir: absolute; None: TFDS's default, which is made; name: of what is to be prepared there.
    """
    if data_dir is None or is_address(data_dir) or os.path.isdir(data_dir):
        return
    if os.path.exists(data_dir):
        raise UserError(f"{name} is not prepared: data_dir={data_dir!r} is a file; it must be a folder")
    parent = os.path.dirname(data_dir)
    if not os.path.isdir(parent):
        raise UserError(
            f"{name} is not prepared: data_dir={data_dir!r} is to be made in {parent!r}, which is not there; make that "
            "first if it is what you mean"
        )


def of_run(stored: str, folder) -> Iterator[str]:
    """Folders where the data of a run may lie, likely ones first.

    A relative path counts from the working directory, then from the folders above the run; of an absolute one that is
    not there any more the end is looked for above the run, which may have moved together with its data.

    Args:
        stored: data_dir of its flags; folder: of the run.
    """
    from_windows = os.name != "nt" and WINDOWS.match(stored)
    path = pathlib.PureWindowsPath(stored) if from_windows else pathlib.Path(os.path.expanduser(stored))
    if is_address(stored):
        yield stored
        return
    if not from_windows:
        yield os.path.abspath(path)
    names = [name for name in path.parts if name != path.anchor]
    for above in pathlib.Path(os.path.abspath(folder)).parents:
        for start in range(len(names)):
            yield os.path.abspath(above.joinpath(*names[start:]))
