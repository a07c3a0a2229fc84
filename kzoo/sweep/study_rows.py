"""What a report of many runs is made of: one row a run, under which conditions it was scored, and what varies between
the runs.

The runs are the trials of a study of `kzoo.sweep`, or run folders, where every flag that differs is a factor.
"""

import collections
import dataclasses
import json
import math
import pathlib

from kzoo import UserError, cli, runs
from kzoo.evaluation import conditions
from kzoo.runs import Run
from kzoo.sweep import run_scores, studies, study_table

ASSIGNED = ("set", "loss_set", "loss_weights")  # flags that hold assignments; set.width in rows, as in sweeps
PLACES = ("out", "data_dir", "data_source", "resume", "cache", "find_lr")  # flags that change no score
SEED = "seed"
MANY = 6  # numbers: more different ones than this are a range, not levels
COUNTED = "complete"
# Scores of runs that differ in any of these are not comparable. By what a reader calls them.
CONDITIONS = {
    **{name: conditions.CONDITIONS[name].words for name in conditions.APART},
    "metric": "metric",
    "source": "score taken from",
}
# Flags that make the network what it costs; others of the network (weights, initialisation, dropout) do not.
NETWORK = ("task", "arch", "encoder", "norm", "normalise", "set", "size")


@dataclasses.dataclass(frozen=True)
class Row:
    """One run. settings: {what varies: its level, or its number for a range}, without the seed; curve: (epoch, score)
    of each epoch."""

    name: str
    folder: pathlib.Path | None
    state: str  # complete, fail, pruned, running, waiting, unfinished or lost; only complete ones are counted
    error: str
    settings: dict
    seed: str
    score: float | None = None
    epoch: int | None = None
    conditions: dict = dataclasses.field(default_factory=dict)
    parameters: int | None = None
    minutes: float | None = None
    network: str = ""  # the same for runs whose networks cost the same
    curve: tuple = ()

    @property
    def counted(self) -> bool:
        return self.state == COUNTED and self.score is not None


@dataclasses.dataclass(frozen=True)
class Runs:
    """All runs of a report. ranges: those of the settings that are numbers from a range; follows: {factor: flags that
    change with it}."""

    title: str
    metric: str
    higher_is_better: bool
    rows: list[Row]
    ranges: tuple[str, ...] = ()
    follows: dict = dataclasses.field(default_factory=dict)
    condition: str | None = None  # see `measured`
    reports: dict[str, int] = dataclasses.field(default_factory=dict)  # condition -> how many runs have such a report


def reports_of(run: Run) -> dict[str, dict]:
    """`Run.reports` without those of an earlier state of its network, which was trained on since."""
    reports = run.reports
    own = next(iter(reports.values()), {})
    network = own.get("network")
    return {name: one for name, one in reports.items() if one.get("network", network) == network or network is None}


def shared(opened: list[Run], wanted: str | None) -> tuple[str | None, dict[str, int]]:
    """The condition that runs are compared under, None for each training's own, and how many runs have which.

    Args:
        wanted: its name; None: the training's own, or if these are of different ones, the first that all runs share.
    Raises:
        UserError: no run has a report of what is wanted.
    """
    known = [names for run in opened if (names := list(reports_of(run)))]
    counts = collections.Counter(name for names in known for name in names)
    common = [name for name in counts if counts[name] == len(known)]
    if wanted is None:
        alike = len({names[0] for names in known}) <= 1
        return (None if alike or not common else common[0]), dict(counts)
    if not counts[wanted]:
        there = ", ".join(f"{name} ({count} of {len(opened)} runs)" for name, count in counts.items())
        raise UserError(f"no report of condition={wanted}; there are: {there or 'none'}. eval.py makes them")
    return wanted, dict(counts)


