"""U-Net as published: its own contracting path, 2x2 up-convolutions, cropped skips.

Ronneberger et al., U-Net: Convolutional Networks for Biomedical Image Segmentation, MICCAI 2015, §2 and fig. 1.
Differs from the paper: the default is "same" padding; with padding="valid" the picture is mirrored outwards inside the
network (fig. 2), so that the scores have its size; colour pictures. No activation follows the up-convolutions (fig. 1).
norm="none" is the paper's.
Measured on 2 CPU cores (x86-64, AVX-512), seed 0, float32:
    python train.py --task=seg --arch=unet2015              people, 128 px, 4 epochs, val mIoU (7 classes) 0.691
"""

import keras
import numpy as np
from keras import layers, ops

from kzoo.nn.layers import conv_norm_relu, head, named, scaled


def unet2015(
    input_shape: tuple[int, int, int],
    num_outputs: int,
    *,
    width: int = 64,
    depth: int = 4,
    padding: str = "same",
    init: str = "he_normal",
    norm: str = "none",
    bias: float = 0.0,
    dropout: float = 0.5,
    scaling: dict | None = None,
) -> keras.Model:
    """Build the network.

    Args:
        input_shape: (H, W, 3) of a uint8 RGB picture; H and W multiples of 2**depth with "same" padding, any with
            "valid".
        num_outputs: C classes.
        width: filters at the full size; every level below has twice as many.
        depth: how often the size is halved.
        padding: "same" (zeros around every map) or "valid" (none: the paper's; the picture is mirrored at its border).
        init, norm, bias: see `kzoo.nn.layers.conv_norm`.
        dropout: rate at the end of the contracting path.
        scaling: see `kzoo.nn.layers.scaled`.
    Returns:
        model with output {"logits": (B, H, W, C) float32}.
    Raises:
        ValueError: unknown padding, depth below 1, or H or W that "same" padding cannot halve `depth` times.
    """
    size = tuple(input_shape[:2])
    if padding not in ("same", "valid"):
        raise ValueError(f"padding must be same or valid, got {padding!r}")
    if depth < 1:
        raise ValueError(f"depth must be 1 or more, got {depth}")
    if padding == "same" and any(side % 2**depth for side in size):
        raise ValueError(
            f"with same padding and depth={depth} height and width must be multiples of {2**depth}, "
            f"got {size[0]}x{size[1]}"
        )

    # The contracting path.
    options = {"padding": padding, "init": init, "norm": norm, "bias": bias}
    image = keras.Input(input_shape, dtype="uint8", name="image")
    x = scaled(image, scaling)
    if padding == "valid":
        x = _mirrored(x, tuple(_valid_sides(side, depth)[0] for side in size))
    skips = []
    for level in range(depth):
        x = _two_convolutions(x, width * 2**level, name=f"down{level}", **options)
        skips.append(x)
        x = layers.MaxPooling2D(2, name=f"pool{level}")(x)

    # The bottom.
    x = _two_convolutions(x, width * 2**depth, name="bottom", **options)
    x = layers.Dropout(dropout, name="bottom_dropout")(x)

    # The expanding path.
    for level in reversed(range(depth)):
        x = layers.Conv2DTranspose(width * 2**level, 2, strides=2, kernel_initializer=init, name=f"up{level}_upconv")(x)
        skip = _centre(skips[level], x.shape[1:3], name=f"up{level}_crop")
        x = layers.Concatenate(name=f"up{level}_skip")([skip, x])
        x = _two_convolutions(x, width * 2**level, name=f"up{level}", **options)
    x = _centre(head(x, num_outputs, name="score"), size, name="score_crop")
    return keras.Model(image, named({"logits": x}), name="unet2015")


def _two_convolutions(x, filters: int, *, name: str, **options):
    x = conv_norm_relu(x, filters, name=f"{name}_a", **options)
    return conv_norm_relu(x, filters, name=f"{name}_b", **options)


def _valid_sides(side: int, depth: int) -> tuple[int, int]:
    """Side of the smallest picture that a valid network answers in `side` pixels or more, and of the answer.

    388 -> (572, 388), fig. 1.

    Two 3x3 convolutions take 4 off. Bottom maps of b cells read 2**depth b + 4 (2**depth - 1) pixels, for halving and
    taking 4 off at each level, and answer 2**depth (b - 4) - 4 (2**depth - 1).
    """
    scale = 2**depth
    bottom = 4 + -(-(side + 4 * (scale - 1)) // scale)
    return scale * bottom + 4 * (scale - 1), scale * (bottom - 4) - 4 * (scale - 1)


def _mirrored(x, size: tuple[int, int]):
    """(B, H, W, K) -> (B, *size, K): the map in the middle of its mirror images, as many as it takes."""
    # Not ops.pad: it mirrors once only, and on PyTorch its "symmetric" repeats the border.
    for axis, side in zip((1, 2), size, strict=True):
        inner = x.shape[axis]
        places = (np.arange(side) - (side - inner) // 2) % (2 * inner)
        x = ops.take(x, np.minimum(places, 2 * inner - 1 - places).tolist(), axis=axis)
    return x


def _centre(x, size: tuple[int, int], *, name: str):
    """The middle (height, width) = size of a map."""
    excess = [x.shape[axis] - side for axis, side in zip((1, 2), size, strict=True)]
    if not any(excess):
        return x
    return layers.Cropping2D([(pixels // 2, pixels - pixels // 2) for pixels in excess], name=name)(x)
