"""Encoders: a picture in, five feature maps at strides 2, 4, 8, 16 and 32 out, with the right input scaling inside the graph."""

import dataclasses
import os
from collections.abc import Callable

import keras
from keras import layers, ops

from kzoo import UserError
from kzoo.layers import BATCH_NORM_MOMENTUM, ColourTransform, conv_norm_relu


@dataclasses.dataclass(frozen=True)
class Encoder:
    """How one encoder is built and where it is tapped."""

    build: Callable  # (scaled float tensor) -> keras.Model without weights
    # Layer names at strides 2, 4, 8, 16, 32. "add:k" is the k-th nameless addition; None: no such map, a convolution makes it.
    taps: tuple[str | None, ...]
    scale: Callable  # float32 RGB in 0..255 -> what the weights were trained on
    imagenet: str = ""  # function of keras.applications that knows the ImageNet weights; "" where there are none
    any_norm: bool = False  # `build` takes the keyword `norm`; published encoders keep their own


def scale_signed(x):
    """RGB to [-1, 1]."""
    return layers.Rescaling(1 / 127.5, offset=-1.0, dtype="float32", name="scale")(x)


def scale_caffe(x):
    """BGR minus ImageNet's mean, not scaled: the input of Keras's VGG and ResNet weights (keras.applications, mode "caffe")."""
    return layers.Rescaling(1.0, offset=[-103.939, -116.779, -123.68], dtype="float32", name="scale")(ops.flip(x, axis=-1))


def scale_none(x):
    """0..255: the network scales by itself."""
    return layers.Rescaling(1.0, dtype="float32", name="scale")(x)


def application(name: str, **options) -> Callable:
    """Constructor from keras.applications, without top and weights."""
    return lambda x: getattr(keras.applications, name)(include_top=False, weights=None, input_tensor=x, **options)


def basic_resnet(blocks: tuple[int, ...]) -> Callable:
    """ResNet of basic blocks (He et al. 2016, table 1), which keras.applications lacks, from keras-cv by configuration."""

    def build(x):
        import keras_cv  # slow to import and frozen upstream: only here

        return keras_cv.models.ResNetBackbone(
            stackwise_filters=[64, 128, 256, 512],
            stackwise_blocks=list(blocks),
            stackwise_strides=[1, 2, 2, 2],
            include_rescaling=True,
            block_type="basic_block",
            input_tensor=x,
        )

    return build


def small(x, widths=(16, 32, 64, 96, 128), *, norm: str = "batch") -> keras.Model:
    """Own encoder for CPUs and tests: per stride one 3x3 stride-2 convolution and one residual 3x3 pair, 0.75 M parameters."""
    inputs = x
    for stage, width in enumerate(widths, start=1):
        x = conv_norm_relu(x, width, strides=2, norm=norm, name=f"down{stage}")
        y = conv_norm_relu(x, width, norm=norm, name=f"stage{stage}_a")
        y = conv_norm_relu(y, width, norm=norm, name=f"stage{stage}_b")
        x = layers.Add(name=f"stage{stage}")([x, y])
    return keras.Model(inputs, x, name="small")


def _resnet_taps(blocks_at_16: int):
    return ("conv1_relu", "conv2_block3_out", "conv3_block4_out", f"conv4_block{blocks_at_16}_out", "conv5_block3_out")


def _basic_taps(blocks):
    return ("conv1_relu", *(f"v2_stack_{stage}_block{last}_out" for stage, last in enumerate(blocks)))


ENCODERS: dict[str, Encoder] = {
    "resnet50": Encoder(application("ResNet50"), _resnet_taps(6), scale_caffe, "ResNet50"),
    "resnet101": Encoder(application("ResNet101"), _resnet_taps(23), scale_caffe, "ResNet101"),
    "resnet18": Encoder(basic_resnet((2, 2, 2, 2)), _basic_taps((2, 2, 2, 2)), scale_none),
    "resnet34": Encoder(basic_resnet((3, 4, 6, 3)), _basic_taps((3, 4, 6, 3)), scale_none),
    "vgg16": Encoder(
        application("VGG16"), ("block2_conv2", "block3_conv3", "block4_conv3", "block5_conv3", "block5_pool"), scale_caffe, "VGG16"
    ),
    "mobilenetv2": Encoder(
        application("MobileNetV2"),
        ("block_1_expand_relu", "block_3_expand_relu", "block_6_expand_relu", "block_13_expand_relu", "out_relu"),
        scale_signed,
        "MobileNetV2",
    ),
    "efficientnetv2b0": Encoder(
        application("EfficientNetV2B0"),
        ("block1a_project_activation", "block2b_add", "block3b_add", "block5e_add", "top_activation"),
        scale_none,
        "EfficientNetV2B0",
    ),
    "convnext_tiny": Encoder(application("ConvNeXtTiny"), (None, "add:2", "add:5", "add:14", "add:17"), scale_none, "ConvNeXtTiny"),
    "small": Encoder(small, ("stage1", "stage2", "stage3", "stage4", "stage5"), scale_signed, any_norm=True),
}


