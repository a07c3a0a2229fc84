"""Networks of camera localisation: their contract, parameters counted by hand, learned weights, labels as input, and
learning."""

import keras
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from kzoo.losses.loc import PoseLoss, SemanticsLoss
from kzoo.models.dual_input import COLOURS, LabelPicture, dual_input
from kzoo.models.mapnet import mapnet
from kzoo.models.multitask import multitask
from kzoo.models.posenet import posenet
from kzoo.nn import googlenet

SMALL = {"encoder": "small", "features": 32}
NETWORKS = {  # name of the case -> function, options, input shape, outputs without the batch
    "posenet": (posenet, SMALL, (32, 64, 3), {}),
    "posenet googlenet": (posenet, {"width": 0.1, "features": 32}, (33, 70, 3), {"aux_pose": (2, 7)}),
    "mapnet": (mapnet, SMALL, (32, 64, 3), {"pose_terms": (10,)}),
    "mapnet window": (mapnet, SMALL, (3, 32, 64, 3), {"pose_terms": (3, 10)}),
    "dual_input separate": (dual_input, SMALL, (32, 64, 3), {"pose_terms": (10,)}),
    "dual_input shared": (dual_input, {**SMALL, "variant": "shared"}, (32, 64, 3), {"pose_terms": (10,)}),
    "dual_input fourth_channel": (
        dual_input,
        {**SMALL, "variant": "fourth_channel"},
        (32, 64, 3),
        {"pose_terms": (10,)},
    ),
    "multitask": (
        *(multitask, {**SMALL, "classes": 5, "widths": (16, 16, 8)}, (32, 64, 3)),
        {"pose_terms": (10,), "logits": (32, 64, 5), "logits_terms": (32, 64, 6)},
    ),
}
FOR_TRAINING = {"pose_terms", "aux_pose", "logits_terms"}


def build(name: str, **more):
    function, options, shape, _ = NETWORKS[name]
    keras.utils.set_random_seed(0)
    return function(shape, 7, **{**options, **more})


def pictures(model, count: int = 2, seed: int = 0):
    """Random pictures, or windows, and where the network wants them random labels, as it takes them."""
    rng = np.random.default_rng(seed)
    x = {given.name: rng.integers(0, 256, (count, *given.shape[1:]), dtype="uint8") for given in model.inputs}
    return x if len(x) > 1 else next(iter(x.values()))


def poses(count: int, frames: tuple = (), seed: int = 0):
    """(count, *frames, 7) float32: positions around (3, -20, 1.5) m, any rotation with w >= 0."""
    rng = np.random.default_rng(seed)
    number = int(np.prod((count, *frames)))
    q = Rotation.random(number, rng=rng).as_quat(canonical=True)[:, [3, 0, 1, 2]]  # w first, w >= 0
    return np.hstack([rng.normal((3, -20, 1.5), 0.7, (number, 3)), q]).astype("float32").reshape(count, *frames, 7)


@pytest.fixture
def policy():
    yield keras.config.set_dtype_policy
    keras.config.set_dtype_policy("float32")


@pytest.mark.parametrize("name", NETWORKS)
def test_contract(name, policy):
    """uint8 in; float32 positions and unit quaternions with w >= 0 out whatever the policy, for pictures that are not
    square."""
    function, _, shape, extra = NETWORKS[name]
    policy("mixed_bfloat16")
    model = build(name)
    policy("float32")
    frames = shape[:-3]
    expected = {"position": (*frames, 3), "rotation": (*frames, 4), **extra}
    assert model.name == function.__name__ and set(model.output_names) == set(expected)
    assert {given.dtype for given in model.inputs} == {"uint8"}
    assert [given.name for given in model.inputs] == (
        ["image", "mask"] if function is dual_input else ["frames" if frames else "image"]
    )
    assert any(layer.compute_dtype == "bfloat16" for layer in model.layers)
    answers = model.predict_on_batch(pictures(model))
    for output, dimensions in expected.items():
        assert model.output[output].shape == (None, *dimensions) and model.output[output].dtype == "float32"
        assert answers[output].dtype == np.float32 and np.isfinite(answers[output]).all(), output
    quaternions = [answers["rotation"], *([answers["aux_pose"][..., 3:]] if "aux_pose" in answers else [])]
    for q in quaternions:
        np.testing.assert_allclose(np.linalg.norm(q, axis=-1), 1, atol=1e-6)
        assert (q[..., 0] >= 0).all()