def measured(run: Run, metric: str, higher_is_better: bool, condition: str | None = None) -> dict:
    """Score, conditions and the rest of a `Row` from a run.

    The score is that of its report, exact and under the conditions that stand there. Where the training's own report
    has no score of that name, it is the best epoch's in its history.

    Args:
        condition: the report that counts, see `Run.reports`; None: the training's own.
    """
    history = run.history
    report = (reports_of(run).get(condition) if condition else run.report) or {}
    curve = run_scores.curve_of(history, f"val_{metric}")
    epoch, best = run_scores.best_of(curve, higher_is_better)
    scores = report.get("scores", {})
    if condition or scores.get(metric) is not None:
        best = None  # what an exact report calls undefined, NaN, the training's metric does not define
    if condition and metric not in scores:
        metric = next(iter(scores), metric)  # loc's history and reports call it differently
    score = scores.get(metric)
    of_report = score is not None and math.isfinite(score)
    return {
        "score": score if of_report else best,
        "epoch": epoch,
        "conditions": _conditions(run, report, metric, of_report),
        "parameters": run.config.parameters,
        "minutes": run_scores.minutes_of(history),
        "network": _network(run),
        "curve": curve,
    }


def _conditions(run: Run, report: dict, metric: str, of_report: bool) -> dict[str, str]:
    """{name of CONDITIONS: what holds for the score}, "" for what is not known."""
    known = conditions.of_report(report, conditions.EXAMPLES, conditions.ANSWERS)
    if not of_report:
        known |= conditions.of_training(run.flags)
    data = run.config.dataset
    known |= {"task": run.flags.get("task"), "dataset": data.name, "fingerprint": data.fingerprint}
    known |= {"metric": metric, "source": runs.REPORT if of_report else runs.HISTORY}
    return {name: _text(known.get(name)) for name in CONDITIONS}


def _network(run: Run) -> str:
    """The same text for runs whose networks cost the same."""
    flags = {name: run.flags.get(name) for name in NETWORK}
    return json.dumps({**flags, "frames": run.config.frames or None, "names": len(run.names)}, sort_keys=True)


def _text(value) -> str:
    return "" if value is None else str(value)


def of_study(folder, storage: str | None = None, condition: str | None = None) -> Runs:
    """The trials of a study.

    Args:
        folder: of the study; storage: see `python -m kzoo.sweep --helpshort`. Without storage, sweep.json tells how the
        trials stood when the sweep last wrote it.
    """
    folder = pathlib.Path(folder)
    try:
        place = studies.Place.of(folder.resolve().name, folder.resolve().parent, storage)
        table = study_table.table(place, studies.load(place))
    except UserError:
        table = None if storage else study_table.written(folder)
        if table is None:
            raise
    metric = table["score"]
    higher = table["direction"] == "max"
    folders = [_folder_of_trial(trial, folder) for trial in table["trials"]]
    opened = [Run.open(one) for one in folders if one is not None and Run.exists(one)]
    condition, reports = shared(opened, condition)
    rows = [_row_of_trial(trial, folder, metric, higher, condition) for trial in table["trials"]]
    ranges = {name for row in rows for name, value in row.settings.items() if not isinstance(value, str)}
    return Runs(table["study"], metric, higher, rows, tuple(sorted(ranges)), condition=condition, reports=reports)


def _folder_of_trial(trial: dict, study: pathlib.Path) -> pathlib.Path | None:
    return study / pathlib.Path(trial["folder"]).name if trial["folder"] else None


def _row_of_trial(trial: dict, study: pathlib.Path, metric: str, higher_is_better: bool, condition: str | None) -> Row:
    """From a row of `study_table.table`; study: the folder, which may have moved."""
    own = {"trial", "state", metric, "minutes", "folder", "error", SEED}
    settings = {name: value for name, value in trial.items() if name not in own}
    folder = _folder_of_trial(trial, study)
    state = trial["state"]
    error = trial["error"] or ""
    found = {}
    if folder is not None and Run.exists(folder):
        found = measured(Run.open(folder), metric, higher_is_better, condition)
        if state == COUNTED and found["score"] is None:
            state = "lost"
            where = f"a report of {condition}" if condition else f"{runs.REPORT} or {runs.HISTORY}"
            error = f"no finite {metric} in {where}"
    elif state == COUNTED:
        state = "lost"
        error = "its folder holds no run any more"
    return Row(str(trial["trial"]), folder, state, error, settings, str(trial.get(SEED, "")), **found)


