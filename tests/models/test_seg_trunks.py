"""Segmentation networks of their own trunk: FCN, SegNet, U-Net and FRRN against the papers' arithmetic."""

import importlib

import keras
import numpy as np
import pytest
from keras import ops

from kzoo import UserError
from kzoo.models.fcn8s import fcn8s
from kzoo.models.fcn16s import fcn16s
from kzoo.models.fcn32s import fcn32s
from kzoo.models.frrn_a import frrn_a
from kzoo.models.frrn_b import frrn_b
from kzoo.models.segnet import segnet
from kzoo.models.unet2015 import _valid_sides, unet2015
from kzoo.nn.initializers import Bilinear
from kzoo.nn.upsampling import max_unpool

FCN = {"encoder": "small", "fc_width": 16}
TINY = [
    (fcn32s, FCN),
    (fcn16s, FCN),
    (fcn8s, FCN),
    (segnet, {"width": 4, "dropout": 0.5}),
    (unet2015, {"width": 4, "depth": 2}),
    (unet2015, {"width": 4, "depth": 2, "padding": "valid", "norm": "batch"}),
    (frrn_a, {"width": 4, "lanes": 2}),
    (frrn_b, {"width": 4, "lanes": 2, "norm": "group"}),
]
VGG16_PAIRS = [(3, 64), (64, 64), (64, 128), (128, 128), (128, 256), (256, 256), (256, 256), (256, 512)] + 5 * [
    (512, 512)
]


@pytest.fixture(autouse=True)
def seeded():
    keras.utils.set_random_seed(0)


def picture(height, width, batch=1):
    return np.random.default_rng(0).integers(0, 256, (batch, height, width, 3), dtype="uint8")


def between(model, *names):
    """Function from a picture to the outputs of layers, as NumPy."""
    cut = keras.Model(model.input, [model.get_layer(name).output for name in names])
    return lambda image: [ops.convert_to_numpy(value) for value in cut(image, training=False)]


def tents(size, factor):
    """(size * factor, size) weights of linear interpolation between cell centres, 0 beyond the border."""
    places = (np.arange(size * factor) + 0.5) / factor - 0.5
    return np.maximum(0, 1 - np.abs(places[:, None] - np.arange(size)))


def enlarged(x, factor):
    """Bilinear in NumPy: (B, h, w, C) -> (B, h * factor, w * factor, C)."""
    return np.einsum("yh,xw,bhwc->byxc", tents(x.shape[1], factor), tents(x.shape[2], factor), x)


@pytest.mark.parametrize(("function", "options"), TINY)
def test_answers_a_picture_that_is_not_square(function, options):
    model = function((64, 96, 3), 5, **options)
    assert model.name == function.__name__ and model.output_names == ["logits"] and model.outputs[0].dtype == "float32"
    logits = ops.convert_to_numpy(model(picture(64, 96))["logits"])
    assert logits.shape == (1, 64, 96, 5) and np.isfinite(logits).all() and logits.std() > 0


@pytest.mark.parametrize(
    ("function", "size", "options", "message"),
    [
        (segnet, (48, 64), {"width": 4}, "multiples of 32, got 48x64"),
        (unet2015, (64, 40), {"width": 4}, "multiples of 16, got 64x40"),
        (unet2015, (64, 64), {"padding": "full"}, "same or valid, got 'full'"),
        (unet2015, (64, 64), {"depth": 0}, "depth must be 1 or more, got 0"),
        (frrn_a, (64, 40), {"width": 4}, "multiple of 16, got 64x40"),
        (frrn_b, (48, 64), {"width": 4}, "multiple of 32, got 48x64"),
        (fcn8s, (64, 64), {**FCN, "upsampling_trainable": "last"}, "none, inner, all, got 'last'"),
        (fcn8s, (64, 40), FCN, "multiple of 32"),
    ],
)
def test_names_what_cannot_be_built(function, size, options, message):
    with pytest.raises((ValueError, UserError), match=message):
        function((*size, 3), 2, **options)


