"""Writing files so that nothing half-written looks whole: to a temporary name beside the target, then a rename.

Temporary files are called `.writing-<process>@<machine>-<name>`. Those of a process that was killed go when the next
one writes into their folder. Text is UTF-8, whatever the locale.
"""

import atexit
import codecs
import contextlib
import ctypes
import errno
import functools
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import tempfile
import threading
import time
import zlib
from collections.abc import Iterable, Mapping

from kzoo import UserError

WRITING, SWAPPING = ".writing", ".swapping"
LONGEST_TOLD = 400  # letters of a path in a message
LONGEST_NAME = 255  # bytes of a file's name
STALE = 86400.0  # seconds without a change after which a temporary file of another machine is nobody's
ENDING = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
FULL = (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC))
# the same in the words of NumPy, HDF5 and TensorFlow
FULL_WORDS = re.compile(r"No space left on device|Disk quota exceeded|errno = 28\b|\d+ requested and \d+ written")
NO_SYNC = (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EROFS, errno.EBADF)  # of file systems that cannot

_own: set[str] = set()  # temporary paths of this process
_swept: set[str] = set()  # folders


@contextlib.contextmanager
def replacing(path):
    """Give a temporary path (same ending, same folder) to write a file or folder to; on success it takes the place of
    `path`.

    Raises:
        UserError: the disk is full or may not be written; what stood at `path` before still stands there.
    """
    path = pathlib.Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary_for(path) as temporary:
            yield temporary
            sync(temporary)
            with uninterrupted():
                _put(temporary, path)
    except Exception as error:
        # HDF5 reports a full disk as a RuntimeError when it closes the file, TensorFlow by an error of its own
        if is_full(error) or isinstance(error, OSError | RuntimeError):
            raise UserError(f"could not write {printable(path)}: {reason(error)}") from error
        raise


@contextlib.contextmanager
def temporary_for(path):
    """A path beside `path`, with the same ending; what is still there in the end is taken away."""
    path = pathlib.Path(path)
    folder = os.path.abspath(path.parent)
    if folder not in _swept:
        sweep(folder)
    prefix, name = f"{WRITING}-{_owner()}-", path.name
    while name and len(os.fsencode(prefix + name)) > LONGEST_NAME:
        name = name[1:]
    temporary = path.with_name(prefix + name)
    _remove(temporary)  # of an earlier process of this number
    _own.add(os.path.abspath(temporary))
    try:
        yield temporary
    finally:
        with uninterrupted():
            _remove(temporary)
            _own.discard(os.path.abspath(temporary))


