"""One trial of `kzoo.sweep`: its train.py process, who looks after it, and what it scored."""

import contextlib
import csv
import math
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time

from kzoo import UserError, files

TRAIN = pathlib.Path(__file__).resolve().parents[2] / "train.py"
PAUSE = 2.0  # seconds between two looks at a running trial
GRACE = 600.0  # seconds that train.py has after Ctrl-C to score its best network
STALE = 120.0  # seconds without a sign of life after which a trial of another machine is taken over
OUT_OF_MEMORY = (-signal.SIGKILL, 128 + 9)  # exit codes; the second where a shell or container stands between
KILLED = "killed, probably out of memory"


def host() -> str:
    """This machine, and the container on it: process ids of another one mean nothing here."""
    with contextlib.suppress(OSError):
        return f"{socket.gethostname()} {os.readlink('/proc/self/ns/pid')}"
    return socket.gethostname()


def birth(pid: int) -> str | None:
    """When a process of this machine began, in words of the system; None where there is none. It tells apart those with
    the same id."""
    if not os.path.exists("/proc/self/stat"):
        return (
            subprocess.run(
                ["ps", "-o", "lstart=", "-p", str(pid)], check=False, capture_output=True, text=True
            ).stdout.strip()
            or None
        )
    try:
        state, *fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if state in "ZX" else fields[18]  # proc(5): the 22nd field, starttime; the third is the state


def me() -> dict:
    """The owner of the trials that this process runs."""
    return {"host": host(), "pid": os.getpid(), "birth": birth(os.getpid())}


def is_alive(owner: dict | None, folder: pathlib.Path) -> bool:
    """Is the sweep that owns a trial still there? Of another machine: has anything in the trial's folder changed
    lately?"""
    if (
        not owner or owner["host"] == host() and owner["pid"] == os.getpid()
    ):  # this process asks only while it runs none
        return False
    if owner["host"] == host():
        return birth(owner["pid"]) == owner["birth"]
    if not (folder / "heartbeat").exists():
        return False
    now = folder.parent / ".now"  # by the clock of the disk
    now.touch()
    signs = [
        folder / name for name in ("heartbeat", "train.log", "errors.log")
    ]  # train.py's progress bar writes to the last one
    return now.stat().st_mtime - max(path.stat().st_mtime for path in signs if path.exists()) < STALE


def end_orphan(owner: dict | None):
    """A train.py whose sweep was killed goes on by itself: it must end before its folder is continued. It bears being
    killed."""
    pid, began = (owner or {}).get("train") or (None, None)
    if not pid or owner["host"] != host():
        return
    while birth(pid) == began:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        time.sleep(0.05)


def history(folder: pathlib.Path) -> list[dict[str, float]]:
    """Rows of `history.csv`; `kzoo.training.callbacks` has the same, and imports Keras."""
    path = folder / "history.csv"
    if not path.exists():
        return []
    with open(path, newline="") as file:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]


def score(folder: pathlib.Path, name: str, direction: str, *, of_report: bool) -> float:
    """Of a finished run: the best epoch's in `history.csv`; of the report, if asked for or if the history has none
    (clustering).

    Raises:
        UserError: there is none, or it is no number.
    """
    rows = (
        []
        if of_report
        else [row[f"val_{name}"] for row in history(folder) if math.isfinite(row.get(f"val_{name}", math.nan))]
    )
    if rows:
        return (max if direction == "max" else min)(rows)
    scores = files.read_json(folder / "report.json")["scores"]
    if name not in scores:
        raise UserError(f"report.json has no score {name!r}; it has {', '.join(scores)}")
    if scores[name] is None or not math.isfinite(scores[name]):
        raise UserError(f"{name} is {scores[name]}")
    return scores[name]


def unfinished(folder: pathlib.Path) -> str | None:
    """What a train.py that ended well left out: one that is interrupted by others scores what it has. Clusterings stop
    by themselves."""
    flags, rows = files.read_json(folder / "run.json")["flags"], history(folder)
    planned = flags.get("epochs")
    in_rounds = flags.get("rounds") is not None  # clustering
    if in_rounds or not planned or not rows or rows[-1]["epoch"] >= int(planned):
        return None
    return f"interrupted after epoch {rows[-1]['epoch']:g} of {planned}"


def last_line(path: pathlib.Path) -> str:
    """The last line of a log that says something; progress bars return to its beginning."""
    lines = [line.strip() for line in path.read_text(errors="replace").replace("\r", "\n").split("\n") if line.strip()]
    return lines[-1][:500] if lines else "no message"


def report(trial, folder: pathlib.Path, name: str, seen: set[int]):
    """Tell Optuna the scores of epochs that have ended since the last time."""
    for row in history(folder):
        epoch, value = int(row["epoch"]), row.get(f"val_{name}", row.get(name, math.nan))
        if epoch not in seen and math.isfinite(value):
            trial.report(value, epoch)
            seen.add(epoch)


def stop(child: subprocess.Popen):
    """Ctrl-C for train.py, which then scores its best network; the user's next one does not wait for that."""
    child.send_signal(signal.SIGINT)
    try:
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(GRACE)
    finally:
        child.kill()  # does nothing to one that has ended
        child.wait()


def launch(folder: pathlib.Path, arguments) -> subprocess.Popen:
    """A train.py that begins the run of a folder, or continues the one that is there; its output goes to train.log and
    errors.log."""
    if (folder / "run.json").exists():
        arguments = ["--resume", *(argument for argument in arguments if argument.startswith("--data_dir="))]
    with open(folder / "train.log", "ab") as log, open(folder / "errors.log", "ab") as errors:
        return subprocess.Popen(
            [sys.executable, str(TRAIN), *arguments, f"--out={folder}"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=errors,
            start_new_session=True,  # Ctrl-C in the terminal reaches this process alone, which passes it on once
        )


def run(trial, folder: pathlib.Path, arguments: list[str], *, name: str, direction: str, of_report: bool) -> dict:
    """Run or continue a trial until its process has ended.

    Args:
        trial: `optuna.Trial`; folder: its run folder; arguments: of train.py; the others: as of `score`.
    Returns:
        {"state": "complete", "value": …}, {"state": "pruned"} or {"state": "fail", "error": …}.
    """
    seen = set(trial.storage.get_trial(trial._trial_id).intermediate_values)
    child = launch(folder, arguments)
    try:
        trial.set_user_attr("owner", {**me(), "train": [child.pid, birth(child.pid)]})
        code = None
        while code is None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                code = child.wait(PAUSE)
            (folder / "heartbeat").touch()
            report(trial, folder, name, seen)
            if code is None and trial.should_prune():
                stop(child)
                return {"state": "pruned"}
    except BaseException:  # Ctrl-C above all: nothing is left behind that nobody looks after
        if child.poll() is None:
            stop(child)
        raise
    if code:
        return {"state": "fail", "error": KILLED if code in OUT_OF_MEMORY else last_line(folder / "errors.log")}
    if left := unfinished(folder):
        return {"state": "fail", "error": left}
    try:
        return {"state": "complete", "value": score(folder, name, direction, of_report=of_report)}
    except UserError as error:
        return {"state": "fail", "error": str(error)}
