"""Figures of 2-D pose: skeletons, heat maps, stacks, failures by cause."""

import numpy as np
from matplotlib.lines import Line2D

from kzoo.figures import base
from kzoo.figures.base import PREDICTION, SIDES, TRUTH, Figure
from kzoo.metrics import pose_scores
from kzoo.nn import decoding

# Bones by the names of their joints, whatever skeleton these are of.
BOTH = (("shoulder", "elbow"), ("elbow", "wrist"), ("hip", "knee"), ("knee", "ankle"), ("eye", "ear"))
BONES = {
    "left": [*((f"left_{a}", f"left_{b}") for a, b in BOTH), ("nose", "left_eye")],
    "right": [*((f"right_{a}", f"right_{b}") for a, b in BOTH), ("nose", "right_eye")],
    "middle": [
        *((f"left_{joint}", f"right_{joint}") for joint in ("shoulder", "hip", "eye")),
        *((f"{side}_shoulder", f"{side}_hip") for side in ("left", "right")),
    ],
}
OF_CROP = "px: pixels of a 256-px crop"
SCALED = "each map from 0 (dark) to its own peak (bright)"


def limbs(names) -> dict[str, list[tuple[int, int]]]:
    """{side: pairs of joint indices} of the bones between these joints; joints of other names have none."""
    order = {name: index for index, name in enumerate(names)}
    found = {}
    for side, bones in BONES.items():
        found[side] = [(order[a], order[b]) for a, b in bones if a in order and b in order]
    return found


def draw_skeleton(axis, positions, drawn, size, names):
    """Limbs and joints of one person.

    positions (J, 2) fractions, drawn (J,) bool, size (H, W) of the picture in pixels.
    """
    drawn = drawn & np.isfinite(positions).all(axis=-1)
    x, y = positions[:, 0] * size[1] - 0.5, positions[:, 1] * size[0] - 0.5  # imshow puts pixel centres on integers
    for side, pairs in limbs(names).items():
        for a, b in pairs:
            if drawn[a] and drawn[b]:
                axis.plot([x[a], x[b]], [y[a], y[b]], color=SIDES[side], linewidth=2, alpha=0.9)
    axis.scatter(x[drawn], y[drawn], s=9, c="white", edgecolors="black", linewidths=0.5, zorder=3)
    axis.set(xlim=(-0.5, size[1] - 0.5), ylim=(size[0] - 0.5, -0.5))


def side_handles(names) -> list[Line2D]:
    """What a legend says of skeletons: the person's own left and right."""
    handles = [base.line(SIDES[side], f"the person's {side}") for side, pairs in limbs(names).items() if pairs]
    return [*handles[:2], base.line(SIDES["middle"], "middle")] if len(handles) == 3 else handles


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
    heads = ("input", "truth", "prediction", "heat maps of all joints")[: 3 if maps is None else 4]
    figure, axes = base.examples(len(images), heads, aspect=images.shape[1] / images.shape[2])
    for i, row in enumerate(axes):
        size = images[i].shape[:2]
        labelled = labels[i, :, 2] > 0
        for axis in row[:3]:
            axis.imshow(base.unpadded(images[i]))
        base.write_below(row[0], titles[i])
        draw_skeleton(row[1], labels[i, :, :2], labelled, size, names)
        draw_skeleton(row[2], coords[i], np.ones(len(labelled), bool), size, names)
        if np.isfinite(errors[i]).any():
            worst = int(np.nanargmax(errors[i]))
            base.write_below(row[2], f"worst: {base.shortened(names[worst], 26)} {errors[i, worst]:.0f} px")
        if maps is not None:
            overlay_maps(row[3], images[i], _brightest(maps[i]))
    base.heading(figure, OF_CROP if maps is None else f"{OF_CROP}; {SCALED}", "small")
    base.legend(figure, side_handles(names))

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
    figure, axes = base.examples(len(images), heads, aspect=images.shape[1] / images.shape[2])
    for i, row in enumerate(axes):
        row[0].imshow(base.unpadded(images[i]))
        base.write_below(row[0], titles[i])
        for axis, stack in zip(row[1:], maps, strict=True):
            overlay_maps(axis, images[i], stack[i])
    base.heading(figure, SCALED, "small")
    return figure


