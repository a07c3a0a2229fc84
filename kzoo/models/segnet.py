"""SegNet: VGG16 down and, mirrored, up again; max-unpooling with the switches of the way down, no concatenation.

Badrinarayanan et al., SegNet: A Deep Convolutional Encoder-Decoder Architecture for Image Segmentation, PAMI 2017, §3.
Differs from the paper: no ImageNet weights (VGG16 with BatchNorm has none in Keras), no local contrast normalisation of
the picture (`scaling` offers others), no bias before BatchNorm. `dropout` is Bayesian SegNet's (Kendall et al., BMVC
2017).
Measured on 2 CPU cores (x86-64, AVX-512), seed 0, float32:
    python train.py --task=seg --arch=segnet                people, 128 px, 4 epochs, val mIoU (7 classes) 0.565
"""

import keras
from keras import layers

from kzoo.nn.layers import conv_norm_relu, named, scaled
from kzoo.nn.upsampling import max_pool_with_switches, max_unpool

# Convolutions and filters (in widths) per stage of VGG16 (Simonyan and Zisserman 2015, D).
STAGES = ((2, 1), (2, 2), (3, 4), (3, 8), (3, 8))
CENTRAL = 3  # Bayesian SegNet drops out in stages 3 to 5 of both ways


def segnet(
    input_shape: tuple[int, int, int],
    num_outputs: int,
    *,
    width: int = 64,
    init: str = "he_normal",
    norm: str = "batch",
    bias: float = 0.0,
    dropout: float = 0.0,
    scaling: dict | None = None,
) -> keras.Model:
    """Build the network.

    Args:
        input_shape: (H, W, 3) of a uint8 RGB picture, H and W multiples of 32.
        num_outputs: C classes.
        width: filters of the first stage; the deepest two have 8 times as many.
        init, norm, bias: see `kzoo.nn.layers.conv_norm`.
        dropout: rate after the three deepest stages, down and up; 0.5 in Bayesian SegNet.
        scaling: see `kzoo.nn.layers.scaled`.
    Returns:
        model with output {"logits": (B, H, W, C) float32}.
    Raises:
        ValueError: H or W not a multiple of 32.
    """
    if any(side % 2 ** len(STAGES) for side in input_shape[:2]):
        raise ValueError(
            f"segnet pools five times: height and width must be multiples of 32, got {input_shape[0]}x{input_shape[1]}"
        )

    # Down: the convolutions of VGG16, pooling that remembers where the maxima were.
    options = {"init": init, "norm": norm, "bias": bias}
    image = keras.Input(input_shape, dtype="uint8", name="image")
    x = scaled(image, scaling)
    switches = []
    for stage, (convolutions, multiple) in enumerate(STAGES, start=1):
        for step in range(1, convolutions + 1):
            x = conv_norm_relu(x, multiple * width, name=f"down{stage}_{step}", **options)
        x, places = max_pool_with_switches(x, name=f"pool{stage}")
        switches.append(places)
        x = _central_dropout(x, stage, dropout, name=f"pool{stage}_dropout")

    # Up: the same in reverse.
    for stage in range(len(STAGES), 0, -1):
        convolutions, multiple = STAGES[stage - 1]
        x = max_unpool(x, switches[stage - 1], name=f"unpool{stage}")
        for step in range(convolutions, 1, -1):
            x = conv_norm_relu(x, multiple * width, name=f"up{stage}_{step}", **options)
        if stage > 1:  # the last one of a stage has as many filters as the next switches
            x = conv_norm_relu(x, STAGES[stage - 2][1] * width, name=f"up{stage}_1", **options)
            x = _central_dropout(x, stage, dropout, name=f"up{stage}_dropout")

    score = {"kernel_initializer": "glorot_uniform", "dtype": "float32", "name": "score"}
    x = layers.Conv2D(num_outputs, 3, padding="same", **score)(x)
    return keras.Model(image, named({"logits": x}), name="segnet")


def _central_dropout(x, stage: int, rate: float, *, name: str):
    return layers.Dropout(rate, name=name)(x) if stage >= CENTRAL and rate > 0 else x