def write_text(path, text: str):
    """Lines end as in `text`; what is no text, a byte of a file's name for instance, becomes \\udc80."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace", newline="")


def write_json(path, value):
    write_text(path, json.dumps(value, indent=1) + "\n")


def read_json(path):
    """UTF-8 with or without a byte order mark, or UTF-16. Raises UserError where there is no such file or it is not
    JSON."""
    try:
        return json.loads(pathlib.Path(path).read_bytes())
    except OSError as error:
        raise UserError(f"cannot read {printable(path)}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"{printable(path)} is not valid JSON: {error}") from error


# Paths


def expanded(path) -> str:
    """A path as the user wrote it, ~ and ~name put in where the shell has not done it.

    Raises:
        UserError: there is no such home folder, or no file can have this name.
    """
    text = os.fspath(path)
    if "\0" in text:
        raise UserError(f"{text!r} is no path: it holds a NUL")
    found = os.path.expanduser(text)
    if found.startswith("~"):
        home = text.partition("/")[0]
        raise UserError(f"{text!r}: there is no home folder {home}; a file of that name is ./{text}")
    return found


def user_path(path) -> pathlib.Path:
    """See `expanded`."""
    return pathlib.Path(expanded(path))


def _percent(error):
    return "".join(f"%{byte:02X}" for byte in error.object[error.start : error.end]), error.end


codecs.register_error("kzoo.percent", _percent)


def readable(path) -> str:
    """A path as text; bytes that are not UTF-8 become %FC, as in a URL."""
    try:
        encoded = os.fsencode(path)
    except UnicodeEncodeError:  # not of this file system
        encoded = str(path).encode("utf-8", "backslashreplace")
    return encoded.decode("utf-8", "kzoo.percent")


def printable(path) -> str:
    """A path in one line of a message, a long one without its middle."""
    text = readable(path)
    if len(text) > LONGEST_TOLD:
        text = f"{text[: LONGEST_TOLD // 2]}…{text[-LONGEST_TOLD // 2 :]}"
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def make_folder(folder) -> list[pathlib.Path]:
    """Make it, and give the folders that were not there before, the outermost first."""
    folder = pathlib.Path(folder)
    missing = [each for each in (folder, *folder.parents) if not os.path.lexists(each)][::-1]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        remove_empty(missing)
        raise
    return missing


def remove_empty(folders: Iterable[pathlib.Path]):
    """Of those that `make_folder` gave, the ones that hold nothing."""
    for folder in reversed(list(folders)):
        with contextlib.suppress(OSError):
            folder.rmdir()


def check_writable(folder):
    """What takes long should not end at a folder that cannot be written. One that is not there is not made.

    Raises:
        UserError: it cannot be written, or made.
    """
    made = []
    try:
        made = make_folder(folder)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise UserError(f"could not write to {printable(folder)}: {reason(error)}") from error
    finally:
        remove_empty(made)


# Why something could not be written


def is_full(error: BaseException | None) -> bool:
    """Whether an error, or one that it came from, says that the disk is full."""
    while error is not None:
        if getattr(error, "errno", None) in FULL or FULL_WORDS.search(str(error)):
            return True
        error = error.__cause__ or error.__context__
    return False


def reason(error: BaseException) -> str:
    """Of an error while writing, in one line."""
    if is_full(error):
        return "the disk is full"
    return getattr(error, "strerror", None) or " ".join(str(error).split())[:200]


def first_line(error: BaseException) -> str:
    """Of any error's text; its kind where it has none."""
    lines = str(error).strip().splitlines()
    return lines[0][:300] if lines else type(error).__name__


# Signals and the power may come at any time


@contextlib.contextmanager
def uninterrupted():
    """Signals that ask to end are heard after this: a rename and what belongs to it are one step."""
    if threading.current_thread() is not threading.main_thread():  # only there signals are heard
        yield
        return
    heard = []
    with contextlib.ExitStack() as handlers:
        for number in ENDING:
            if signal.getsignal(number) not in (signal.SIG_IGN, None):
                handlers.callback(signal.signal, number, signal.getsignal(number))
                signal.signal(number, lambda number, _: heard.append(number))
        yield
    for number in heard[:1]:
        signal.raise_signal(number)


