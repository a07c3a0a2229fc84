"""train.py --resume: what it may change, what it needs, what it counts; two at a time; signals."""

import dataclasses
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys

import keras
import pytest
from running import ROOT, one_line, run

from kzoo.nn import encoders
from kzoo.runs import Run, occupation
from kzoo.training import callbacks

QUICK = ("--size=32", "--epochs=2", "--batch_size=16", "--set=widths=(4,4)", "--encoder=small", "--val_split=val[:16]")


def epochs_of(folder) -> list[int]:
    return [row["epoch"] for row in Run.open(folder).history]


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Of the small encoder."""
    path = tmp_path_factory.mktemp("weights") / "small.weights.h5"
    image = keras.Input((32, 32, 3), dtype="uint8")
    small = encoders.ENCODERS["small"]
    small.build(small.scale(image)).save_weights(path)
    return path


@pytest.fixture(scope="module")
def trained(people_dir, weights, tmp_path_factory):
    """A run of 2 epochs, begun with relative paths from another folder."""
    work = tmp_path_factory.mktemp("work")
    shutil.copy(weights, work / "small.weights.h5")
    flags = [f"--data_dir={os.path.relpath(people_dir, work)}", "--encoder_weights=small.weights.h5", "--out=run"]
    subprocess.run([sys.executable, ROOT / "train.py", *QUICK, *flags], cwd=work, check=True)
    (work / "small.weights.h5").unlink()
    return work / "run"


@pytest.fixture
def copied(trained, tmp_path):
    return pathlib.Path(shutil.copytree(trained, tmp_path / "moved"))


def test_paths_are_absolute(trained, people_dir):
    stored = json.loads((trained / "run.json").read_text())["flags"]
    assert stored["data_dir"] == people_dir
    assert stored["encoder_weights"] == str(trained.parent / "small.weights.h5")


REFUSED = (  # what is given, what the line says
    (("--lr=0.5",), "--lr cannot change with --resume: .* has 0.002, got 0.5"),
    (("--batch_size=8",), "--batch_size cannot change"),
    (("--set=widths=(8,8)",), "--set cannot change"),
    (("--task=pose",), "--task cannot change"),
    (("--seed=1",), "--seed cannot change"),
    (("--find_lr",), "--find_lr cannot change"),
    (("--epochs=1",), "nothing to do: .* has 2 epochs already, got --epochs=1"),
    (("--data_dir=/nowhere/at/all", "--dataset=room"), "--dataset cannot change"),
)


@pytest.mark.parametrize(("flags", "words"), REFUSED)
def test_what_cannot_change_is_refused(flags, words, copied, capsys, monkeypatch):
    before = {path.name: path.stat().st_mtime_ns for path in copied.iterdir()}
    code, _, err = run(capsys, monkeypatch, "train.py", "--resume", f"--out={copied}", *flags)
    assert code == 2
    assert re.search(words, one_line(err))
    assert {path.name: path.stat().st_mtime_ns for path in copied.iterdir()} == before


def test_a_moved_run_goes_on_without_its_encoder_file(copied, capsys, monkeypatch):
    """And with the flags that it has given once more."""
    code, out, err = run(capsys, monkeypatch, "train.py", "--resume", f"--out={copied}", *QUICK[2:4], "--epochs=3")
    assert code == 0 and "of 3" in out, err
    assert epochs_of(copied) == [1, 2, 3] and Run.open(copied).state.made() == 3
    code, out, err = run(capsys, monkeypatch, "train.py", "--resume", f"--out={copied}")
    assert code == 0 and "of 3" in out and epochs_of(copied) == [1, 2, 3], "a finished run is scored again"


def test_a_second_one_is_refused(copied, capsys, monkeypatch):
    with occupation.occupied(copied):
        code, _, err = run(capsys, monkeypatch, "train.py", "--resume", f"--out={copied}", "--epochs=9")
    assert code == 2 and f"{copied} is in use: process {os.getpid()} trains there" in one_line(err)
    assert epochs_of(copied) == [1, 2]


def test_data_that_have_gone_are_missed(copied, capsys, monkeypatch):
    told = json.loads((copied / "run.json").read_text())
    told["flags"]["data_dir"] = "C:\\Users\\me\\tensorflow_datasets"
    (copied / "run.json").write_text(json.dumps(told))
    monkeypatch.chdir(copied)
    before = set(copied.iterdir())
    for program, flag in (("train.py", "--resume"), ("eval.py", None)):
        flags = [flag, f"--out={copied}"] if flag else [f"--run={copied}"]
        code, _, err = run(capsys, monkeypatch, program, *flags)
        assert code == 2 and "in C:" in one_line(err) and "--data_dir=" in one_line(err)
    assert set(copied.iterdir()) == before, "no data are drawn anew"


def test_relative_paths_of_old_runs(copied, people_dir, monkeypatch):
    """From the working directory, or from a folder above the run."""
    run_of_old = Run.open(copied)
    near = copied.parent / "tfds"
    near.symlink_to(people_dir)
    run_of_old = Run(copied, dataclasses.replace(run_of_old.config, flags={**run_of_old.flags, "data_dir": "tfds"}))
    monkeypatch.chdir("/")
    assert str(run_of_old.builder().data_dir_root) == str(near)
    (copied / "tfds").symlink_to(people_dir)
    monkeypatch.chdir(copied)
    assert str(Run(copied, run_of_old.config).builder().data_dir_root) == str(copied / "tfds")


def test_states_of_other_runs(copied, capsys, monkeypatch):
    history = (copied / "history.csv").read_text()
    (copied / "history.csv").write_text("\n".join(history.splitlines()[:2]) + "\n")
    code, _, err = run(capsys, monkeypatch, "train.py", "--resume", f"--out={copied}", "--epochs=3")
    assert code == 2 and "its state is of epoch 2, and its history of 1 epochs" in one_line(err)


@pytest.mark.parametrize(
    ("number", "when"),
    [
        (signal.SIGTERM, "on_epoch_end"),
        (signal.SIGTERM, "on_train_batch_end"),
        pytest.param(signal.SIGTERM, "on_test_batch_end", marks=pytest.mark.slow),
        pytest.param(signal.SIGHUP, "on_epoch_end", marks=pytest.mark.slow),
        pytest.param(signal.SIGINT, "on_epoch_end", marks=pytest.mark.slow),
    ],
)
def test_signals_are_told_exactly(number, when, trained, copied, capsys, monkeypatch):
    """Whenever it comes, the line says as many epochs as --resume then finds."""
    kept = callbacks.RunFolder._keep if when == "on_epoch_end" else None

    def killed(keeper, *_, **__):
        if kept:
            os.kill(os.getpid(), number)  # while it writes
            return kept(keeper, *_)
        return os.kill(os.getpid(), number) if len(keeper.rows) == 3 else None

    before = {each: signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    with monkeypatch.context() as patch:
        patch.setattr(callbacks.RunFolder, "_keep" if kept else when, killed)
        code, _, err = run(capsys, monkeypatch, "train.py", "--resume", f"--out={copied}", "--epochs=5")
    for each, handler in before.items():
        signal.signal(each, handler)
    assert code == 128 + number and "Traceback" not in err
    words = f"stopped after 3 whole epochs of 5; continue with python -m kzoo.train --resume --out={copied}"
    assert [line for line in err.splitlines() if line.startswith("train.py:")] == [f"train.py: {words}"]
    assert epochs_of(copied) == [1, 2, 3] and Run.open(copied).epochs_made() == 3


def test_a_diverged_network_is_never_the_best(people_dir, tmp_path, capsys, monkeypatch):
    """Numbers that are not finite: no network, exit code 2, and advice."""
    flags = (f"--data_dir={people_dir}", f"--out={tmp_path / 'run'}", "--lr=1e30", "--optimizer=sgd", "--warmup=0")
    code, _, err = run(capsys, monkeypatch, "train.py", *QUICK, "--encoder_weights=none", *flags)
    assert code == 2 and "lower --lr" in one_line(err) and "no network is kept" in one_line(err)
    assert not (tmp_path / "run" / "model.keras").exists() and not (tmp_path / "run" / "report.json").exists()


def test_a_folder_that_goes_away(copied, capsys, monkeypatch):
    end = callbacks.TrainScore.on_epoch_end

    def removed(callback, epoch, logs=None):
        shutil.rmtree(copied)
        end(callback, epoch, logs)

    with monkeypatch.context() as patch:
        patch.setattr(callbacks.TrainScore, "on_epoch_end", removed)
        code, _, err = run(capsys, monkeypatch, "train.py", "--resume", f"--out={copied}", "--epochs=5")
    assert code == 2 and "was removed while the training ran" in one_line(err)
    assert not (copied / "run.json").exists()
