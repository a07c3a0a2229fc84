"""Stacked hourglass network with multi-context attention (Chu et al., CVPR 2017).

Attention is a mean-field CRF on one map (`_attention`). It is used three times in a stack: on every scale of the
hourglass (multi-resolution), on the refined features (whole body), and, in the upper half of the stacks, once more for
each joint (parts).

Differs from the paper: units, widths and the CRF follow the authors' released network, which has no multi-resolution
attention. That one is our reading of the text, written without its equations at hand: one map per scale of the up path
(an eighth, a quarter, half and all of the heat map's size at depth 4), resized bilinearly, summed, multiplied with the
hourglass's output; whole-body and part attention refine the result. A joint's map is attention times score, score being
the 1x1 convolution with its bias: a scalar map moves freely through a 1x1 convolution, so J copies of the features are
never made; only the bias, which the authors add after the product, is attenuated with it. BatchNorm's momentum is 0.9.
Measured on 2 CPU cores (x86-64, AVX-512), seed 0, float32:
    python train.py --task=pose --arch=hourglass_attention
    people, val MPJPE 14.8 px of a 256-px picture (mean pose: 43.0), no flip, decoder: dark; 8.0 CPU-min
"""

import keras
from keras import layers, ops

from kzoo.nn.layers import (
    BATCH_NORM_MOMENTUM,
    bn_relu_conv,
    bottleneck,
    conv_norm_relu,
    heatmap_head,
    hourglass_module,
    named,
    upsample_to,
)

MEAN_FIELD_STEPS = 3


