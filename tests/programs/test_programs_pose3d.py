"""train.py and eval.py on clips: frames, joints, a lifter on a 2-D run, another data folder."""

import json
import shutil

import pytest
from running import one_line, run

QUICK = ("--epochs=1", "--batch_size=8", "--task=pose3d")


def report_of(folder):
    return json.loads((folder / "report.json").read_text())


def test_frames_to_joints_and_pictures(clips_dir, tmp_path, capsys, monkeypatch):
    code, _, err = run(
        capsys,
        monkeypatch,
        "train.py",
        *QUICK,
        "--arch=conv_lstm",
        "--size=32",
        "--set=filters=4",
        "--set=units=8",
        f"--data_dir={clips_dir}",
        f"--out={tmp_path}",
    )
    assert code == 0, err
    stored = json.loads((tmp_path / "run.json").read_text())
    assert (
        stored["frames"] == [8]
        and stored["flags"]["dataset"] == "people/clips"
        and stored["fitted"]["low"][0] == [0, 0, 0]
    )
    assert {"clips.png", "frames.png", "clip.gif", "per_joint.png", "per_action.png"} == {
        p.name for p in (tmp_path / "pictures").iterdir()
    }
    code, out, err = run(
        capsys, monkeypatch, "eval.py", f"--run={tmp_path}", "--tta=flip", "--export=litert", "--pictures=2"
    )
    assert code == 0, err
    assert report_of(tmp_path)["tta"] == "none", "the training's own stays"
    report = json.loads((tmp_path / "reports" / "val-flip.json").read_text())
    assert (
        max(report["export"]["litert"]["difference"].values()) < 1e-5
        and (tmp_path / "model.tflite").exists()
        and "mpjpe_mm" in out
    )
    assert set(report["tables"]["MPJPE per action (mm)"]) <= {
        "walk",
        "run",
        "wave",
        "sit_down",
        "squat",
        "reach",
        "turn",
        "punch",
    }


@pytest.mark.slow
def test_a_lifter_on_a_2d_run_is_one_network(clips_dir, people_dir, tmp_path, capsys, monkeypatch):
    """Frames in, joints in space out, and evaluated after the 2-D run is gone."""
    flat, lifted = tmp_path / "flat", tmp_path / "lifted"
    code, _, err = run(
        capsys,
        monkeypatch,
        "train.py",
        "--task=pose",
        "--arch=regression",
        "--size=32",
        "--epochs=1",
        f"--data_dir={people_dir}",
        f"--out={flat}",
    )
    assert code == 0, err
    code, _, err = run(
        capsys,
        monkeypatch,
        "train.py",
        *QUICK,
        "--arch=lift",
        "--set=width=16",
        f"--set=pose_run={flat}",
        f"--data_dir={clips_dir}",
        f"--out={lifted}",
    )
    assert code == 0, err
    before = report_of(lifted)["scores"]
    shutil.rmtree(flat)
    code, _, err = run(capsys, monkeypatch, "eval.py", f"--run={lifted}", "--export=saved_model")
    assert code == 0, err
    assert report_of(lifted)["scores"] == before
    code, _, err = run(capsys, monkeypatch, "train.py", "--resume", f"--out={lifted}", "--epochs=2")
    assert code == 0, err


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--arch=lift", "--set=pose_run=nowhere"), ("nowhere",)),
        (("--arch=lift", "--encoder=small"), ("encoder",)),
        (("--arch=temporal", "--set=widths=(2,3)"), ("widths", "odd")),
        (("--arch=encoder_gru", "--set=pool=max"), ("average, flatten", "max")),
        (("--arch=conv_lstm", "--dataset=human36m"), ("human36m", "--data_source")),
        (("--arch=conv_lstm", "--loss=dice"), ("euclidean", "dice")),
    ],
)
def test_mistakes_are_one_line(flags, words, clips_dir, tmp_path, capsys, monkeypatch):
    out = tmp_path / "run"
    code, _, err = run(capsys, monkeypatch, "train.py", *QUICK, *flags, f"--data_dir={clips_dir}", f"--out={out}")
    assert code == 2 and all(word in one_line(err) for word in words), err
    assert not out.exists()
