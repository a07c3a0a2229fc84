"""Feature pyramid (Lin et al., CVPR 2017), Panoptic FPN's semantic branch (Kirillov et al., CVPR 2019, §3, fig. 3).

Differs from the papers: any encoder; He initialisation. The encoder keeps its own normalisation (theirs is frozen
BatchNorm).
Measured on 2 CPU cores (x86-64, AVX-512), seed 0, float32:
    python train.py --task=seg --arch=fpn                   people, 128 px, 4 epochs, val mIoU (7 classes) 0.596
"""

import keras
from keras import layers

from kzoo.nn.encoders import encode
from kzoo.nn.layers import conv_norm, conv_norm_relu, head, upsample_to


def fpn(
    input_shape: tuple[int, int, int],
    num_outputs: int,
    *,
    encoder: str = "resnet50",
    encoder_weights: str = "none",
    init: str = "he_normal",
    norm: str = "group",
    bias: float = 0.0,
    dropout: float = 0.0,
    scaling: dict | None = None,
    width: int = 256,
    branch_width: int = 128,
) -> keras.Model:
    """Build the network.

    Args:
        input_shape: (H, W, 3) of a uint8 RGB picture.
        num_outputs: C classes.
        encoder, encoder_weights, init, scaling: see `kzoo.nn.encoders.encode`.
        norm, bias: of the semantic branch, see `kzoo.nn.layers.conv_norm`; the pyramid itself has neither normalisation
            nor ReLU.
        dropout: rate before the score.
        width: filters of the pyramid.
        branch_width: filters of the semantic branch.
    Returns:
        model with output {"logits": (B, H, W, C) float32}.
    """
    # The way up: the encoder.
    image = keras.Input(input_shape, dtype="uint8", name="image")
    features = encode(image, encoder, encoder_weights, init=init, scaling=scaling)[1:]

    # The way down, and from each level the semantic branch to stride 4.
    levels = []
    merged = None
    for level, feature in zip((5, 4, 3, 2), reversed(features), strict=True):  # stride 2**level
        lateral = conv_norm(feature, width, 1, init=init, norm="none", name=f"lateral{level}")
        if merged is not None:
            above = layers.UpSampling2D(2, interpolation="nearest", name=f"top_down{level}")(merged)
            lateral = layers.Add(name=f"merge{level}")([lateral, above])
        merged = lateral
        x = conv_norm(merged, width, init=init, norm="none", name=f"pyramid{level}")
        for step in range(max(1, level - 2)):
            x = conv_norm_relu(x, branch_width, init=init, norm=norm, bias=bias, name=f"branch{level}_{step}")
            if level > 2:
                x = upsample_to(x, (2 * x.shape[1], 2 * x.shape[2]), name=f"branch{level}_{step}_up")
        levels.append(x)

    # The scores of their sum.
    x = layers.Add(name="branch_sum")(levels)  # (B, H/4, W/4, branch_width)
    x = layers.Dropout(dropout, name="dropout")(x)
    logits = upsample_to(head(x, num_outputs, name="score"), input_shape[:2], name="logits")
    return keras.Model(image, {"logits": logits}, name="fpn")
