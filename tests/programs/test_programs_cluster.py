"""train.py and eval.py without labels: digits, another run's embeddings, data without classes, resuming, mistakes."""

import csv
import json
import shutil

import pytest
from running import one_line, run

from kzoo.data import builders
from kzoo.training import cluster_state

QUICK = (
    "--task=cluster",
    "--epochs=3",
    "--rounds=2",
    "--update_interval=4",
    "--batch_size=32",
    "--set=widths=(32,16)",
    "--set=code=4",
)


@pytest.fixture(scope="module")
def digits_dir(tmp_path_factory):
    folder = str(tmp_path_factory.mktemp("digits"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(builders.builder_class("digits"), "SIZES", {"train": 160, "val": 40})
        builders.prepare("digits", folder)
    return folder


def history(folder):
    with open(folder / "history.csv", newline="") as file:
        return list(csv.DictReader(file))


def test_digits_are_clustered_scored_drawn_and_exported(digits_dir, tmp_path, capsys, monkeypatch):
    out = tmp_path / "run"
    code, printed, err = run(
        capsys, monkeypatch, "train.py", *QUICK, "--arch=dec", f"--data_dir={digits_dir}", f"--out={out}"
    )
    assert code == 0, err
    stored, report = json.loads((out / "run.json").read_text()), json.loads((out / "report.json").read_text())
    assert (
        stored["flags"]["dataset"] == "digits"
        and stored["flags"]["val_split"] == stored["flags"]["train_split"] == "train+val"
    )
    assert stored["flags"]["loss_weights"] == ["reconstruction=0", "assignment=1"] and stored["fitted"] == {
        "channels": 1
    }
    assert report["examples"] == 200 and {"acc", "nmi", "ari", "silhouette", "perplexity"} == set(report["scores"])
    assert report["scores"]["acc"] == pytest.approx(float(history(out)[-1]["acc"]), abs=1e-6), (
        "the last state is the one kept"
    )
    assert "k-means on pixels" in (out / "report.md").read_text() and "all 2 rounds" in printed
    names = {"confusion.png", "mosaic.png", "embedding.png", "centroids.png", "reconstructions.png"}
    assert names == {path.name for path in (out / "pictures").iterdir()}

    code, _, err = run(
        capsys,
        monkeypatch,
        "eval.py",
        f"--run={out}",
        "--split=val",
        "--export=saved_model",
        f"--out={tmp_path / 'val'}",
    )
    assert code == 0, err
    report = json.loads((tmp_path / "val" / "report.json").read_text())
    assert (
        report["examples"] == 40
        and "baselines" not in report
        and max(report["export"]["saved_model"]["difference"].values()) < 1e-4
    )

    rows = history(out)
    code, _, err = run(capsys, monkeypatch, "train.py", "--resume", f"--out={out}")
    assert code == 0, err
    assert [row["kl"] for row in history(out)] == pytest.approx([row["kl"] for row in rows]), (
        "a finished run stays as it is"
    )


@pytest.mark.slow
def test_the_embeddings_of_a_run_are_clustered(digits_dir, people_dir, tmp_path, capsys, monkeypatch):
    pose, out = tmp_path / "pose", tmp_path / "clusters"
    flags = (
        "--size=64",
        "--epochs=1",
        "--batch_size=16",
        "--set=widths=(8,8,8)",
        f"--data_dir={people_dir}",
        f"--out={pose}",
    )
    code, _, err = run(capsys, monkeypatch, "train.py", "--task=pose", "--arch=softargmax", *flags)
    assert code == 0, err
    flags = (*QUICK, "--arch=idec", f"--set=features={pose}", f"--data_dir={people_dir}", f"--out={out}")
    code, _, err = run(capsys, monkeypatch, "train.py", *flags)
    assert code == 2 and "clusters must be given" in one_line(err), "people has no classes"
    code, _, err = run(capsys, monkeypatch, "train.py", *flags, "--set=clusters=3")
    assert code == 0, err
    report = json.loads((out / "report.json").read_text())
    assert report["dataset"].startswith("people/") and set(report["scores"]) == {"silhouette", "perplexity"}
    assert set(report["baselines"]) == {"k-means on embeddings", "k-means on auto-encoder codes"}
    assert {"mosaic.png", "embedding.png"} == {path.name for path in (out / "pictures").iterdir()}
    shutil.rmtree(pose)  # the run holds a copy
    code, _, err = run(capsys, monkeypatch, "train.py", "--resume", f"--out={out}", "--rounds=3")
    assert code == 0, err
    code, _, err = run(capsys, monkeypatch, "eval.py", f"--run={out}", "--split=train[:16]")
    assert code == 0, err


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--arch=dec", "--augment=1"), "--augment is not for --task=cluster"),
        (("--arch=dec", "--flip=0.5"), "--flip is not for"),
        (("--arch=dec", "--border=10,5"), "--border is not for"),
        (("--task=seg", "--arch=unet"), "--rounds is not for --task=seg"),
        (("--arch=dcec", "--set=features=nowhere"), "no run folder at nowhere"),
        (("--arch=dec", "--set=clusters=500"), "500 clusters of 200 examples"),
        (("--arch=dec", "--encoder=small"), "takes no --encoder"),
        (("--arch=dec", "--dataset=usps"), "usps.bz2"),
        (("--arch=dec", "--dataset=camvid"), "camvid"),
    ],
)
def test_a_mistake_is_one_line(flags, words, digits_dir, tmp_path, capsys, monkeypatch):
    code, _, err = run(
        capsys, monkeypatch, "train.py", *QUICK, *flags, f"--data_dir={digits_dir}", f"--out={tmp_path / 'run'}"
    )
    assert code == 2 and words in one_line(err)


def test_ctrl_c_keeps_what_was_finished(digits_dir, tmp_path, capsys, monkeypatch):
    """In the third epoch: exit code 130, a line with the epochs that --resume finds, and no score of half a network."""
    end = cluster_state.Pretraining.on_epoch_end

    def interrupted(callback, epoch, logs=None):
        if epoch == 2:
            raise KeyboardInterrupt
        end(callback, epoch, logs)

    out = tmp_path / "run"
    monkeypatch.setattr(cluster_state, "PAUSE", -1.0)  # a state after every epoch
    with monkeypatch.context() as patch:
        patch.setattr(cluster_state.Pretraining, "on_epoch_end", interrupted)
        code, _, err = run(
            capsys, monkeypatch, "train.py", *QUICK, "--arch=dec", f"--data_dir={digits_dir}", f"--out={out}"
        )
    assert code == 130, err
    again = f"python -m kzoo.train --resume --out={out}"
    assert f"train.py: stopped after 2 whole epochs of 3; continue with {again}" in err
    assert (out / "model.keras").exists() and not (out / "report.json").exists()
    code, _, err = run(capsys, monkeypatch, "train.py", "--resume", f"--out={out}")
    assert code == 0, err
    rows = history(out)
    assert [(row["epoch"], row["round"]) for row in rows][:4] == [("1", "0"), ("2", "0"), ("3", "0"), ("3", "1")]
    code, _, err = run(capsys, monkeypatch, "train.py", "--resume", f"--out={out}", "--rounds=1")
    assert code == 2 and "has 2 rounds already, got --rounds=1" in one_line(err)
