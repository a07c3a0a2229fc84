"""The journal of studies, a file of one line of JSON for each step: Optuna's, and what it does not say or mend."""

import contextlib
import json
import os

from kzoo import UserError, files


def backend(path: str):
    """Optuna's backend of a journal file.

    What a process that was killed in the middle of a line has left is taken away before the next line is written, and
    so is what found no room on a full disk: glued together with the next line it would cost the whole study.
    """
    from optuna.storages import journal

    lock = journal.JournalFileOpenLock(path)

    class Backend(journal.JournalFileBackend):
        def append_logs(self, logs):
            lines = "".join(json.dumps(log, separators=(",", ":")) + "\n" for log in logs).encode()
            lock.acquire()
            try:
                mend(path)
                append(path, lines)
            except OSError as error:
                raise UserError(f"could not write {files.printable(path)}: {files.reason(error)}") from error
            finally:
                lock.release()

    return Backend(path, lock_obj=lock)


def append(path, lines: bytes):
    """All of them, or none."""
    with open(path, "ab") as file:
        before = file.tell()
        try:
            file.write(lines)
            file.flush()
            os.fsync(file.fileno())
        except OSError:
            with contextlib.suppress(OSError):
                os.truncate(path, before)
            raise


def mend(path):
    """Take away a last line that does not end: it was being written, and no process counts on it."""
    with open(path, "r+b") as file:
        size = file.seek(0, os.SEEK_END)
        if not size or (file.seek(-1, os.SEEK_END), file.read(1))[1] == b"\n":
            return
        file.seek(0)
        file.truncate(file.read().rfind(b"\n") + 1)


def damage(path) -> str | None:
    """Which line of a journal is none, in words; None where each is."""
    with open(path, "rb") as file:
        for number, line in enumerate(file, start=1):
            with contextlib.suppress(ValueError, RecursionError):
                if line.endswith(b"\n") and isinstance(json.loads(line), dict):
                    continue
            if line.endswith(b"\n"):
                return f"line {number} is no step of a study"
    return None
