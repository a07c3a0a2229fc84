"""Figures of 2-D pose: skeletons, heat maps, stacks, failures by cause."""

import numpy as np
from matplotlib.figure import Figure

from kzoo.figures.base import grid
from kzoo.metrics import pose_scores
from kzoo.nn import decoding

# COCO's skeleton as pairs of joint indices, by side: left, right, middle.
LIMBS = {
    "tab:orange": [(5, 7), (7, 9), (11, 13), (13, 15), (1, 3), (0, 1)],
    "tab:cyan": [(6, 8), (8, 10), (12, 14), (14, 16), (2, 4), (0, 2)],
    "tab:pink": [(5, 6), (11, 12), (5, 11), (6, 12), (1, 2)],
}


def draw_skeleton(axis, positions, drawn, size):
    """Limbs and joints of one person.

    positions (J, 2) fractions, drawn (J,) bool, size (H, W) of the picture in pixels.
    """
    x, y = positions[:, 0] * size[1] - 0.5, positions[:, 1] * size[0] - 0.5  # imshow puts pixel centres on integers
    for colour, pairs in LIMBS.items():
        for a, b in pairs:
            if max(a, b) < len(drawn) and drawn[a] and drawn[b]:
                axis.plot([x[a], x[b]], [y[a], y[b]], color=colour, linewidth=2, alpha=0.9)
    axis.scatter(x[drawn], y[drawn], s=9, c="white", edgecolors="black", linewidths=0.5, zorder=3)
    axis.set(xlim=(-0.5, size[1] - 0.5), ylim=(size[0] - 0.5, -0.5))


def pose_figures(images, labels, outputs, titles, names) -> dict[str, Figure]:
    """Input, truth, prediction and all heat maps of each example.

    And each joint's map, each stack's maps and the attention of some.

    Args:
        images: (N, H, W, 3) uint8.
        labels: (N, J, 3).
        outputs: what the network emits, activated, and the decoded "coords".
        titles: N strings.
        names: J strings.
    """
    # A row for each example.
    coords = outputs["coords"]
    maps = next((outputs[name] for name in decoding.MAPS if name in outputs), None)
    errors = pose_scores.joint_errors(labels, coords)
    figure, axes = grid(len(images), 3 if maps is None else 4, ("input", "truth", "prediction", "heat maps"))
    for i, row in enumerate(axes):
        size = images[i].shape[:2]
        labelled = labels[i, :, 2] > 0
        for axis in row[:3]:
            axis.imshow(images[i])
        row[0].text(0, -0.02, titles[i], transform=row[0].transAxes, fontsize="small", va="top")
        draw_skeleton(row[1], labels[i, :, :2], labelled, size)
        draw_skeleton(row[2], coords[i], np.ones(len(labelled), bool), size)
        if np.isfinite(errors[i]).any():
            worst = int(np.nanargmax(errors[i]))
            text = f"worst: {names[worst]} {errors[i, worst]:.0f} px"
            row[2].text(0, -0.02, text, transform=row[2].transAxes, fontsize="small", va="top")
        if maps is not None:
            overlay_maps(row[3], images[i], _brightest(maps[i]))

    # The maps of what emits some.
    result = {"poses.png": figure}
    if maps is not None:
        result["heatmaps.png"] = _joint_maps(images, maps, titles, names)
    if "aux_heatmaps" in outputs:
        stacks = [*np.moveaxis(outputs["aux_heatmaps"], 1, 0), outputs["heatmaps"]]
        brightest = [list(map(_brightest, stack)) for stack in stacks]
        result["stacks.png"] = _columns(images, brightest, titles, "stack")
    if "attention" in outputs:
        result["attention.png"] = _columns(images, np.moveaxis(outputs["attention"], -1, 0), titles, "attention, stack")
    return result


def _brightest(maps) -> np.ndarray:
    """(h, w, J) -> (h, w): the highest of the joints' maps, each scaled to a peak of 1."""
    return (maps / np.maximum(maps.max(axis=(0, 1)), 1e-9)).max(axis=-1)


def _columns(images, maps, titles, word: str) -> Figure:
    """Each example's picture and one map per stack. maps: S x N x (h, w)."""
    heads = ["input", *(f"{word} {i}" for i in range(1, 1 + len(maps)))]
    figure, axes = grid(len(images), len(heads), heads)
    for i, row in enumerate(axes):
        row[0].imshow(images[i])
        row[0].text(0, -0.02, titles[i], transform=row[0].transAxes, fontsize="small", va="top")
        for axis, stack in zip(row[1:], maps, strict=True):
            overlay_maps(axis, images[i], stack[i])
    return figure


def failure_gallery(images, labels, coords, picks, names) -> Figure:
    """The worst joints by the cause of their error, a row a cause.

    Truth is a green ring, the answer a red cross, with a line between.

    Args:
        images: {example: (H, W, 3) uint8}.
        labels: (N, J, 3).
        coords: (N, J, 2) of all examples.
        picks: {cause: [(example, joint), …]}.
        names: J strings.
    """
    causes = [cause for cause, chosen in picks.items() if chosen]
    columns = max([1, *map(len, picks.values())])
    figure, axes = grid(max(1, len(causes)), columns, ())
    errors = pose_scores.joint_errors(labels, coords)
    for row, cause in zip(axes, causes, strict=False):
        for axis, (example, joint) in zip(row, picks[cause], strict=False):
            size = images[example].shape[:2]
            axis.imshow(images[example])
            draw_skeleton(axis, coords[example], np.ones(len(names), bool), size)
            x, y = labels[example, joint, :2] * size[::-1] - 0.5
            u, v = coords[example, joint] * size[::-1] - 0.5
            axis.plot([x, u], [y, v], color="red", linewidth=1)
            axis.plot(x, y, "o", markersize=10, markerfacecolor="none", markeredgecolor="lime", markeredgewidth=2)
            axis.plot(u, v, "x", markersize=9, color="red", markeredgewidth=2.5)
            axis.set_title(f"{cause}: {names[joint]}, {errors[example, joint]:.0f} px", fontsize="small")
            axis.text(0, -0.02, f"#{example}", transform=axis.transAxes, fontsize="small", va="top")
    return figure


def overlay_maps(axis, image, heat):
    axis.imshow(image.mean(axis=-1), cmap="gray", extent=(0, 1, 1, 0))
    axis.imshow(np.maximum(heat, 0), cmap="inferno", alpha=0.6, extent=(0, 1, 1, 0), interpolation="bilinear", vmin=0)


def _joint_maps(images, maps, titles, names) -> Figure:
    chosen = sorted({0, len(images) // 2, len(images) - 1})
    columns = 9
    rows_each = -(-len(names) // columns)
    figure, axes = grid(len(chosen) * rows_each, columns, ())
    for block, i in enumerate(chosen):
        for j, name in enumerate(names):
            axis = axes[block * rows_each + j // columns, j % columns]
            overlay_maps(axis, images[i], maps[i, ..., j])
            axis.set_title(f"{titles[i]}\n{name}" if j == 0 else name, fontsize="small")
    return figure
