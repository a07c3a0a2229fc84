"""What a report of many runs is made of: one row a run, under which conditions it was scored, and what varies between
the runs.

The runs are the trials of a study of `kzoo.sweep`, or run folders, where every flag that differs is a factor.
"""

import dataclasses
import json
import math
import pathlib

from kzoo import UserError, cli, files
from kzoo.sweep import studies, study_table, study_trials

ASSIGNED = ("set", "loss_set", "loss_weights")  # flags that hold assignments; set.width in rows, as in sweeps
PLACES = ("out", "data_dir", "data_source", "resume", "cache", "find_lr")  # flags that change no score
SEED = "seed"
MANY = 6  # numbers: more different ones than this are a range, not levels
COUNTED = "complete"
# Scores of runs that differ in any of these are not comparable. By what a reader calls them; the keys are those of
# report.json.
CONDITIONS = {
    "task": "task",
    "dataset": "data set",
    "fingerprint": "data fingerprint",
    "split": "split",
    "boxes": "boxes",
    "crop": "crop (px)",
    "tile": "tile",
    "overlap": "overlap",
    "tta": "flip and other test-time augmentation",
    "decoder": "decoder",
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


def measured(folder: pathlib.Path, metric: str, higher_is_better: bool) -> dict:
    """Score, conditions and the rest of a `Row` from a run folder that holds run.json.

    The score is that of report.json, exact and under the conditions that stand there. Where the report has no score of
    that name, it is the best epoch's in history.csv, which knows no test-time augmentation.
    """
    run, history = files.read_json(folder / "run.json"), study_trials.history(folder)
    flag, found = run["flags"], files.read_json(folder / "report.json") if (folder / "report.json").exists() else {}
    curve = tuple(
        (int(row["epoch"]), row[f"val_{metric}"])
        for row in history
        if math.isfinite(row.get(f"val_{metric}", math.nan))
    )
    epoch, best = (max if higher_is_better else min)(curve, key=lambda point: point[1], default=(None, None))
    score = found.get("scores", {}).get(metric)
    of_report = score is not None and math.isfinite(score)
    conditions = {
        "task": flag.get("task"),
        "dataset": run.get("dataset", {}).get("name", flag.get("dataset")),
        "fingerprint": run.get("dataset", {}).get("fingerprint"),
        **{name: found[name] for name in ("boxes", "tile", "overlap", "decoder") if name in found},
        **({name: found.get(name) for name in ("split", "crop", "tta")} if of_report else {}),
        "metric": metric,
        "source": "report.json" if of_report else "history.csv",
    }
    if not of_report:
        conditions |= {"split": flag.get("val_split") or "val", "crop": flag.get("size"), "tta": "none"}
    network = {name: flag.get(name) for name in NETWORK} | {name: run.get(name) for name in ("frames", "names")}
    return {
        "score": score if of_report else best,
        "epoch": epoch,
        "conditions": {name: _text(conditions.get(name)) for name in CONDITIONS},
        "parameters": run.get("parameters"),
        "minutes": sum(row.get("seconds", 0.0) for row in history) / 60 if history else None,
        "network": json.dumps({**network, "names": len(network["names"] or ())}, sort_keys=True),
        "curve": curve,
    }


def _text(value) -> str:
    return "" if value is None else str(value)


def of_study(folder, storage: str | None = None) -> Runs:
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
        if storage or not (folder / "sweep.json").exists():
            raise
        table = files.read_json(folder / "sweep.json")
    metric, higher = table["score"], table["direction"] == "max"
    own = {"trial", "state", metric, "minutes", "folder", "error", SEED}
    rows = []
    for trial in table["trials"]:
        settings = {name: value for name, value in trial.items() if name not in own}
        run = folder / pathlib.Path(trial["folder"]).name if trial["folder"] else None
        common = {"name": str(trial["trial"]), "folder": run, "settings": settings, "seed": str(trial.get(SEED, ""))}
        state, error, rest = trial["state"], trial["error"] or "", {}
        if run is not None and (run / "run.json").exists():
            rest = measured(run, metric, higher)
            if state == COUNTED and rest["score"] is None:
                state, error = "lost", f"no finite {metric} in report.json or history.csv"
        elif state == COUNTED:
            state, error = "lost", "its run folder holds no run.json any more"
        rows.append(Row(state=state, error=error, **common, **rest))
    ranges = {name for row in rows for name, value in row.settings.items() if not isinstance(value, str)}
    return Runs(table["study"], metric, higher, rows, tuple(sorted(ranges)))


def of_folders(folders) -> Runs:
    """Run folders, each counted once; what differs between their flags varies.

    Raises:
        UserError: a folder is no run, or the runs are scored by different metrics.
    """
    folders = list({pathlib.Path(folder).resolve(): pathlib.Path(folder) for folder in folders}.values())
    names_alone = {folder: folder.resolve().name for folder in folders}  # of "." too
    runs = [files.read_json(folder / "run.json") for folder in folders]
    metrics = list(dict.fromkeys(run["score"].removeprefix("val_") for run in runs))
    if len(metrics) > 1:
        raise UserError(f"these runs are scored by different metrics: {', '.join(metrics)}; compare runs of one task")
    metric, higher = metrics[0], runs[0]["mode"] == "max"
    flat = [_flat(run["flags"]) for run in runs]
    names = [name for name in dict.fromkeys(name for flags in flat for name in flags) if name != SEED]
    varied = [
        name for name in names if len({_text(flags.get(name)) for flags in flat if name in flags or "." in name}) > 1
    ]  # see `_flat`
    ranges = tuple(name for name in varied if _is_range([flags.get(name) for flags in flat]))
    factors, follows = _leaders([name for name in varied if name not in ranges], flat)
    rows = []
    for folder, run, flags in zip(folders, runs, flat, strict=True):
        rest = measured(folder, metric, higher)
        last, planned = (rest["curve"][-1][0] if rest["curve"] else None), run["flags"].get("epochs")
        state, error = COUNTED, ""
        if rest["score"] is None:
            state, error = "unfinished", f"no finite {metric} yet"
        elif last is not None and planned and last < planned:  # clustering has no such curve
            state, error = "unfinished", f"stopped after epoch {last} of {planned}"
        settings = {
            name: flags.get(name) if name in ranges else _text(flags.get(name)) or "default"
            for name in (*factors, *ranges)
        }
        name = names_alone[folder] if list(names_alone.values()).count(names_alone[folder]) == 1 else str(folder)
        rows.append(Row(name, folder, state, error, settings, _text(flags.get(SEED)), **rest))
    return Runs(
        ", ".join(list(names_alone.values())[:4]) + ", …" * (len(folders) > 4), metric, higher, rows, ranges, follows
    )


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
    return (
        all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
        and len(set(values)) > MANY
    )


def _leaders(names: list[str], flat: list[dict]) -> tuple[list[str], dict]:
    """Factors, and what each decides: --lr that changes whenever --arch does, and only then, is no factor of its
    own."""
    factors, follows = [], {}
    for name in names:
        pairs = {leader: {(_text(flags.get(leader)), _text(flags.get(name))) for flags in flat} for leader in factors}
        leader = next(
            (leader for leader, found in pairs.items() if len(found) == len({level for level, _ in found})), None
        )
        if leader:
            follows.setdefault(leader, []).append(name)
        else:
            factors.append(name)
    return factors, follows