@pytest.mark.parametrize("name", ["posenet", "mapnet"])
def test_position_starts_around_the_centre_and_rotation_has_w_not_negative(name):
    model = build(name, centre=(3.0, -20.0, 1.5), spread=0.5, pool="flatten")
    dense = model.get_layer("pose_rotation_dense")
    x = pictures(model, 16)
    whole = keras.Model(
        model.input, {**model.output, "raw": [model.get_layer("pose_position_dense").output, dense.output]}
    )
    start = whole.predict_on_batch(x)["raw"][1].std()
    dense.set_weights(
        [3 / start * weight for weight in dense.get_weights()]
    )  # far from the identity, with w of both signs
    answers = whole.predict_on_batch(x)
    raw = answers["raw"]
    np.testing.assert_allclose(answers["position"], np.array([3, -20, 1.5]) + 0.5 * raw[0], rtol=1e-5)
    if name == "posenet":
        q = raw[1] + [1, 0, 0, 0]
        expected = Rotation.from_quat(q[:, [1, 2, 3, 0]])
    else:
        np.testing.assert_allclose(answers["pose_terms"][:, 3:6], raw[1], rtol=1e-5)
        np.testing.assert_allclose(answers["pose_terms"][:, :3], answers["position"], rtol=1e-5)
        expected = Rotation.from_rotvec(2.0 * raw[1].astype("float64"))
        q = np.cos(np.linalg.norm(raw[1], axis=-1, keepdims=True))
    assert (q[:, 0] < 0).any() and (q[:, 0] > 0).any()
    np.testing.assert_allclose(answers["rotation"], expected.as_quat(canonical=True)[:, [3, 0, 1, 2]], atol=2e-5)


# Parameters

# Szegedy et al. 2015, table 1: maps in, 1x1, 3x3 reduce, 3x3, 5x5 reduce, 5x5, pool proj, maps out.
TABLE = """
192  64  96 128 16  32  32  256
256 128 128 192 32  96  64  480
480 192  96 208 16  48  64  512
512 160 112 224 24  64  64  512
512 128 128 256 24  64  64  512
512 112 144 288 32  64  64  528
528 256 160 320 32 128 128  832
832 256 160 320 32 128 128  832
832 384 192 384 48 128 128 1024
"""


def convolution(kernel: int, inputs: int, filters: int, norm: str) -> int:
    """With a bias, or with batch normalisation's four numbers a filter."""
    return kernel**2 * inputs * filters + filters * (4 if norm == "batch" else 1)


def trunk(norm: str) -> int:
    total = sum(convolution(*sizes, norm) for sizes in ((7, 3, 64), (1, 64, 64), (3, 64, 192)))
    for line in TABLE.split("\n")[1:-1]:
        inputs, one, reduce3, three, reduce5, five, projection, outputs = map(int, line.split())
        assert one + three + five + projection == outputs
        ways = ((1, inputs, one), (1, inputs, reduce3), (3, reduce3, three), (1, inputs, reduce5), (5, reduce5, five))
        total += sum(convolution(*sizes, norm) for sizes in (*ways, (1, inputs, projection)))
    return total


def dense(inputs: int, units: int) -> int:
    return inputs * units + units


def test_the_classifier_of_table_1_would_have_seven_million():
    assert trunk("none") + dense(1024, 1000) == 6_998_552  # of the published network


