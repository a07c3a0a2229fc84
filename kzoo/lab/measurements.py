"""What the runs of a plan scored, as one dictionary of plain numbers: every figure and sentence of the report is made
from it."""

import math
import pathlib
import statistics

import numpy as np

from kzoo.data import pipeline
from kzoo.evaluation import conditions, report
from kzoo.lab import plan, runner
from kzoo.metrics import pose_scores
from kzoo.runs import Run
from kzoo.sweep import study_trials

MAIN = {"pose": ("mpjpe", min), "seg": ("miou", max)}  # score by task, and which is better
CAUSES = "Share of labelled joints by cause"
FLAGS = ("size", "epochs", "batch_size", "lr", "optimizer", "schedule", "augment")  # that are told


def collect(folder, settings: plan.Settings, planned: list[plan.Planned], failed: dict[str, str], builders) -> dict:
    """The numbers of the report.

    Args:
        folder: of the runs; planned: see `plan.runs`; failed: why runs have none, by name; builders: task -> prepared
        data set.
    Returns:
        {"settings", "failed", "rows": {name: see `row`}, "conditions": {task: …}, "baselines": {"mean_pose_px",
        "background_miou"}}; rows of which no run has ended are left out.
    """
    folder = pathlib.Path(folder)
    trained: dict[str, list[plan.Planned]] = {}
    for one in planned:
        if runner.is_finished(folder / one.name):
            trained.setdefault(one.row.name, []).append(one)
    rows = {name: row(folder, some) for name, some in trained.items()}
    held = {}
    for found in rows.values():
        held.setdefault(found["task"], conditions_of(Run.open(folder / found["run"])))
    return {
        "settings": vars(settings),
        "failed": failed,
        "rows": rows,
        "conditions": {task: held[task] for task in MAIN if task in held},
        "baselines": baselines(builders, rows, held),
    }


def row(folder: pathlib.Path, trained: list[plan.Planned]) -> dict:
    """One row of the tables: scores, tables and curves are means over its seeds, of which `by_seed` has the main
    score."""
    kind = trained[0].row
    name, better = MAIN[kind.task]
    opened = [Run.open(folder / one.name) for one in trained]
    reports = [run.report for run in opened]
    histories = [run.history for run in opened]

    # Over the seeds
    values = [found["scores"][name] for found in reports]
    by_seed = {str(one.seed): value for one, value in zip(trained, values, strict=True)}
    curve = {split: mean_curve(histories, f"{split}_{name}") for split in ("train", "val")}
    finite = [value for value in curve["val"] if math.isfinite(value)]
    tables = {title: means([found["tables"][title] for found in reports]) for title in reports[0]["tables"]}
    result = {
        "task": kind.task,
        "arch": kind.arch,
        "words": kind.words,
        "ablation": kind.ablation,
        "score": statistics.fmean(values),
        "spread": statistics.stdev(values) if len(values) > 1 else None,
        "seeds": len(trained),
        "by_seed": by_seed,
        "scores": means([found["scores"] for found in reports]),
        "tables": tables,
        "parameters": reports[0]["parameters"],
        "cpu_minutes": cpu_minutes(opened),
        "curve": curve,
        "epochs": len(curve["val"]),
        "best_epoch": 1 + curve["val"].index(better(finite)),
        "gap": curve["val"][-1] - curve["train"][-1],
        "run": trained[0].name,
        "command": report.command(opened[0].flags),
    }
    if "confusion" in reports[0]:
        result["background"] = background(reports[0]["confusion"])
    return result


def mean_curve(histories: list[list[dict]], column: str) -> list[float]:
    """Mean over runs of a column of their histories, for each epoch."""
    return [statistics.fmean(row[column] for row in rows) for rows in zip(*histories, strict=True)]


def means(found: list[dict[str, float]]) -> dict[str, float]:
    return {key: statistics.fmean(numbers[key] for numbers in found) for key in found[0]}


def cpu_minutes(opened: list[Run]) -> float | None:
    """Processor time of all these runs; None where that of one is not known."""
    seconds = [study_trials.LaunchedFolder(run.folder).seconds for run in opened]
    return None if None in seconds else sum(seconds) / 60


def background(confusion) -> float:
    """mIoU of the answer that all is class 0, from a confusion matrix with truth in rows."""
    truth = np.asarray(confusion, "float64").sum(axis=1)
    return float(truth[0] / truth.sum() / (truth > 0).sum())


def conditions_of(run: Run) -> dict:
    """What holds for all runs of a task, read from one of them."""
    flags = run.flags
    losses = run.task.outputs[run.task.main[0]].losses
    return {
        **conditions.of_report(run.report),
        "splits": run.config.dataset.splits,
        "trained_on": flags["train_split"],
        **{key: flags[key] for key in FLAGS},
        "loss": flags["loss"] or next(iter(losses)),
        "device": run.config.device,
        "versions": run.config.versions,
        "commit": run.config.commit,
    }


def baselines(builders: dict, rows: dict, held: dict) -> dict:
    """What needs no training: MPJPE of the mean pose in px of a 256-px crop, mIoU of answering background everywhere.

    Args:
        builders: task -> prepared data set; rows: see `row`; held: task -> `conditions`: the mean is that of the
            examples that the runs were trained on, and both are scored on those that the runs were scored on.
    """
    backgrounds = [r["background"] for r in rows.values() if "background" in r]
    found = {"background_miou": backgrounds[0]} if backgrounds else {}
    if "pose" in held:
        splits = (held["pose"]["trained_on"], held["pose"]["split"])
        train, val = (np.stack(list(pipeline.values(builders["pose"], split, "keypoints"))) for split in splits)
        labelled = train[..., 2:] > 0
        mean = (train[..., :2] * labelled).sum(axis=0) / np.maximum(labelled.sum(axis=0), 1)
        errors = pose_scores.joint_errors(val, np.broadcast_to(mean, val[..., :2].shape))
        found["mean_pose_px"] = float(np.nanmean(errors))
    return found


def shared_seeds(one: dict, other: dict) -> list[str]:
    """Seeds that two rows both have."""
    return [seed for seed in one["by_seed"] if seed in other["by_seed"]]


def score_at(row: dict, seeds) -> float:
    """Mean main score of a row over some of its seeds, of which there is at least one."""
    return statistics.fmean(row["by_seed"][seed] for seed in seeds)


def change(row: dict, base: dict) -> float | None:
    """Main score of a row minus the base's at the same seeds; None where they share none."""
    seeds = shared_seeds(row, base)
    return score_at(row, seeds) - score_at(base, seeds) if seeds else None


def best_softargmax(rows: dict) -> str | None:
    """Name of the row of soft-argmax that is better than the base by most; without the base, with the lowest error."""
    names = [name for name, r in rows.items() if r["arch"] == "softargmax"]
    base = rows.get(plan.SOFTARGMAX)
    if base:
        changes = {name: change(rows[name], base) for name in names}
        return min((name for name in names if changes[name] is not None), key=changes.get)
    return min(names, key=lambda name: rows[name]["score"], default=None)
