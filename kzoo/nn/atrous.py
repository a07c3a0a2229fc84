"""Atrous spatial pyramid pooling, which DeepLabv3 and DeepLabv3+ share."""

from keras import layers

from kzoo.nn.layers import conv_norm_relu

# Chen et al. 2017, table 5; encoders without bottlenecks have none.
MULTI_GRID = dict.fromkeys(("resnet50", "resnet101", "resnet50_torch", "resnet101_torch"), (1, 2, 4))


def rates_at(rates: tuple[int, ...], output_stride: int) -> tuple[int, ...]:
    """Dilations that span the same part of the picture at another output stride than 16: doubled at 8.

    Reference: Chen et al. 2017, §3.3.
    """
    return tuple(max(1, rate * 16 // output_stride) for rate in rates)


def aspp(
    x,
    width: int,
    rates: tuple[int, ...],
    *,
    dropout: float = 0.5,
    init: str = "he_normal",
    norm: str = "batch",
    bias: float = 0.0,
):
    """One 1x1 convolution, a dilated 3x3 for each rate and the map's mean side by side, then 1x1.

    Args:
        x: (B, h, w, K).
        width: filters of every branch and of the answer.
        rates: dilations in cells of x.
        dropout: rate after the last convolution.
        init, norm, bias: see `kzoo.nn.layers.conv_norm`.
    Returns:
        (B, h, w, width).

    Reference: Chen et al. 2017, fig. 5.
    """
    options = {"init": init, "norm": norm, "bias": bias}
    branches = [conv_norm_relu(x, width, 1, name="aspp_1x1", **options)]
    for rate in rates:
        branches.append(conv_norm_relu(x, width, dilation=rate, name=f"aspp_rate{rate}", **options))
    mean = layers.GlobalAveragePooling2D(keepdims=True, name="aspp_mean")(x)  # (B, 1, 1, K)
    mean = conv_norm_relu(mean, width, 1, name="aspp_image", **options)
    # Bilinear interpolation of one cell is that cell everywhere.
    branches.append(layers.UpSampling2D(x.shape[1:3], interpolation="nearest", name="aspp_spread")(mean))
    x = layers.Concatenate(name="aspp_concat")(branches)
    x = conv_norm_relu(x, width, 1, name="aspp_project", **options)
    return layers.Dropout(dropout, name="aspp_dropout")(x)