def encode(image, name: str, weights: str = "none", *, init: str = "he_normal", norm: str = "batch", scaling: dict | None = None) -> list:
    """Five feature maps of a picture.

    Args:
        image: (B, H, W, 3) uint8 keras tensor, RGB 0..255; H and W multiples of 32.
        name: key of ENCODERS.
        weights: "none" (random), "imagenet" (downloaded once by Keras) or a weights file of that encoder.
        init: kernel initialiser of an encoder without weights.
        norm: normalisation of `small`, see `kzoo.layers.normalise`; published encoders keep their own.
        scaling: arguments of `kzoo.layers.ColourTransform`, in place of the encoder's own input scaling.
    Returns:
        five keras tensors at strides 2, 4, 8, 16, 32.
    Raises:
        UserError: unknown name, missing or unfit weights, failed download, size not a multiple of 32.
    """
    if name not in ENCODERS:
        raise UserError(f"unknown encoder {name!r}; allowed: {', '.join(ENCODERS)}")
    if any(side is None or side % 32 for side in image.shape[1:3]):
        raise UserError(f"input size {image.shape[1:3]} must be a multiple of 32 (the encoder's stride)")
    encoder = ENCODERS[name]
    scaled = ColourTransform(**scaling, name="scale")(image) if scaling else encoder.scale(image)
    base = encoder.build(scaled, **({"norm": norm} if encoder.any_norm else {}))
    _load(base, encoder, name, weights, init)
    for layer in base.layers:
        if isinstance(layer, layers.BatchNormalization):
            layer.momentum = BATCH_NORM_MOMENTUM
    return [_tap(base, tap, image) for tap in encoder.taps]


def _load(base, encoder: Encoder, name: str, weights: str, init: str):
    if weights == "none":
        for layer in base.layers:
            if type(layer) in (layers.Conv2D, layers.Dense):
                layer.kernel.assign(keras.initializers.get(init)(layer.kernel.shape, dtype="float32"))
        return
    if weights == "imagenet":
        base.set_weights(_downloaded(encoder, name).get_weights())
        return
    if not os.path.isfile(weights):
        raise UserError(f"no encoder weights at {weights!r}; allowed: imagenet, none, or an existing weights file")
    try:
        base.load_weights(weights)
    except (ValueError, OSError, KeyError) as error:
        raise UserError(f"{weights} does not hold weights of {name}: {str(error).splitlines()[0]}") from error


def _downloaded(encoder: Encoder, name: str) -> keras.Model:
    """The network with ImageNet weights, which keras.applications fetches into Keras's cache."""
    others = "--encoder_weights=none (train from scratch) or --encoder_weights=<file>"
    if not encoder.imagenet:
        raise UserError(f"Keras has no ImageNet weights for {name}; use {others}")
    try:
        return getattr(keras.applications, encoder.imagenet)(include_top=False, weights="imagenet", input_shape=(224, 224, 3))
    except Exception as error:  # keras.utils.get_file raises a bare Exception when a download fails
        raise UserError(f"the ImageNet weights of {name} could not be downloaded ({str(error)[:80]}); use {others}") from error


def _tap(base, tap: str | None, image):
    if tap is None:
        return conv_norm_relu(
            layers.Rescaling(1 / 127.5, offset=-1.0, dtype="float32", name="tap1_scale")(image), 32, strides=2, name="tap1"
        )
    if tap.startswith("add:"):  # `a + b` on keras tensors makes an operation whose name counts up through the process
        additions = [operation for operation in base.operations if type(operation).__name__ == "Add"]
        return additions[int(tap.removeprefix("add:"))].output
    return base.get_layer(tap).output