def sync(path):
    """A file, or all files of a folder, to the disk itself, so that a rename is never there without the content."""
    path = pathlib.Path(path)
    for each in [*path.rglob("*"), path]:
        if each.is_file() and not each.is_symlink():
            _sync(each, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
        elif each.is_dir() and os.name != "nt":
            _sync(each, os.O_RDONLY)


def _sync(path, mode: int):
    try:
        opened = os.open(path, mode)
    except PermissionError:
        return
    try:
        os.fsync(opened)
    except OSError as error:
        if error.errno not in NO_SYNC:
            raise
    finally:
        os.close(opened)


def _sync_folder(folder):
    with contextlib.suppress(OSError):
        _sync(folder, os.O_RDONLY)


# Renames


def _put(temporary: pathlib.Path, path: pathlib.Path):
    if not temporary.is_dir() or not os.path.lexists(path):
        os.replace(temporary, path)
    elif not _exchanged(temporary, path):  # a folder is not replaced by a rename
        swap(path.parent, {path.name: temporary})
    _sync_folder(path.parent)


def _exchanged(a: pathlib.Path, b: pathlib.Path) -> bool:
    """Whether two paths have changed places in one step, which Linux can, renameat2(2): AT_FDCWD, RENAME_EXCHANGE."""
    with contextlib.suppress(OSError, AttributeError, TypeError):
        return ctypes.CDLL(None).renameat2(-100, os.fsencode(a), -100, os.fsencode(b), 2) == 0
    return False


def swap(folder, new: Mapping[str, pathlib.Path], gone: Iterable[str] = ()):
    """Entries of a folder take the places of others, all or none: one that was killed half-way is ended by `sweep`.

    Args:
        new: {name: temporary path in the same folder}; gone: names whose files or folders are taken away.
    Raises:
        UserError: the disk is full, and something would have to make room.
    """
    folder = pathlib.Path(folder)
    plan = {
        "new": {name: temporary.name for name, temporary in new.items()},
        "gone": sorted(set(gone) - set(new)),
        "aside": f"{WRITING}-{_owner()}-aside-{time.monotonic_ns()}",
    }
    marker = folder / f"{SWAPPING}-{_owner()}-{time.monotonic_ns()}"
    with uninterrupted():
        try:
            (folder / plan["aside"]).mkdir()
            write_json(marker, plan)
        except (OSError, UserError):
            if any(os.path.lexists(folder / name) for name in (*plan["new"], *plan["gone"])):
                _remove(folder / plan["aside"])
                raise
        try:
            _swapped(folder, plan)
        finally:
            marker.unlink(missing_ok=True)
            _remove(folder / plan["aside"])
            _sync_folder(folder)


def _swapped(folder: pathlib.Path, plan: Mapping):
    """What is left of a swap, all or nothing of it. The old is renamed first, as its removal may take long."""
    done = []
    try:
        for name in (*plan["new"], *plan["gone"]):
            temporary = plan["new"].get(name)
            if temporary and not os.path.lexists(folder / temporary):
                continue  # it has its place already
            moves = [(folder / name, folder / plan["aside"] / name)] * os.path.lexists(folder / name)
            moves += [(folder / temporary, folder / name)] if temporary else []
            for before, after in moves:
                os.rename(before, after)
                done.append((before, after))
    except OSError:
        for before, after in reversed(done):
            os.rename(after, before)
        raise


# What killed processes left


def sweep(folder):
    """End the swaps of killed processes in a folder, and take their temporary files away."""
    folder = pathlib.Path(folder)
    _swept.add(os.path.abspath(folder))
    for kind, act in ((SWAPPING, _end_swap), (WRITING, _remove)):
        with contextlib.suppress(OSError):
            for path in [path for path in folder.iterdir() if _is_left(path, kind)]:
                act(path)


def _is_left(path: pathlib.Path, kind: str) -> bool:
    found = re.fullmatch(rf"{re.escape(kind)}-(\d+)(?:@(\w+))?-.*", path.name, re.DOTALL)
    if not found:
        return False
    number, machine = int(found[1]), found[2]
    if machine not in (None, _machine()) or os.name == "nt":  # process numbers mean nothing; on Windows a look ends it
        return time.time() - path.lstat().st_mtime > STALE
    if number == os.getpid():
        return os.path.abspath(path) not in _own
    try:
        os.kill(number, 0)
    except (ProcessLookupError, OverflowError):
        return True
    except PermissionError:
        return False
    return False


def _end_swap(marker: pathlib.Path):
    with contextlib.suppress(OSError, UserError, KeyError, TypeError, AttributeError):
        plan = read_json(marker)
        names = [*plan["new"], *plan["new"].values(), *plan["gone"], plan["aside"]]
        if all(isinstance(name, str) and name == os.path.basename(name) and name.strip(".") for name in names):
            (marker.parent / plan["aside"]).mkdir(exist_ok=True)
            _swapped(marker.parent, plan)
            _remove(marker.parent / plan["aside"])
    _remove(marker)


def _remove(path: pathlib.Path):
    """Whatever it is; that it cannot be is nobody's concern here."""
    with contextlib.suppress(OSError):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def _owner() -> str:
    return f"{os.getpid()}@{_machine()}"


@functools.cache
def _machine() -> str:
    """This machine, and the container on it."""
    name = socket.gethostname()
    with contextlib.suppress(OSError):
        name += os.readlink("/proc/self/ns/pid")
    return f"{zlib.crc32(name.encode()):08x}"


@atexit.register
def _remove_own():
    """Where a signal has come between two lines."""
    for path in list(_own):
        if f"-{_owner()}-" in os.path.basename(path):
            _remove(pathlib.Path(path))
