"""The README's quick start, line by line: train, score with flips, compare; scores of joints that mean something."""

import json

import pytest
from running import run, run_module

from kzoo import cli
from kzoo.predict import __main__ as predict
from kzoo.programs import report
from kzoo.runs import Run

TINY = ("--epochs=1", "--batch_size=8", "--size=64", "--train_split=train[:16]", "--val_split=val[:16]")
NETWORKS = {"a": ("--task=seg", "--arch=unet", "--set=widths=(8,8)"), "b": ("--task=seg", "--arch=fcn")}
POSE = ("--task=pose", "--arch=softargmax", "--set=widths=(8,8)")


def trained(folder, people_dir, capsys, monkeypatch, *arguments):
    where = (f"--data_dir={people_dir}", f"--out={folder}")
    code, out, err = run(capsys, monkeypatch, "train.py", *arguments, *where, *TINY)
    assert code == 0, err
    return out


def reported(capsys, monkeypatch, *arguments):
    run_cli = cli.run
    monkeypatch.setattr(cli, "run", lambda main: run_cli(main, positional=True))
    try:
        return run_module(report, capsys, monkeypatch, *arguments, "--nocosts")
    finally:
        monkeypatch.setattr(cli, "run", run_cli)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("runs")


def test_train_eval_and_report_as_the_readme_says(folder, people_dir, capsys, monkeypatch):
    for name, arguments in NETWORKS.items():
        trained(folder / name, people_dir, capsys, monkeypatch, *arguments)
    own = (folder / "a" / "report.json").read_bytes()
    flip = ("--split=val[:16]", "--tta=flip", "--pictures=4")
    code, _, err = run(capsys, monkeypatch, "eval.py", f"--run={folder / 'a'}", *flip)
    assert code == 0, err
    assert (folder / "a" / "report.json").read_bytes() == own

    # The next line ranks, without complaint
    runs = [folder / name for name in NETWORKS]
    code, out, err = reported(capsys, monkeypatch, *runs, f"--out={folder / 'out'}")
    assert code == 0, err
    assert "not all scored alike" not in out and "best mean" in out and "`val_to_16-flip` (1 of 2 runs)" in out

    # Flips of one run alone cannot be ranked; of both they can
    code, _, err = reported(capsys, monkeypatch, *runs, f"--out={folder / 'out'}", "--condition=val_to_16-flip")
    assert code == 2 and "b has no report of --condition=val_to_16-flip; it has: val_to_16" in err
    code, _, err = run(capsys, monkeypatch, "eval.py", f"--run={folder / 'b'}", *flip)
    assert code == 0, err
    code, out, err = reported(capsys, monkeypatch, *runs, f"--out={folder / 'out'}", "--condition=val_to_16-flip")
    assert code == 0 and "Here: `val_to_16-flip`" in out and "test-time augmentation: flip" in out, err
    assert "not all scored alike" not in out


def test_scores_of_joints_are_probabilities(folder, people_dir, tmp_path, capsys, monkeypatch):
    out = trained(folder / "pose", people_dir, capsys, monkeypatch, *POSE)
    run_of_pose = Run.open(folder / "pose")
    table = run_of_pose.calibration["none"]
    assert table.split == "val[:16]" and 0 <= table.ece <= 1 and "best epoch 1" in out
    assert "expected calibration error" in (folder / "pose" / "report.md").read_text()
    assert run_of_pose.report["baselines"]["mean pose"]["mpjpe"] > 0

    # Without it: raw, and a line that says so; eval.py makes it
    picture = next((folder / "pose" / "pictures").glob("*.png"))
    arguments = (f"--run={folder / 'pose'}", f"--images={picture}", "--overwrite", f"--out={tmp_path / 'answers'}")
    (folder / "pose" / "calibration.json").unlink()
    code, _, err = run_module(predict, capsys, monkeypatch, *arguments)
    assert code == 0 and "heights of peaks, no probabilities" in err
    raw = scores_of(tmp_path)
    code, _, err = run(capsys, monkeypatch, "eval.py", f"--run={folder / 'pose'}")
    assert code == 0, err
    code, _, err = run_module(predict, capsys, monkeypatch, *arguments, "--min_score=1")
    assert code == 0 and "heights of peaks" not in err
    found = scores_of(tmp_path)
    assert found == pytest.approx(table(raw).tolist(), abs=2e-3) and len(found) == 17

    # Another network than the one it was made of: raw again
    run_of_pose.save_model(run_of_pose.model())
    assert run_of_pose.calibration == {}

    # Joints below the score that is asked for are not drawn, and stay in the table
    drawn, kept = [], []
    for score in ("0", "1"):
        out = tmp_path / score
        arguments = (f"--run={folder / 'pose'}", f"--images={picture}", f"--out={out}", f"--min_score={score}")
        code, _, err = run_module(predict, capsys, monkeypatch, *arguments)
        assert code == 0, err
        drawn.append(next((out / "overlays").iterdir()).read_bytes())
        kept.append((out / "keypoints.json").read_text())
    assert drawn[0] != drawn[1] and kept[0] == kept[1], "nothing is left out of the table"
    code, _, err = run_module(predict, capsys, monkeypatch, *arguments[:2], f"--out={tmp_path / 'c'}", "--min_score=2")
    assert code == 2 and "--min_score" in err


def scores_of(folder):
    (person,) = json.loads((folder / "answers" / "keypoints.json").read_text())
    return person["keypoints"][2::3]