@pytest.mark.parametrize("norm", ["none", "batch"])
def test_parameters_of_posenet(norm):
    heads = dense(1024, 2048) + dense(2048, 7)
    auxiliary = sum(convolution(1, maps, 128, norm) + dense(4 * 4 * 128, 1024) + dense(1024, 7) for maps in (512, 528))
    model = posenet((224, 224, 3), 7, norm=norm)
    assert model.count_params() == trunk(norm) + heads + auxiliary
    served = keras.Model(model.input, {name: model.output[name] for name in ("position", "rotation")})
    assert served.count_params() == trunk(norm) + heads
    sides = {
        "conv1_relu": 112,
        "conv2_relu": 56,
        "inception3b": 28,
        "inception4e": 14,
        "inception5b": 7,
        "aux1_pool": 4,
        "aux2_pool": 4,
    }
    assert {name: model.get_layer(name).output.shape[1] for name in sides} == sides
    rates = {"regressor_dropout": 0.5, "aux1_regressor_dropout": 0.7, "aux2_regressor_dropout": 0.7}
    assert {name: model.get_layer(name).rate for name in rates} == rates


def test_googlenet_taps_and_width():
    image = keras.Input((64, 96, 3), dtype="uint8")
    maps = googlenet.googlenet(image, width=0.5)
    assert {name: tuple(x.shape[1:]) for name, x in maps.items()} == {
        "4a": (4, 6, 256),
        "4d": (4, 6, 264),
        "5b": (2, 3, 512),
    }


def encoder_parameters() -> int:
    """Of the encoder `small`: three 3x3 convolutions with batch normalisation at each stride."""
    widths = (3, 16, 32, 64, 96, 128)
    return sum(
        convolution(3, k, w, "batch") + 2 * convolution(3, w, w, "batch")
        for k, w in zip(widths, widths[1:], strict=False)
    )


HEADS = dense(32, 3) + dense(32, 3) + 4  # position, logarithm, learned weights
COUNTS = {  # name -> more options, parameters
    "mapnet": ({}, encoder_parameters() + dense(128, 32) + HEADS),
    "mapnet window": ({"pool": "flatten"}, encoder_parameters() + dense(2 * 128, 32) + HEADS),
    "dual_input separate": ({}, 2 * encoder_parameters() + dense(2 * 128, 32) + HEADS),
    "dual_input shared": ({}, encoder_parameters() + dense(2 * 128, 32) + HEADS),
    "dual_input fourth_channel": ({}, encoder_parameters() + 9 * 16 + dense(128, 32) + HEADS),
    "multitask": (
        {},
        encoder_parameters()
        + (dense(128, 32) + HEADS + 1)
        + (convolution(3, 128, 16, "batch") + convolution(3, 16 + 96, 16, "batch"))
        + (convolution(3, 16, 16, "batch") + convolution(3, 16 + 64, 16, "batch"))
        + (convolution(3, 16, 8, "batch") + convolution(3, 8 + 32, 8, "batch"))
        + dense(8, 5),
    ),
}


@pytest.mark.parametrize("name", COUNTS)
def test_parameters_counted_by_hand(name):
    more, expected = COUNTS[name]
    assert build(name, **more).count_params() == expected


# Learned weights


def learned_of(model) -> dict:
    """{layer: its learned weights}."""
    return {layer.name: layer.get_weights()[0] for layer in model.layers if type(layer).__name__ == "LearnedWeights"}


WEIGHTED = [
    "mapnet",
    "mapnet window",
    "dual_input separate",
    "dual_input shared",
    "dual_input fourth_channel",
    "multitask",
]


