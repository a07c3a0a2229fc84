"""Encoders of PyTorch's geometry: ResNet, VGG16 and MobileNetV2.

In them the weights of torchvision and timm compute what they do there.

The numbers can be copied (kzoo.convert does), but the network has to fit. Those of keras.applications and keras-cv
differ from PyTorch's:
    strides     ResNet's bottlenecks have them in the 3x3 convolutions ("v1.5"; Goyal et al. 2017, §5.1), Keras's in
                the first 1x1
    padding     PyTorch pads both sides alike: with stride 2 a 3x3 kernel is centred on even cells, by padding "same"
                on odd ones
    colours     z-scores by ImageNet's mean and deviation. Around a picture the first convolution sees zeros, which are
                the mean colour there and black in keras-cv: an offset that was moved into that convolution would be
                right inside the picture alone
    epsilon     of batch normalisation: 1e-5, against 1.001e-5 and 1e-3
VGG16 has no strides and no batch normalisation: only its colours differ.
So these are built from the papers' tables; features are PyTorch's own to rounding. Keras is imported where it is
needed: kzoo.convert says what is wrong with a command line before that.
"""

import dataclasses
import functools
from collections.abc import Callable

# ImageNet's, RGB in 0..1, as both libraries use them.
MEAN = (0.485, 0.456, 0.406)
DEVIATION = (0.229, 0.224, 0.225)
EPSILON = 1e-5
# Expansion, channels, blocks and stride of the first block (Sandler et al. 2018, table 2).
MOBILENET_STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)


def scale_imagenet(x):
    """RGB in 0..255 to z-scores by ImageNet's mean and deviation, float32."""
    from keras import layers

    scale = [1 / (255 * deviation) for deviation in DEVIATION]
    offset = [-mean / deviation for mean, deviation in zip(MEAN, DEVIATION, strict=True)]
    return layers.Rescaling(scale, offset=offset, dtype="float32", name="scale")(x)


