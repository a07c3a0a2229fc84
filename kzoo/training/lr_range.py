"""Learning-rate range test: a few steps with ever larger rates show which are too small, which serve and which diverge.

Reference: Smith, Cyclical Learning Rates for Training Neural Networks, WACV 2017, §3.3.
"""

import itertools
import math

import keras
import matplotlib
import numpy as np
from tqdm.auto import tqdm

from kzoo import UserError
from kzoo.figures.base import Figure

SMOOTHING = 0.9  # momentum of the moving average of the loss
DIVERGED = 4.0  # times the smallest smoothed loss so far


def find(model: keras.Model, batches, *, low: float = 1e-6, high: float = 1.0, steps: int = 100) -> dict:
    """Trains with a rate that grows from `low` to `high`, the same factor each step, until the loss diverges; then
    everything is put back: weights, optimizer and the states of random layers.

    Args:
        model: compiled, its optimizer made with a plain number as learning rate.
        batches: iterable of (x, y) or (x, y, sample_weight) that can be gone through again when it is shorter than
        `steps`.
    Returns:
        "lr", "loss", "smoothed": lists of one number a step, as far as the loss was finite; "diverges": the rate at
        which the smoothed loss exceeded `DIVERGED` times its minimum or was not finite, else None; "suggestion": the
        rate of steepest descent over log(rate), or a tenth of the diverging rate where that is less.
    Raises:
        UserError: no batches, a rate that follows a schedule, bounds that are no bounds, or no finite loss.
    """
    if not 0 < low < high or steps < 2:
        raise UserError(
            f"a range of learning rates needs 0 < low < high and at least 2 steps, got {low:g}, {high:g} and {steps}"
        )
    optimizer = model.optimizer
    if isinstance(
        getattr(optimizer, "inner_optimizer", optimizer)._learning_rate, keras.optimizers.schedules.LearningRateSchedule
    ):
        raise UserError(
            "a learning rate that follows a schedule cannot be set step by step: make the optimizer with a plain number"
        )
    if not optimizer.built:
        optimizer.build(model.trainable_variables)
    kept = [*model.variables, *optimizer.variables]
    before = [np.array(keras.ops.convert_to_numpy(variable)) for variable in kept]
    try:
        return _with_suggestion(**_measure(model, _endless(batches), np.geomspace(low, high, steps)))
    finally:
        for variable, value in zip(kept, before, strict=True):
            variable.assign(value)
        model.reset_metrics()


def _endless(batches):
    """The batches over and over."""
    while True:
        empty = True
        for batch in batches:
            empty = False
            yield batch
        if empty:
            raise UserError("no batches to try learning rates on")


def _measure(model, batches, rates) -> dict:
    result, average, least = {"lr": [], "loss": [], "smoothed": [], "diverges": None}, 0.0, math.inf
    with tqdm(total=len(rates), unit="step", desc="learning rates", dynamic_ncols=True) as bar:
        for step, (rate, batch) in enumerate(zip(rates, batches, strict=False), start=1):
            model.optimizer.learning_rate = rate
            model.reset_metrics()  # Keras would return the mean over the steps so far
            loss = float(model.train_on_batch(*batch, return_dict=True)["loss"])
            average = SMOOTHING * average + (1 - SMOOTHING) * loss
            smoothed = average / (1 - SMOOTHING**step)  # without the bias towards the first value, 0
            if math.isfinite(smoothed):
                for name, value in (("lr", rate), ("loss", loss), ("smoothed", smoothed)):
                    result[name].append(float(value))
            least = min(least, smoothed)
            bar.update()
            bound = (
                DIVERGED * least if least > 0 else least + (DIVERGED - 1) * (result["smoothed"][0] - least)
            )  # learned weights: below 0
            if not math.isfinite(smoothed) or smoothed > bound:
                result["diverges"] = float(rate)
                break
    return result


def _with_suggestion(lr, loss, smoothed, diverges) -> dict:
    if not lr:
        raise UserError("the loss is not finite at the smallest learning rate already")
    skipped = len(lr) // 10  # there the average is over few losses, and its slope is noise
    bound = math.inf if diverges is None else diverges / 10
    steepest = bound
    if len(lr) - skipped >= 2:
        slopes = np.gradient(smoothed[skipped:], np.log(lr[skipped:]))
        steepest = lr[skipped + int(np.argmin(slopes))]
    suggestion = min(steepest, bound)
    return {"lr": lr, "loss": loss, "smoothed": smoothed, "diverges": diverges, "suggestion": suggestion}


def plot(result: dict) -> Figure:
    """Loss over the learning rate, with the regions that are too small, good and divergent, and the suggestion.

    Too small ends where a tenth of the whole fall is done, good at the smallest smoothed loss.
    """
    rates, smoothed = np.array(result["lr"]), np.array(result["smoothed"])
    lowest = int(np.argmin(smoothed))
    start = float(np.median(smoothed[: 1 + len(smoothed) // 10]))
    higher = np.flatnonzero(smoothed[: lowest + 1] > start - 0.1 * (start - smoothed[lowest]))
    onset = min(rates[higher[-1] + 1] if len(higher) else rates[0], result["suggestion"])
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axis = figure.subplots()
    ends = (rates[0], onset, rates[lowest], result["diverges"] or rates[-1])
    regions = (
        ("too small", "tab:gray"),
        ("good", "tab:blue"),
        ("diverges" if result["diverges"] else "too large", "tab:orange"),
    )
    for (name, colour), (left, right) in zip(regions, itertools.pairwise(ends), strict=True):
        if right > left:
            axis.axvspan(left, right, color=colour, alpha=0.15, linewidth=0)
            axis.text(
                math.sqrt(left * right),
                1.01,
                name,
                transform=axis.get_xaxis_transform(),
                ha="center",
                va="bottom",
                color=colour,
            )
    axis.plot(rates, result["loss"], color="black", alpha=0.3, linewidth=1, label="loss of a batch")
    axis.plot(rates, smoothed, color="black", label="smoothed")
    suggestion = f"suggestion: --lr={result['suggestion']:.2g}"
    axis.axvline(result["suggestion"], color="tab:purple", linestyle="--", label=suggestion)
    low, high = smoothed[lowest], 1.5 * max(start, *smoothed[: lowest + 1]) - 0.5 * smoothed[lowest] + 1e-9
    axis.set(xscale="log", xlabel="learning rate", ylabel="loss", ylim=(low - 0.1 * (high - low), high))
    axis.xaxis.set_minor_locator(matplotlib.ticker.NullLocator())
    axis.grid(alpha=0.3)
    axis.legend(loc="lower left", fontsize="small")
    return figure
