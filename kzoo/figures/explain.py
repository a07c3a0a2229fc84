"""Pictures of explanations for people: maps beside the picture, first filters, patches that excite a channel."""

import cv2
import numpy as np

from kzoo.figures import base
from kzoo.figures.base import Figure
from kzoo.metrics import loc_scores
from kzoo.nn.skeletons import H36M_BONES, H36M_JOINTS

TITLES = {
    "saliency": "saliency",
    "guided_backprop": "guided\nbackpropagation",
    "deconvnet": "deconvnet",
    "integrated_gradients": "integrated\ngradients",
    "occlusion": "occlusion",
    "grad_cam": "Grad-CAM",
    "grad_cam_pp": "Grad-CAM++",
}
SIGNED = ("integrated_gradients", "occlusion")
COLUMNS = 7  # at most; more maps go on in the next row
AS_PICTURES = ("guided_backprop", "deconvnet")  # shown about grey in the picture's own colours
TILE = 112  # pixels of a patch in a mosaic
CLIP = 99.5  # per cent: where a map's colours end, so that single pixels do not darken the rest


def explanation_figure(sources, maps: dict, titles, heading: str) -> Figure:
    """A row for each example: what the network read, then every map; of clips the middle frame.

    Args:
        sources: (N, H, W, 3) or (N, T, H, W, 3) uint8, or joints (N, T, J, 2) fractions.
        maps: {"method" or "method/layer": array of the source's shape without or with its last axis, or
            (N, [T,] h, w)}.
        titles: N strings.
        heading: of the figure.
    """
    # What is drawn, and on what.
    on_joints = sources.ndim == 4 and sources.shape[-1] == 2
    sources = loc_scores.middle_frame(sources, 3 if on_joints else 4)
    shown = {name: _middle_map(name, array, on_joints) for name, array in maps.items()}
    aspect = 1.0 if on_joints else sources.shape[1] / sources.shape[2]
    columns = min(1 + len(maps), COLUMNS)
    rows_each = -(-(1 + len(maps)) // columns)
    figure = Figure(figsize=(2.1 * columns, (2.1 * aspect + 0.5) * rows_each * len(sources)), layout="constrained")
    axes = figure.subplots(rows_each * len(sources), columns, squeeze=False).reshape(len(sources), -1)
    draw = _draw_on_joints if on_joints else _draw_on_picture
    for axis in axes.flat:
        axis.set_axis_off()
    for i, row in enumerate(axes):
        draw(row[0], sources[i], None, "")
        row[0].set_title("input", fontsize="small")
        row[0].text(0, -0.03, titles[i], transform=row[0].transAxes, fontsize="small", va="top")
        for axis, (name, array) in zip(row[1:], shown.items(), strict=False):
            draw(axis, sources[i], array[i], name.partition("/")[0])
            method, _, layer = name.partition("/")
            size = f"\n{base.shortened(layer, 18)}, {array.shape[1]}x{array.shape[2]}" if layer else ""
            axis.set_title(TITLES.get(method, method) + size, fontsize="small")
    base.heading(figure, f"{heading}\n{_meaning(maps, on_joints)}")
    return figure


def _meaning(maps: dict, on_joints: bool) -> str:
    """What the colours of the maps stand for, of those that there are."""
    methods = {name.partition("/")[0] for name in maps}
    told = []
    signed = [TITLES[name].replace("\n", " ") for name in SIGNED if name in methods]
    if signed:
        told.append(f"{' and '.join(signed)}: red speaks for it, blue against it.")
    about_grey = [TITLES[name].replace("\n", " ") for name in AS_PICTURES if name in methods]
    if about_grey and not on_joints:
        told.append(f"{' and '.join(about_grey)}: grey does not count.")
    if methods - {*SIGNED, *AS_PICTURES}:
        told.append("What counts most is large and red." if on_joints else "Elsewhere what is bright counts most.")
    return " ".join(told)


def _middle_map(name: str, array, on_joints: bool):
    """(N, h, w, 3), (N, h, w), or of joints (N, J): the middle frame where there are frames."""
    if on_joints:
        array = array[:, array.shape[1] // 2]  # (N, J, 2) or (N, J)
        if array.ndim == 2:
            return array
        return (array if name == "integrated_gradients" else np.abs(array)).sum(axis=-1)
    signed = "/" not in name and name != "occlusion"  # gradients have the picture's colours; a map may be 3 cells wide
    return loc_scores.middle_frame(array, 4 if signed else 3)


def _limit(array) -> float:
    return max(float(np.percentile(np.abs(array), CLIP)), np.finfo("float32").tiny)


def _draw_on_picture(axis, picture, array, method: str):
    """A picture (H, W, 3), alone or with a map (h, w) or (H, W, 3) on it or in its place."""
    axis.set_axis_off()
    if array is None:
        axis.imshow(picture)
        return
    if method in AS_PICTURES:
        axis.imshow(_about_grey(array))
        return
    if method == "saliency":
        strength = np.abs(array).max(axis=-1)
        axis.imshow(strength, cmap="inferno", vmin=0, vmax=_limit(strength))
        return
    flat = array.sum(axis=-1) if array.ndim == 3 else array
    extent = (-0.5, picture.shape[1] - 0.5, picture.shape[0] - 0.5, -0.5)
    grey = picture.mean(axis=-1)
    if flat.min() < 0:
        axis.imshow(0.6 * grey + 80, cmap="gray", vmin=0, vmax=255, extent=extent)
        strength = np.clip(np.abs(flat) / _limit(flat), 0, 1)
        axis.imshow(flat, cmap="bwr", alpha=0.85 * strength, extent=extent, vmin=-_limit(flat), vmax=_limit(flat))
    else:
        axis.imshow(grey, cmap="gray", vmin=0, vmax=255, extent=extent)
        axis.imshow(flat, cmap="inferno", alpha=0.6, extent=extent, interpolation="bilinear", vmin=0, vmax=_limit(flat))


def _draw_on_joints(axis, joints, array, method: str):
    """Joints (J, 2) with bones where they are Human3.6M's, coloured and sized by a map (J,)."""
    if len(joints) == len(H36M_JOINTS):
        for pairs in H36M_BONES.values():
            for pair in map(list, pairs):
                axis.plot(*joints[pair].T, color="lightgrey", linewidth=2, zorder=1)
    strength = np.zeros(len(joints)) if array is None else array / max(np.abs(array).max(), np.finfo("float32").tiny)
    sizes = 12 + 90 * np.abs(strength)
    axis.scatter(*joints.T, s=sizes, c=strength, cmap="bwr", vmin=-1, vmax=1, edgecolors="black", zorder=2)
    axis.set(xticks=[], yticks=[], aspect="equal")
    axis.invert_yaxis()
    axis.margins(0.15)


def filters_figure(filters, heading: str) -> Figure:
    """Kernels (F, h, w, 3) as tiles, each scaled to its own largest number: grey is 0."""
    count = len(filters)
    columns = int(np.ceil(np.sqrt(2 * count)))
    rows = -(-count // columns)
    peaks = np.maximum(np.abs(filters).max(axis=(1, 2, 3), keepdims=True), np.finfo("float32").tiny)
    tiles = 0.5 + 0.5 * filters / peaks
    figure = Figure(figsize=(max(5.0, 0.55 * columns), 0.55 * rows + 0.7), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False)
    for axis in axes.flat:
        axis.set_axis_off()
    for axis, tile in zip(axes.flat, tiles, strict=False):
        axis.imshow(tile, interpolation="nearest")
    base.heading(figure, heading, "small")
    return figure


def patches_figure(found: dict, count: int, heading: str) -> Figure:
    """A row for each layer; for each of its channels the patches as a mosaic and beside it their deconvnet projections.

    Args:
        found: {layer: {channel: [`exciting_patches.Patch`, …]}}, the strongest first.
        count: patches a channel at most.
    """
    side = int(np.ceil(np.sqrt(count)))
    columns = max(1, *(len(channels) for channels in found.values()))
    figure = Figure(figsize=(7.1 * columns + 0.3, 3.8 * len(found) + 0.6), layout="constrained")
    axes = figure.subplots(len(found), 2 * columns, squeeze=False)
    for axis in axes.flat:
        axis.set_axis_off()
    for row, (layer, channels) in zip(axes, found.items(), strict=True):
        for number, (channel, patches) in enumerate(channels.items()):
            left, right = row[2 * number : 2 * number + 2]
            left.set_title(f"{layer}, channel {channel}", fontsize="small", loc="left")
            if not patches:
                left.text(0.5, 0.5, "never active", ha="center", va="center")
                continue
            right.set_title(f"{patches[0].value:.3g} … {patches[-1].value:.3g}", fontsize="small", loc="right")
            left.imshow(_mosaic([_enlarged(patch.picture / 255) for patch in patches], side))
            right.imshow(_mosaic([_about_grey(_enlarged(patch.projection)) for patch in patches], side))
    base.heading(figure, heading)
    return figure


def _about_grey(array):
    return 0.5 + 0.5 * np.clip(array / _limit(array), -1, 1)


def _enlarged(tile):
    """(h, w, 3) with a longer side of TILE pixels, aspect kept."""
    scale = TILE / max(tile.shape[:2])
    size = [max(1, round(scale * side)) for side in tile.shape[1::-1]]
    interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_NEAREST
    return cv2.resize(np.ascontiguousarray(tile, "float32"), size, interpolation=interpolation)


def _mosaic(tiles, side: int) -> np.ndarray:
    """side x side tiles of at most TILE x TILE pixels in reading order, on white: float, 0..1."""
    step = TILE + 3
    canvas = np.ones((side * step - 3, side * step - 3, 3))
    for number, tile in enumerate(tiles):
        height, width = tile.shape[:2]
        row, column = divmod(number, side)
        top = row * step + (TILE - height) // 2
        left = column * step + (TILE - width) // 2
        canvas[top : top + height, left : left + width] = np.clip(tile, 0, 1)
    return canvas
