"""Dilated encoders and the segmentation networks that stand on an encoder: fpn, deeplabv3, deeplabv3plus,
resnet34_unet."""

import keras
import numpy as np
import pytest

from kzoo import UserError
from kzoo.models.deeplabv3 import deeplabv3
from kzoo.models.deeplabv3plus import deeplabv3plus
from kzoo.models.fpn import fpn
from kzoo.models.resnet34_unet import resnet34_unet
from kzoo.nn.atrous import aspp, rates_at
from kzoo.nn.encoders import ENCODERS, encode

SHAPE = (64, 96, 3)
TINY = {
    fpn: {"width": 32, "branch_width": 32},
    deeplabv3: {"width": 32, "rates": (1, 2, 3)},
    deeplabv3plus: {"width": 32, "low_width": 12, "rates": (1, 2, 3)},
    resnet34_unet: {"widths": (32, 24, 16, 16, 16)},  # ends at full size
}


def features(name: str, weights: str = "none", **options) -> keras.Model:
    image = keras.Input(SHAPE, dtype="uint8", name="image")
    return keras.Model(image, encode(image, name, weights, **options))


def save_weights(name: str, path) -> str:
    """A file of weights of the plain encoder, random in everything, scaled so that signals neither vanish nor grow."""
    base, rng = ENCODERS[name].build(keras.Input(SHAPE)), np.random.default_rng(0)
    for weight in base.weights:
        if weight.path.endswith("kernel"):
            inputs = np.prod(weight.shape[:2] if weight.shape[-1] == 1 else weight.shape[:-1])  # depthwise or not
            weight.assign(rng.normal(0, np.sqrt(2 / inputs), weight.shape))
        elif weight.path.endswith(("gamma", "moving_variance")):
            weight.assign(rng.uniform(0.5, 1.5, weight.shape))
        else:
            weight.assign(rng.normal(0, 0.2, weight.shape))
    base.save_weights(path)
    return str(path)


@pytest.mark.parametrize(
    (
        "name",
        "output_stride",
        "phases",
    ),  # where the plain maps at strides 16 and 32 start in the denser ones; None: nowhere
    [
        *[
            ("small", 16, (0, 1)),
            ("small", 8, (1, 3)),
            ("mobilenetv2", 8, (1, 3)),
            ("vgg16", 8, (0, None)),
            ("resnet50", 8, (0, 0)),
        ],
        ("resnet18_torch", 8, (0, 0)),
        ("mobilenetv2_torch", 16, (0, 0)),
        *[pytest.param(f"{name}_torch", 8, (0, 0), marks=pytest.mark.slow) for name in ("resnet50", "mobilenetv2")],
        *[pytest.param(f"{name}_torch", 16, (0, 0), marks=pytest.mark.slow) for name in ("resnet50", "vgg16")],
        pytest.param("vgg16_torch", 8, (0, None), marks=pytest.mark.slow),
    ],
)
def test_dilated_encoder_is_the_plain_one_at_more_places(name, output_stride, phases, tmp_path):
    """A file of plain weights loads; weights keep names and shapes; every 2nd or 4th cell of the denser maps is the
    plain map."""
    weights = save_weights(name, tmp_path / "plain.weights.h5")
    image = np.random.default_rng(1).integers(0, 256, (1, *SHAPE), dtype="uint8")
    plain, dilated = (features(name, weights, output_stride=stride) for stride in (32, output_stride))
    assert [(weight.path, weight.shape) for weight in dilated.weights] == [
        (weight.path, weight.shape) for weight in plain.weights
    ]
    expected, got = (
        [keras.ops.convert_to_numpy(x) for x in model(image, training=False)] for model in (plain, dilated)
    )
    assert [SHAPE[0] // x.shape[1] for x in got] == [min(stride, output_stride) for stride in (2, 4, 8, 16, 32)]
    for a, b in zip(expected[:3], got[:3], strict=True):
        np.testing.assert_array_equal(a, b)
    for a, b, phase in zip(expected[3:], got[3:], phases, strict=True):
        step = b.shape[1] // a.shape[1]
        error = [np.abs(b[:, start::step, start::step] - a).max() / np.abs(a).max() for start in range(step)]
        assert [e < 1e-5 for e in error] == [start == phase for start in range(step)], error


@pytest.mark.parametrize("name", ["resnet18", "efficientnetv2b0", "convnext_tiny"])
def test_output_stride(name):
    maps = features(name, output_stride=8).outputs
    for axis in (1, 2):
        assert [SHAPE[axis - 1] // x.shape[axis] for x in maps] == [2, 4, 8, 8, 8]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"output_stride": 4}, "output_stride must be one of 8, 16, 32, got 4"),
        ({"output_stride": "16"}, "got '16'"),
        ({"multi_grid": (1, 2, 4)}, "multi_grid of small must hold 0 factors"),
        ({"encoder": "resnet50", "multi_grid": (1, 2)}, "multi_grid of resnet50 must hold 3 factors"),
    ],
)
@pytest.mark.parametrize("arch", [deeplabv3, deeplabv3plus])
def test_a_dilation_that_is_not_possible_is_one_clear_line(arch, options, message):
    with pytest.raises(UserError, match=message):
        arch(SHAPE, 7, **{"encoder": "small", **options})


