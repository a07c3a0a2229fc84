"""One process at a time: a lock on a file or folder, which the system takes back when its process ends, in any way."""

import contextlib
import errno
import os
import pathlib
from collections.abc import Callable, Iterator

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None
    import msvcrt

# what file systems without locks answer
WITHOUT = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)


@contextlib.contextmanager
def alone(path, waits: Callable[[], None]) -> Iterator[bool]:
    """While it lasts, no other process is inside for the same path.

    Args:
        path: of the file that is locked; it is made, and removed at the end.
        waits: called once where another process is inside, before it is waited for.
    Yields:
        whether that holds: a file system without locks, or one that is only read, lets everybody in.
    """
    path = pathlib.Path(path)
    file = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = _locked(path, waits)
    except OSError as error:
        if error.errno not in (*WITHOUT, errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT):
            raise
    if file is None:
        yield False
        return
    try:
        yield True
    finally:
        with contextlib.suppress(OSError):
            path.unlink()  # while it is locked: who waits for it sees that it is gone, and makes a new one
        file.close()


def _locked(path: pathlib.Path, waits: Callable[[], None]):
    """An open file that is locked and still the one at `path`."""
    while True:
        file = open(path, "a+b")
        try:
            if not take(file):
                waits()
                waits = _nothing
                _wait(file)
            if path.exists() and os.path.samestat(os.fstat(file.fileno()), path.stat()):
                return file
        except BaseException:
            file.close()
            raise
        file.close()


def _nothing():
    """Said already."""


def take(file) -> bool:
    """Lock an open file, or a folder's handle, without waiting: whether it was free.

    Raises:
        OSError: the file system has no locks.
    """
    try:
        if fcntl:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        else:
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
    except OSError as error:
        if error.errno in WITHOUT:
            raise
        return False
    return True


def _wait(file):
    if fcntl:
        fcntl.flock(file, fcntl.LOCK_EX)
        return
    while not take(file):
        with contextlib.suppress(OSError):
            msvcrt.locking(file.fileno(), msvcrt.LK_LOCK, 1)  # gives up after ten seconds
            return