@pytest.mark.parametrize(
    ("taps", "weights"), [(4, [0.25, 0.75, 0.75, 0.25]), (3, [0.5, 1, 0.5]), (5, [1 / 3, 2 / 3, 1, 2 / 3, 1 / 3])]
)
def test_bilinear_kernel(taps, weights):
    kernel = ops.convert_to_numpy(Bilinear()((taps, taps, 2, 2)))
    np.testing.assert_allclose(kernel[:, :, 0, 0], np.outer(weights, weights), rtol=1e-6)
    np.testing.assert_array_equal(kernel[:, :, 1, 1], kernel[:, :, 0, 0])
    assert not kernel[:, :, 0, 1].any() and not kernel[:, :, 1, 0].any()


@pytest.mark.parametrize("factor", [2, 8, 32])
def test_bilinear_kernel_interpolates(factor):
    """As the formula in NumPy everywhere; a linear ramp stays one away from the border."""
    layer = keras.layers.Conv2DTranspose(
        2, 2 * factor, strides=factor, padding="same", use_bias=False, kernel_initializer=Bilinear(), dtype="float32"
    )
    noise = np.random.default_rng(0).normal(size=(2, 3, 5, 2)).astype("float32")
    np.testing.assert_allclose(ops.convert_to_numpy(layer(noise)), enlarged(noise, factor), atol=1e-5)
    rows, columns = np.mgrid[:3, :5].astype("float32")
    ramp = np.broadcast_to((2 * rows - 3 * columns + 1)[None, :, :, None], (1, 3, 5, 2))
    fine_rows, fine_columns = ((np.arange(cells * factor) + 0.5) / factor - 0.5 for cells in (3, 5))
    expected = 2 * fine_rows[:, None] - 3 * fine_columns + 1
    inner = slice(factor // 2, -(factor // 2))
    np.testing.assert_allclose(ops.convert_to_numpy(layer(ramp))[0, inner, inner, 1], expected[inner, inner], atol=1e-4)


def test_bilinear_kernel_needs_as_many_channels_out_as_in():
    with pytest.raises(ValueError, match=r"\(4, 4, 2, 3\)"):
        Bilinear()((4, 4, 2, 3))


@pytest.mark.parametrize(("function", "factors"), [(fcn32s, (32,)), (fcn16s, (2, 16)), (fcn8s, (2, 2, 8))])
def test_fcn_starts_as_its_deepest_scores_enlarged(function, factors):
    """The skips' scores are 0 at first, and count once they are not."""
    model = function((64, 96, 3), 5, **FCN)
    run = between(model, "score", "logits")
    score, logits = run(picture(64, 96))
    expected = score
    for factor in factors:
        expected = enlarged(expected, factor)
    assert score.shape == (1, 2, 3, 5) and score.std() > 0
    np.testing.assert_allclose(logits, expected, atol=1e-4 * np.abs(score).max())
    for name in ("pool4_score", "pool3_score")[: len(factors) - 1]:
        before = run(picture(64, 96))[1]
        model.get_layer(name).bias.assign([1.0, 0, 0, 0, 0])
        difference = run(picture(64, 96))[1] - before
        assert np.abs(difference[0, 16:-16, 16:-16, 0] - 1).max() < 1e-3 and np.abs(difference[..., 1:]).max() < 1e-4


@pytest.mark.parametrize(
    ("learnt", "expected"),
    [
        ("inner", {"pool4_upsample": True, "pool3_upsample": True, "upsample8": False}),
        ("all", {"pool4_upsample": True, "pool3_upsample": True, "upsample8": True}),
        ("none", {"pool4_upsample": False, "pool3_upsample": False, "upsample8": False}),
    ],
)
def test_fcn_learns_the_upsampling_that_was_asked_for(learnt, expected):
    model = fcn8s((64, 64, 3), 2, upsampling_trainable=learnt, **FCN)
    learning = {variable.path for variable in model.trainable_variables}
    assert {name: f"{name}/kernel" in learning for name in expected} == expected


def test_fcn8s_on_vgg16():
    """14,714,688 parameters of VGG16 without top, fc6, fc7, three scorings, three transposed convolutions; pool3 and
    pool4 are scored."""
    model = fcn8s((64, 64, 3), 5, fc_width=8)
    classifier = 49 * 512 * 8 + 8 + 8 * 8 + 8 + 8 * 5 + 5
    assert model.count_params() == 14_714_688 + classifier + (512 + 1) * 5 + (256 + 1) * 5 + (2 * 4**2 + 16**2) * 5**2
    for name, source in (("pool3_score", "block3_pool"), ("pool4_score", "block4_pool"), ("fc6_conv", "block5_pool")):
        assert model.get_layer(name).input is model.get_layer(source).output


def test_segnet_parameter_count():
    """13 convolutions down, 12 up with the filters of the released network, BatchNorm after each (4 numbers a filter),
    3x3 scores."""
    up = [(512, 512)] * 5 + [(512, 256), (256, 256), (256, 256), (256, 128), (128, 128), (128, 64), (64, 64)]
    convolutions = sum(9 * k_in * k_out + 4 * k_out for k_in, k_out in VGG16_PAIRS + up)
    model = segnet((32, 32, 3), 11)
    assert model.count_params() == convolutions + 9 * 64 * 11 + 11
    assert sum(isinstance(layer, keras.layers.BatchNormalization) for layer in model.layers) == 25


def windows(x):
    """The 2x2 windows of the first map: (1, H, W, K) -> (H/2, W/2, 4, K)."""
    _, height, width, channels = x.shape
    x = ops.convert_to_numpy(x).reshape(height // 2, 2, width // 2, 2, channels)
    return np.swapaxes(x, 1, 2).reshape(height // 2, width // 2, 4, channels)


def test_segnet_unpools_where_it_pooled(monkeypatch):
    """At every size, each 2x2 window of the unpooled map is 0 but where the encoder's map of that size has its
    maximum."""
    unpooled = {}

    def spy(x, switches, *, name):
        unpooled[name] = max_unpool(x, switches, name=name)
        return unpooled[name]

    monkeypatch.setattr(importlib.import_module("kzoo.models.segnet"), "max_unpool", spy)
    model = segnet((64, 96, 3), 2, width=4)
    for stage, steps in enumerate((2, 2, 3, 3, 3), start=1):
        outputs = [model.get_layer(f"down{stage}_{steps}_relu").output, unpooled[f"unpool{stage}"]]
        encoded, sparse = (windows(x) for x in keras.Model(model.input, outputs)(picture(64, 96), training=False))
        assert np.count_nonzero(sparse, axis=2).max() == 1
        assert (encoded == encoded.max(axis=2, keepdims=True))[sparse != 0].all()


def test_unet_parameter_count():
    """31.03 M as in fig. 1, with biases and two classes."""
    widths = (64, 128, 256, 512, 1024)
    down = [(3, 64), (64, 64)] + [pair for w in widths[1:] for pair in ((w // 2, w), (w, w))]
    up = [pair for w in widths[:-1] for pair in ((2 * w, w), (w, w))]
    expected = (
        sum(9 * k_in * k_out + k_out for k_in, k_out in down + up)
        + sum(4 * 2 * w * w + w for w in widths[:-1])
        + 64 * 2
        + 2
    )
    assert unet2015((32, 32, 3), 2).count_params() == expected and round(expected / 1e6, 2) == 31.03


@pytest.mark.parametrize(
    ("side", "depth", "expected"), [(388, 4, (572, 388)), (389, 4, (588, 404)), (4, 4, (188, 4)), (32, 1, (48, 32))]
)
def test_valid_unet_arithmetic(side, depth, expected):
    """572 -> 388 in fig. 1; otherwise the next size that halves evenly on all levels, walked through here."""
    assert _valid_sides(side, depth) == expected
    cells = expected[0]
    for _ in range(depth):
        assert (cells - 4) % 2 == 0
        cells = (cells - 4) // 2
    cells -= 4
    for _ in range(depth):
        cells = 2 * cells - 4
    assert cells == expected[1] >= side


@pytest.mark.parametrize("size", [(32, 32), (37, 50), (8, 100), (5, 7)])
def test_valid_unet_answers_every_size(size):
    model = unet2015((*size, 3), 2, width=2, depth=3, padding="valid")
    assert model.outputs[0].shape == (None, *size, 2)


def test_valid_unet_mirrors_the_picture():
    """As NumPy's symmetric padding, however often the picture has to be repeated."""
    model = unet2015((9, 40, 3), 2, width=2, depth=3, padding="valid")
    seen = keras.Model(model.input, model.get_layer("down0_a_conv").input)(picture(9, 40))
    margins = [
        ((side - inner) // 2, side - inner - (side - inner) // 2)
        for side, inner in zip(seen.shape[1:3], (9, 40), strict=True)
    ]
    expected = np.pad(picture(9, 40) / np.float32(255), ((0, 0), *margins, (0, 0)), mode="symmetric")
    np.testing.assert_allclose(ops.convert_to_numpy(seen), expected, atol=1e-6)


def test_valid_and_same_unet_agree_in_the_middle():
    """The same weights answer the same where no border is within reach (9 px at depth 1): crops and mirroring are
    centred."""
    valid, same = (unet2015((32, 32, 3), 2, width=4, depth=1, padding=padding) for padding in ("valid", "same"))
    same.set_weights(valid.get_weights())
    answers = [ops.convert_to_numpy(model(picture(32, 32), training=False)["logits"]) for model in (valid, same)]
    np.testing.assert_allclose(answers[0][:, 10:-10, 10:-10], answers[1][:, 10:-10, 10:-10], atol=1e-5)
    assert np.abs(answers[0] - answers[1])[:, :2].max() > 1e-3


FIRST, LAST = [(4, 8), (8, 8), (8, 8), (8, 16), *3 * [(16, 16)]], [(16, 8), (8, 8)]  # stages that FRRN A and B share
UNITS_A = [*FIRST, (16, 32), *3 * [(32, 32)], (32, 16), *3 * [(16, 16)], *LAST]
UNITS_B = [*FIRST, (16, 32), *5 * [(32, 32)], (32, 16), *5 * [(16, 16)], *LAST]


@pytest.mark.parametrize(("function", "units"), [(frrn_a, UNITS_A), (frrn_b, UNITS_B)])
def test_frrn_parameter_count(function, units):
    """Width 4, lanes 2, 3 classes: table 1 in numbers; each FRRU reads the lanes too and writes to them by a 1x1 with
    bias."""

    def conv(k_in, k_out, kernel=3):
        return kernel**2 * k_in * k_out + 4 * k_out

    frrus = sum(conv(k_in + 2, k_out) + conv(k_out, k_out) + 2 * k_out + 2 for k_in, k_out in units)
    before = conv(3, 4, 5) + 6 * conv(4, 4) + conv(4, 2, 1)
    after = conv(8 + 2, 4) + 4 * (8 + 2) + 5 * conv(4, 4) + 4 * 3 + 3
    assert function((32, 32, 3), 3, width=4, lanes=2).count_params() == before + frrus + after


@pytest.mark.parametrize("function", [frrn_a, frrn_b])
def test_frrn_lane_is_the_sum_of_what_the_units_add(function):
    """Identity path from the split to the join at the full size: without the units' 1x1 convolutions nothing changes on
    it."""
    model = function((32, 64, 3), 2, width=4, lanes=2)
    residuals = [layer for layer in model.layers if layer.name.endswith("_residual")]
    start, end = between(model, "lane_bn", "up1_2_lane")(picture(32, 64))
    assert start.shape == end.shape == (1, 32, 64, 2) and np.abs(end - start).max() > 1e-3
    for layer in residuals:
        layer.kernel.assign(ops.zeros_like(layer.kernel))
    for layer in residuals[:3]:
        layer.bias.assign([1.0, -2.0])
    start, end = between(model, "lane_bn", "up1_2_lane")(picture(32, 64))
    np.testing.assert_allclose(end, start + [3.0, -6.0], atol=1e-5)
