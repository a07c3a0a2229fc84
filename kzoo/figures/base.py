"""What all figures share: files, curves over the epochs, grids, colours of classes."""

import matplotlib
import numpy as np
from matplotlib.animation import Animation, PillowWriter
from matplotlib.figure import Figure

from kzoo import files

# What metrics are called on an axis.
AXES = {"mpjpe": "MPJPE (px of a 256-px crop)", "mpjpe_mm": "MPJPE (mm)", "miou": "mIoU"}
ANIMATION_HZ = 6  # frames a second of a GIF: clips slower than life, so that one can see it


def save(figure: Figure | Animation, path):
    """Write a PNG, or the GIF of an animation, whole or not at all."""
    with files.replacing(path) as temporary:
        if isinstance(figure, Animation):
            figure.save(temporary, writer=PillowWriter(fps=ANIMATION_HZ), dpi=80)
        else:
            figure.savefig(temporary, dpi=100, format="png")


def curves(histories: dict[str, list[dict]], metric: str) -> Figure:
    """Loss and score of the training and the evaluation set over the epochs, one colour a run.

    Args:
        histories: run name -> rows of `history.csv`.
        metric: column, with "train_" and "val_" before it.
    """
    figure = Figure(figsize=(11, 4.2), layout="constrained")
    for axes, name in zip(figure.subplots(1, 2), ("loss", metric), strict=True):
        for colour, (run, history) in zip(run_colours(len(histories)), histories.items(), strict=True):
            of_run = "" if len(histories) == 1 else f"{run}, "
            epochs = [row["epoch"] for row in history]
            for prefix, style, label in (("train_", "--", "training set"), ("val_", "-", "evaluation set")):
                if history and prefix + name in history[0]:
                    values = [row[prefix + name] for row in history]
                    axes.plot(epochs, values, style, color=colour, marker=".", label=of_run + label)
        axes.set(xlabel="epoch", ylabel=AXES.get(name, name))
        if len(histories) == 1:
            _fill_gap(axes, history, name, colour)
        axes.grid(alpha=0.3)
        axes.xaxis.get_major_locator().set_params(integer=True)
    if histories:
        axes.legend(fontsize="small")
    figure.suptitle(", ".join(histories) if len(histories) == 1 else "", fontsize="medium")
    return figure


def _fill_gap(axes, history: list[dict], name: str, colour):
    """Between the curves of the training and the evaluation set, where there are both."""
    if not history or f"train_{name}" not in history[0] or f"val_{name}" not in history[0]:
        return
    epochs = [row["epoch"] for row in history]
    training = [row[f"train_{name}"] for row in history]
    evaluation = [row[f"val_{name}"] for row in history]
    axes.fill_between(epochs, training, evaluation, color=colour, alpha=0.12)
    axes.set_title(f"gap at the end: {evaluation[-1] - training[-1]:+.3g}", fontsize="small")


def run_colours(count: int):
    return [matplotlib.colormaps["tab10"](i % 10) for i in range(count)]


def class_colours(names) -> np.ndarray:
    """RGB (C, 3) in [0, 1] of C classes: distinct hues, and black for a first class named background."""
    black = int(names[0] == "background")
    hues = np.arange(len(names) - black) * 0.618034 % 1.0  # golden ratio: neighbours differ most
    saturation = np.where(np.arange(len(hues)) % 2, 0.5, 0.9)
    value = np.where(np.arange(len(hues)) % 3 == 2, 0.65, 0.95)
    wheel = matplotlib.colors.hsv_to_rgb(np.stack([hues, saturation, value], axis=-1))
    return np.concatenate([np.zeros((black, 3)), wheel])


def grid(rows: int, columns: int, titles, *, aspect: float = 1.0) -> tuple[Figure, np.ndarray]:
    """`aspect`: height / width of the pictures."""
    figure = Figure(figsize=(2.6 * columns, (2.6 * aspect + 0.15) * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False)
    for axis in axes.flat:
        axis.set_axis_off()
    for axis, title in zip(axes[0], titles, strict=False):
        axis.set_title(title, fontsize="medium")
    return figure, axes
