"""Readers of the files in a run folder: what is no report is told in a line."""

import json

import pytest

from kzoo import UserError
from kzoo.runs import records

WRONG = [
    [],
    None,
    "text",
    {},
    {"scores": []},
    {"scores": {}},
    {"scores": {"miou": "0.5"}},
    {"scores": {"miou": True}},
    {"scores": {"a": 1}, "tables": {"a": 1}},
    {"scores": {"a": 1}, "tables": {"a": {"b": []}}},
    {"scores": {"a": 1}, "notes": "text"},
    {"scores": {"a": 1}, "notes": [1]},
    {"scores": {"a": 1}, "flags": []},
    {"scores": {"a": 1}, "split": 1},
    {"scores": {"a": 1}, "crop": 1.5},
    {"scores": {"a": 1}, "examples": "7"},
    {"scores": {"a": 1}, "baselines": {"a": 1}},
    {"scores": {"a": 1}, "baselines": {"a": {}}},
    {"scores": {"a": 1}, "decoders": [1]},
    {"scores": {"a": 1}, "gains": {"none": None}},
    {"scores": {"a": 1}, "export": {"onnx": 1}},
    {"scores": {"a": 1}, "export": {"onnx": {"file": "model.onnx"}}},
    {"scores": {"a": 1}, "export_failed": {"onnx": 1}},
    {"scores": {"a": 1}, "failures": 1},
    {"scores": {"a": 1}, "confusion": {}},
    {"scores": {"a": 1}, "condition": 1},
]


@pytest.mark.parametrize("value", WRONG)
def test_what_is_no_report_is_one_line(value, tmp_path):
    (tmp_path / "report.json").write_text(json.dumps(value))
    with pytest.raises(UserError, match=r"report\.json is not that of a scored run") as error:
        records.report(tmp_path / "report.json")
    assert "\n" not in str(error.value)


def test_what_a_report_lacks_is_empty(tmp_path):
    scores = {"scores": {"miou": 0.5, "acc": None}}
    (tmp_path / "report.json").write_text(json.dumps(scores))
    assert records.report(tmp_path / "report.json") == {**scores, "tables": {}, "notes": []}
