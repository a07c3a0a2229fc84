"""Figures of segmentation: overlays, confusion matrix, IoU of each class."""

import numpy as np
from matplotlib.patches import Patch

from kzoo.figures import base
from kzoo.figures.base import WRONG, Figure, class_colours
from kzoo.nn import decoding

IGNORE_GREY = (0.5, 0.5, 0.5)
READABLE = 24  # classes: with more, numbers in cells would cover each other


def palette(names) -> np.ndarray:
    """RGB (256, 3) in 0..1 of class ids, grey for those beyond the classes."""
    return np.concatenate([class_colours(names), np.tile(IGNORE_GREY, (256 - len(names), 1))])


def tinted(picture, ids, colours) -> np.ndarray:
    """A picture (H, W, 3) uint8 in grey under the colours (256, 3) of its classes (H, W): floats in 0..1."""
    shade = picture.mean(axis=-1, keepdims=True) / 255
    return 0.3 * shade + 0.7 * colours[ids]


def class_handles(ids, names, colours) -> list[Patch]:
    """What a legend says of the classes that there are in `ids`, and of ids beyond them."""
    present = np.unique(ids)
    handles = []
    for c in present[present < len(names)]:
        handles.append(Patch(facecolor=colours[c], edgecolor="black", label=base.label(names[c])))
    if (present >= len(names)).any():
        handles.append(Patch(facecolor=IGNORE_GREY, edgecolor="black", label="not labelled: ignored"))
    return handles


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
    colours = palette(names)
    heads = ("input", "truth", "prediction", "wrong pixels")
    figure, axes = base.examples(len(images), heads, aspect=images.shape[1] / images.shape[2])
    drawn = []  # classes
    for i, row in enumerate(axes):
        wrong = (predicted[i] != labels[i]) & (labels[i] != 255)
        shade = images[i].mean(axis=-1, keepdims=True) / 255
        panels = (
            images[i] / 255,
            tinted(images[i], labels[i], colours),
            tinted(images[i], predicted[i], colours),
            np.where(wrong[..., None], WRONG, 0.5 * shade),
        )
        outside = base.padding(images[i]) & (labels[i] == 255)
        for axis, panel in zip(row, panels, strict=True):
            axis.imshow(np.where(outside[..., None], base.PAGE, panel))
        base.write_below(row[0], titles[i])
        drawn += [labels[i][~outside], predicted[i][~outside]]
    handles = class_handles(np.concatenate(drawn), names, colours)
    base.legend(figure, [*handles, Patch(facecolor=WRONG, edgecolor="black", label="wrong")])
    return {"segmentation.png": figure}


def confusion(matrix, names) -> Figure:
    """Confusion matrix (C, C), truth in rows, each row in per cent of its truth."""
    matrix = np.asarray(matrix, "float64")
    share = 100 * matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    names = [base.shortened(name) for name in names]
    side = max(4.0, (0.55 if len(names) <= READABLE else 0.22) * len(names) + 2)
    figure = Figure(figsize=(side + 1.2, side), layout="constrained")
    axis = figure.subplots()
    image = axis.imshow(share, cmap="Blues", vmin=0, vmax=100)
    figure.colorbar(image, label="% of the true class", shrink=0.8)
    axis.set_xticks(range(len(names)), names, rotation=60, ha="right", rotation_mode="anchor")
    axis.set_yticks(range(len(names)), names)
    axis.set(xlabel="predicted class", ylabel="true class")
    if len(names) <= READABLE:
        for (i, j), value in np.ndenumerate(share):
            colour = "white" if value > 60 else "black"
            axis.text(j, i, f"{value:.0f}", ha="center", va="center", fontsize="small", color=colour)
    return figure


def iou_bars(iou: dict[str, float], mean: float) -> Figure:
    """Bars of the IoU per class, the best on top, and a line at the mean; without classes absent from the truth."""
    colours = dict(zip(iou, class_colours(list(iou)), strict=True))
    shown = sorted((name for name in iou if not np.isnan(iou[name])), key=iou.get)
    figure = Figure(figsize=(7, 1 + (0.32 if len(shown) <= READABLE else 0.2) * len(shown)), layout="constrained")
    axis = figure.subplots()
    lengths = [iou[name] for name in shown]
    colours = [colours[name] for name in shown]
    bars = axis.barh(range(len(shown)), lengths, color=colours, edgecolor="black", linewidth=0.5)
    axis.set_yticks(range(len(shown)), [base.shortened(name) for name in shown])
    axis.axvline(mean, color="black", linestyle="--", linewidth=1, zorder=1)
    axis.bar_label(bars, fmt="%.3f", padding=3, fontsize="small", path_effects=base.HALO, zorder=3)
    axis.set(xlim=(0, 1.08), ylim=(-0.6, max(len(shown), 1) - 0.4), xlabel="IoU")
    base.legend(figure, [base.line("black", f"mean of the classes: mIoU {mean:.3f}", linestyle="--")])
    return figure


def seg_charts(result: dict, names, labels=None, predictions=None) -> dict[str, Figure]:
    """Charts of a segmentation's report, see `seg_scores.seg_report`."""
    bars = iou_bars(result["tables"]["IoU per class"], result["scores"]["miou"])
    return {"confusion.png": confusion(result["confusion"], names), "iou_per_class.png": bars}
