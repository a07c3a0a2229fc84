"""train.py and eval.py on a scene: pose and semantics at once, windows, two inputs, learned weights of the loss."""

import csv
import json

import keras
import pytest
from running import one_line, run

from kzoo import runs
from kzoo.data import builders

QUICK = ("--epochs=2", "--batch_size=8", "--task=loc", "--size=32x64", "--set=features=16")


def trained(room_dir, folder, capsys, monkeypatch, *flags):
    code, _, err = run(capsys, monkeypatch, "train.py", *QUICK, *flags, f"--data_dir={room_dir}", f"--out={folder}")
    assert code == 0, err
    with open(folder / "history.csv", newline="") as file:
        return (
            json.loads((folder / "run.json").read_text()),
            list(csv.DictReader(file)),
            json.loads((folder / "report.json").read_text()),
        )


def weights_of(model) -> dict:
    return {
        layer.name: layer.get_weights()[0].tolist()
        for layer in model.layers
        if type(layer).__name__ == "LearnedWeights"
    }


def test_multitask_learns_its_weights_and_serves_without_them(room_dir, tmp_path, capsys, monkeypatch):
    options = ("--arch=multitask", "--set=widths=(8,8)")
    stored, history, report = trained(room_dir, tmp_path, capsys, monkeypatch, *options)
    assert stored["flags"]["dataset"] == "room" and stored["fitted"]["classes"] == 16 and stored["fitted"]["spread"] > 0
    logged = [[float(row[f"weight_{term}"]) for term in ("trans_abs", "rot_abs", "semantics")] for row in history]
    assert all(first != second for first, second in zip(*logged, strict=True)), "they change in training"
    assert {"val_position_error", "val_rotation_error", "val_pixel_accuracy"} <= set(history[0])
    assert (tmp_path / "loss_weights.png").exists()
    kept = weights_of(runs.Run.open(tmp_path).model())
    best = min(history, key=lambda row: float(row["val_position_error"]))
    assert kept["semantics_weight"][0] == pytest.approx(float(best["weight_semantics"]), abs=1e-6), "they are saved"

    names = {"poses.png", "pose_graph.png", "errors.png", "attention.png", "confusion.png", "iou_per_class.png"}
    assert names == {path.name for path in (tmp_path / "pictures").iterdir()}
    assert {"position_median_m", "rotation_median_deg", "miou", "within_5cm_5deg"} <= set(report["scores"])
    assert (
        set(report["baselines"]) == {"mean pose", "retrieval"} and "retrieval" in (tmp_path / "report.md").read_text()
    )

    code, _, err = run(capsys, monkeypatch, "eval.py", f"--run={tmp_path}", "--export=saved_model")
    assert code == 0, err
    served = keras.layers.TFSMLayer(str(tmp_path / "saved_model"), call_endpoint="serve")
    assert not any("weight" in variable.path and "pose" in variable.path for variable in served.weights)
    assert len(served.weights) < len(runs.Run.open(tmp_path).model().weights)
    code, _, err = run(capsys, monkeypatch, "eval.py", f"--run={tmp_path}", "--tta=flip")
    assert code == 2 and "mirrored" in one_line(err)
    code, _, err = run(capsys, monkeypatch, "eval.py", f"--run={tmp_path}", "--size=50x64")
    assert code == 2 and "multiple of 32" in one_line(err)
    code, _, err = run(capsys, monkeypatch, "eval.py", f"--run={tmp_path}", "--split=train")
    assert code == 0, err

    code, _, err = run(capsys, monkeypatch, "train.py", "--resume", f"--out={tmp_path}", "--epochs=3")
    assert code == 0, err
    with open(tmp_path / "history.csv", newline="") as file:
        assert [row["weight_rot_abs"] for row in csv.DictReader(file)][:2] == [row["weight_rot_abs"] for row in history]


@pytest.mark.slow
def test_mapnet_learns_from_windows(room_dir, tmp_path, capsys, monkeypatch):
    stored, history, report = trained(room_dir, tmp_path, capsys, monkeypatch, "--arch=mapnet")
    assert stored["flags"]["dataset"] == "room/windows" and stored["frames"] == [3] and report["examples"] == 12
    relative = [[float(row[f"weight_{term}"]) for term in ("trans_rel", "rot_rel")] for row in history]
    assert all(first != second for first, second in zip(*relative, strict=True))
    assert {"poses.png", "pose_graph.png", "errors.png", "attention.png"} == {
        path.name for path in (tmp_path / "pictures").iterdir()
    }


@pytest.mark.slow
def test_dual_input_reads_picture_and_labels(room_dir, tmp_path, capsys, monkeypatch):
    trained(room_dir, tmp_path, capsys, monkeypatch, "--arch=dual_input", "--set=variant=fourth_channel")
    code, _, err = run(capsys, monkeypatch, "eval.py", f"--run={tmp_path}", "--export=saved_model", "--pictures=2")
    assert code == 0, err


@pytest.mark.slow
def test_posenet_has_a_fixed_beta(room_dir, tmp_path, capsys, monkeypatch):
    _, history, _ = trained(
        room_dir, tmp_path, capsys, monkeypatch, "--arch=posenet", "--encoder=small", "--loss_weights=rotation=5"
    )
    assert not any(name.startswith("weight_") for name in history[0]) and not (tmp_path / "loss_weights.png").exists()


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--arch=multitask", "--dataset=room/windows"), ("masks",)),
        (("--arch=posenet", "--dataset=room/windows"), ("windows",)),
        (("--arch=posenet", "--flip=0.5"), ("--flip=0.5", "--rotation")),
        (
            ("--arch=posenet", "--dataset=people/clips", "--epochs=1", "--lr=1", "--optimizer=adam"),
            ("pose", "people/clips"),
        ),
        (("--arch=mapnet", "--dataset=seven_scenes"), ("seven_scenes", "--data_source")),
        (("--arch=mapnet", "--loss=l2"), ("geometric", "l2")),
        (("--arch=mapnet", "--set=initial_weights=(0,1)"), ("4 numbers",)),
        (("--arch=dual_input", "--set=variant=both"), ("separate", "both")),
    ],
)
def test_mistakes_are_one_line(flags, words, room_dir, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(builders.builder_class("people"), "CLIPS", {"train": 8, "val": 4})
    out = tmp_path / "run"
    code, _, err = run(capsys, monkeypatch, "train.py", *QUICK, *flags, f"--data_dir={room_dir}", f"--out={out}")
    assert code == 2 and all(word in one_line(err) for word in words), err
    assert not out.exists()
