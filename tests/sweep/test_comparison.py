"""Run folders side by side: conditions, scores, baselines, and the files that `kzoo.report` writes."""

import json

import pytest
from made_up import write_run

from kzoo import UserError
from kzoo.runs import Run
from kzoo.sweep import comparison

HOW = {"boxes": "ground truth x 1.25", "crop": 64, "tile": "32", "overlap": 16, "tta": "flip", "decoder": "dark"}


def test_a_row_tells_how_the_scores_were_made(tmp_path):
    write_run(tmp_path / "a", 1.0, metric="mpjpe", mode="min", **HOW)
    row = comparison.row(Run.open(tmp_path / "a"))
    expected = {**HOW, "split": "val", "mpjpe": 1.0, "best val_mpjpe": 1.0, "minutes": 3.0, "epochs": 3}
    assert expected.items() <= row.items()
    assert "examples" not in row


def test_a_run_that_was_not_scored_has_its_best_epoch(tmp_path):
    write_run(tmp_path / "a", 0.5, reported=False)
    row = comparison.row(Run.open(tmp_path / "a"))
    assert row["best val_miou"] == 0.5 and "miou" not in row and "split" not in row


@pytest.mark.parametrize(("other", "ratio"), [(4.0, 0.25), (0.0, None)])
def test_scores_beside_those_of_baselines(tmp_path, other, ratio):
    baselines = {"baselines": {"retrieval": {"median_position_m": other}}, "retrieval": "thumbnails"}
    scores = {"scores": {"median_position_m": 1.0}}
    write_run(tmp_path / "a", 1.0, metric="position_error", mode="min", **baselines, **scores)
    row = comparison.row(Run.open(tmp_path / "a"))
    assert row["median_position_m of retrieval"] == other
    found = row["median_position_m ÷ retrieval's"]
    assert found != found if ratio is None else found == ratio


def test_the_files(tmp_path):
    for name, value in {"a": 0.5, "b": 0.6}.items():
        write_run(tmp_path / name, value, flag={"arch": name})
    written = comparison.write_report([tmp_path / "a", tmp_path / "b"], tmp_path / "out", with_costs=False)
    assert json.loads((tmp_path / "out" / "comparison.json").read_text())[1]["miou"] == 0.6
    table = (tmp_path / "out" / "comparison.md").read_text()
    assert written.text.startswith(table) and "| b | b | people |" in table
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        *(f"comparison.{ending}" for ending in ("md", "json", "png")),
        *(f"report.{ending}" for ending in ("md", "json", "csv", "html")),
    }


# Reports of several conditions


def also(run, name, value, **how):
    """A report of another condition beside the run's own."""
    run.save_report({**run.report, **how, "scores": {"miou": value}, "condition": name}, "text", condition=name)


@pytest.fixture
def two(tmp_path):
    made = {
        name: write_run(tmp_path / name, value, flag={"arch": name}) for name, value in {"a": 0.5, "b": 0.6}.items()
    }
    also(made["a"], "val-flip", 0.9, tta="flip")
    return made


def text_of(folder, *names, **how):
    return comparison.write_report([folder / name for name in names], folder / "out", with_costs=False, **how).text


def test_the_trainings_own_reports_are_ranked(two, tmp_path):
    text = text_of(tmp_path, "a", "b")
    assert "not all scored alike" not in text and "best mean" in text
    assert "`val` (2 of 2 runs), `val-flip` (1 of 2 runs). Here: each training's own" in text
    assert "minutes: of the training's epochs by the clock" in text


def test_another_condition_is_asked_for(two, tmp_path):
    also(two["b"], "val-flip", 0.8, tta="flip")
    text = text_of(tmp_path, "a", "b", condition="val-flip")
    assert "not all scored alike" not in text and "Here: `val-flip`" in text
    rows = json.loads((tmp_path / "out" / "report.json").read_text())["runs"]
    assert {row["name"]: row["score"] for row in rows} == {"a": 0.9, "b": 0.8}
    assert json.loads((tmp_path / "out" / "comparison.json").read_text())[0]["tta"] == "flip"


def test_what_a_run_lacks_is_one_line(two, tmp_path):
    with pytest.raises(UserError, match=r"b has no report of condition=val-flip; it has: val\."):
        text_of(tmp_path, "a", "b", condition="val-flip")
    assert not (tmp_path / "out").exists()


def test_what_all_share_is_ranked_where_an_older_version_replaced_a_report(two, tmp_path):
    """a's own report is one with flips, as eval.py of 0.1 left it; b has such a one beside its own."""
    write_run(tmp_path / "c", 0.7, flag={"arch": "c"}, tta="flip")
    also(two["b"], "val-flip", 0.8, tta="flip")
    text = text_of(tmp_path, "c", "b")
    assert "not all scored alike" not in text and "Here: `val-flip`" in text


def test_reports_of_an_earlier_network_do_not_count(two, tmp_path):
    also(two["b"], "val-flip", 0.8, tta="flip", network="earlier")
    own = {**two["b"].report, "network": "now"}
    two["b"].save_report(own, "text")
    with pytest.raises(UserError, match="b has no report of condition=val-flip"):
        text_of(tmp_path, "a", "b", condition="val-flip")


def test_a_score_that_a_report_calls_undefined_is_not_taken_from_the_history(tmp_path):
    write_run(tmp_path / "a", 0.5)
    write_run(tmp_path / "b", 0.6, scores={"miou": float("nan"), "pixel_accuracy": 1.0})
    text = text_of(tmp_path, "a", "b")
    rows = json.loads((tmp_path / "out" / "report.json").read_text())["runs"]
    assert {row["name"]: row["score"] for row in rows} == {"a": 0.5, "b": None} and "unfinished" in text


def test_names_are_text(tmp_path):
    hostile = "=<b>x"
    write_run(tmp_path / hostile, 0.5, flag={"loss": "dice"})
    write_run(tmp_path / "b", 0.6, flag={"loss": "@sum"})
    text = text_of(tmp_path, hostile, "b")
    assert "<b>" not in text and "=&lt;b>x" in text
    table = (tmp_path / "out" / "report.csv").read_text()
    assert "'=<b>x" in table and ",'@sum" in table
