"""Writing files so that nothing half-written looks whole: to a temporary name beside the target, then a rename."""

import contextlib
import json
import os
import pathlib
import shutil

from kzoo import UserError


@contextlib.contextmanager
def replacing(path):
    """Give a temporary path (same ending, same folder) to write a file or folder to; on success it takes the place of
    `path`.

    Raises:
        UserError: the disk is full or may not be written; what stood at `path` before still stands there.
    """
    path = pathlib.Path(path)
    temporary = path.with_name(f".writing-{os.getpid()}-{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        if temporary.is_dir() and path.exists():  # a folder is not replaced by a rename
            shutil.rmtree(path)
        os.replace(temporary, path)
    except (OSError, RuntimeError) as error:  # HDF5 reports a full disk as a RuntimeError when it closes the file
        raise UserError(f"could not write {path}: {' '.join(str(error).split())[:200]}") from error
    finally:
        if temporary.is_dir():
            shutil.rmtree(temporary, ignore_errors=True)
        else:
            temporary.unlink(missing_ok=True)


def write_text(path, text: str):
    with replacing(path) as temporary:
        temporary.write_text(text)


def write_json(path, value):
    write_text(path, json.dumps(value, indent=1) + "\n")


def read_json(path):
    """Raises UserError where there is no such file or it is not JSON."""
    try:
        return json.loads(pathlib.Path(path).read_text())
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        raise UserError(f"{path} is not valid JSON: {error}") from error