def _conv_norm(
    x, filters: int | None, size: int, *, strides: int = 1, name: str, max_value: float | None = None, relu: bool = True
):
    """Convolution (depthwise without `filters`), PyTorch's padding, batch norm and ReLU, cut at `max_value`."""
    from keras import layers

    options = {"strides": strides, "padding": "same", "use_bias": False, "name": f"{name}_conv"}
    if strides > 1:
        options["padding"] = "valid"
        if size > 1:
            x = layers.ZeroPadding2D(size // 2, name=f"{name}_pad")(x)
    x = layers.Conv2D(filters, size, **options)(x) if filters else layers.DepthwiseConv2D(size, **options)(x)
    x = layers.BatchNormalization(epsilon=EPSILON, name=f"{name}_bn")(x)
    return layers.ReLU(max_value, name=f"{name}_relu")(x) if relu else x


def resnet(x, blocks: tuple[int, ...], *, bottleneck: bool):
    """ResNet without its classifier, strides in 3x3 convolutions.

    Args:
        x: (B, H, W, 3) z-scores.
        blocks: of the four stages.
        bottleneck: 1x1, 3x3, 1x1 instead of two 3x3.
    Returns:
        keras.Model.

    Reference: He et al., Deep Residual Learning for Image Recognition, CVPR 2016, table 1.
    """
    import keras
    from keras import layers

    inputs = x
    x = _conv_norm(x, 64, 7, strides=2, name="conv1")
    x = layers.ZeroPadding2D(1, name="pool1_pad")(x)  # after ReLU: zeros never win
    x = layers.MaxPooling2D(3, strides=2, name="pool1")(x)
    for stage, count in enumerate(blocks):
        for block in range(count):
            name = f"conv{stage + 2}_block{block + 1}"
            strides = 2 if stage and not block else 1
            width = 64 * 2**stage
            out = width * 4 if bottleneck else width
            shortcut = x
            if strides > 1 or x.shape[-1] != out:
                shortcut = _conv_norm(x, out, 1, strides=strides, name=f"{name}_0", relu=False)
            if bottleneck:
                x = _conv_norm(x, width, 1, name=f"{name}_1")
                x = _conv_norm(x, width, 3, strides=strides, name=f"{name}_2")
                x = _conv_norm(x, out, 1, name=f"{name}_3", relu=False)
            else:
                x = _conv_norm(x, width, 3, strides=strides, name=f"{name}_1")
                x = _conv_norm(x, width, 3, name=f"{name}_2", relu=False)
            x = layers.Add(name=f"{name}_add")([shortcut, x])
            x = layers.ReLU(name=f"{name}_out")(x)
    return keras.Model(inputs, x, name="resnet")


def vgg16(x):
    """VGG16 without its classifier, as keras.applications builds it."""
    import keras

    return keras.applications.VGG16(include_top=False, weights=None, input_tensor=x)


def mobilenet_v2(x):
    """MobileNetV2 of width 1 without its classifier; x: (B, H, W, 3) z-scores.

    Reference: Sandler et al., MobileNetV2: Inverted Residuals and Linear Bottlenecks, CVPR 2018, table 2.
    """
    import keras
    from keras import layers

    relu6 = functools.partial(_conv_norm, max_value=6.0)
    inputs = x
    x = relu6(x, 32, 3, strides=2, name="stem")
    index = 0
    for expansion, out, count, first_strides in MOBILENET_STAGES:
        for block in range(count):
            name = f"block{index}"
            strides = 1 if block else first_strides
            shortcut = x
            if expansion > 1:
                x = relu6(x, expansion * x.shape[-1], 1, name=f"{name}_expand")
            x = relu6(x, None, 3, strides=strides, name=f"{name}_depthwise")
            x = _conv_norm(x, out, 1, name=f"{name}_project", relu=False)
            if strides == 1 and shortcut.shape[-1] == out:
                x = layers.Add(name=f"{name}_add")([shortcut, x])
            index += 1
    return keras.Model(inputs, relu6(x, 1280, 1, name="head"), name="mobilenet_v2")


@dataclasses.dataclass(frozen=True)
class Network:
    """What `kzoo.nn.encoders` and `kzoo.convert` have to know of one of them."""

    encoder: str  # its name for --encoder
    build: Callable  # (B, H, W, 3) z-scores -> keras.Model without weights
    taps: tuple[str, ...]  # layers at strides 2, 4, 8, 16, 32
    units: tuple[str, ...] = ()  # the 3x3 convolutions of the last stage's bottlenecks


def _resnet(encoder: str, blocks: tuple[int, ...], bottleneck: bool) -> Network:
    taps = ("conv1_relu", *(f"conv{stage}_block{count}_out" for stage, count in enumerate(blocks, start=2)))
    units = tuple(f"conv5_block{block}_2_conv" for block in (1, 2, 3)) if bottleneck else ()
    return Network(encoder, functools.partial(resnet, blocks=blocks, bottleneck=bottleneck), taps, units)


# By the names that torchvision has for them.
NETWORKS: dict[str, Network] = {
    "resnet18": _resnet("resnet18_torch", (2, 2, 2, 2), False),
    "resnet34": _resnet("resnet34_torch", (3, 4, 6, 3), False),
    "resnet50": _resnet("resnet50_torch", (3, 4, 6, 3), True),
    "resnet101": _resnet("resnet101_torch", (3, 4, 23, 3), True),
    "vgg16": Network(
        "vgg16_torch", vgg16, ("block2_conv2", "block3_conv3", "block4_conv3", "block5_conv3", "block5_pool")
    ),
    "mobilenet_v2": Network(
        "mobilenetv2_torch",
        mobilenet_v2,
        ("block1_expand_relu", "block3_expand_relu", "block6_expand_relu", "block13_expand_relu", "head_relu"),
    ),
}
