"""One training that another program starts, a trial of `kzoo.sweep` or a run of `kzoo.lab`: its process, who looks
after it, and the files that this adds to the run folder."""

import contextlib
import math
import os
import pathlib
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable

from kzoo import UserError, files, runs
from kzoo.runs import Run
from kzoo.sweep import run_scores

TRAIN = (sys.executable, "-m", "kzoo.programs.train.__main__")  # the last word is the module that defines the flags
PAUSE = 2.0  # seconds between two looks at a running training
GRACE = 60.0  # seconds that a training has after Ctrl-C to end its step, and what it is writing
STALE = 120.0  # seconds without a sign of life after which a trial of another machine is taken over
OUT_OF_MEMORY = (-signal.SIGKILL, 128 + 9)  # exit codes; the second where a shell or container stands between
ASKED = [128 + number for number in files.ENDING]  # exit codes of a training that a signal ended
KILLED = "killed, probably out of memory"
OWNER = "owner.json"  # of a folder of runs that one process trains one after another


# Who looks after a training


def host() -> str:
    """This machine, and the container on it: process ids of another one mean nothing here."""
    with contextlib.suppress(OSError):
        return f"{socket.gethostname()} {os.readlink('/proc/self/ns/pid')}"
    return socket.gethostname()


def birth(pid: int) -> str | None:
    """When a process of this machine began, in words of the system; None where there is none. It tells apart those with
    the same id."""
    if not os.path.exists("/proc/self/stat"):
        command = ["ps", "-o", "lstart=", "-p", str(pid)]
        return subprocess.run(command, check=False, capture_output=True, text=True).stdout.strip() or None
    try:
        state, *fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if state in "ZX" else fields[18]  # proc(5): the 22nd field, starttime; the third is the state


def me(child: subprocess.Popen | None = None) -> dict:
    """The owner of the trainings that this process looks after, and the one that runs."""
    owner = {"host": host(), "pid": os.getpid(), "birth": birth(os.getpid())}
    return owner if child is None else {**owner, "train": [child.pid, birth(child.pid)]}


def is_alive(owner: dict | None, folder: pathlib.Path) -> bool:
    """Is the program that owns a training still there? Of another machine: has anything in its folder changed
    lately?"""
    if not owner:
        return False
    if owner["host"] == host():
        if owner["pid"] == os.getpid():  # this process asks only while it runs none
            return False
        return birth(owner["pid"]) == owner["birth"]
    return LaunchedFolder(folder).is_fresh()


def check_owner(owner, where):
    """Raises UserError for what `me` does not give, nor None."""
    train = owner.get("train") if isinstance(owner, dict) else None
    sound = isinstance(owner, dict) and isinstance(owner.get("host"), str) and _is_process(owner)
    sound = sound and (train is None or (isinstance(train, list) and len(train) == 2 and _is_id(train[0])))
    if owner is not None and not sound:
        raise UserError(f"{where} does not tell who is at work there; if nobody is, take it away")


def _is_process(owner: dict) -> bool:
    return _is_id(owner.get("pid")) and isinstance(owner.get("birth"), str | None)


def _is_id(number) -> bool:
    return isinstance(number, int) and not isinstance(number, bool) and 1 < number < 2**31


def end_orphan(owner: dict | None):
    """A training whose owner was killed goes on by itself: it must end before its folder is continued. It bears being
    killed."""
    pid, began = (owner or {}).get("train") or (None, None)
    if not pid or owner["host"] != host():
        return
    while began is not None and birth(pid) == began:  # None: it had ended before it was noted
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            return
        except PermissionError as error:
            raise UserError(f"process {pid} still trains for an earlier sweep, and is another user's") from error
        time.sleep(0.05)


def take(folder):
    """Make this process the one that trains in a folder of runs.

    Raises:
        UserError: another living process does.
    """
    path = pathlib.Path(folder) / OWNER
    owner = files.read_json(path) if path.exists() else None
    check_owner(owner, path)
    if is_alive(owner, path.parent):
        machine = owner["host"].split()[0]
        raise UserError(f"process {owner['pid']} on {machine} is at work in {folder}; wait for it, or stop it first")
    end_orphan(owner)
    files.write_json(path, me())


def note_child(folder, child: subprocess.Popen):
    """Which training runs in a folder that `take` took: it is ended should this process be killed."""
    files.write_json(pathlib.Path(folder) / OWNER, me(child))


# What its launcher keeps in a run folder


