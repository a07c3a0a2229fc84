"""Figures of segmentation: overlays, confusion matrix, IoU of each class."""

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from kzoo.figures.base import class_colours, grid
from kzoo.nn import decoding

IGNORE_GREY = (0.5, 0.5, 0.5)


def seg_figures(images, labels, outputs, titles, names) -> dict[str, Figure]:
    """Input, truth, prediction and the wrong pixels of each example.

    Args:
        images: (N, H, W, 3) uint8.
        labels: (N, H, W) uint8.
        outputs: {"logits": probabilities}.
        titles: N strings.
        names: C strings.
    """
    predicted = decoding.decode_seg(outputs)["classes"]
    palette = np.concatenate([class_colours(names), np.tile(IGNORE_GREY, (256 - len(names), 1))])
    heads = ("input", "truth (grey: ignored)", "prediction", "wrong pixels")
    figure, axes = grid(len(images), len(heads), heads, aspect=images.shape[1] / images.shape[2])
    for i, row in enumerate(axes):
        wrong = (predicted[i] != labels[i]) & (labels[i] != 255)
        shade = images[i].mean(axis=-1, keepdims=True) / 255
        panels = (
            images[i] / 255,
            0.3 * shade + 0.7 * palette[labels[i]],
            0.3 * shade + 0.7 * palette[predicted[i]],
            np.where(wrong[..., None], (1.0, 0.2, 0.2), 0.6 * shade),
        )
        for axis, panel in zip(row, panels, strict=True):
            axis.imshow(panel)
        row[0].text(0, -0.02, titles[i], transform=row[0].transAxes, fontsize="small", va="top")
    if len(names) <= 24:
        handles = [
            matplotlib.patches.Patch(facecolor=palette[c], edgecolor="black", label=name)
            for c, name in enumerate(names)
        ]
        figure.legend(handles=handles, loc="outside lower center", ncols=min(len(names), 7), fontsize="small")
    return {"segmentation.png": figure}


def confusion(matrix, names) -> Figure:
    """Confusion matrix (C, C), truth in rows, each row in per cent of its truth."""
    matrix = np.asarray(matrix, "float64")
    share = 100 * matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    side = max(4.0, 0.55 * len(names) + 2)
    figure = Figure(figsize=(side + 1, side), layout="constrained")
    axis = figure.subplots()
    figure.colorbar(axis.imshow(share, cmap="Blues", vmin=0, vmax=100), label="% of the true class")
    axis.set_xticks(range(len(names)), names, rotation=60, ha="right")
    axis.set_yticks(range(len(names)), names)
    axis.set(xlabel="predicted", ylabel="true")
    if len(names) <= 24:
        for (i, j), value in np.ndenumerate(share):
            colour = "white" if value > 60 else "black"
            axis.text(j, i, f"{value:.0f}", ha="center", va="center", fontsize="small", color=colour)
    return figure


def iou_bars(iou: dict[str, float], mean: float) -> Figure:
    """Bars of the IoU per class, the best on top, and a line at the mean; without classes absent from the truth."""
    colours = dict(zip(iou, class_colours(list(iou)), strict=True))
    shown = sorted((name for name in iou if not np.isnan(iou[name])), key=iou.get)
    figure = Figure(figsize=(7, 1 + 0.32 * len(shown)), layout="constrained")
    axis = figure.subplots()
    lengths = [iou[name] for name in shown]
    colours = [colours[name] for name in shown]
    bars = axis.barh(shown, lengths, color=colours, edgecolor="black", linewidth=0.5)
    axis.bar_label(bars, fmt="%.3f", padding=3, fontsize="small")
    axis.axvline(mean, color="tab:red", linestyle="--", label=f"mean {mean:.3f}")
    axis.set(xlim=(0, 1.08), xlabel="IoU")
    axis.legend(loc="lower right", fontsize="small")
    return figure


def seg_charts(result: dict, names, labels=None, predictions=None) -> dict[str, Figure]:
    """Charts of a segmentation's report, see `seg_scores.seg_report`."""
    bars = iou_bars(result["tables"]["IoU per class"], result["scores"]["miou"])
    return {"confusion.png": confusion(result["confusion"], names), "iou_per_class.png": bars}
