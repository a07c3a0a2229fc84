"""Where a network looks, laid over its pictures."""

from kzoo.figures import base
from kzoo.figures.base import Figure
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
    heads = ["input"]
    for number, layer in enumerate(maps, start=1):
        heads.append(f"layer {number} ({layer.shape[1]}x{layer.shape[2]})")
    figure, axes = base.examples(len(images), heads, aspect=height / width)
    for i, row in enumerate(axes):
        row[0].imshow(base.unpadded(images[i]))
        base.write_below(row[0], titles[i])
        for axis, layer in zip(row[1:], maps, strict=True):
            extent = (-0.5, width - 0.5, height - 0.5, -0.5)  # the outer corners of the picture
            axis.imshow(images[i].mean(axis=-1), cmap="gray", vmin=0, vmax=255, extent=extent)
            axis.imshow(layer[i], cmap="inferno", alpha=0.6, extent=extent, interpolation="bilinear", vmin=0, vmax=1)
    base.heading(figure, "Where the network looks (Grad-CAM++, from the first to the last layer): bright counts most")
    return figure
