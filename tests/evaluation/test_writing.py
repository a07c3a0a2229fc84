"""One report for each condition, kept side by side; the training's own is never replaced by another's."""

import dataclasses
import json

import pytest
import run_folders
from running import one_line, run

from kzoo import UserError, runs
from kzoo.evaluation import scoring, writing
from kzoo.runs import Run


@pytest.fixture
def scored_run(tmp_path):
    return run_folders.make(tmp_path / "me", "pose", "regression")


def result_of(of, condition="", **changes):
    how = {"split": "val", "crop": "64", "tta": "none", "decoder": "coords", "fingerprint": "f", "dataset": "d"}
    own = {"run": of.name, "flags": of.flags, "parameters": 7, "examples": 3, "network": of.network}
    told = {"scores": {"mpjpe": 1.0}, "tables": {}, "notes": [], "condition": condition}
    return scoring.Result(**{**how, **own, **told, **changes})


def files_of(folder):
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_reports_stand_side_by_side(scored_run):
    writing.write(scored_run, result_of(scored_run, "val"))
    own = (scored_run.folder / "report.json").read_bytes()
    flipped = {"tta": "flip", "scores": {"mpjpe": 0.5}}
    assert writing.write(scored_run, result_of(scored_run, "val-flip", **flipped)) == "val-flip"
    assert (scored_run.folder / "report.json").read_bytes() == own
    assert {"reports/val-flip.json", "reports/val-flip.md"} <= files_of(scored_run.folder)
    reports = Run.open(scored_run.folder).reports
    assert {name: one["scores"]["mpjpe"] for name, one in reports.items()} == {"val": 1.0, "val-flip": 0.5}
    assert scored_run.report["tta"] == "none"
    card = (scored_run.folder / "README.md").read_text()
    assert "| mpjpe | 1 | px of a 256-px crop |" in card and "### Under other conditions" in card
    assert "| val-flip | split: val, examples: 3, crop (px): 64, test-time augmentation: flip" in card


def test_equal_conditions_refresh_and_keep_what_is_told_of_exports(scored_run):
    numbers = dict.fromkeys(("mib", "ms", "value", "predict", "predict_ms", "examples", "threads"), 1)
    exported = {"onnx": {"file": "model.onnx", "score": "mpjpe", "decoder": None, "difference": {"x": 0.1}, **numbers}}
    first = result_of(scored_run, "val", export=exported, export_failed={})
    writing.write(scored_run, dataclasses.replace(first, export=None, export_failed=None))
    scored_run.save_report(first.to_json(), "text")
    writing.write(scored_run, result_of(scored_run, "val", scores={"mpjpe": 2.0}))
    assert scored_run.report["scores"] == {"mpjpe": 2.0} and scored_run.report["export"] == exported
    writing.write(scored_run, result_of(scored_run, "val", network="another"))
    assert "export" not in scored_run.report, "they were another network's"
    assert not (scored_run.folder / "reports").exists()


def test_a_split_that_is_spelt_like_the_trainings_own_is_another(scored_run):
    writing.write(scored_run, result_of(scored_run, "val"))
    name = writing.write(scored_run, result_of(scored_run, "val", split="val/"))
    assert name.startswith("val-") and scored_run.report["split"] == "val"


def test_a_report_that_an_older_version_replaced_still_opens_and_is_set_aside(scored_run):
    old = result_of(scored_run, tta="flip", scores={"mpjpe": 0.5}).to_json()
    scored_run.save_report(old, "old text")
    (scored_run.folder / "pictures").mkdir()
    (scored_run.folder / "pictures" / "poses.png").write_text("old")
    assert scored_run.report["scores"] == old["scores"] and list(scored_run.reports) == ["val-flip"]
    writing.write(scored_run, result_of(scored_run, "val"))
    assert scored_run.report["scores"] == {"mpjpe": 1.0}
    assert scored_run.reports["val-flip"]["scores"] == {"mpjpe": 0.5}
    kept = {"reports/val-flip.json", "reports/val-flip.md", "reports/val-flip/poses.png"}
    assert kept <= files_of(scored_run.folder)
    assert (scored_run.folder / "reports" / "val-flip.md").read_text() == "old text"


def test_a_damaged_report_does_not_lose_a_training(scored_run, capsys):
    (scored_run.folder / "report.json").write_text("[]")
    with pytest.raises(UserError, match=r"report\.json is not that of a scored run"):
        _ = scored_run.report
    writing.write(scored_run, result_of(scored_run, "val"))
    assert scored_run.report["scores"] == {"mpjpe": 1.0} and "report.json" in capsys.readouterr().out


