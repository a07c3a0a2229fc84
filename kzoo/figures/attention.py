"""Where a network looks, laid over its pictures."""

from matplotlib.figure import Figure

from kzoo.metrics import loc_scores


def attention_figure(images, maps, titles) -> Figure:
    """Each example's picture, and for each layer its map laid over it: bright where the network looks.

    Args:
        images: (N, H, W, 3) uint8.
        maps: of `attention_maps`, L arrays (N, h, w); of windows both have an axis of T frames after N, and the middle
            one is shown.
        titles: N strings.
    """
    images = loc_scores.middle_frame(images, 4)
    maps = [loc_scores.middle_frame(layer, 3) for layer in maps]
    height, width = images.shape[1:3]
    figure = Figure(figsize=(2.6 * (1 + len(maps)), (2.6 * height / width + 0.3) * len(images)), layout="constrained")
    axes = figure.subplots(len(images), 1 + len(maps), squeeze=False)
    for i, row in enumerate(axes):
        row[0].imshow(images[i])
        row[0].text(0, -0.02, titles[i], transform=row[0].transAxes, fontsize="small", va="top")
        for axis, layer in zip(row[1:], maps, strict=True):
            extent = (-0.5, width - 0.5, height - 0.5, -0.5)  # the outer corners of the picture
            axis.imshow(images[i].mean(axis=-1), cmap="gray", extent=extent)
            axis.imshow(layer[i], cmap="inferno", alpha=0.6, extent=extent, interpolation="bilinear", vmin=0, vmax=1)
        for axis in row:
            axis.set_axis_off()
    axes[0, 0].set_title("input", fontsize="medium")
    for number, (axis, layer) in enumerate(zip(axes[0, 1:], maps, strict=True), start=1):
        axis.set_title(f"layer {number} ({layer.shape[1]}x{layer.shape[2]})", fontsize="medium")
    return figure
