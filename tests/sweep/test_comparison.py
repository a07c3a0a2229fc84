"""Run folders side by side: conditions, scores, baselines, and the files that `kzoo.report` writes."""

import json

import pytest
from made_up import write_run

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