@pytest.mark.parametrize(
    ("output_stride", "grid", "conv4", "conv5", "pyramid"),
    [
        (16, None, 1, [2, 4, 8], [6, 12, 18]),
        (8, None, 2, [4, 8, 16], [12, 24, 36]),
        (32, (1, 2, 3), 1, [1, 2, 3], [3, 6, 9]),
    ],
)
def test_rates_of_deeplab_on_resnet50(output_stride, grid, conv4, conv5, pyramid):
    """Chen et al. 2017, table 5: the rates of the units are the multi-grid times the dilation; the pyramid's are
    doubled at 8."""
    model = deeplabv3(SHAPE, 7, output_stride=output_stride, multi_grid=grid, width=8)

    def rate(layer):
        return model.get_layer(layer).dilation_rate[0]

    # The first unit of a stage reads what its own lost stride has not yet thinned out, but its 3x3 stands behind that
    # stride.
    assert [rate(f"conv4_block{unit}_2_conv") for unit in range(1, 7)] == [conv4] * 6
    assert [rate(f"conv5_block{unit}_2_conv") for unit in (1, 2, 3)] == conv5
    assert [rate(f"aspp_rate{r}_conv") for r in pyramid] == pyramid
    assert list(rates_at((6, 12, 18), output_stride)) == pyramid


@pytest.mark.slow
@pytest.mark.parametrize(
    ("output_stride", "grid", "rates"), [(32, None, [1, 2, 4]), (16, None, [1, 4, 8]), (16, (2, 2, 2), [2, 4, 4])]
)
def test_rates_of_deeplab_on_resnet50_of_pytorch(output_stride, grid, rates):
    """Its first unit has the stride in the 3x3, which therefore reads what no lost stride has thinned out."""
    model = deeplabv3(SHAPE, 7, encoder="resnet50_torch", output_stride=output_stride, multi_grid=grid, width=8)
    units = [model.get_layer(f"conv5_block{unit}_2_conv") for unit in (1, 2, 3)]
    assert [unit.dilation_rate[0] for unit in units] == rates and SHAPE[0] // units[-1].output.shape[1] == output_stride
    with pytest.raises(UserError, match="multi_grid of resnet50_torch must start with 1 at output_stride 32"):
        deeplabv3(SHAPE, 7, encoder="resnet50_torch", output_stride=32, multi_grid=(2, 2, 2))


def test_aspp_against_numpy():
    """All five branches, the concatenation and the projection by hand: relu(W x + b), the dilated ones as nine shifted
    sums."""
    keras.utils.set_random_seed(0)
    x = keras.Input((9, 7, 3))
    model = keras.Model(x, aspp(x, 4, (2, 5), norm="none", bias=0.1))
    value = np.random.default_rng(0).normal(size=(2, 9, 7, 3)).astype("float32")
    kernels = {layer.name: layer.get_weights()[0] for layer in model.layers if isinstance(layer, keras.layers.Conv2D)}

    def relu(maps):
        return np.maximum(maps + 0.1, 0)

    def dilated(rate):
        padded, total = np.pad(value, ((0, 0), (rate, rate), (rate, rate), (0, 0))), 0
        for i in range(3):
            for j in range(3):
                total = (
                    total
                    + padded[:, i * rate : i * rate + 9, j * rate : j * rate + 7]
                    @ kernels[f"aspp_rate{rate}_conv"][i, j]
                )
        return relu(total)

    image = relu(value.mean((1, 2), keepdims=True) @ kernels["aspp_image_conv"][0, 0])
    branches = [
        relu(value @ kernels["aspp_1x1_conv"][0, 0]),
        dilated(2),
        dilated(5),
        np.broadcast_to(image, (2, 9, 7, 4)),
    ]
    expected = relu(np.concatenate(branches, -1) @ kernels["aspp_project_conv"][0, 0])
    np.testing.assert_allclose(model.predict_on_batch(value), expected, atol=1e-5)


def upward(inputs: int, skip: int, width: int) -> int:
    """Weights of a bilinear step: 3x3, BatchNorm, concatenation, 3x3, BatchNorm."""
    return 9 * inputs * width + 9 * (width + skip) * width + 2 * 4 * width


