"""DeepLabv3+: DeepLabv3's pyramid and a decoder that joins the encoder's map at stride 4 (Chen et al., ECCV 2018).

Differs from the paper: ResNet50 by default, any encoder; the convolutions of pyramid and decoder are plain, not the
depthwise separable ones of the paper's Xception variant; 0.5 dropout after the pyramid; no multi-grid unless asked for.
Measured on 2 CPU cores (x86-64, AVX-512), seed 0, float32:
    python train.py --task=seg --arch=deeplabv3plus         people, 128 px, 4 epochs, val mIoU (7 classes) 0.613
"""

import keras
from keras import layers

from kzoo.nn.atrous import aspp, rates_at
from kzoo.nn.encoders import encode
from kzoo.nn.layers import conv_norm_relu, head, upsample_to


def deeplabv3plus(
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
    low_width: int = 48,
    multi_grid: tuple[int, ...] = (),
) -> keras.Model:
    """Build the network.

    Args:
        input_shape: (H, W, 3) of a uint8 RGB picture.
        num_outputs: C classes.
        encoder, encoder_weights, init, scaling: see `kzoo.nn.encoders.encode`.
        norm, bias: see `kzoo.nn.layers.conv_norm`.
        dropout: rate between pyramid and decoder.
        output_stride: 8, 16 or 32, of the map that the pyramid reads.
        rates: dilations of the pyramid in cells at output stride 16; at 8 they are doubled, at 32 halved.
        width: filters of the pyramid's branches and of the decoder's two 3x3 convolutions.
        low_width: filters that the map at stride 4 is reduced to (§3.1: few, or it outweighs the pyramid).
        multi_grid: factors of the dilation of the last stage's three bottlenecks (resnet50, resnet101, their *_torch).
    Returns:
        model with output {"logits": (B, H, W, C) float32}.
    """
    # Encoder and pyramid.
    image = keras.Input(input_shape, dtype="uint8", name="image")
    atrous = {"output_stride": output_stride, "multi_grid": multi_grid}
    _, low, _, _, x = encode(image, encoder, encoder_weights, init=init, norm=norm, scaling=scaling, **atrous)
    options = {"init": init, "norm": norm, "bias": bias}
    x = aspp(x, width, rates_at(rates, output_stride), dropout=dropout, **options)

    # The decoder, which joins the map at stride 4.
    x = upsample_to(x, low.shape[1:3], name="up4")
    low = conv_norm_relu(low, low_width, 1, name="low", **options)
    x = layers.Concatenate(name="join")([x, low])
    for step in (1, 2):
        x = conv_norm_relu(x, width, name=f"refine{step}", **options)
    logits = upsample_to(head(x, num_outputs, name="score"), input_shape[:2], name="logits")
    return keras.Model(image, {"logits": logits}, name="deeplabv3plus")
