"""Stacked hourglass network of pyramid residual modules (PyraNet, Yang et al., ICCV 2017).

Differs from the paper: the pyramid's inputs are made by bilinear resizing, which is deterministic and exists
everywhere, instead of fractional max-pooling. Which units are pyramids, their number of scales (4) and filters (a
ninth) follow the authors' released code, module B; so do the 1x1 convolutions in place of the identity on the way up,
against variance that grows where two identities add. The released code notes one branch count of §4.1 and never uses
it; here `init="multi_branch"`, the default, counts them all: `kzoo.nn.initializers`. BatchNorm's momentum is 0.9.
Measured on 2 CPU cores (x86-64, AVX-512), seed 0, float32:
    python train.py --task=pose --arch=pyranet
    people, val MPJPE 14.5 px of a 256-px picture (mean pose: 43.0), no flip, decoder: dark; 7.3 CPU-min
"""

import keras
from keras import layers, ops

from kzoo.nn.initializers import MultiBranch
from kzoo.nn.layers import (
    BATCH_NORM_MOMENTUM,
    bn_relu_conv,
    conv_norm_relu,
    heatmap_head,
    hourglass_module,
    named,
    upsample_to,
)


def pyranet(
    input_shape: tuple[int, int, int],
    num_outputs: int,
    *,
    init: str = "multi_branch",
    stacks: int = 8,
    width: int = 256,
    depth: int = 4,
    base_width: int = 9,
    cardinality: int = 4,
) -> keras.Model:
    """Build the network.

    Args:
        input_shape: (H, W, 3) of a uint8 RGB picture; the heat maps have a quarter of it, which must be a multiple of
            2**depth.
        num_outputs: J joints.
        init: kernel initialiser; "multi_branch" counts the branches of every convolution (Yang et al. 2017, §4.1), any
            other is Keras's.
        stacks: S hourglasses one after the other.
        width: filters of an hourglass, the stem has a quarter and a half of it; the paper's is 256.
        depth: poolings inside an hourglass.
        base_width: a pyramid works on 1 / base_width of its unit's filters.
        cardinality: C scales of a pyramid, 2**(-i / C) for i = 1..C.
    Returns:
        model with outputs {"heatmaps": (B, H/4, W/4, J) float32, of the last stack; "aux_heatmaps":
        (B, S-1, H/4, W/4, J), earlier ones}.
    """

    def unit(x, filters, name, **options):
        options = {"base_width": base_width, "cardinality": cardinality, **options}
        return _residual(x, filters, init=init, name=name, **options)

    def block(x, branch, level, name):
        pyramid = level >= (2 if branch == "skip" else 3)
        return unit(x, width, name, cardinality=cardinality if pyramid else 0, conv_skip=branch == "up")

    # The stem.
    image = keras.Input(input_shape, dtype="uint8", name="image")
    x = layers.Rescaling(1 / 255, name="scale")(image)
    x = conv_norm_relu(x, width // 4, 7, strides=2, init=_initializer(init), name="stem_a")
    x = unit(x, width // 2, "stem_b", preact=False)
    x = layers.MaxPooling2D(2, name="stem_pool")(x)
    x = unit(x, width // 2, "stem_c")
    x = unit(x, width, "stem_d")

    # The stacks.
    maps = []
    for stack in range(1, stacks + 1):
        name = f"stack{stack}"
        y = hourglass_module(x, depth, block, name=name)
        y = bn_relu_conv(y, width, 1, init=_initializer(init), name=f"{name}_linear")
        y = layers.BatchNormalization(momentum=BATCH_NORM_MOMENTUM, name=f"{name}_features_bn")(y)
        y = layers.ReLU(name=f"{name}_features")(y)
        maps.append(heatmap_head(y, num_outputs, name=f"{name}_heatmaps"))
        if stack < stacks:
            y = layers.Conv2D(width, 1, kernel_initializer=_initializer(init), name=f"{name}_features_back")(y)
            back = layers.Conv2D(width, 1, kernel_initializer=_initializer(init), name=f"{name}_heatmaps_back")
            x = layers.Add(name=f"{name}_next")([x, y, back(maps[-1])])

    outputs = {"heatmaps": maps[-1]}
    if stacks > 1:
        outputs["aux_heatmaps"] = ops.stack(maps[:-1], axis=1)
    return keras.Model(image, named(outputs), name="pyranet")


def _initializer(init: str, inputs: int = 1, outputs: int = 1):
    """Initialiser of a convolution that reads the sum of `inputs` branches, its input read by `outputs` of them."""
    return MultiBranch(inputs, outputs) if init == "multi_branch" else init


def _residual(
    x,
    filters: int,
    *,
    base_width: int,
    cardinality: int,
    preact: bool = True,
    conv_skip: bool = False,
    init: str,
    name: str,
):
    """Pyramid residual module, type B: (B, h, w, K) -> (B, h, w, filters).

    A plain pre-activation bottleneck where `cardinality` is 0.

    Branch a is 1x1, 3x3 at half the filters; branch b is 1x1, pyramid, 1x1; their sum goes through 1x1 and is added to
    the input, or to BatchNorm, ReLU, 1x1 of the input where `conv_skip` or the filters differ. Without `preact`, both
    branches begin with the convolution.
    """
    half = filters // 2
    narrow = max(1, filters // base_width)
    branches = 2 if cardinality else 1
    conv_skip = conv_skip or x.shape[-1] != filters

    def entry(width, name):
        initializer = _initializer(init, outputs=branches + conv_skip)
        if preact:
            return bn_relu_conv(x, width, 1, init=initializer, name=name)
        return layers.Conv2D(width, 1, kernel_initializer=initializer, name=f"{name}_conv")(x)

    y = entry(half, f"{name}_a1")
    y = bn_relu_conv(y, half, 3, init=_initializer(init), name=f"{name}_a2")
    if cardinality:
        z = entry(narrow, f"{name}_b1")
        z = _pyramid(z, cardinality, init=init, name=f"{name}_b2")
        z = bn_relu_conv(z, half, 1, init=_initializer(init, inputs=cardinality), name=f"{name}_b3")
        y = layers.Add(name=f"{name}_branches")([y, z])
    y = bn_relu_conv(y, filters, 1, init=_initializer(init, inputs=branches), name=f"{name}_out")
    if conv_skip:
        x = bn_relu_conv(x, filters, 1, init=_initializer(init, outputs=branches + 1), name=f"{name}_skip")
    return layers.Add(name=name)([x, y])


def _pyramid(x, cardinality: int, *, init: str, name: str):
    """BatchNorm, ReLU, the sum over scales of: resize down, 3x3, resize up. (B, h, w, D) -> (B, h, w, D)."""
    x = layers.BatchNormalization(momentum=BATCH_NORM_MOMENTUM, name=f"{name}_bn")(x)
    x = layers.ReLU(name=f"{name}_relu")(x)
    size = tuple(x.shape[1:3])
    scales = []
    for i in range(1, cardinality + 1):
        smaller = tuple(max(1, int(n * 2 ** (-i / cardinality))) for n in size)
        y = upsample_to(x, smaller, name=f"{name}_down{i}")
        start = _initializer(init, outputs=cardinality)
        y = layers.Conv2D(x.shape[-1], 3, padding="same", kernel_initializer=start, name=f"{name}_conv{i}")(y)
        scales.append(upsample_to(y, size, name=f"{name}_up{i}"))
    return layers.Add(name=f"{name}_sum")(scales) if len(scales) > 1 else scales[0]
