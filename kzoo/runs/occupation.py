"""One training in a run folder at a time: a lock that dies with its process, and what dead ones left is swept."""

import contextlib
import os
import pathlib

from kzoo import UserError, files
from kzoo.data import locks


@contextlib.contextmanager
def occupied(folder):
    """Within it no other training is let into the folder, which must be there; eval and predict are.

    The lock is the folder's own (flock): it leaves no file behind, and ends with the process, kill -9 too. Where the
    file system has no locks, nothing is refused.

    Raises:
        UserError: another living process trains there.
    """
    folder = pathlib.Path(folder)
    handle = _locked(folder)
    try:
        files.sweep(folder)
        yield
    finally:
        if handle is not None:
            os.close(handle)


def _locked(folder: pathlib.Path) -> int | None:
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:  # Windows opens no folders: there nothing is refused
        return None
    try:
        free = locks.take(handle)
    except OSError:  # no locks here
        os.close(handle)
        return None
    if not free:
        who = _owner(handle)
        os.close(handle)
        raise UserError(f"{folder} is in use: {who} trains there; wait for it or stop it, or give another --out")
    return handle


def _owner(handle: int) -> str:
    """Who holds the lock of a folder, as far as the system tells."""
    with contextlib.suppress(OSError, ValueError):
        inode = os.fstat(handle).st_ino
        for line in pathlib.Path("/proc/locks").read_text().splitlines():
            fields = line.split()  # 1: FLOCK ADVISORY WRITE <pid> <major>:<minor>:<inode> 0 EOF
            if "FLOCK" in fields and fields[-3].endswith(f":{inode}") and int(fields[-4]) > 0:
                return f"process {fields[-4]}"
    return "another process"