@pytest.mark.parametrize("name", WEIGHTED)
def test_learned_weights_are_trained_saved_and_left_out_of_what_is_served(name, tmp_path):
    model = build(name)
    before = learned_of(model)
    np.testing.assert_array_equal(before["pose_weights"], [0, -1.5, 0, -1.5] if name == "multitask" else [0, -3, 0, -3])
    x = pictures(model)
    losses = {"pose_terms": PoseLoss("uncertainty" if name == "multitask" else "geometric")}
    y = {"pose_terms": poses(2, model.output["position"].shape[1:-1])}
    if name == "multitask":
        losses["logits_terms"] = SemanticsLoss()
        y["logits_terms"] = np.random.default_rng(1).integers(0, 5, (2, 32, 64), dtype="uint8")
    model.compile(keras.optimizers.SGD(0.01), loss=losses, run_eagerly=True)
    model.train_on_batch(x, y)
    after = learned_of(model)
    used = [True, True, name == "mapnet window", name == "mapnet window"]
    np.testing.assert_array_equal(after["pose_weights"] != before["pose_weights"], used)
    if name == "multitask":
        assert after["semantics_weight"] != before["semantics_weight"]
    answers = model.predict_on_batch(x)
    np.testing.assert_allclose(
        answers["pose_terms"][..., 6:].reshape(-1, 4),
        np.tile(after["pose_weights"], (answers["pose_terms"].size // 10, 1)),
    )

    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", compile=False)
    again = learned_of(loaded)
    assert set(again) == set(after) and all((again[layer] == after[layer]).all() for layer in after)
    assert loaded.count_params() == model.count_params()  # encoders that are shared stay so
    for output, value in loaded.predict_on_batch(x).items():
        np.testing.assert_allclose(value, answers[output], atol=1e-5)

    served = keras.Model(model.input, {output: x for output, x in model.output.items() if output not in FOR_TRAINING})
    assert {"position", "rotation"} <= set(served.output_names) and not learned_of(served)
    assert served.count_params() == model.count_params() - sum(weights.size for weights in after.values())


# Labels as input


def voc_colour(identity: int) -> list[int]:
    """The loop of PASCAL VOC's devkit: bits 0, 1 and 2 go to the highest free bit of red, green and blue, then the next
    three."""
    colour = [0, 0, 0]
    for place in range(7, -1, -1):
        for channel in range(3):
            colour[channel] |= (identity >> channel & 1) << place
        identity >>= 3
    return colour


def test_labels_are_shown_in_colours_that_differ():
    ids = np.arange(256, dtype="uint8").reshape(2, 8, 16)
    colours = np.array(LabelPicture()(ids))
    assert colours.dtype == np.uint8
    np.testing.assert_array_equal(colours.reshape(-1, 3), [voc_colour(identity) for identity in range(256)])
    np.testing.assert_array_equal(COLOURS["grey"][:, 0], [int(f"{identity:08b}"[::-1], 2) for identity in range(256)])
    assert all(len(np.unique(table, axis=0)) == 256 for table in COLOURS.values())
    few = np.sort(COLOURS["grey"][:8, 0].astype(int))
    assert np.diff(few).min() == 32


@pytest.mark.parametrize("variant", ["separate", "shared", "fourth_channel"])
def test_labels_and_picture_both_count(variant):
    model = build(f"dual_input {variant}")
    x = pictures(model)
    answer = model.predict_on_batch(x)["position"]
    for name in x:
        assert np.abs(model.predict_on_batch({**x, name: 255 - x[name]})["position"] - answer).max() > 1e-4, name


@pytest.mark.parametrize(
    "encoder, first",
    [
        ("small", "down1_conv"),
        ("resnet34", "conv1_conv"),
        pytest.param("resnet50", "conv1_conv", marks=pytest.mark.slow),
        pytest.param("mobilenetv2", "Conv1", marks=pytest.mark.slow),
    ],
)
def test_fourth_channel_widens_the_first_kernel(encoder, first):
    """Three kernels are the encoder's own, the fourth is their mean and reads the labels; all other weights are the
    encoder's."""
    keras.utils.set_random_seed(3)
    plain = mapnet((32, 32, 3), 7, encoder=encoder, features=8)
    keras.utils.set_random_seed(3)
    model = dual_input((32, 32, 3), 7, variant="fourth_channel", encoder=encoder, features=8)
    widened = model.get_layer("encoder")
    kernel, three = widened.get_layer(first).get_weights()[0], plain.get_layer(first).get_weights()[0]
    assert kernel.shape == (*three.shape[:2], 4, three.shape[3]) and three.std() > 0
    np.testing.assert_array_equal(kernel[:, :, :3], three)
    np.testing.assert_allclose(kernel[:, :, 3], three.mean(axis=2), atol=1e-7)
    for layer in widened.layers[2:]:
        for found, expected in zip(layer.get_weights(), plain.get_layer(layer.name).get_weights(), strict=True):
            np.testing.assert_array_equal(found, expected)

    # Whatever the scaling of the channels, labels that look like the picture are the mean of its three.
    ids = np.random.default_rng(0).integers(0, 256, (2, 32, 32), dtype="uint8")
    x = {"image": COLOURS["grey"][ids], "mask": ids}
    four = keras.Model(model.input, model.get_layer("four_channels").output).predict_on_batch(x)
    np.testing.assert_allclose(four[..., 3], four[..., :3].mean(axis=-1), atol=1e-4)
    assert four.std() > 0.1


# Learning


LEARNERS = [
    ("posenet", {}),
    ("posenet googlenet", {"aux_dropout": 0.0}),
    ("mapnet window", {}),
    ("dual_input separate", {}),
    ("multitask", {}),
]


@pytest.mark.slow
@pytest.mark.parametrize("name, more", LEARNERS)
def test_learns_six_pictures(name, more):
    """Squared errors of position and rotation fall below a tenth of those of the labels' mean, around which the
    position starts."""
    model = build(name, dropout=0.0, centre=(3.0, -20.0, 1.5), spread=0.7, **more)
    frames = model.output["position"].shape[1:-1]
    x, truth = pictures(model, 2 if frames else 6), poses(2 if frames else 6, frames)
    y = {"position": truth[..., :3], "rotation": truth[..., 3:]}
    losses = {"position": "mse", "rotation": "mse"}
    if "pose_terms" in model.output_names:  # the logarithm is what learns, its exponential is looked at
        y["pose_terms"], losses["pose_terms"] = truth, PoseLoss("none", norm="mse")
    if name == "posenet googlenet":
        y["aux_pose"], losses["aux_pose"] = np.repeat(truth[:, None], 2, axis=1), "mse"
    if name == "multitask":
        y["logits_terms"] = np.random.default_rng(1).integers(0, 5, (6, 32, 64), dtype="uint8")
        losses["logits_terms"] = SemanticsLoss()
    wanted = {
        f"{output}_loss": 0.1 * y[output].reshape(6, -1).var(axis=0).mean() for output in ("position", "rotation")
    }
    share = {output: float("pose_terms" not in losses or output.endswith("terms")) for output in losses}
    few_steps = "pose_terms" in losses  # tracing costs more than they do
    model.compile(
        keras.optimizers.Adam(3e-3), loss=losses, loss_weights=share, run_eagerly=few_steps, jit_compile=False
    )
    for _ in range(200):
        model.reset_metrics()
        found = model.train_on_batch(x, y, return_dict=True)
        if all(found[loss] < value for loss, value in wanted.items()):
            return
    pytest.fail(f"{name}: {found}, wanted {wanted}")


MISTAKES = [
    (posenet, {"pool": "max"}, (32, 32, 3), "pool must be one of average, flatten, got 'max'"),
    (
        posenet,
        {"encoder": "googlenet", "encoder_weights": "imagenet"},
        (32, 32, 3),
        "encoder_weights of googlenet must be none",
    ),
    (posenet, {"centre": (0, 0)}, (32, 32, 3), "centre must be 3 numbers"),
    (mapnet, {"spread": 0.0}, (32, 32, 3), "spread a number above 0"),
    (mapnet, {"initial_weights": (0, 0)}, (32, 32, 3), "initial_weights must be 4 numbers"),
    (
        dual_input,
        {"variant": "both"},
        (32, 32, 3),
        "variant must be one of separate, shared, fourth_channel, got 'both'",
    ),
    (dual_input, {"variant": "fourth_channel", "encoder": "convnext_tiny"}, (32, 32, 3), "got convnext_tiny"),
    (dual_input, {}, (3, 32, 32, 3), "single pictures"),
    (multitask, {}, (3, 32, 32, 3), "single pictures"),
    (multitask, {"classes": 0}, (32, 32, 3), "classes must be 1 or more"),
]


@pytest.mark.parametrize("function, options, shape, message", MISTAKES)
def test_mistakes(function, options, shape, message):
    with pytest.raises(ValueError, match=message):
        function(shape, 7, **{**SMALL, **options})
