"""Studies whose truth is known, in Optuna's journal and run folders, without any training."""

import itertools

import numpy as np
import pytest

from kzoo import files, runs
from kzoo.data.description import DataSet
from kzoo.runs import Run
from kzoo.training.configuration import Configuration

ARCHS = {"fcn": 0.40, "encdec": 0.50, "unet": 0.56}
WEIGHTS = {"imagenet": 0.05, "none": -0.05}
COST = {
    "parameters": 10,
    "flops": 2_000_000_000,
    "ms_per_example": {"1": 5.0, "8": 2.0},
    "peak_memory_mib": 700.0,
    "network_memory_mib": 30.0,
    "device": "CPU",
    "threads": 1,
}


def score(arch, weights, seed, noise=0.01):
    """Of a run whose truth is known: noise that belongs to the run, and a large part that belongs to the seed."""
    rng = np.random.default_rng([list(ARCHS).index(arch), list(WEIGHTS).index(weights), int(seed)])
    return ARCHS[arch] + WEIGHTS[weights] + 0.1 * int(seed) + noise * rng.normal()


def write_run(folder, value, *, flag=None, seed=0, metric="miou", mode="max", epochs=3, planned=3, **found):
    """A run folder as train.py leaves it, whose best epoch is the second one.

    Args:
        value: of the score; flag: some of its flags; epochs: those it had, of those `planned`; found: further content
        of its report; reported=False: there is none; fingerprint: of its data.
    """
    flag = {
        "task": "seg",
        "arch": "unet",
        "dataset": "people",
        "val_split": "val",
        "size": "64",
        "encoder": "small",
        "encoder_weights": "none",
        "lr": 0.1,
        "set": [],
        "seed": seed,
        "epochs": planned,
        "out": str(folder),
        **(flag or {}),
    }
    fingerprint = found.pop("fingerprint", "abc")
    dataset = DataSet("people/1.0.0", {"train": 64, "val": 32}, fingerprint)
    run = Run.create(folder, Configuration(flag, ["a", "b"], dataset, 20_000, score=f"val_{metric}", mode=mode))
    worse = value - 0.2 if mode == "max" else value + 0.2
    values = [value if epoch == 2 else worse for epoch in range(1, epochs + 1)]
    run.write_history([{"epoch": e, f"val_{metric}": one, "seconds": 60} for e, one in enumerate(values, start=1)])
    if found.pop("reported", True):
        how = {
            "split": "val",
            "crop": flag["size"],
            "tta": "none",
            "examples": 32,
            "parameters": 20_000,
            "flags": flag,
            "dataset": dataset.name,
            "fingerprint": fingerprint,
            "tables": {},
            "notes": [],
        }
        files.write_json(run.folder / runs.REPORT, {"scores": {metric: value}, **how, **found})
    return run


def make_study(out, points, value_of, *, endings=None, run_of=None, direction="max"):
    """A study in Optuna's journal, a run folder a trial. endings: {trial: (state, error)}; run_of: point -> arguments
    of `write_run`."""
    optuna = pytest.importorskip("optuna")
    from kzoo.sweep import studies, study_table

    place = studies.Place.of("s", out, None)
    keys = {studies.key_of(point): point for point in points}
    study = studies.prepare(
        place, {"arguments": [], "sampler": "grid", "metric": None}, keys, lambda: ("miou", direction), "none"
    )
    names = list(dict.fromkeys(name for point in points for name in point))
    choices = {name: list(dict.fromkeys(point[name] for point in points)) for name in names}
    for number, point in enumerate(points):
        state, error = (endings or {}).get(number, ("complete", None))
        if state == "waiting":
            break
        trial = study.ask()
        for name in point:
            if isinstance(point[name], str):
                trial.suggest_categorical(name, choices[name])
            else:
                trial.suggest_float(name, 0.0, 1.0)
        trial.set_user_attr("folder", f"{number:03d}-x")
        if state == "running":
            continue
        value = value_of(**point)
        flag = {name: found for name, found in point.items() if name in ("arch", "size")}
        own = {"flag": flag, "seed": int(point.get("seed", 0)), "mode": direction, **(run_of(point) if run_of else {})}
        write_run(place.of_trial(study.trials[number]), value, **own)
        if error:
            trial.set_user_attr("error", error)
        study.tell(trial, value if state == "complete" else None, state=optuna.trial.TrialState[state.upper()])
    study_table.write(place, study)
    return place.folder


def grid(**choices):
    return [dict(zip(choices, one, strict=True)) for one in itertools.product(*choices.values())]


FULL = grid(arch=tuple(ARCHS), encoder_weights=tuple(WEIGHTS), seed=("0", "1", "2"))


def of_point(arch, encoder_weights, seed):
    return score(arch, encoder_weights, seed)


ENDINGS = {17: ("waiting", None), 16: ("running", None), 4: ("fail", "the loss | became nan"), 9: ("pruned", None)}


def unfinished_study(out):
    """3 architectures x 2 weights x 3 seeds; one run failed, one was pruned with a score that would change everything,
    one still runs."""
    return make_study(out, FULL, lambda **point: 9.9 if point == FULL[9] else of_point(**point), endings=ENDINGS)
