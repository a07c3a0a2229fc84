"""Encoders: a picture in, five feature maps at strides 2, 4, 8, 16 and 32 out; the input is scaled inside the graph.

With `output_stride` 16 or 8 the deepest maps stay at that stride: strides are removed and what follows is dilated (à
trous, Chen et al., PAMI 2018, §3.1), so the same weights compute the same features at more places. Every 2nd (4th) cell
of the denser map then is the plain map, to rounding and up to its border, where it starts at this phase:
    resnet50, resnet101    0: the stride is in 1x1 convolutions, which read the even cells
    vgg16, vgg16_torch     0; the map after the last pool differs at output_stride 8, for a pool cannot be dilated
    the other *_torch      0: PyTorch's padding centres 3x3 kernels with stride 2 on the even cells, and shortcuts read
                           these too
    mobilenetv2, small     1 for one removed stride, 3 for two: padding "same" with stride 2 centres a 3x3 kernel on the
                           odd cells
    convnext_tiny          0 for one removed stride, 1 for two: its strides are in 2x2 convolutions

No phase fits the others. resnet18 and resnet34 read even cells in the shortcut and odd ones in the 3x3 convolution, and
dilation puts both on the same cell; efficientnetv2b0 averages whole maps (squeeze and excitation), and a denser map has
another mean.
"""

import dataclasses
import os
import warnings
from collections.abc import Callable

import keras
from keras import layers, ops

from kzoo import UserError, cli
from kzoo.nn.layers import BATCH_NORM_MOMENTUM, ColourTransform, conv_norm_relu
from kzoo.nn.pytorch_encoders import NETWORKS, scale_imagenet


@dataclasses.dataclass(frozen=True)
class Encoder:
    """How one encoder is built and where it is tapped."""

    build: Callable  # (scaled float tensor) -> keras.Model without weights
    # Layer names at strides 2, 4, 8, 16, 32. "add:k" is the k-th nameless addition. None: there is no such map, and a
    # convolution makes it.
    taps: tuple[str | None, ...]
    scale: Callable  # float32 RGB in 0..255 -> what the weights were trained on
    imagenet: str = ""  # function of keras.applications that knows the ImageNet weights; "" where there are none
    any_norm: bool = False  # `build` takes the keyword `norm`; published encoders keep their own
    units: tuple[str, ...] = ()  # the 3x3 convolutions of the last stage's bottlenecks, for `multi_grid`


def scale_signed(x):
    """RGB to [-1, 1]."""
    return layers.Rescaling(1 / 127.5, offset=-1.0, dtype="float32", name="scale")(x)


def scale_caffe(x):
    """BGR minus ImageNet's mean, not scaled: the input of Keras's VGG and ResNet weights (its mode "caffe")."""
    bgr = ops.flip(x, axis=-1)
    return layers.Rescaling(1.0, offset=[-103.939, -116.779, -123.68], dtype="float32", name="scale")(bgr)


def scale_none(x):
    """0..255: the network scales by itself."""
    return layers.Rescaling(1.0, dtype="float32", name="scale")(x)


def application(name: str, **options) -> Callable:
    """Constructor from keras.applications, without top and weights."""
    return lambda x: getattr(keras.applications, name)(include_top=False, weights=None, input_tensor=x, **options)


def basic_resnet(blocks: tuple[int, ...]) -> Callable:
    """ResNet of basic blocks (He et al. 2016, table 1) from keras-cv: keras.applications lacks it."""

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
    """Own encoder for CPUs and tests, 0.75 M parameters: per stride a 3x3 stride-2 convolution, a residual 3x3 pair."""
    inputs = x
    for stage, width in enumerate(widths, start=1):
        x = conv_norm_relu(x, width, strides=2, norm=norm, name=f"down{stage}")
        y = conv_norm_relu(x, width, norm=norm, name=f"stage{stage}_a")
        y = conv_norm_relu(y, width, norm=norm, name=f"stage{stage}_b")
        x = layers.Add(name=f"stage{stage}")([x, y])
    return keras.Model(inputs, x, name="small")


def _resnet_taps(blocks_at_16: int):
    return ("conv1_relu", "conv2_block3_out", "conv3_block4_out", f"conv4_block{blocks_at_16}_out", "conv5_block3_out")