def test_reports_of_an_earlier_network_are_told(scored_run):
    writing.write(scored_run, result_of(scored_run, "val-flip", tta="flip", network="earlier"))
    writing.write(scored_run, result_of(scored_run, "val"))
    assert "val-flip (of the network before it was trained on)" in (scored_run.folder / "README.md").read_text()


def test_names_are_text_in_reports_and_cards(tmp_path):
    hostile = "<b>x|y</b>"
    made = run_folders.make(tmp_path / "me", "pose", "regression", names=[hostile] * 17)
    tables = {"MPJPE per joint (px)": {hostile: 1.0}}
    writing.write(made, result_of(made, "val", tables=tables, notes=[f"joint {hostile}"]))
    for name in ("report.md", "README.md"):
        text = (made.folder / name).read_text()
        assert "<b>" not in text and "&lt;b>" in text
    assert "| &lt;b>x\\|y&lt;/b> | 1 |" in (made.folder / "report.md").read_text()


# eval.py


@pytest.fixture(scope="module")
def untrained(people_dir, tmp_path_factory):
    """A run of segmentation that was scored once, as its training does."""
    folder = tmp_path_factory.mktemp("runs") / "seg"
    made = run_folders.make(folder, "seg", "unet", data="people", data_dir=people_dir, widths=(8,))
    scored = writing.keep(made, scoring.score(made))
    assert not scored.result.condition
    return made


def evaluated(of, capsys, monkeypatch, *arguments):
    code, out, err = run(capsys, monkeypatch, "eval.py", f"--run={of.folder}", *arguments)
    assert code == 0, err
    return out


def test_eval_keeps_its_own_report_and_pictures(untrained, capsys, monkeypatch):
    own = {name: (untrained.folder / name).read_bytes() for name in ("report.json", "report.md")}
    out = evaluated(untrained, capsys, monkeypatch, "--tta=flip", "--split=val[:8]", "--pictures=2")
    assert {name: (untrained.folder / name).read_bytes() for name in own} == own
    assert (
        "reports/val_to_8-flip.md, pictures beside it in val_to_8-flip/" in out
        and not (untrained.folder / "pictures").exists()
    )
    drawn = {"reports/val_to_8-flip/segmentation.png", "reports/val_to_8-flip/confusion.png"}
    assert drawn <= files_of(untrained.folder)
    assert untrained.reports["val_to_8-flip"]["baselines"]["all background"]["miou"] > 0


def test_one_size_has_one_name(untrained, capsys, monkeypatch):
    names = set(untrained.reports)
    evaluated(untrained, capsys, monkeypatch, "--size=64x64")
    assert set(untrained.reports) == names and untrained.report["crop"] == "64"
    evaluated(untrained, capsys, monkeypatch, "--size=96x96", "--split=val[:8]")
    evaluated(untrained, capsys, monkeypatch, "--size=96", "--split=val[:8]")
    assert set(untrained.reports) == {*names, "val_to_8-96"}


def test_the_run_folder_as_out_is_no_way_around(untrained, capsys, monkeypatch):
    own = (untrained.folder / "report.json").read_bytes()
    evaluated(untrained, capsys, monkeypatch, "--split=val[:4]", f"--out={untrained.folder}/../{untrained.name}")
    assert (untrained.folder / "report.json").read_bytes() == own and "val_to_4" in untrained.reports


def test_mistakes_are_told_before_the_work(untrained, tmp_path, capsys, monkeypatch):
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "README.md").write_text("mine")
    other = run_folders.make(tmp_path / "other", "seg", "unet", widths=(8,))
    monkeypatch.setattr("kzoo.programs.eval.PACKAGES", {"onnx": ("no-such-package",)})
    for argument, message in {
        "--overlap=8": "--overlap=8 is of tiles: give --tile=",
        "--export=saved_model,onnx": "needs what is not installed: pip install no-such-package",
        f"--out={tmp_path / 'home'}": "holds a README.md that is not of a score",
        f"--out={other.folder}": "is a run folder, whose own report would be lost",
    }.items():
        code, _, err = run(capsys, monkeypatch, "eval.py", f"--run={untrained.folder}", argument)
        assert code == 2 and message in one_line(err)
    assert (tmp_path / "home" / "README.md").read_text() == "mine"


def test_a_damaged_report_is_one_line(untrained, tmp_path, capsys, monkeypatch):
    made = run_folders.make(tmp_path / "me", "seg", "unet", widths=(8,))
    (made.folder / runs.REPORTS).mkdir()
    (made.folder / runs.REPORTS / "val-flip.json").write_text(json.dumps({"scores": 1}))
    code, _, err = run(capsys, monkeypatch, "eval.py", f"--run={made.folder}")
    assert code == 2 and "val-flip.json is not that of a scored run: scores" in one_line(err)