def failure_gallery(images, labels, coords, picks, names) -> Figure:
    """The worst joints by the cause of their error, a row a cause.

    Truth is a ring, the prediction a cross, with a line between.

    Args:
        images: {example: (H, W, 3) uint8}.
        labels: (N, J, 3).
        coords: (N, J, 2) of all examples.
        picks: {cause: [(example, joint), …]}.
        names: J strings.
    """
    causes = [cause for cause, chosen in picks.items() if chosen]
    columns = max([1, *map(len, picks.values())])
    height, width = next(iter(images.values())).shape[:2] if images else (1, 1)
    figure, axes = base.grid(max(1, len(causes)), columns, aspect=height / width)
    errors = pose_scores.joint_errors(labels, coords)
    for row, cause in zip(axes, causes, strict=False):
        for axis, (example, joint) in zip(row, picks[cause], strict=False):
            size = images[example].shape[:2]
            axis.imshow(base.unpadded(images[example]))
            draw_skeleton(axis, coords[example], np.ones(len(names), bool), size, names)
            mark_error(axis, labels[example, joint, :2] * size[::-1] - 0.5, coords[example, joint] * size[::-1] - 0.5)
            joint_name = base.shortened(names[joint], 20)
            axis.set_title(f"{cause}: {joint_name}, {errors[example, joint]:.0f} px", fontsize="small")
            base.write_below(axis, f"#{example}")
    base.heading(figure, f"The worst joints by the cause of their error; {OF_CROP}", "small")
    base.legend(figure, [*error_handles(), *side_handles(names)])
    return figure


def mark_error(axis, truth, answer, scale: float = 1.0):
    """Where a joint is and where it was thought to be, in pixels: (2,) each; the scale is that of the marks."""
    axis.plot(*np.stack([truth, answer]).T, color="black", linewidth=scale, path_effects=base.HALO, zorder=4)
    for point, mark in zip((truth, answer), error_handles(scale), strict=True):
        mark.set_data(point[:1], point[1:])
        mark.set(transform=axis.transData, path_effects=base.HALO, zorder=5)
        axis.add_line(mark)


def error_handles(scale: float = 1.0) -> list[Line2D]:
    """A ring and a cross, as `mark_error` draws them."""
    ring = {"marker": "o", "markersize": 10 * scale, "markerfacecolor": "none"}
    cross = {"marker": "x", "markersize": 9 * scale}
    return [
        base.line(colour, text, linestyle="none", markeredgewidth=2.2 * scale, **look)
        for colour, text, look in ((TRUTH, "truth", ring), (PREDICTION, "prediction", cross))
    ]


def overlay_maps(axis, image, heat):
    """A map (h, w), bright at its peak, over a picture (H, W, 3) in grey."""
    height, width = image.shape[:2]
    extent = (-0.5, width - 0.5, height - 0.5, -0.5)  # the outer corners of the picture
    axis.imshow(image.mean(axis=-1), cmap="gray", extent=extent)
    axis.imshow(np.maximum(heat, 0), cmap="inferno", alpha=0.6, extent=extent, interpolation="bilinear", vmin=0)


def _joint_maps(images, maps, titles, names) -> Figure:
    chosen = sorted({0, len(images) // 2, len(images) - 1})
    columns = min(9, len(names))
    rows_each = -(-len(names) // columns)
    figure, axes = base.grid(len(chosen) * rows_each, columns, aspect=images.shape[1] / images.shape[2])
    for block, i in enumerate(chosen):
        for j, name in enumerate(names):
            axis = axes[block * rows_each + j // columns, j % columns]
            overlay_maps(axis, images[i], maps[i, ..., j])
            name = base.shortened(name)
            axis.set_title(f"{titles[i]}\n{name}" if j == 0 else name, fontsize="small")
    base.heading(figure, f"Heat maps of each joint: {SCALED}")
    return figure