def hourglass_attention(
    input_shape: tuple[int, int, int],
    num_outputs: int,
    *,
    init: str = "he_normal",
    stacks: int = 8,
    width: int = 256,
    depth: int = 4,
    kernel: int = 11,
) -> keras.Model:
    """Build the network.

    Args:
        input_shape: (H, W, 3) of a uint8 RGB picture; the heat maps have a quarter of it, which must be a multiple of
            2**depth.
        num_outputs: J joints.
        init: kernel initialiser.
        stacks: S hourglasses one after the other; those after the first half have an attention map for each joint.
        width: filters of an hourglass, the stem has a quarter and a half of it; after the last hourglass there are
            twice as many.
        depth: poolings inside an hourglass.
        kernel: side of the CRF's kernel in cells of the map, odd.
    Returns:
        model with outputs {"heatmaps": (B, H/4, W/4, J) float32, of the last stack; "aux_heatmaps":
        (B, S-1, H/4, W/4, J), the earlier ones; "attention": (B, H/4, W/4, S) float32 in 0..1, the whole-body attention
        of each stack}.
    """
    # The stem.
    image = keras.Input(input_shape, dtype="uint8", name="image")
    x = layers.Rescaling(1 / 255, offset=-0.5, name="scale")(image)
    x = conv_norm_relu(x, width // 4, 7, init=init, name="stem_a")
    x = bottleneck(x, width // 4, init=init, name="stem_b")
    x = layers.MaxPooling2D(2, name="stem_pool1")(x)
    x = bottleneck(x, width // 4, init=init, name="stem_c")
    x = bottleneck(x, width // 2, init=init, name="stem_d")
    x = layers.MaxPooling2D(2, name="stem_pool2")(x)
    x = bottleneck(x, width // 2, init=init, name="stem_e")
    x = bottleneck(x, width // 2, init=init, name="stem_f")
    x = bottleneck(x, width, init=init, name="stem_g")

    # The stacks: an attentive hourglass, attention on the whole body and on its parts, scores.
    maps, attentions = [], []
    for stack in range(1, stacks + 1):
        name = f"stack{stack}"
        filters = width if stack < stacks else 2 * width
        y = _attentive_hourglass(x, width, depth, kernel, init=init, name=name)
        y = conv_norm_relu(y, filters, 1, init=init, name=f"{name}_linear1")
        z = conv_norm_relu(y, filters, 1, init=init, name=f"{name}_linear2")
        attentions.append(_attention(z, 1, kernel, init=init, name=f"{name}_body"))
        z = layers.Multiply(name=f"{name}_attended")([z, attentions[-1]])
        scores = heatmap_head(z, num_outputs, name=f"{name}_heatmaps")
        if stack > stacks // 2:
            parts = _attention(z, num_outputs, kernel, init=init, name=f"{name}_parts")
            scores = layers.Multiply(dtype="float32", name=f"{name}_heatmaps_attended")([scores, parts])
        maps.append(scores)
        if stack < stacks:
            scores_back = layers.Conv2D(width, 1, kernel_initializer=init, name=f"{name}_heatmaps_back")(scores)
            features_back = conv_norm_relu(y, width, 1, init=init, name=f"{name}_features_back")
            x = layers.Add(name=f"{name}_next")([x, scores_back, features_back])

    outputs = {"heatmaps": maps[-1], "attention": ops.concatenate(attentions, axis=-1)}
    if stacks > 1:
        outputs["aux_heatmaps"] = ops.stack(maps[:-1], axis=1)
    return keras.Model(image, named(outputs), name="hourglass_attention")


def _attention(x, maps: int, kernel: int, *, init: str, name: str):
    """Mean-field inference of `maps` independent CRFs: (B, h, w, K) -> (B, h, w, maps) float32 in 0..1.

    U = conv3x3(x); Q_1 = sigmoid(P * U + U), Q_t = sigmoid(P * Q_(t-1) + U): one kernel P per map, the same in all
    steps.

    Reference: Chu et al. 2017, §4.1.
    """
    unary = layers.Conv2D(maps, 3, padding="same", kernel_initializer=init, name=f"{name}_unary")(x)
    pairwise = layers.DepthwiseConv2D(kernel, padding="same", depthwise_initializer=init, name=f"{name}_pairwise")
    q = unary
    for step in range(1, MEAN_FIELD_STEPS + 1):
        energy = layers.Add(dtype="float32", name=f"{name}_energy{step}")([pairwise(q), unary])
        q = layers.Activation("sigmoid", dtype="float32", name=f"{name}_attention{step}")(energy)
    return q


def _attentive_hourglass(x, width: int, depth: int, kernel: int, *, init: str, name: str):
    """Nested hourglass times the sum of one attention map per scale: (B, h, w, width) -> the same shape."""
    scales = []

    def block(x, branch, level, name):
        x = bottleneck(x, width, init=init, name=name)
        if branch == "skip":  # the larger the map, the more hourglass residual units
            for unit in range(1, level - 1):
                x = _hourglass_residual(x, width, init=init, name=f"{name}_unit{unit}")
        elif branch == "up" and level > 1:
            scales.append(x)
        return x

    y = hourglass_module(x, depth, block, name=name)
    attentions = []
    for scale in (*scales, y):
        prefix = f"{name}_scale{scale.shape[1]}"
        scale = layers.BatchNormalization(momentum=BATCH_NORM_MOMENTUM, name=f"{prefix}_bn")(scale)
        scale = layers.ReLU(name=f"{prefix}_relu")(scale)
        q = _attention(scale, 1, kernel, init=init, name=prefix)
        attentions.append(upsample_to(q, y.shape[1:3], name=f"{prefix}_resize"))
    total = layers.Add(dtype="float32", name=f"{name}_scales")(attentions) if len(attentions) > 1 else attentions[0]
    return layers.Multiply(name=f"{name}_refined")([y, total])


def _hourglass_residual(x, filters: int, *, init: str, name: str):
    """HRU (fig. 6): bottleneck and identity, plus two 3x3 at half the size. (B, h, w, filters) -> the same shape."""
    y = layers.BatchNormalization(momentum=BATCH_NORM_MOMENTUM, name=f"{name}_half1_bn")(x)
    y = layers.ReLU(name=f"{name}_half1_relu")(y)
    y = layers.MaxPooling2D(2, name=f"{name}_half_pool")(y)
    y = layers.Conv2D(filters, 3, padding="same", kernel_initializer=init, name=f"{name}_half1_conv")(y)
    y = bn_relu_conv(y, filters, init=init, name=f"{name}_half2")
    y = layers.UpSampling2D(2, interpolation="nearest", name=f"{name}_half_upsample")(y)
    return layers.Add(name=f"{name}_hru")([bottleneck(x, filters, init=init, name=name), y])