RESNET_UNITS = ("conv5_block1_2_conv", "conv5_block2_2_conv", "conv5_block3_2_conv")


def _basic_taps(blocks):
    return ("conv1_relu", *(f"v2_stack_{stage}_block{last}_out" for stage, last in enumerate(blocks)))


def of_pytorch(arch: str) -> Encoder:
    """A row of PyTorch's geometry, for weights that `kzoo.convert` has written; see there for `arch`."""
    network = NETWORKS[arch]
    return Encoder(network.build, network.taps, scale_imagenet, units=network.units)


ENCODERS: dict[str, Encoder] = {
    "resnet50": Encoder(application("ResNet50"), _resnet_taps(6), scale_caffe, "ResNet50", units=RESNET_UNITS),
    "resnet101": Encoder(application("ResNet101"), _resnet_taps(23), scale_caffe, "ResNet101", units=RESNET_UNITS),
    "resnet18": Encoder(basic_resnet((2, 2, 2, 2)), _basic_taps((2, 2, 2, 2)), scale_none),
    "resnet34": Encoder(basic_resnet((3, 4, 6, 3)), _basic_taps((3, 4, 6, 3)), scale_none),
    "vgg16": Encoder(
        application("VGG16"),
        ("block2_conv2", "block3_conv3", "block4_conv3", "block5_conv3", "block5_pool"),
        scale_caffe,
        "VGG16",
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
    "convnext_tiny": Encoder(
        application("ConvNeXtTiny"), (None, "add:2", "add:5", "add:14", "add:17"), scale_none, "ConvNeXtTiny"
    ),
    "resnet18_torch": of_pytorch("resnet18"),
    "resnet34_torch": of_pytorch("resnet34"),
    "resnet50_torch": of_pytorch("resnet50"),
    "resnet101_torch": of_pytorch("resnet101"),
    "vgg16_torch": of_pytorch("vgg16"),
    "mobilenetv2_torch": of_pytorch("mobilenet_v2"),
    "small": Encoder(small, ("stage1", "stage2", "stage3", "stage4", "stage5"), scale_signed, any_norm=True),
}


OUTPUT_STRIDES = (8, 16, 32)
CONVOLUTIONS = (layers.Conv2D, layers.DepthwiseConv2D)


def encode(
    image,
    name: str,
    weights: str = "none",
    *,
    init: str = "he_normal",
    norm: str = "batch",
    scaling: dict | None = None,
    output_stride: int = 32,
    multi_grid: tuple[int, ...] = (),
) -> list:
    """Five feature maps of a picture.

    Args:
        image: (B, H, W, 3) uint8 keras tensor, RGB 0..255; H and W multiples of 32.
        name: key of ENCODERS.
        weights: "none" (random), "imagenet" (downloaded once by Keras) or a weights file of that encoder.
        init: kernel initialiser of an encoder without weights.
        norm: normalisation of `small`, see `kzoo.nn.layers.normalise`; published encoders keep their own.
        scaling: arguments of `kzoo.nn.layers.ColourTransform`, in place of the encoder's own input scaling.
        output_stride: 8, 16 or 32; no map has a larger stride. Weights are those of the plain encoder.
        multi_grid: factors of the dilation of the last stage's three bottlenecks (Chen et al. 2017, §3.2.1); resnet50,
            resnet101 and their *_torch only.
    Returns:
        five keras tensors at strides 2, 4, 8, 16, 32, none above `output_stride`.
    Raises:
        UserError: unknown name, missing or unfit weights, failed download, size not a multiple of 32, output_stride or
            multi_grid not possible.
    """
    # What is asked for must be possible.
    if name not in ENCODERS:
        raise UserError(f"unknown encoder {name!r}; allowed: {', '.join(ENCODERS)}{cli.meant(name, ENCODERS)}")
    if any(side is None or side % 32 for side in image.shape[1:3]):
        raise UserError(f"input size {image.shape[1:3]} must be a multiple of 32 (the encoder's stride)")
    encoder = ENCODERS[name]
    if output_stride not in OUTPUT_STRIDES:
        raise UserError(f"output_stride must be one of {', '.join(map(str, OUTPUT_STRIDES))}, got {output_stride!r}")
    if multi_grid and len(multi_grid) != len(encoder.units):
        raise UserError(
            f"multi_grid of {name} must hold {len(encoder.units)} factors (bottlenecks of its last stage), "
            f"got {multi_grid!r}"
        )

    # The plain network with its weights.
    dilate = output_stride < 32 or bool(multi_grid)
    scaled = ColourTransform(**scaling, name="scale")(image) if scaling else encoder.scale(image)
    options = {"norm": norm} if encoder.any_norm else {}
    base = encoder.build(keras.Input(scaled.shape[1:]) if dilate else scaled, **options)
    _load(base, encoder, name, weights, init)
    for layer in base.layers:
        if isinstance(layer, layers.BatchNormalization):
            layer.momentum = BATCH_NORM_MOMENTUM

    # The same weights at more places.
    if dilate:
        grid = dict(zip(encoder.units, multi_grid, strict=False))
        for unit, factor in grid.items():
            if output_stride == 32 and factor > 1 and max(base.get_layer(unit).strides) > 1:
                raise UserError(
                    f"multi_grid of {name} must start with 1 at output_stride 32, where its stride is, "
                    f"got {multi_grid!r}"
                )
        base = _dilated(base, scaled, output_stride, grid)
    return [_tap(base, tap, image) for tap in encoder.taps]


def _dilated(base, x, output_stride: int, grid: dict) -> keras.Model:
    """The same network on x with the same weights, without strides beyond `output_stride`.

    A convolution or pooling that would end beyond it gets stride 1, and a kernel larger than 1 the dilation that its
    input has lost.

    Args:
        x: (B, H, W, 3) scaled picture.
        grid: {name of a convolution: further factor of its dilation}.
    """
    windows = (*CONVOLUTIONS, layers.MaxPooling2D)
    readers = {id(layer.input): layer for layer in base.layers if isinstance(layer, windows)}

    def stride(layer):
        return x.shape[1] // layer.output.shape[1]

    def clone(layer):
        if isinstance(layer, keras.Sequential):  # Keras's own recursion keeps the size of its input
            return keras.Sequential([clone(inner) for inner in layer.layers], name=layer.name)
        config = layer.get_config()
        if isinstance(layer, layers.ZeroPadding2D) and stride(readers[id(layer.output)]) > output_stride:
            config["padding"] = 0  # stood in for "same" before a convolution with stride
        if isinstance(layer, windows) and stride(layer) > output_stride:
            config.update(strides=1, padding="same")
        if isinstance(layer, CONVOLUTIONS) and max(layer.kernel_size) > 1:
            lost = max(1, stride(layer) // layer.strides[0] // output_stride)
            config["dilation_rate"] = lost * grid.get(layer.name, 1)
        return type(layer).from_config(config)

    inputs = keras.tree.map_structure(lambda _: x, base.input)
    dilated = keras.models.clone_model(base, inputs, clone)
    dilated.set_weights(base.get_weights())
    return dilated


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
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of each layer that is not in the file, before the error that says so
            base.load_weights(weights)
    except (ValueError, OSError, KeyError) as error:
        raise UserError(f"{weights} does not hold weights of {name}: {str(error).splitlines()[0]}") from error


def _downloaded(encoder: Encoder, name: str) -> keras.Model:
    """The network with ImageNet weights, which keras.applications fetches into Keras's cache."""
    others = "--encoder_weights=none (train from scratch) or --encoder_weights=<file>"
    if not encoder.imagenet:
        raise UserError(f"Keras has no ImageNet weights for {name}; use {others}")
    constructor = getattr(keras.applications, encoder.imagenet)
    try:
        return constructor(include_top=False, weights="imagenet", input_shape=(224, 224, 3))
    except Exception as error:  # keras.utils.get_file raises a bare Exception when a download fails
        message = f"the ImageNet weights of {name} could not be downloaded ({str(error)[:80]}); use {others}"
        raise UserError(message) from error


def _tap(base, tap: str | None, image):
    if tap is None:
        x = layers.Rescaling(1 / 127.5, offset=-1.0, dtype="float32", name="tap1_scale")(image)
        return conv_norm_relu(x, 32, strides=2, name="tap1")
    if tap.startswith("add:"):  # `a + b` on keras tensors makes an operation whose name counts up through the process
        additions = [operation for operation in base.operations if type(operation).__name__ == "Add"]
        return additions[int(tap.removeprefix("add:"))].output
    return base.get_layer(tap).output
