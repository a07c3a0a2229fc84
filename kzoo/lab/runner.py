"""Training what a plan names, one train.py at a time: what is finished stays, what was cut is continued, what fails is
named."""

import contextlib
import pathlib
import resource
import subprocess
import time

from tqdm.auto import tqdm

from kzoo import UserError, files
from kzoo.lab.plan import Run
from kzoo.sweep import study_trials


def is_finished(folder) -> bool:
    """Has this run trained all of its epochs and been scored? After Ctrl-C train.py scores what it has."""
    folder = pathlib.Path(folder)
    if not (folder / "report.json").exists():
        return False
    epochs = files.read_json(folder / "run.json")["flags"]["epochs"]
    return len(study_trials.history(folder)) >= int(epochs)


def begin(folder):
    """Make this process the one that trains in a folder of runs.

    Raises:
        UserError: another living process does.
    """
    path = pathlib.Path(folder) / "owner.json"
    owner = files.read_json(path) if path.exists() else None
    if study_trials.is_alive(owner, path.parent):
        raise UserError(
            f"process {owner['pid']} on {owner['host'].split()[0]} is at work in {folder}; wait for it, or stop it first"
        )
    study_trials.end_orphan(owner)
    files.write_json(path, study_trials.me())


def processor_seconds() -> float:
    """Of all child processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


@contextlib.contextmanager
def cost(folder: pathlib.Path):
    """Add the processor time of what ends meanwhile to `cost.json`; it stays null once a part of the run is unknown,
    after kill -9."""
    path = folder / "cost.json"
    unknown = (folder / "run.json").exists()
    known = files.read_json(path) if path.exists() else {"seconds": None if unknown else 0.0, "open": False}
    spent, before = None if known["open"] else known["seconds"], processor_seconds()
    files.write_json(path, {"seconds": spent, "open": True})
    try:
        yield
    finally:
        files.write_json(
            path, {"seconds": None if spent is None else spent + processor_seconds() - before, "open": False}
        )


def train(folder, arguments, tell=lambda epochs: None) -> str | None:
    """Start or continue one run, and wait for its end.

    Args:
        folder: of the run, in the folder that `begin` took; arguments: of train.py; tell: called every few seconds with
        the epochs done.
    Returns:
        None, or the line that says why it failed.
    """
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with cost(folder):
        code = process(folder, arguments, tell)
    if code:
        return (
            study_trials.KILLED if code in study_trials.OUT_OF_MEMORY else study_trials.last_line(folder / "errors.log")
        )
    return None if is_finished(folder) else "it was stopped before its last epoch"


def process(folder: pathlib.Path, arguments, tell) -> int:
    """The exit code of train.py, see `train`."""
    child = study_trials.launch(folder, arguments)
    try:
        files.write_json(
            folder.parent / "owner.json", {**study_trials.me(), "train": [child.pid, study_trials.birth(child.pid)]}
        )
        code = None
        while code is None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                code = child.wait(study_trials.PAUSE)
            tell(len(study_trials.history(folder)))
    except BaseException:  # Ctrl-C above all: nothing is left behind that nobody looks after
        if child.poll() is None:
            study_trials.stop(child)
        raise
    return code


def work(folder, runs: list[Run]) -> dict[str, str]:
    """Train what is not finished yet, with a bar.

    Args:
        folder: of all runs; runs: see `kzoo.lab.plan.runs`.
    Returns:
        {name of a run that failed: why}. The others are there.
    """
    folder, failed = pathlib.Path(folder), {}
    waiting = [run for run in runs if not is_finished(folder / run.name)]
    if not waiting:
        return {}
    begin(folder)
    started = time.time()
    with tqdm(total=len(runs), initial=len(runs) - len(waiting), unit="run", dynamic_ncols=True) as bar:
        for run in waiting:
            bar.set_description(run.name)
            error = train(folder / run.name, run.arguments, lambda epochs: bar.set_postfix_str(f"{epochs} epochs done"))
            if error:
                failed[run.name] = error
                bar.write(f"{run.name} failed: {error}")
            bar.update()
    print(f"trained {len(waiting) - len(failed)} of {len(waiting)} runs in {(time.time() - started) / 60:.0f} minutes")
    return failed
