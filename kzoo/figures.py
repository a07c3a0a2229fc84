"""Pictures for people: curves, overlays, latent heat maps, confusion matrices."""

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from kzoo import decoding, files, scores

# COCO's skeleton as pairs of joint indices, by side: left, right, middle.
LIMBS = {
    "tab:orange": [(5, 7), (7, 9), (11, 13), (13, 15), (1, 3), (0, 1)],
    "tab:cyan": [(6, 8), (8, 10), (12, 14), (14, 16), (2, 4), (0, 2)],
    "tab:pink": [(5, 6), (11, 12), (5, 11), (6, 12), (1, 2)],
}
AXES = {"mpjpe": "MPJPE (px of a 256-px crop)", "mpjpe_mm": "MPJPE (mm)", "miou": "mIoU"}  # what metrics are called on an axis
IGNORE_GREY = (0.5, 0.5, 0.5)


def save(figure: Figure, path):
    """Write a PNG, whole or not at all."""
    with files.replacing(path) as temporary:
        figure.savefig(temporary, dpi=100, format="png")


def curves(histories: dict[str, list[dict]], metric: str) -> Figure:
    """Loss and score of the training and the evaluation set over the epochs, one colour a run.

    Args:
        histories: run name -> rows of `history.csv`.
        metric: column, with "train_" and "val_" before it.
    """
    figure = Figure(figsize=(11, 4.2), layout="constrained")
    for axes, name in zip(figure.subplots(1, 2), ("loss", metric), strict=True):
        for colour, (run, rows) in zip(_colours(len(histories)), histories.items(), strict=True):
            epochs = [row["epoch"] for row in rows]
            for prefix, style, label in (("train_", "--", "training set"), ("val_", "-", "evaluation set")):
                if rows and prefix + name in rows[0]:
                    axes.plot(
                        epochs,
                        [row[prefix + name] for row in rows],
                        style,
                        color=colour,
                        marker=".",
                        label=label if len(histories) == 1 else f"{run}, {label}",
                    )
        axes.set(xlabel="epoch", ylabel=AXES.get(name, name))
        if len(histories) == 1 and rows and all(prefix + name in rows[0] for prefix in ("train_", "val_")):
            axes.fill_between(epochs, *([row[prefix + name] for row in rows] for prefix in ("train_", "val_")), color=colour, alpha=0.12)
            axes.set_title(f"gap at the end: {rows[-1]['val_' + name] - rows[-1]['train_' + name]:+.3g}", fontsize="small")
        axes.grid(alpha=0.3)
        axes.xaxis.get_major_locator().set_params(integer=True)
    if histories:
        axes.legend(fontsize="small")
    figure.suptitle(", ".join(histories) if len(histories) == 1 else "", fontsize="medium")
    return figure


def _colours(count: int):
    return [matplotlib.colormaps["tab10"](i % 10) for i in range(count)]


def class_colours(names) -> np.ndarray:
    """RGB (C, 3) in [0, 1] of C classes: distinct hues, and black for a first class named background."""
    black = int(names[0] == "background")
    hues = np.arange(len(names) - black) * 0.618034 % 1.0  # golden ratio: neighbours differ most
    saturation, value = np.where(np.arange(len(hues)) % 2, 0.5, 0.9), np.where(np.arange(len(hues)) % 3 == 2, 0.65, 0.95)
    wheel = matplotlib.colors.hsv_to_rgb(np.stack([hues, saturation, value], axis=-1))
    return np.concatenate([np.zeros((black, 3)), wheel])


