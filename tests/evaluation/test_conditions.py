"""The table of conditions of a score, and what is read and told by it."""

import subprocess
import sys

from kzoo.evaluation import conditions

REPORT = {"scores": {"miou": 0.5}, "split": "val", "tta": "none", "examples": 7, "tile": "64", "dataset": "d"}


def test_of_a_report_in_the_order_of_the_table():
    expected = {"dataset": "d", "split": "val", "examples": 7, "tile": "64", "tta": "none"}
    assert list(conditions.of_report(REPORT).items()) == list(expected.items())
    assert conditions.of_report(REPORT, conditions.ANSWERS) == {"tile": "64", "tta": "none"}


def test_of_the_training_loop():
    assert conditions.of_training({"size": 64}) == {"split": "val", "crop": 64, "tta": "none"}
    assert conditions.of_training({"size": 64, "val_split": "test"})["split"] == "test"


def test_in_words():
    told = {"boxes": "ground truth x 1.25", "crop": 64, "decoder": None, "overlap": 0}
    assert conditions.text(told) == "boxes: ground truth x 1.25, crop (px): 64, overlap of tiles (px): 0"
    assert conditions.text({"split": "val", "tta": "flip"}, "; ") == "split: val; test-time augmentation: flip"


def test_the_number_of_examples_keeps_no_runs_apart():
    assert set(conditions.CONDITIONS) - set(conditions.APART) == {"examples"}


def test_it_starts_no_framework():
    code = "import sys, kzoo.evaluation.conditions; sys.exit(' '.join({'keras', 'numpy'} & set(sys.modules)) or 0)"
    run = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
