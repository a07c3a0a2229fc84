"""What the runs of a plan scored, as one dictionary of plain numbers: every figure and sentence of the report is made
from it."""

import math
import pathlib
import statistics

import numpy as np

from kzoo import files, runs
from kzoo.data import pipeline
from kzoo.evaluation import report
from kzoo.lab import plan, runner
from kzoo.metrics import pose_scores
from kzoo.sweep import study_trials

MAIN = {"pose": ("mpjpe", min), "seg": ("miou", max)}  # score by task, and which is better
CAUSES = "Share of labelled joints by cause"
CONDITIONS = ("boxes", "crop", "tta", "decoder", "split", "examples", "dataset", "fingerprint")  # of report.json


def collect(folder, settings: plan.Settings, planned: list[plan.Run], failed: dict[str, str], builders: dict) -> dict:
    """The numbers of the report.

    Args:
        folder: of the runs; planned: see `plan.runs`; failed: why runs have none, by name; builders: task -> prepared
        data set.
    Returns:
        {"settings", "failed", "rows": {name: see `row`}, "conditions": {task: …}, "baselines": {"mean_pose_px",
        "background_miou"}}; rows of which no run has ended are left out.
    """
    folder, rows = pathlib.Path(folder), {}
    for run in planned:
        if runner.is_finished(folder / run.name):
            rows.setdefault(run.row.name, []).append(run)
    found = {name: row(folder, trained) for name, trained in rows.items()}
    held = {
        task: conditions(folder / next(run.name for some in rows.values() for run in some if run.row.task == task))
        for task in MAIN
        if any(r["task"] == task for r in found.values())
    }
    return {
        "settings": vars(settings),
        "failed": failed,
        "rows": found,
        "conditions": held,
        "baselines": baselines(builders, found, held),
    }


def row(folder: pathlib.Path, trained: list[plan.Run]) -> dict:
    """One row of the tables: scores, tables and curves are means over its seeds, of which `by_seed` has the main
    score."""
    kind = trained[0].row
    reports = [files.read_json(folder / run.name / "report.json") for run in trained]
    histories = [study_trials.history(folder / run.name) for run in trained]
    name, better = MAIN[kind.task]
    by_seed = {str(run.seed): found["scores"][name] for run, found in zip(trained, reports, strict=True)}
    values = list(by_seed.values())
    curve = {
        split: [
            statistics.fmean(epoch[f"{split}_{name}"] for epoch in epochs) for epochs in zip(*histories, strict=True)
        ]
        for split in ("train", "val")
    }
    return {
        "task": kind.task,
        "arch": kind.arch,
        "words": kind.words,
        "ablation": kind.ablation,
        "score": statistics.fmean(values),
        "spread": statistics.stdev(values) if len(values) > 1 else None,
        "seeds": len(trained),
        "by_seed": by_seed,
        "scores": means([found["scores"] for found in reports]),
        "tables": {title: means([found["tables"][title] for found in reports]) for title in reports[0]["tables"]},
        "parameters": reports[0]["parameters"],
        "cpu_minutes": cpu_minutes([folder / run.name / "cost.json" for run in trained]),
        "curve": curve,
        "epochs": len(curve["val"]),
        "best_epoch": 1 + curve["val"].index(better(v for v in curve["val"] if math.isfinite(v))),
        "gap": curve["val"][-1] - curve["train"][-1],
        "run": trained[0].name,
        "command": report.command(reports[0]["flags"]),
        **({"background": background(reports[0]["confusion"])} if "confusion" in reports[0] else {}),
    }


def means(found: list[dict[str, float]]) -> dict[str, float]:
    return {key: statistics.fmean(numbers[key] for numbers in found) for key in found[0]}


def cpu_minutes(paths: list[pathlib.Path]) -> float | None:
    """Processor time of all these runs, see `runner.cost`; None where that of one is not known."""
    seconds = [files.read_json(path)["seconds"] if path.exists() else None for path in paths]
    return None if None in seconds else sum(seconds) / 60


def background(confusion) -> float:
    """mIoU of the answer that all is class 0, from a confusion matrix with truth in rows."""
    truth = np.asarray(confusion, "float64").sum(axis=1)
    return float(truth[0] / truth.sum() / (truth > 0).sum())


def conditions(folder: pathlib.Path) -> dict:
    """What holds for all runs of a task, read from one of them."""
    run, found = files.read_json(folder / "run.json"), files.read_json(folder / "report.json")
    flags, task = run["flags"], runs.task_of(run)
    return {
        **{key: found[key] for key in CONDITIONS if key in found},
        "splits": run["dataset"]["splits"],
        "trained_on": flags["train_split"],
        **{key: flags[key] for key in ("size", "epochs", "batch_size", "lr", "optimizer", "schedule", "augment")},
        "loss": flags["loss"] or next(iter(task.outputs[task.main[0]].losses)),
        "device": run["device"],
        "versions": run["versions"],
        "commit": run["commit"],
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
        found["mean_pose_px"] = float(
            np.nanmean(pose_scores.joint_errors(val, np.broadcast_to(mean, val[..., :2].shape)))
        )
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
    if base := rows.get(plan.SOFTARGMAX):
        changes = {name: change(rows[name], base) for name in names}
        return min((name for name in names if changes[name] is not None), key=changes.get)
    return min(names, key=lambda name: rows[name]["score"], default=None)
