"""What a run folder tells of its training: curves, the best epoch, how long it took, whether it was cut."""

import math

from kzoo import UserError, runs
from kzoo.runs import Run

MINUTES = "minutes: of the training's epochs by the clock, with the scoring after each."


def curve_of(history: list[dict], column: str) -> tuple[tuple[int, float], ...]:
    """(epoch, value) of a column of a run's history, where it is a finite number."""
    values = ((row["epoch"], row.get(column, math.nan)) for row in history)
    return tuple((epoch, value) for epoch, value in values if math.isfinite(value))


def best_of(curve, higher_is_better: bool) -> tuple[int | None, float | None]:
    """(epoch, value) of the best epoch of `curve_of`."""
    better = max if higher_is_better else min
    return better(curve, key=lambda point: point[1], default=(None, None))


def minutes_of(history: list[dict]) -> float | None:
    """How long the epochs of a history took; None where it does not tell."""
    seconds = [row["seconds"] for row in history if "seconds" in row]
    return sum(seconds) / 60 if seconds else None


def stopped_at(run: Run) -> int | None:
    """The last epoch of a run that has not had all of its epochs; clusterings stop by themselves."""
    planned = run.flags.get("epochs")
    in_rounds = run.flags.get("rounds") is not None
    history = run.history
    if in_rounds or not planned or not history or history[-1]["epoch"] >= int(planned):
        return None
    return history[-1]["epoch"]


def score(run: Run, name: str, direction: str, *, of_report: bool) -> float:
    """Of a finished run: the best epoch's in its history; of the report, if asked for or if the history has none
    (clustering).

    Raises:
        UserError: there is none, or it is no number.
    """
    _, best = best_of(curve_of(run.history, f"val_{name}"), direction == "max")
    if best is not None and not of_report:
        return best
    report = run.report
    if report is None:
        raise UserError(f"{run.folder} was not scored: it holds no {runs.REPORT}")
    scores = report["scores"]
    if name not in scores:
        raise UserError(f"{runs.REPORT} has no score {name!r}; it has {', '.join(scores)}")
    if scores[name] is None or not math.isfinite(scores[name]):
        raise UserError(f"{name} is {scores[name]}")
    return scores[name]
