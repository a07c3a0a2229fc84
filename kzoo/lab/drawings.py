"""The report's figures, as wide as a column."""

import io

import matplotlib
import numpy as np

from kzoo.figures import base as figures
from kzoo.figures import pose as pose_figures
from kzoo.figures import seg as seg_figures
from kzoo.figures.base import Figure

WIDTH_MM, INCH_MM, DPI = 88, 25.4, 300
SHOWN_JOINT = "right_wrist"  # whose map is drawn alone; a joint that is hard
MAP_JOINTS = ("nose", "right_wrist", "left_hip", "right_ankle")
STYLE = {"font.size": 6.5, "axes.titlesize": 6.5, "axes.linewidth": 0.6, "lines.linewidth": 1.1, "lines.markersize": 3}


def sheet(height_mm: float) -> Figure:
    return Figure(figsize=(WIDTH_MM / INCH_MM, height_mm / INCH_MM), layout="constrained")


def encoded(figure: Figure, kind: str) -> io.BytesIO:
    """The figure as "png", or for photographs "jpeg"."""
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=DPI, format=kind, **({"pil_kwargs": {"quality": 90}} if kind == "jpeg" else {}))
    buffer.seek(0)
    return buffer


@matplotlib.rc_context(STYLE)
def curves(rows: dict[str, dict], target: float | None, baseline: float | None) -> Figure:
    """MPJPE of the training (dashed) and evaluation set over the epochs.

    Args:
        rows: words for the legend -> row of `measurements.collect`; target, baseline: px, drawn as lines.
    """
    figure = sheet(48)
    axis = figure.subplots()
    draw_curves(axis, rows)
    for value, words, style in ((baseline, "mean pose", ":"), (target, "course's target", "-.")):
        if value is not None:
            axis.axhline(value, color="grey", linestyle=style, linewidth=0.8, label=words)
    axis.set(ylabel="MPJPE (px of a 256-px crop)")
    figure.legend(
        loc="outside upper center", ncols=3, fontsize=5.5, handlelength=2.4, labelspacing=0.3, columnspacing=1
    )
    return figure


@matplotlib.rc_context(STYLE)
def iou_curves(rows: dict[str, dict]) -> Figure:
    """As `curves`, of mIoU."""
    figure = sheet(46)
    axis = figure.subplots()
    draw_curves(axis, rows)
    axis.set(ylabel="mIoU")
    figure.legend(
        loc="outside upper center", ncols=3, fontsize=5.5, handlelength=2.4, labelspacing=0.3, columnspacing=1
    )
    return figure


def draw_curves(axis, rows: dict[str, dict]):
    for style, (words, row) in zip(figures.run_styles(len(rows)), rows.items(), strict=True):
        style = {**style, "markersize": 3}
        epochs = range(1, 1 + row["epochs"])
        axis.plot(epochs, row["curve"]["train"], "--", **style, label=f"{words}, training")
        axis.plot(epochs, row["curve"]["val"], "-", **style, label=f"{words}, evaluation")
    figures.over_epochs(axis, (epoch for row in rows.values() for epoch in range(1, 1 + row["epochs"])))
    axis.grid(alpha=0.3, linewidth=0.5)


@matplotlib.rc_context(STYLE)
def joint_bars(rows: dict[str, dict[str, float]]) -> Figure:
    """MPJPE of each joint, a bar for each row. rows: words -> {joint: px}."""
    figure = sheet(44)
    axis = figure.subplots()
    joints = list(next(iter(rows.values())))
    width = 0.8 / len(rows)
    for i, (words, errors) in enumerate(rows.items()):
        axis.bar(np.arange(len(joints)) + (i + 0.5) * width - 0.4, [errors[j] for j in joints], width, label=words)
    axis.set_xticks(
        range(len(joints)),
        [joint.replace("_", " ") for joint in joints],
        rotation=60,
        ha="right",
        rotation_mode="anchor",
    )
    axis.tick_params(axis="x", length=0, pad=1)
    axis.set(ylabel="MPJPE (px)")
    axis.grid(axis="y", alpha=0.3, linewidth=0.5)
    axis.legend(fontsize=5.5)
    return figure


def panels(rows: int, columns: int, titles=(), *, aspect: float = 1.0, titled: bool = False):
    """Figure and axes (rows, columns) for pictures of height / width `aspect`, with room for a line below each.

    Args:
        titles: of the columns; titled: room for a line above each picture too.
    """
    below = above = 3.0  # millimetres, as all of these
    gap = 0.6
    side = WIDTH_MM / columns
    picture = (side - gap) * aspect
    top = above if titles and not titled else 0.5
    pitch = picture + below + (above if titled else 0)
    height = top + rows * pitch
    figure = Figure(figsize=(WIDTH_MM / INCH_MM, height / INCH_MM))
    axes = np.empty((rows, columns), object)
    for row, column in np.ndindex(rows, columns):
        bottom = height - top - (row + 1) * pitch + below
        axes[row, column] = figure.add_axes(
            (column * side / WIDTH_MM, bottom / height, (side - gap) / WIDTH_MM, picture / height)
        )
        axes[row, column].set_axis_off()
    for axis, title in zip(axes[0], titles, strict=False):
        axis.set_title(title, pad=2)
    return figure, axes


