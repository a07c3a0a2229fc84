"""DeepLabv3: dilated encoder, atrous spatial pyramid pooling, 1x1 (Chen et al., arXiv 1706.05587, 2017).

Differs from the paper: any encoder, ResNet50 by default (the paper: also ResNet101) with Keras's strides in the first
1x1 of a stage; 0.5 dropout after the pyramid, which the paper does not mention; a multi-grid for ResNets only. The
paper's last steps, finer training at output stride 8 and averages over scales and mirrored pictures, are no part of the
network.
Measured on 2 CPU cores (x86-64, AVX-512), seed 0, float32:
    python train.py --task=seg --arch=deeplabv3             people, 128 px, 5 epochs, val mIoU (7 classes) 0.599
"""

import keras

from kzoo.nn.atrous import MULTI_GRID, aspp, rates_at
from kzoo.nn.encoders import encode
from kzoo.nn.layers import head, upsample_to


def deeplabv3(
    input_shape: tuple[int, int, int],
    num_outputs: int,
    *,
    encoder: str = "resnet50",
    encoder_weights: str = "none",
    init: str = "he_normal",
    norm: str = "batch",
    bias: float = 0.0,
    dropout: float = 0.5,
    scaling: dict | None = None,
    output_stride: int = 16,
    rates: tuple[int, ...] = (6, 12, 18),
    width: int = 256,
    multi_grid: tuple[int, ...] | None = None,
) -> keras.Model:
    """Build the network.

    Args:
        input_shape: (H, W, 3) of a uint8 RGB picture.
        num_outputs: C classes.
        encoder, encoder_weights, init, scaling: see `kzoo.nn.encoders.encode`.
        norm, bias: see `kzoo.nn.layers.conv_norm`.
        dropout: rate before the score.
        output_stride: 8, 16 or 32, of the map that the pyramid reads.
        rates: dilations of the pyramid in cells at output stride 16; at 8 they are doubled, at 32 halved.
        width: filters of the pyramid's branches.
        multi_grid: factors of the dilation of the last stage's bottlenecks; None: those of `kzoo.nn.atrous.MULTI_GRID`,
            () without.
    Returns:
        model with output {"logits": (B, H, W, C) float32}.
    """
    image = keras.Input(input_shape, dtype="uint8", name="image")
    grid = MULTI_GRID.get(encoder, ()) if multi_grid is None else multi_grid
    atrous = {"output_stride": output_stride, "multi_grid": grid}
    x = encode(image, encoder, encoder_weights, init=init, norm=norm, scaling=scaling, **atrous)[-1]
    x = aspp(x, width, rates_at(rates, output_stride), dropout=dropout, init=init, norm=norm, bias=bias)
    logits = upsample_to(head(x, num_outputs, name="score"), input_shape[:2], name="logits")
    return keras.Model(image, {"logits": logits}, name="deeplabv3")
