"""The folder of a training: made for a new one, held against others while it lasts."""

import contextlib
import itertools
import pathlib
import tempfile
import time

from kzoo import UserError, files
from kzoo.runs import occupation
from kzoo.runs.folder import Folder


@contextlib.contextmanager
def begun(out, flags: dict):
    """`free_folder`, in which no other training begins meanwhile; nothing is left of it where nothing was written."""
    folder = free_folder(out, flags)
    try:
        with occupation.occupied(folder):
            free_folder(folder, flags)  # another one may have begun and ended since
            yield folder
    finally:
        with contextlib.suppress(OSError):
            folder.rmdir()  # only if it is empty


@contextlib.contextmanager
def continued(folder):
    """While a run is continued, no other training is let into its folder."""
    with occupation.occupied(files.user_path(folder)):
        yield


def free_folder(out, flags: dict) -> pathlib.Path:
    """The folder of a new run, made and known to be writable.

    Args:
        out: path, or None for one in runs/ named after the flags and the time; flags: of the run.
    Raises:
        UserError: it holds a run already, or cannot be written.
    """
    folder = files.user_path(out) if out else None
    if folder and Folder.exists(folder):
        raise UserError(f"{folder} already holds a run; give another --out, or --resume to continue it")
    try:  # hours of training should not end at a folder that cannot be written
        if folder:
            folder.mkdir(parents=True, exist_ok=True)
        else:
            folder = _new_folder(flags)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise UserError(f"could not write to the run folder {folder or 'runs/'}: {error.strerror}") from error
    return folder


def _new_folder(flags: dict) -> pathlib.Path:
    """One that was not there before, whoever else begins a run in the same second."""
    stamp = time.strftime("%Y%m%d-%H%M%S")
    name = f"{flags['task']}-{flags['arch']}-{flags['dataset'].replace('/', '-')}-{stamp}"
    for number in itertools.count(1):
        folder = pathlib.Path("runs", name if number == 1 else f"{name}-{number}")
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            continue
        return folder
