"""Full-resolution residual networks: a stream that is pooled and a lane at the full size to which it keeps adding.

Reference: Pohlen et al., Full-Resolution Residual Networks for Semantic Segmentation in Street Scenes, CVPR 2017,
§3, §4 and table 1.
"""

import keras
from keras import layers

from kzoo.nn.layers import conv_norm, conv_norm_relu, head, named, scaled
from kzoo.nn.upsampling import bilinear

Stages = tuple[tuple[int, int], ...]  # (units, filters in widths) per stage


def residual_unit(x, filters: int, *, name: str, **options):
    """RU (fig. 2a): two 3x3 convolutions, ReLU after the first, plus the input, by a bare 1x1 where filters differ.

    (B, h, w, K) -> (B, h, w, filters). Options: init, norm, bias of `kzoo.nn.layers.conv_norm`.
    """
    y = conv_norm_relu(x, filters, name=f"{name}_a", **options)
    y = conv_norm(y, filters, name=f"{name}_b", **options)
    if x.shape[-1] != filters:
        x = layers.Conv2D(filters, 1, use_bias=False, kernel_initializer=options["init"], name=f"{name}_skip")(x)
    return layers.Add(name=name)([x, y])


def full_resolution_unit(x, lane, filters: int, scale: int, *, name: str, **options):
    """FRRU: reads both streams, replaces the pooled one, adds to the lane (§3.2, fig. 2b).

    Args:
        x: (B, H / scale, W / scale, K) the pooled stream.
        lane: (B, H, W, L).
        filters: of the new pooled stream.
        options: as those of `residual_unit`.
    Returns:
        (B, H / scale, W / scale, filters) and (B, H, W, L).
    """
    pooled = layers.MaxPooling2D(scale, name=f"{name}_pool")(lane)
    x = layers.Concatenate(name=f"{name}_join")([x, pooled])
    x = conv_norm_relu(x, filters, name=f"{name}_a", **options)
    x = conv_norm_relu(x, filters, name=f"{name}_b", **options)
    residual = layers.Conv2D(lane.shape[-1], 1, kernel_initializer=options["init"], name=f"{name}_residual")(x)
    residual = layers.UpSampling2D(scale, interpolation="nearest", name=f"{name}_upsample")(residual)
    return x, layers.Add(name=f"{name}_lane")([lane, residual])


def full_resolution_network(
    input_shape,
    num_outputs: int,
    *,
    down: Stages,
    up: Stages,
    width: int,
    lanes: int,
    dropout: float,
    scaling: dict | None,
    name: str,
    **options,
) -> keras.Model:
    """Stem, FRRUs down and up, both streams joined (fig. 3, table 1).

    Args:
        down: the stages at scales 2, 4, 8, ….
        up: those at the same scales on the way back, the deepest left out.
        width: filters of the stem.
        lanes: L, filters of the full-resolution lane.
        dropout: rate before the scores.
        scaling: see `kzoo.nn.layers.scaled`.
        options: as those of `residual_unit`.
    Returns:
        model with output {"logits": (B, H, W, C) float32}.
    Raises:
        ValueError: H or W cannot be halved len(down) times.
    """
    deepest = 2 ** len(down)
    if any(side % deepest for side in input_shape[:2]):
        raise ValueError(
            f"{name} needs height and width of a multiple of {deepest}, got {input_shape[0]}x{input_shape[1]}"
        )

    # The stem.
    image = keras.Input(input_shape, dtype="uint8", name="image")
    x = conv_norm_relu(scaled(image, scaling), width, 5, name="stem", **options)
    for unit in (1, 2, 3):
        x = residual_unit(x, width, name=f"before{unit}", **options)

    # Both streams down and up again.
    lane = conv_norm(x, lanes, 1, name="lane", **options)
    for stage, (units, multiple) in enumerate(down, start=1):
        x = layers.MaxPooling2D(2, name=f"down{stage}_pool")(x)
        for unit in range(1, units + 1):
            x, lane = full_resolution_unit(x, lane, multiple * width, 2**stage, name=f"down{stage}_{unit}", **options)
    for stage, (units, multiple) in zip(range(len(up), 0, -1), up, strict=True):
        x = bilinear(x, name=f"up{stage}_upsample")
        for unit in range(1, units + 1):
            x, lane = full_resolution_unit(x, lane, multiple * width, 2**stage, name=f"up{stage}_{unit}", **options)

    # Both joined, and the scores.
    x = bilinear(x, name="up0_upsample")
    x = layers.Concatenate(name="join")([x, lane])
    for unit in (1, 2, 3):
        x = residual_unit(x, width, name=f"after{unit}", **options)
    x = layers.Dropout(dropout, name="dropout")(x)
    logits = head(x, num_outputs, name="score")
    return keras.Model(image, named({"logits": logits}), name=name)
