"""What the runs of a plan scored, as one dictionary of plain numbers: every figure and sentence of the report is made from it."""

import math
import pathlib
import statistics

import numpy as np

from kzoo import data, files, report, runs, scores
from kzoo.course import plan, runner
from kzoo.sweeps import sweep_trials

MAIN = {"pose": ("mpjpe", min), "seg": ("miou", max)}  # score by task, and which is better
CAUSES = "Share of labelled joints by cause"
CONDITIONS = ("boxes", "crop", "tta", "decoder", "split", "examples", "dataset", "fingerprint")  # of report.json


def collect(folder, settings: plan.Settings, planned: list[plan.Run], failed: dict[str, str], builders: dict) -> dict:
    """The numbers of the report.

    Args:
        folder: of the runs; planned: see `plan.runs`; failed: why runs have none, by name; builders: task -> prepared data set.
    Returns:
        {"settings", "failed", "rows": {name: see `row`}, "conditions": {task: …}, "baselines": {"mean_pose_px", "background_miou"}}; rows
        of which no run has ended are left out.
    """
    folder, rows = pathlib.Path(folder), {}
    for run in planned:
        if runner.is_finished(folder / run.name):
            rows.setdefault(run.row.name, []).append(run)
    found = {name: row(folder, trained) for name, trained in rows.items()}
    return {
        "settings": vars(settings),
        "failed": failed,
        "rows": found,
        "conditions": {
            task: conditions(folder / next(run.name for some in rows.values() for run in some if run.row.task == task))
            for task in MAIN
            if any(r["task"] == task for r in found.values())
        },
        "baselines": baselines(builders, found),
    }


def row(folder: pathlib.Path, trained: list[plan.Run]) -> dict:
    """One row of the tables: scores are means over its seeds, curves are the first seed's."""
    kind = trained[0].row
    reports = [files.read_json(folder / run.name / "report.json") for run in trained]
    histories = [sweep_trials.history(folder / run.name) for run in trained]
    name, better = MAIN[kind.task]
    values = [found["scores"][name] for found in reports]
    curve = {split: [epoch[f"{split}_{name}"] for epoch in histories[0]] for split in ("train", "val")}
    return {
        "task": kind.task,
        "arch": kind.arch,
        "words": kind.words,
        "ablation": kind.ablation,
        "score": statistics.fmean(values),
        "spread": statistics.stdev(values) if len(values) > 1 else None,
        "seeds": len(trained),
        "scores": {key: statistics.fmean(found["scores"][key] for found in reports) for key in reports[0]["scores"]},
        "tables": reports[0]["tables"],
        "parameters": reports[0]["parameters"],
        "cpu_minutes": cpu_minutes([folder / run.name / "cost.json" for run in trained]),
        "curve": curve,
        "epochs": len(histories[0]),
        "best_epoch": 1 + curve["val"].index(better(v for v in curve["val"] if math.isfinite(v))),
        "gap": statistics.fmean(history[-1][f"val_{name}"] - history[-1][f"train_{name}"] for history in histories),
        "run": trained[0].name,
        "command": report.command(reports[0]["flags"]),
        **({"background": background(reports[0]["confusion"])} if "confusion" in reports[0] else {}),
    }


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


def baselines(builders: dict, rows: dict) -> dict:
    """What needs no training: MPJPE of the training set's mean pose in px of a 256-px crop, mIoU of answering background everywhere."""
    backgrounds = [r["background"] for r in rows.values() if "background" in r]
    found = {"background_miou": backgrounds[0]} if backgrounds else {}
    if "pose" in builders:
        train, val = (np.stack(list(data.values(builders["pose"], split, "keypoints"))) for split in ("train", "val"))
        labelled = train[..., 2:] > 0
        mean = (train[..., :2] * labelled).sum(axis=0) / np.maximum(labelled.sum(axis=0), 1)
        found["mean_pose_px"] = float(np.nanmean(scores.joint_errors(val, np.broadcast_to(mean, val[..., :2].shape))))
    return found


def best_softargmax(rows: dict) -> str | None:
    """Name of the row of soft-argmax with the lowest error."""
    names = [name for name, r in rows.items() if r["arch"] == "softargmax"]
    return min(names, key=lambda name: rows[name]["score"], default=None)
