"""Learning-rate range test on least squares, where the diverging rate is known: 2 / (largest eigenvalue of the
Hessian)."""

import itertools
import json

import keras
import numpy as np
import pytest

from kzoo import UserError
from kzoo.training import lr_range

RNG = np.random.default_rng(0)
X = RNG.normal(size=(256, 4)).astype("float32") * [1, 0.8, 0.6, 0.5]
Y = (X @ [[1.0], [-2.0], [0.5], [3.0]] + RNG.normal(scale=0.5, size=(256, 1))).astype("float32")
BATCHES = [(X[i : i + 32], Y[i : i + 32]) for i in range(0, 256, 32)]
LARGEST = 2 / np.linalg.eigvalsh(2 * X.T @ X / len(X)).max()  # the Hessian of mean((Xw - y)^2) is 2 X'X / N


def least_squares(optimizer=None, dropout=0.0):
    keras.utils.set_random_seed(1)
    layers = [keras.layers.Dropout(dropout), keras.layers.Dense(1, use_bias=False)]
    model = keras.Sequential([keras.Input((4,)), *layers])
    model.compile(optimizer or keras.optimizers.SGD(0.0123), loss="mse", jit_compile=False)
    return model


@pytest.fixture(scope="module")
def result():
    return lr_range.find(least_squares(), BATCHES, low=1e-4, high=100.0, steps=200)


def test_divergence_of_a_quadratic(result):
    assert LARGEST / 3 < result["diverges"] < 3 * LARGEST
    assert result["lr"][0] == pytest.approx(1e-4) and len(result["lr"]) < 200, "it stops"
    ratios = np.array(result["lr"][1:]) / result["lr"][:-1]
    np.testing.assert_allclose(ratios, 10 ** (6 / 199), rtol=1e-5)


def test_suggestion_trains(result):
    """Between the rates that hardly move and the one that diverges; as a learning rate it reaches the minimum in 200
    steps."""
    assert result["suggestion"] <= result["diverges"] / 10
    model = least_squares(keras.optimizers.SGD(result["suggestion"]))
    for _ in range(200):
        model.train_on_batch(X, Y)
    best = np.mean((X @ np.linalg.lstsq(X, Y, rcond=None)[0] - Y) ** 2)
    assert model.evaluate(X, Y, verbose=0, batch_size=256) < 1.05 * best


def test_losses_are_those_of_gradient_descent(result):
    weights, average = least_squares().get_weights()[0].astype("float64"), 0
    steps = zip(result["lr"], result["loss"], result["smoothed"], itertools.cycle(BATCHES), strict=False)
    for step, (rate, loss, smoothed, (x, y)) in enumerate(steps, start=1):
        error = x @ weights - y
        np.testing.assert_allclose(loss, np.mean(error**2), rtol=1e-3)
        average = 0.9 * average + 0.1 * np.mean(error**2)
        np.testing.assert_allclose(smoothed, average / (1 - 0.9**step), rtol=1e-3)
        weights -= rate * 2 * x.T @ error / len(x)


def test_everything_is_put_back():
    """Weights, momenta, learning rate and the state of dropout: training goes on as if nothing had been."""
    traces = []
    for search in (False, True):
        model = least_squares(keras.optimizers.Adam(0.01, use_ema=True), dropout=0.5)
        model.train_on_batch(X, Y)
        if search:
            lr_range.find(model, [(X, Y)], steps=12)
        traces.append(
            [model.train_on_batch(X, Y)] + [v.numpy() for v in [*model.variables, *model.optimizer.variables]]
        )
    for plain, searched in zip(*traces, strict=True):
        np.testing.assert_array_equal(plain, searched)


def test_loss_that_is_not_finite():
    result = lr_range.find(least_squares(), [(X, Y), (X, np.full_like(Y, np.inf))], steps=20)
    assert len(result["lr"]) == 1 and result["diverges"] == pytest.approx(1e-6 * 1e6 ** (1 / 19))
    assert np.isfinite(json.loads(json.dumps(result))["suggestion"])


def test_no_divergence_in_the_range():
    result = lr_range.find(least_squares(), [(X, Y)], low=1e-4, high=LARGEST / 4, steps=40)
    assert result["diverges"] is None and len(result["lr"]) == 40 and result["suggestion"] in result["lr"]
    assert {"too small", "good"} <= {text.get_text() for text in lr_range.plot(result).axes[0].texts}


def test_plot_shades_the_regions(result, tmp_path):
    figure = lr_range.plot(result)
    axis = figure.axes[0]
    assert [text.get_text() for text in axis.texts] == ["too small", "good", "diverges"] and axis.get_xscale() == "log"
    edges = [(patch.get_x(), patch.get_x() + patch.get_width()) for patch in axis.patches]
    assert edges[0][0] == pytest.approx(1e-4) and edges[-1][1] == pytest.approx(result["diverges"])
    assert edges[1][0] <= result["suggestion"] <= edges[1][1], "the suggestion is good"
    figure.savefig(tmp_path / "lr_range.png")


@pytest.mark.parametrize(
    ("optimizer", "batches", "options", "message"),
    [
        (keras.optimizers.SGD(keras.optimizers.schedules.CosineDecay(0.1, 10)), [(X, Y)], {}, "schedule"),
        (None, [], {}, "no batches"),
        (None, [(X, Y)], {"low": 1.0, "high": 0.1}, "low < high"),
    ],
)
def test_mistakes(optimizer, batches, options, message):
    with pytest.raises(UserError, match=message):
        lr_range.find(least_squares(optimizer), batches, **options)
