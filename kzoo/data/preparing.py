"""Preparing a data set: by one process at a time, whole or not at all, no trace left in random numbers."""

import contextlib
import errno
import pathlib
import random
import shutil
import time
from collections.abc import Callable

import numpy as np
import tensorflow_datasets as tfds

from kzoo import UserError
from kzoo.data import locks, places

ASIDE, STAGING = ".replaced-", ".refreshing-"  # old records while new ones take their place; new ones before that
DAY = 24 * 3600
SPOKEN = (ValueError, OSError, AssertionError, tfds.download.DownloadError)  # errors whose text is a sentence


def prepared(make: Callable, data_dir: str | None, *, name: str, work: str, refresh: bool = False):
    """A builder whose records are there.

    Args:
        make: data_dir -> builder.
        data_dir: absolute, None for TFDS's default.
        name: of the data set, for people; work: what preparing it takes, likewise.
        refresh: prepare it although it is there; the old records stay until the new ones are whole.
    Raises:
        UserError: it could not be prepared; what was there before still is.
    """
    try:
        builder = make(data_dir)
        path = pathlib.Path(builder.data_dir)
        if builder.is_prepared() and not refresh and not _leftovers(path):
            return builder
        if not builder.is_prepared():
            places.check(data_dir, name)
        try:
            return _alone(make, data_dir, path, name=name, work=work, refresh=refresh)
        finally:
            _remove_empty(path.parent, builder.data_dir_root)
    except UserError:
        raise
    except Exception as error:  # of TFDS, of TensorFlow, of a reader: all of them end here
        raise UserError(f"{name} could not be prepared: {reason(error, data_dir)}") from error


def _alone(make: Callable, data_dir: str | None, path: pathlib.Path, *, name: str, work: str, refresh: bool):
    """While no other process prepares the same."""

    def waits():
        print(f"waiting for another process that prepares {name}", flush=True)

    with locks.alone(path.with_name(f".{path.name}.lock"), waits) as alone:
        _sweep(path, alone)
        builder = make(data_dir)  # another process may have prepared it meanwhile
        if builder.is_prepared() and not refresh:
            return builder
        if path.exists() and not refresh and any(path.iterdir()):  # TFDS would take it for prepared data
            raise UserError(f"{path} is damaged, its dataset_info.json is gone: train.py --refresh prepares it again")
        print(f"{name}: {work}, once, into {builder.data_dir_root}", flush=True)
        with own_randomness():
            if path.exists():
                _refresh(make, path, builder.data_dir_root)
            else:
                _prepare(builder)
        return make(data_dir)


def _prepare(builder, **options):
    """TFDS's own lines speak of downloads of unknown size; its progress bars stay."""
    builder._log_download_bytes = builder._log_download_done = lambda: None
    builder.download_and_prepare(**options)


def _refresh(make: Callable, path: pathlib.Path, root):
    """New records in a folder of their own, which then takes the place of the old one."""
    staging, aside = path.with_name(f"{STAGING}{path.name}"), path.with_name(f"{ASIDE}{path.name}")
    builder = make(str(staging))
    try:
        _prepare(builder, download_dir=root / "downloads")
        path.rename(aside)
        pathlib.Path(builder.data_dir).rename(path)
    finally:
        _sweep(path, True)


def _leftovers(path: pathlib.Path) -> list[pathlib.Path]:
    """What a process left that died while it prepared the records of a folder."""
    names = (f"{ASIDE}{path.name}", f"{STAGING}{path.name}")
    found = [path.with_name(name) for name in names if path.with_name(name).exists()]
    return found + [one for one in path.parent.glob("incomplete.*") if one.name.endswith(f"_{path.name}")]


def _sweep(path: pathlib.Path, alone: bool):
    """Old records that were set aside come back where no new ones took their place; the rest is removed.

    Args:
        path: of the records; alone: no other process works on them. Where nobody can tell, it must have rested a day.
    """
    aside = path.with_name(f"{ASIDE}{path.name}")
    if aside.exists() and not path.exists():
        aside.rename(path)
    for left in _leftovers(path):
        with contextlib.suppress(OSError):
            if alone or time.time() - left.stat().st_mtime > DAY:
                shutil.rmtree(left, ignore_errors=True)


def _remove_empty(folder: pathlib.Path, root):
    """Empty folders that preparing has made in vain, up to the user's own."""
    root = pathlib.Path(root)
    while folder != root and root in folder.parents:
        try:
            folder.rmdir()
        except OSError:
            return
        folder = folder.parent


@contextlib.contextmanager
def own_randomness():
    """While it lasts, random numbers are drawn from the system's; afterwards those of the caller go on as if nothing
    had been drawn. TFDS names its temporary folder by them."""
    python, numpy = random.getstate(), np.random.get_state()
    random.seed()
    np.random.seed()
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)


def reason(error: BaseException, where: str | None = None) -> str:
    """What went wrong, in one line; a full disk, that of `where`, is named as such, however deep it lies."""
    cause = error
    while cause is not None:
        text = str(cause)
        full = isinstance(cause, OSError) and cause.errno in (errno.ENOSPC, errno.EDQUOT)
        if full or "No space left on device" in text or "Disk quota exceeded" in text:
            return f"no space is left on the disk of {where or 'the default folder'}; what was begun is removed"
        cause = cause.__cause__ or cause.__context__
    text = " ".join(str(error).split())[:400]
    if not text or not isinstance(error, SPOKEN):
        return f"{type(error).__name__}: {text}" if text else type(error).__name__
    return text
