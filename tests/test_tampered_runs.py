"""Files of a run are input too: whatever is in them, a run is read, or a line says why not. No code in them runs."""

import dataclasses
import pathlib
import shutil

import numpy as np
import pytest
import run_folders
import tampering

from kzoo import UserError, runs
from kzoo.runs import Run
from kzoo.sweep import run_scores
from kzoo.training import callbacks, cluster_state

PICTURE = np.zeros((32, 32, 3), "uint8")
SCORED = {  # as much of a report as others read
    "scores": {"miou": 0.5, "pixel_accuracy": None},
    "tables": {"IoU per class": {"a": 0.5}},
    "notes": ["a"],
    "run": "me",
    "flags": {},
    "parameters": 5,
    "dataset": "people/1.0.0",
    "fingerprint": "0123456789ab",
    "split": "val",
    "examples": 5,
    "crop": 32,
    "tta": "none",
    "confusion": [[1, 2], [3, 4]],
    "stopped": "by hand",
    "baselines": {"mean": {"miou": 0.1}},
}


@pytest.fixture(scope="module")
def pristine(tmp_path_factory):
    """A run with every file that one may hold, of a tiny network: seg, and what a clustering has besides."""
    folder = tmp_path_factory.mktemp("pristine") / "run"
    run = run_folders.make(folder, "seg", "unet", size="32", widths=(4,))
    flags = {**run.flags, "epochs": 3, "lr": 0.1, "batch_size": 8, "milestones": [], "cache": False, "l2": 0.0}
    colours = {"mean": [1.0, 2.0, 3.0], "covariance": np.eye(3).tolist(), "pixels": 7}
    told = {"versions": {"keras": "3"}, "device": "cpu", "commit": None, "started": "2025", "colours": colours}
    run = Run(folder, dataclasses.replace(run.config, flags=flags, fitted={}, **told))
    run.save_config()
    names = ("loss", "val_loss", "val_miou", "round", "seconds", *cluster_state.COLUMNS)
    run.write_history([{"epoch": epoch, **dict.fromkeys(names, 0.5), "round": 0} for epoch in (1, 2, 3)])
    run.save_report(SCORED, "text")
    run.save_card("card")
    (folder / "model.onnx").touch()
    run.save_exports({"onnx": {"file": "model.onnx"}}, ["a"])
    run.write_clustering(stopped="not yet", baselines={"k-means on pixels": {"acc": 0.5}})
    codes = {f"codes{number}": np.ones((8, 2), "float32") for number in range(2)}
    run.write_rounds(assigned=np.ones((2, 9), "uint16"), labels=np.ones(8, "int64"), **codes)
    run.state.save(compiled(run), 3)
    return folder


def compiled(run: Run):
    model = run.model()
    model.compile("sgd", loss="mse", jit_compile=False)
    model.optimizer.build(model.trainable_variables)
    return model


def read_all(folder, name: str, model):
    """All that other parts ask of a run; what depends on another file than this one is asked once, elsewhere."""
    run = Run.open(folder)
    assert Run.exists(folder) and isinstance(run.flags, dict) and run.names is not None
    assert run.arch and run.shape and run.val_split and run.task
    rows = run.history
    run_scores.stopped_at(run)
    run_scores.best_of(run_scores.curve_of(rows, run.config.score), higher_is_better=True)
    run_scores.minutes_of(rows)
    run_scores.score(run, "miou", "max", of_report=True)
    assert all((folder / row["file"]).resolve().parent == folder.resolve() for row in run.exports.values())
    assert run.clustering["stopped"] and len(run.rounds["labels"])
    if name in ("history.csv", "last.weights.h5"):
        callbacks.RunFolder(run, steps=5).restore(model)
    if name in ("run.json", "model.keras"):
        assert run.predict(PICTURE)["classes"].shape == (32, 32)


def attempt(pristine, folder, seed: int, model, file=None) -> str | None:
    """Tamper with a copy and read it: the line that was told, None where it could be read all the same."""
    shutil.copytree(pristine, folder)
    done = tampering.tamper(folder, np.random.default_rng(seed), file)
    try:
        read_all(folder, done.partition(":")[0], model)
    except UserError as error:
        assert "\n" not in str(error) and len(str(error)) < 1000, done
        return str(error)
    except Exception as error:
        pytest.fail(f"seed {seed}, {done}: {type(error).__name__}: {error}")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return None


@pytest.fixture(scope="module")
def model(pristine):
    return compiled(Run.open(pristine))


FILES = (  # name -> how many copies are tried
    ("run.json", 60),
    ("history.csv", 25),
    ("report.json", 25),
    ("exports.json", 15),
    ("clustering.json", 15),
    ("rounds.npz", 25),
    ("last.weights.h5", 10),
    ("model.keras", 20),
)


@pytest.mark.parametrize(("file", "copies"), FILES)
def test_tampered_files_are_one_line(file, copies, pristine, model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    lines = [attempt(pristine, tmp_path / "run", seed, model, file) for seed in range(copies)]
    assert sum(line is not None for line in lines) > copies / 4, "the tampering is not felt"
    assert not list(pathlib.Path(tmp_path).iterdir()), "something ran, or was left"


def test_the_pristine_run_is_read(pristine, model):
    for name in ("run.json", "history.csv"):
        read_all(pristine, name, model)


def test_all_files_of_a_run_are_tampered_with(pristine):
    """Those that are read: pictures, texts and logs are not."""
    names = {runs.CONFIGURATION, runs.HISTORY, runs.MODEL, runs.REPORT, runs.EXPORTS, runs.STATE}
    assert names | {runs.ROUNDS, runs.CLUSTERING} == {name for name, _ in FILES}
    assert {name for name, _ in FILES} <= {path.name for path in pristine.iterdir()}
