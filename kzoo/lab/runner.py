"""Training what a plan names, one after another: what is finished stays, what was cut is continued, what fails is
named."""

import pathlib
import time
from collections.abc import Callable

from tqdm.auto import tqdm

from kzoo import runs
from kzoo.lab.plan import Planned
from kzoo.runs import Run
from kzoo.sweep import run_scores, study_trials


def is_finished(folder) -> bool:
    """Has this run trained all of its epochs and been scored? Trainings of kzoo 0.1 were scored after Ctrl-C too."""
    if not Run.exists(folder):
        return False
    run = Run.open(folder)
    return run.report is not None and run_scores.stopped_at(run) is None


def train(folder, arguments, tell: Callable[[int], None] = lambda epochs: None) -> str | None:
    """Start or continue one run, and wait for its end.

    Args:
        folder: of the run, in the folder that `study_trials.take` took; arguments: of train.py; tell: called every few
        seconds with the epochs done.
    Returns:
        None, or the line that says why it failed.
    """
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    launched = study_trials.LaunchedFolder(folder)

    def note(child):
        study_trials.note_child(folder.parent, child)

    def look():
        tell(len(runs.read_history(folder)))

    with launched.counted():
        code = study_trials.look_after(folder, arguments, note, look)
    if code:
        return launched.reason(code)
    return None if is_finished(folder) else "it was stopped before its last epoch"


def work(folder, planned: list[Planned]) -> dict[str, str]:
    """Train what is not finished yet, with a bar.

    Args:
        folder: of all runs; planned: see `kzoo.lab.plan.runs`.
    Returns:
        {name of a run that failed: why}. The others are there.
    """
    folder = pathlib.Path(folder)
    waiting = [one for one in planned if not is_finished(folder / one.name)]
    if not waiting:
        return {}
    study_trials.take(folder)
    failed: dict[str, str] = {}
    started = time.time()
    with tqdm(
        total=len(planned), initial=len(planned) - len(waiting), unit="run", dynamic_ncols=True, disable=None
    ) as bar:
        for one in waiting:
            bar.set_description(one.name)
            error = train(folder / one.name, one.arguments, lambda epochs: bar.set_postfix_str(f"{epochs} epochs done"))
            if error:
                failed[one.name] = error
                bar.write(f"{one.name} failed: {error}")
            bar.update()
    minutes = (time.time() - started) / 60
    print(f"trained {len(waiting) - len(failed)} of {len(waiting)} runs in {minutes:.0f} minutes by the clock")
    return failed
