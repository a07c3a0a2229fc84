"""What FCN-32s, FCN-16s and FCN-8s share.

VGG16's classifier as convolutions, scores added over strides, bilinear transposed convolutions.

Reference: Long et al., Fully Convolutional Networks for Semantic Segmentation, CVPR 2015, §4.1 to §4.3.
"""

import keras
from keras import layers

from kzoo.nn.encoders import encode
from kzoo.nn.initializers import Bilinear
from kzoo.nn.layers import conv_norm_relu, head

# Layers at strides 8 and 16 where `encode` taps others: the paper scores VGG16 behind the pooling, `encode` taps it
# before the next one.
SCORED = {"vgg16": ("block3_pool", "block4_pool")}
LEARNT = ("none", "inner", "all")


def classifier_maps(
    image,
    encoder: str,
    encoder_weights: str,
    *,
    fc_width: int,
    init,
    norm: str,
    bias: float,
    dropout: float,
    scaling: dict | None,
):
    """The encoder and behind it fc6 (7x7) and fc7 (1x1), each followed by ReLU and dropout.

    Args:
        image: (B, H, W, 3) uint8, H and W multiples of 32.
        encoder, encoder_weights, scaling: see `kzoo.nn.encoders.encode`.
        fc_width: filters of fc6 and fc7.
        norm, bias: of fc6 and fc7, see `kzoo.nn.layers.conv_norm`.
    Returns:
        maps at strides 8, 16 and 32; the last is fc7's, (B, H/32, W/32, fc_width).
    """
    features = encode(image, encoder, encoder_weights, init=init, scaling=scaling)
    x = features[4]
    trunk = keras.Model(image, x)
    pool3, pool4 = features[2:4]
    if encoder in SCORED:
        pool3, pool4 = (trunk.get_layer(name).output for name in SCORED[encoder])
    for name, kernel in (("fc6", 7), ("fc7", 1)):
        x = conv_norm_relu(x, fc_width, kernel, init=init, norm=norm, bias=bias, name=name)
        x = layers.Dropout(dropout, name=f"{name}_dropout")(x)
    return pool3, pool4, x


def upsample_scores(x, factor: int, *, learnt: str, last: bool = False, name: str):
    """Transposed convolution from bilinear weights, kernel 2 x factor.

    (B, h, w, C) -> (B, h * factor, w * factor, C) float32.

    Args:
        learnt: "none", "inner" (all but the last one) or "all".
        last: this one ends at the full size.
    """
    if learnt not in LEARNT:
        raise ValueError(f"upsampling_trainable must be {', '.join(LEARNT)}, got {learnt!r}")
    return layers.Conv2DTranspose(
        x.shape[-1],
        2 * factor,
        strides=factor,
        padding="same",
        use_bias=False,
        kernel_initializer=Bilinear(),
        trainable=learnt == "all" or (learnt == "inner" and not last),
        dtype="float32",
        name=name,
    )(x)


def add_scores(x, features, *, learnt: str, name: str):
    """Scores doubled in size, plus a 1x1 scoring, from 0 at the start, of the map that has this size.

    Args:
        x: (B, h, w, C) scores.
        features: (B, 2h, 2w, K).
        learnt: see `upsample_scores`.
    Returns:
        (B, 2h, 2w, C) float32.
    """
    doubled = upsample_scores(x, 2, learnt=learnt, name=f"{name}_upsample")
    scores = head(features, x.shape[-1], init="zeros", name=f"{name}_score")
    return layers.Add(dtype="float32", name=f"{name}_sum")([doubled, scores])