def of_folders(folders, condition: str | None = None) -> Runs:
    """Run folders, each counted once; what differs between their flags varies.

    Args:
        condition: see `shared`.
    Raises:
        UserError: a folder is no run, or the runs are scored by different metrics, or one lacks the condition.
    """
    folders = list({pathlib.Path(folder).resolve(): pathlib.Path(folder) for folder in folders}.values())
    opened = [Run.open(folder) for folder in folders]
    metrics = list(dict.fromkeys(run.config.score.removeprefix("val_") for run in opened))
    if len(metrics) > 1:
        raise UserError(f"these runs are scored by different metrics: {', '.join(metrics)}; compare runs of one task")
    metric = metrics[0]
    higher = opened[0].config.mode == "max"

    if condition:
        for run in opened:
            names = list(reports_of(run))
            if condition not in names:
                there = ", ".join(names) or "none"
                raise UserError(
                    f"{run.folder} has no report of condition={condition}; it has: {there}. eval.py makes them"
                )
    condition, reports = shared(opened, condition)

    # What varies between their flags
    flat = [_flat(run.flags) for run in opened]
    varied = _varied(flat)
    ranges = tuple(name for name in varied if _is_range([flags.get(name) for flags in flat]))
    factors, follows = _leaders([name for name in varied if name not in ranges], flat)

    # A row each
    names = [folder.resolve().name for folder in folders]  # of "." too
    rows = []
    for name, run, flags in zip(names, opened, flat, strict=True):
        settings = {factor: _text(flags.get(factor)) or "default" for factor in factors}
        settings |= {name: flags.get(name) for name in ranges}
        unique = name if names.count(name) == 1 else str(run.folder)
        found = measured(run, metric, higher, condition)
        state, error = _state(run, found["score"], metric)
        rows.append(Row(unique, run.folder, state, error, settings, _text(flags.get(SEED)), **found))
    title = ", ".join([*names[:4], "…"] if len(names) > 4 else names)
    return Runs(title, metric, higher, rows, ranges, follows, condition, reports)


def _state(run: Run, score: float | None, metric: str) -> tuple[str, str]:
    """Of a run of no study: state, and why it is not counted."""
    last = run_scores.stopped_at(run)
    if score is None:
        return "unfinished", f"no finite {metric} yet"
    if last is not None:
        return "unfinished", f"stopped after epoch {last} of {run.flags['epochs']}"
    return COUNTED, ""


def _varied(flat: list[dict]) -> list[str]:
    """Names of flags in which runs differ, but for the seed; a run of an older version does not differ in flags that it
    lacks, unless they are assignments, see `_flat`."""
    varied = []
    for name in dict.fromkeys(name for flags in flat for name in flags):
        values = {_text(flags.get(name)) for flags in flat if name in flags or "." in name}
        if name != SEED and len(values) > 1:
            varied.append(name)
    return varied


def _flat(flags: dict) -> dict:
    """Flags of a run by the names that sweeps give them: set.width is of --set. A run of an older version lacks newer
    flags."""
    result = {}
    for name, value in flags.items():
        if name in ASSIGNED:
            result |= {f"{name}.{key}": assigned for key, assigned in cli.assignments(value, name).items()}
        elif name not in PLACES:
            result[name] = ",".join(map(str, value)) or None if isinstance(value, list) else value
    return result


def _is_range(values: list) -> bool:
    numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
    return numbers and len(set(values)) > MANY


def _leaders(names: list[str], flat: list[dict]) -> tuple[list[str], dict]:
    """Factors, and what each decides: --lr that changes whenever --arch does, and only then, is no factor of its
    own."""
    factors: list[str] = []
    follows: dict[str, list[str]] = {}
    for name in names:
        leader = next((leader for leader in factors if _decides(leader, name, flat)), None)
        if leader:
            follows.setdefault(leader, []).append(name)
        else:
            factors.append(name)
    return factors, follows


def _decides(leader: str, name: str, flat: list[dict]) -> bool:
    """Has each level of a factor one value of a flag?"""
    pairs = {(_text(flags.get(leader)), _text(flags.get(name))) for flags in flat}
    return len(pairs) == len({level for level, _ in pairs})