class LaunchedFolder:
    """A run folder as the program sees it that launches the training: output, signs of life, processor time."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.output = self.folder / "train.log"
        self.errors = self.folder / "errors.log"  # progress bars write to it
        self.heartbeat = self.folder / "heartbeat"
        self.cost = self.folder / "cost.json"

    def beat(self):
        """A sign of life, for other machines."""
        self.heartbeat.touch()

    def is_fresh(self) -> bool:
        """Was there a sign of life lately, of the launcher or the training?"""
        if not self.heartbeat.exists():
            return False
        now = self.folder.parent / ".now"  # by the clock of the disk
        now.touch()
        signs = [path for path in (self.heartbeat, self.output, self.errors) if path.exists()]
        return now.stat().st_mtime - max(path.stat().st_mtime for path in signs) < STALE

    def reason(self, code: int) -> str:
        """Why the training ended with an exit code: the last line of the log that says something; progress bars return
        to its beginning."""
        if code in OUT_OF_MEMORY:
            return KILLED
        text = self.errors.read_text(errors="replace").replace("\r", "\n")
        lines = [line.strip() for line in text.split("\n") if line.strip()]
        return lines[-1][:500] if lines else "no message"

    @property
    def seconds(self) -> float | None:
        """Processor time of the training; None where that of a part is not known."""
        return self._known()["seconds"] if self.cost.exists() else None

    def _known(self) -> dict:
        """What is kept of the time; a damaged file tells nothing."""
        with contextlib.suppress(UserError):
            kept = files.read_json(self.cost)
            if isinstance(kept, dict) and isinstance(kept.get("open"), bool):
                seconds = kept.get("seconds")
                if seconds is None or (type(seconds) in (int, float) and math.isfinite(seconds)):
                    return {"seconds": seconds, "open": kept["open"]}
        return {"seconds": None, "open": False}

    @contextlib.contextmanager
    def counted(self):
        """Add the processor time of what ends meanwhile to `seconds`; it stays None once a part of the run is unknown,
        after kill -9."""
        unknown = Run.exists(self.folder)
        known = {"seconds": None if unknown else 0.0, "open": False}
        if self.cost.exists():
            known = self._known()
        spent = None if known["open"] else known["seconds"]
        before = processor_seconds()
        files.write_json(self.cost, {"seconds": spent, "open": True})
        try:
            yield
        finally:
            total = None if spent is None else spent + processor_seconds() - before
            files.write_json(self.cost, {"seconds": total, "open": False})


def processor_seconds() -> float:
    """Of all child processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


# Its process


def launch(folder, arguments) -> subprocess.Popen:
    """A training that begins the run of a folder, or continues the one that is there; its output goes to the folder's
    logs."""
    launched = LaunchedFolder(folder)
    if Run.exists(folder):
        arguments = ["--resume", *(argument for argument in arguments if argument.startswith("--data_dir="))]
    with open(launched.output, "ab") as log, open(launched.errors, "ab") as errors:
        return subprocess.Popen(
            [*TRAIN, *arguments, f"--out={folder}"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=errors,
            start_new_session=True,  # Ctrl-C in the terminal reaches this process alone, which passes it on once
        )


def stop(child: subprocess.Popen):
    """Ctrl-C for a training: it ends after its step, its whole epochs are kept and nothing is scored. The user's next
    Ctrl-C does not wait for that."""
    child.send_signal(signal.SIGINT)
    try:
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(GRACE)
    finally:
        child.kill()  # does nothing to one that has ended
        child.wait()


def look_after(folder, arguments, note: Callable, look: Callable) -> int | None:
    """Begin or continue the run of a folder, and stay until its process has ended.

    Args:
        arguments: of train.py; note: called with the process once it runs; look: called every PAUSE seconds and at the
        end; once it returns True the training is stopped.
    Returns:
        the exit code; None of one that `look` had stopped.
    """
    child = launch(folder, arguments)
    try:
        note(child)
        code = None
        while code is None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                code = child.wait(PAUSE)
            LaunchedFolder(folder).beat()
            enough = look()
            if code is None and enough:
                stop(child)
                return None
        if code in ASKED:
            time.sleep(PAUSE)  # who ends all processes of a job ends this one too, and the training goes on later
    except BaseException:  # Ctrl-C above all: nothing is left behind that nobody looks after
        if child.poll() is None:
            stop(child)
        raise
    return code


# A trial


def report(trial, folder: pathlib.Path, name: str, seen: set[int]):
    """Tell Optuna the scores of epochs that have ended since the last time."""
    for row in runs.read_history(folder):
        value = row.get(f"val_{name}", row.get(name, math.nan))
        if row["epoch"] not in seen and math.isfinite(value):
            trial.report(value, row["epoch"])
            seen.add(row["epoch"])


def run(trial, folder: pathlib.Path, arguments: list[str], *, name: str, direction: str, of_report: bool) -> dict:
    """Run or continue a trial until its process has ended.

    Args:
        trial: `optuna.Trial`; folder: its run folder; arguments: of train.py; the others: as of `run_scores.score`.
    Returns:
        {"state": "complete", "value": …}, {"state": "fail", "error": …} or {"state": "pruned"}, whose score is the last
        that Optuna was told.
    """
    seen = set(trial.storage.get_trial(trial._trial_id).intermediate_values)

    def look() -> bool:
        report(trial, folder, name, seen)
        return trial.should_prune()

    code = look_after(folder, arguments, lambda child: trial.set_user_attr("owner", me(child)), look)
    if code is None:
        return {"state": "pruned"}
    if code:
        return {"state": "fail", "error": LaunchedFolder(folder).reason(code)}
    try:
        opened = Run.open(folder)
        last = run_scores.stopped_at(opened)
        if last is not None:  # it ended well, but too early: only trainings of kzoo 0.1 do
            return {"state": "fail", "error": f"interrupted after epoch {last} of {opened.flags['epochs']}"}
        return {"state": "complete", "value": run_scores.score(opened, name, direction, of_report=of_report)}
    except UserError as error:
        return {"state": "fail", "error": str(error)}