def write(axis, text: str):
    """Under a picture."""
    axis.text(0.0, -0.02, text, transform=axis.transAxes, fontsize=6, va="top")


def skeleton(axis, image, positions, drawn, names):
    axis.imshow(figures.unpadded(image))
    pose_figures.draw_skeleton(axis, positions, drawn, image.shape[:2], names)
    for line in axis.get_lines():
        line.set_linewidth(1.0)
    for dots in axis.collections:
        dots.set_sizes([2.5])


def heat(axis, image, values):
    """One map (h, w) of non-negative numbers over a grey picture."""
    pose_figures.overlay_maps(axis, image, values)


@matplotlib.rc_context(STYLE)
def persons(found: dict) -> Figure:
    """Truth, answer, the joints' latent maps in one (each scaled to a peak of 1), and one joint's map. found: of
    `examples.poses`."""
    joint = found["names"].index(SHOWN_JOINT)
    titles = ("truth", "answer", "maps of all joints", f"map: {SHOWN_JOINT.replace('_', ' ')}")
    figure, axes = panels(len(found["persons"]), 4, titles)
    for row, person in zip(axes, found["persons"], strict=True):
        skeleton(row[0], person["image"], person["label"][:, :2], person["label"][:, 2] > 0, found["names"])
        skeleton(row[1], person["image"], person["coords"], np.ones(len(person["coords"]), bool), found["names"])
        peaks = np.maximum(person["maps"].max(axis=(0, 1)), 1e-9)
        heat(row[2], person["image"], (person["maps"] / peaks).max(axis=-1))
        heat(row[3], person["image"], person["maps"][..., joint])
        write(row[0], person["title"])
    return figure


@matplotlib.rc_context(STYLE)
def compared_maps(found: dict, words: dict[str, str]) -> Figure | None:
    """Single joints' latent maps of the median person by several runs, a row each. words: what each run is called."""
    shown = {name: maps for name, maps in found.get("compared", {}).items() if name in words}
    joints = [joint for joint in MAP_JOINTS if joint in found["names"]]
    if not shown or not joints:
        return None
    figure, axes = panels(len(shown), max(4, len(joints)), [joint.replace("_", " ") for joint in joints])
    median = found["persons"][len(found["persons"]) // 2]["image"]
    for row, (name, maps) in zip(axes, shown.items(), strict=True):
        for axis, joint in zip(row, joints, strict=False):
            heat(axis, median, maps[..., found["names"].index(joint)])
        write(row[0], words[name])
    return figure


@matplotlib.rc_context(STYLE)
def failures(found: dict) -> Figure | None:
    """The worst joints of each cause: truth a ring, answer a cross. None where nothing failed."""
    shown = found["failures"]
    if not shown:
        return None
    figure, axes = panels(-(-len(shown) // 4), 4, titled=True)
    for axis, example in zip(axes.flat, shown, strict=False):
        image = example["image"]
        joint = example["joint"]
        skeleton(axis, image, example["coords"], np.ones(len(example["coords"]), bool), found["names"])
        truth = example["label"][joint, :2] * image.shape[1::-1] - 0.5
        answer = example["coords"][joint] * image.shape[1::-1] - 0.5
        pose_figures.mark_error(axis, truth, answer, scale=0.55)
        axis.set_title(f"{example['cause']}: {found['names'][joint].replace('_', ' ')}", fontsize=5.5, pad=1.5)
        write(axis, f"{example['error']:.0f} px")
    return figure


@matplotlib.rc_context(STYLE)
def segmentations(found: dict, words: dict[str, str]) -> Figure | None:
    """Picture, truth and the networks' answers, with the person's IoU. found: of `examples.segmentations`; words: title
    of each network."""
    if not found["pictures"]:
        return None
    order = [name for name in words if name in found["pictures"][0]["answers"]]
    height, width = found["pictures"][0]["truth"].shape
    figure, axes = panels(
        len(found["pictures"]),
        2 + len(order),
        ("picture", "truth", *(words[name] for name in order)),
        aspect=height / width,
    )
    palette = seg_figures.palette(found["names"])
    for row, picture in zip(axes, found["pictures"], strict=True):
        row[0].imshow(picture["image"])
        shade = picture["image"].mean(axis=-1, keepdims=True) / 255
        truth = picture["truth"]
        answers = [np.where(truth == 255, 255, picture["answers"][name]) for name in order]  # ignored: not scored
        for axis, classes in zip(row[1:], (truth, *answers), strict=True):
            axis.imshow(0.45 * shade + 0.55 * palette[classes])
        for axis, name in zip(row[2:], order, strict=True):
            write(axis, f"{found['names'][1]} {picture['iou'][name]:.2f}")
    return figure
