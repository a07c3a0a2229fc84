"""Scores that are probabilities: isotonic tables against scikit-learn's own regression, and their expected error."""

import json
import math

import numpy as np
import pytest
from sklearn.isotonic import IsotonicRegression

from kzoo import UserError
from kzoo.metrics import calibration
from kzoo.metrics.calibration import Calibration

RNG = np.random.default_rng(0)
RAW = RNG.uniform(0, 0.3, (500, 8))  # low peaks
RIGHT = (RNG.uniform(size=RAW.shape) < np.clip(4 * RAW, 0, 1)).astype("float64")
RIGHT[0, :3] = np.nan


def test_probabilities_are_those_of_the_truth():
    table = calibration.fit(RAW, RIGHT, "near", split="val", network="n")
    grid = np.linspace(0.02, 0.28, 30)
    np.testing.assert_allclose(table(grid), np.clip(4 * grid, 0, 1), atol=0.08)
    assert table.ece < 0.04 < 0.3 < table.ece_raw
    assert table.counted == np.isfinite(RIGHT).sum() and (table.right, table.split) == ("near", "val")
    assert len(table.scores) <= calibration.BINS


def test_the_table_is_near_the_regression_on_all_answers():
    known = np.isfinite(RIGHT)
    whole = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip").fit(RAW[known], RIGHT[known])
    table = calibration.fit(RAW, RIGHT, "near")
    grid = np.linspace(0.03, 0.27, 30)
    np.testing.assert_allclose(table(grid), whole.predict(grid), atol=0.1)


def test_networks_without_maps_have_one_probability():
    right = (RNG.uniform(size=(200, 8)) < 0.7).astype("float64")
    table = calibration.fit(np.ones((200, 8)), right, "near")
    assert len(table.scores) == 1 and table(1.0) == pytest.approx(right.mean(), abs=0.01)


def test_shape_nan_and_bounds():
    table = Calibration((0.1, 0.3), (0.2, 0.8), "near")
    np.testing.assert_allclose(table([[0.0, 0.2], [1.0, np.nan]]), [[0.2, 0.5], [0.8, np.nan]])


def test_too_few_answers_make_no_table():
    assert calibration.fit(RAW[:2], RIGHT[:2], "near") is None
    assert calibration.fit(RAW, np.full(RAW.shape, np.nan), "near") is None


def test_expected_error():
    assert calibration.expected_error([0.05, 0.05, 0.95, 0.95], [0, 0, 1, 0]) == pytest.approx((0.1 + 0.9) / 4)
    assert calibration.expected_error([1.0, 1.0], [1, 1]) == 0


def test_json_brings_it_back():
    table = calibration.fit(RAW, RIGHT, "near", split="val", network="n")
    assert Calibration.from_json(json.loads(json.dumps(table.to_json())), "calibration.json") == table


GOOD = {"scores": [0.1, 0.2], "shares": [0.3, 0.4], "right": "near"}
WRONG = [
    [],
    {},
    {**GOOD, "scores": []},
    {**GOOD, "scores": [0.1]},
    {**GOOD, "scores": [0.2, 0.1]},
    {**GOOD, "shares": [0.4, 0.3]},
    {**GOOD, "shares": [0.4, 1.3]},
    {**GOOD, "shares": [0.4, math.nan]},
    {**GOOD, "shares": ["0.3", "0.4"]},
    {**GOOD, "scores": "ab"},
    {**GOOD, "right": 1},
    {**GOOD, "network": None},
    {**GOOD, "counted": "7"},
]


@pytest.mark.parametrize("value", WRONG)
def test_a_damaged_table_is_one_line(value):
    with pytest.raises(UserError, match=r"calibration\.json"):
        Calibration.from_json(value, "runs/x/calibration.json")