def _grid(rows: int, columns: int, titles, *, aspect: float = 1.0) -> tuple[Figure, np.ndarray]:
    """`aspect`: height / width of the pictures."""
    figure = Figure(figsize=(2.6 * columns, (2.6 * aspect + 0.15) * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False)
    for axis in axes.flat:
        axis.set_axis_off()
    for axis, title in zip(axes[0], titles, strict=False):
        axis.set_title(title, fontsize="medium")
    return figure, axes


def draw_skeleton(axis, positions, drawn, size):
    """Limbs and joints of one person. positions (J, 2) fractions, drawn (J,) bool, size (H, W) of the picture in pixels."""
    x, y = positions[:, 0] * size[1] - 0.5, positions[:, 1] * size[0] - 0.5  # imshow puts pixel centres on integers
    for colour, pairs in LIMBS.items():
        for a, b in pairs:
            if max(a, b) < len(drawn) and drawn[a] and drawn[b]:
                axis.plot([x[a], x[b]], [y[a], y[b]], color=colour, linewidth=2, alpha=0.9)
    axis.scatter(x[drawn], y[drawn], s=9, c="white", edgecolors="black", linewidths=0.5, zorder=3)
    axis.set(xlim=(-0.5, size[1] - 0.5), ylim=(size[0] - 0.5, -0.5))


def pose_figures(images, labels, outputs, titles, names) -> dict[str, Figure]:
    """Input, truth, prediction and all heat maps of each example; each joint's map, each stack's maps and the attention of some.

    Args:
        images: (N, H, W, 3) uint8; labels: (N, J, 3); outputs: what the network emits, activated, and the decoded "coords";
        titles: N strings; names: J strings.
    """
    coords = outputs["coords"]
    maps = next((outputs[name] for name in decoding.MAPS if name in outputs), None)
    errors = scores.joint_errors(labels, coords)
    figure, axes = _grid(len(images), 3 if maps is None else 4, ("input", "truth", "prediction", "heat maps"))
    for i, row in enumerate(axes):
        size, labelled = images[i].shape[:2], labels[i, :, 2] > 0
        for axis in row[:3]:
            axis.imshow(images[i])
        row[0].text(0, -0.02, titles[i], transform=row[0].transAxes, fontsize="small", va="top")
        draw_skeleton(row[1], labels[i, :, :2], labelled, size)
        draw_skeleton(row[2], coords[i], np.ones(len(labelled), bool), size)
        if np.isfinite(errors[i]).any():
            worst = int(np.nanargmax(errors[i]))
            row[2].text(
                0, -0.02, f"worst: {names[worst]} {errors[i, worst]:.0f} px", transform=row[2].transAxes, fontsize="small", va="top"
            )
        if maps is not None:
            _overlay_maps(row[3], images[i], _brightest(maps[i]))
    result = {"poses.png": figure}
    if maps is not None:
        result["heatmaps.png"] = _joint_maps(images, maps, titles, names)
    if "aux_heatmaps" in outputs:
        stacks = [*np.moveaxis(outputs["aux_heatmaps"], 1, 0), outputs["heatmaps"]]
        result["stacks.png"] = _columns(images, [[_brightest(m) for m in stack] for stack in stacks], titles, "stack")
    if "attention" in outputs:
        result["attention.png"] = _columns(images, np.moveaxis(outputs["attention"], -1, 0), titles, "attention, stack")
    return result


def _brightest(maps) -> np.ndarray:
    """(h, w, J) -> (h, w): the highest of the joints' maps, each scaled to a peak of 1."""
    return (maps / np.maximum(maps.max(axis=(0, 1)), 1e-9)).max(axis=-1)


def _columns(images, maps, titles, word: str) -> Figure:
    """Each example's picture and one map per stack. maps: S x N x (h, w)."""
    figure, axes = _grid(len(images), 1 + len(maps), ("input", *(f"{word} {i}" for i in range(1, 1 + len(maps)))))
    for i, row in enumerate(axes):
        row[0].imshow(images[i])
        row[0].text(0, -0.02, titles[i], transform=row[0].transAxes, fontsize="small", va="top")
        for axis, stack in zip(row[1:], maps, strict=True):
            _overlay_maps(axis, images[i], stack[i])
    return figure


def failure_gallery(images, labels, coords, picks, names) -> Figure:
    """The worst joints by the cause of their error, a row a cause: truth as a green ring, answer as a red cross, a line between.

    Args:
        images: {example: (H, W, 3) uint8}; labels: (N, J, 3); coords: (N, J, 2) of all examples; picks: {cause: [(example, joint), …]};
        names: J strings.
    """
    causes = [cause for cause, chosen in picks.items() if chosen]
    figure, axes = _grid(max(1, len(causes)), max([1, *(len(chosen) for chosen in picks.values())]), ())
    errors = scores.joint_errors(labels, coords)
    for row, cause in zip(axes, causes, strict=False):
        for axis, (example, joint) in zip(row, picks[cause], strict=False):
            size = images[example].shape[:2]
            axis.imshow(images[example])
            draw_skeleton(axis, coords[example], np.ones(len(names), bool), size)
            (x, y), (u, v) = (np.array(p) * size[::-1] - 0.5 for p in (labels[example, joint, :2], coords[example, joint]))
            axis.plot([x, u], [y, v], color="red", linewidth=1)
            axis.plot(x, y, "o", markersize=10, markerfacecolor="none", markeredgecolor="lime", markeredgewidth=2)
            axis.plot(u, v, "x", markersize=9, color="red", markeredgewidth=2.5)
            axis.set_title(f"{cause}: {names[joint]}, {errors[example, joint]:.0f} px", fontsize="small")
            axis.text(0, -0.02, f"#{example}", transform=axis.transAxes, fontsize="small", va="top")
    return figure


def _overlay_maps(axis, image, heat):
    axis.imshow(image.mean(axis=-1), cmap="gray", extent=(0, 1, 1, 0))
    axis.imshow(np.maximum(heat, 0), cmap="inferno", alpha=0.6, extent=(0, 1, 1, 0), interpolation="bilinear", vmin=0)


def _joint_maps(images, maps, titles, names) -> Figure:
    chosen = sorted({0, len(images) // 2, len(images) - 1})
    columns = 9
    rows_each = -(-len(names) // columns)
    figure, axes = _grid(len(chosen) * rows_each, columns, ())
    for block, i in enumerate(chosen):
        for j, name in enumerate(names):
            axis = axes[block * rows_each + j // columns, j % columns]
            _overlay_maps(axis, images[i], maps[i, ..., j])
            axis.set_title(f"{titles[i]}\n{name}" if j == 0 else name, fontsize="small")
    return figure


def seg_figures(images, labels, outputs, titles, names) -> dict[str, Figure]:
    """Input, truth, prediction and the wrong pixels of each example.

    Args:
        images: (N, H, W, 3) uint8; labels: (N, H, W) uint8; outputs: {"logits": probabilities}; titles: N strings; names: C strings.
    """
    predicted = decoding.decode_seg(outputs)["classes"]
    palette = np.concatenate([class_colours(names), np.tile(IGNORE_GREY, (256 - len(names), 1))])
    figure, axes = _grid(
        len(images), 4, ("input", "truth (grey: ignored)", "prediction", "wrong pixels"), aspect=images.shape[1] / images.shape[2]
    )
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
        handles = [matplotlib.patches.Patch(facecolor=palette[c], edgecolor="black", label=name) for c, name in enumerate(names)]
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
            axis.text(j, i, f"{value:.0f}", ha="center", va="center", fontsize="small", color="white" if value > 60 else "black")
    return figure


def iou_bars(iou: dict[str, float], mean: float) -> Figure:
    """Bars of the IoU per class, the best on top, and a line at the mean; classes absent from the truth are left out."""
    colours = dict(zip(iou, class_colours(list(iou)), strict=True))
    shown = sorted((name for name in iou if not np.isnan(iou[name])), key=iou.get)
    figure = Figure(figsize=(7, 1 + 0.32 * len(shown)), layout="constrained")
    axis = figure.subplots()
    bars = axis.barh(shown, [iou[name] for name in shown], color=[colours[name] for name in shown], edgecolor="black", linewidth=0.5)
    axis.bar_label(bars, fmt="%.3f", padding=3, fontsize="small")
    axis.axvline(mean, color="tab:red", linestyle="--", label=f"mean {mean:.3f}")
    axis.set(xlim=(0, 1.08), xlabel="IoU")
    axis.legend(loc="lower right", fontsize="small")
    return figure


def seg_charts(result: dict, names, labels=None, predictions=None) -> dict[str, Figure]:
    """Charts of a segmentation's report, see `scores.seg_report`."""
    bars = iou_bars(result["tables"]["IoU per class"], result["scores"]["miou"])
    return {"confusion.png": confusion(result["confusion"], names), "iou_per_class.png": bars}