PYRAMID = (
    (1 + 27 + 1) * 128 * 256 + 5 * 256 * 256 + 6 * 4 * 256
)  # 1x1, three 3x3, the mean's 1x1, the projection, six BatchNorms


@pytest.mark.parametrize(
    ("arch", "parameters"),
    [
        # Laterals and pyramid with biases; one 3x3 at strides 4 and 8, two at 16, three at 32, each with its GroupNorm;
        # the score.
        (
            fpn,
            (32 + 64 + 96 + 128 + 4) * 256
            + 4 * (9 * 256 + 1) * 256
            + (4 * 9 * 256 + 3 * 9 * 128) * 128
            + 7 * 2 * 128
            + 129 * 7,
        ),
        (deeplabv3, PYRAMID + 257 * 7),
        # And the 1x1 on stride 4, two 3x3, their BatchNorms.
        (deeplabv3plus, PYRAMID + 257 * 7 + (32 + 4) * 48 + 9 * (256 + 48) * 256 + 9 * 256 * 256 + 2 * 4 * 256),
        (
            resnet34_unet,
            upward(128, 96, 256)
            + upward(256, 64, 128)
            + upward(128, 32, 64)
            + upward(64, 16, 32)
            + upward(32, 0, 16)
            + 17 * 7,
        ),
    ],
)
def test_parameters_at_full_width(arch, parameters):
    """Beside those of the encoder `small`, whose maps have 16, 32, 64, 96 and 128 channels: by hand."""
    encoder = ENCODERS["small"].build(keras.Input(SHAPE)).count_params()
    assert arch(SHAPE, 7, encoder="small").count_params() == encoder + parameters


@pytest.mark.parametrize("arch", TINY)
def test_answers_at_the_size_of_a_picture_that_is_not_square(arch):
    model = arch(SHAPE, 7, encoder="small", scaling={"matrix": np.eye(3) / 255, "offset": np.zeros(3)}, **TINY[arch])
    assert model.name == arch.__name__ and model.inputs[0].dtype == "uint8" and model.output_names == ["logits"]
    logits = model.predict_on_batch(np.zeros((1, *SHAPE), "uint8"))["logits"]
    assert logits.shape == (1, 64, 96, 7) and logits.dtype == "float32"


@pytest.mark.parametrize("widths", [(), (8,) * 6])
def test_resnet34_unet_has_one_to_five_steps(widths):
    assert resnet34_unet(SHAPE, 7, encoder="small", widths=(8, 8)).output_names == ["logits"]
    with pytest.raises(ValueError, match="widths must hold 1 to 5 numbers"):
        resnet34_unet(SHAPE, 7, encoder="small", widths=widths)


def test_fpn_brings_every_level_to_stride_4():
    """Kirillov et al. 2019, fig. 3: one 3x3 and one doubling per octave, one 3x3 alone at stride 4."""
    model = fpn(SHAPE, 7, encoder="small", **TINY[fpn])
    sizes = {layer.name: layer.output.shape[1] for layer in model.layers if layer.name.startswith("branch")}
    assert {name: 64 // size for name, size in sizes.items() if name.endswith("_relu")} == {
        **{"branch2_0_relu": 4, "branch3_0_relu": 8, "branch4_0_relu": 16, "branch4_1_relu": 8},
        **{"branch5_0_relu": 32, "branch5_1_relu": 16, "branch5_2_relu": 8},
    }
    assert {name for name, size in sizes.items() if name.endswith("_up") and size == 16} == {
        "branch3_0_up",
        "branch4_1_up",
        "branch5_2_up",
    }


def test_default_encoder_of_resnet34_unet_has_resnet34s_parameters():
    """He et al. 2016, table 1: 3, 4, 6 and 3 blocks of two 3x3 convolutions at 64, 128, 256 and 512, each with
    BatchNorm, and no biases."""
    blocks, inputs, count = {64: 3, 128: 4, 256: 6, 512: 3}, 64, 7 * 7 * 3 * 64 + 4 * 64
    for width, repeats in blocks.items():
        if width != inputs:
            count += inputs * width + 4 * width  # 1x1 of the shortcut
        count += 9 * inputs * width + (2 * repeats - 1) * 9 * width * width + 2 * repeats * 4 * width
        inputs = width
    decoder = (
        upward(512, 256, 256)
        + upward(256, 128, 128)
        + upward(128, 64, 64)
        + upward(64, 64, 32)
        + upward(32, 0, 16)
        + 17 * 7
    )
    assert resnet34_unet(SHAPE, 7).count_params() == count + decoder
