"""Networks of deep clustering: their contract, parameters counted by hand, soft assignment, losses and their gradients,
and learning."""

import keras
import numpy as np
import pytest
import scipy.special
import tensorflow as tf
from sklearn.datasets import load_digits

from kzoo.losses.cluster import ClusterKL, ReconstructionMSE
from kzoo.models.dcec import dcec
from kzoo.models.dec import dec
from kzoo.models.fcae import fcae
from kzoo.models.idec import idec
from kzoo.nn import autoencoders
from kzoo.nn.layers import SoftAssignment, UnitPower

NETWORKS = {  # name -> function, small options, units of the code
    "dec": (dec, {"widths": (64, 48), "code": 6}, 6),
    "idec": (idec, {"widths": (64, 48), "code": 6}, 6),
    "dcec": (dcec, {"widths": (8, 12, 16), "code": 6}, 6),
    "fcae": (fcae, {"widths": (8, 8), "code": 12}, 12),
}


def build(name: str, shape=(8, 8, 3), **more):
    function, options, _ = NETWORKS[name]
    keras.utils.set_random_seed(0)
    return function(shape, 10, **{**options, **more})


def pictures(shape, count: int = 3):
    return np.random.default_rng(0).integers(0, 256, (count, *shape), dtype="uint8")


# Contract


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
@pytest.mark.parametrize("name", NETWORKS)
def test_contract(name, policy):
    keras.config.set_dtype_policy(policy)
    try:
        model = build(name, (11, 8, 3), channels=3, clusters=4)
    finally:
        keras.config.set_dtype_policy("float32")
    assert model.name == name and model.input.name == "image" and model.input.dtype == "uint8"
    assert any(layer.compute_dtype == "bfloat16" for layer in model.layers) == (policy == "mixed_bfloat16")
    expected = {"assignment": (4,), "reconstruction": (11, 8, 3), "code": (NETWORKS[name][2],)}
    answers = model.predict_on_batch(pictures((11, 8, 3)))
    assert set(answers) == set(expected) == set(model.output_names)
    for output, dimensions in expected.items():
        assert model.output[output].shape == (None, *dimensions) and model.output[output].dtype == "float32"
        assert answers[output].shape == (3, *dimensions) and np.isfinite(answers[output]).all()
    clusters = model.get_layer("clusters")
    assert clusters.centres.shape == (4, NETWORKS[name][2]) and clusters.centres.dtype == "float32"
    np.testing.assert_allclose(answers["assignment"], student(answers["code"], clusters.get_weights()[0]), atol=1e-6)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("shape", [(8, 8, 3), (9, 14, 3), (16, 16, 3), (28, 28, 3), (33, 46, 3)])
def test_any_picture_from_8_px_comes_back_at_its_size(name, shape):
    model = build(name, shape)
    assert model.output["reconstruction"].shape == (None, *shape[:2], 1) and model.output["assignment"].shape == (
        None,
        10,
    )


@pytest.mark.parametrize("name", NETWORKS)
def test_signal_is_grey_at_unit_power(name):
    """The mean of RGB over 255, divided by what the trainer assigns; RGB as it is with three channels."""
    x = pictures((8, 8, 3))
    for channels, expected in ((1, x.mean(axis=-1, keepdims=True) / 255), (3, x / 255)):
        model = build(name, channels=channels)
        signal = model.get_layer("signal")
        assert (
            [weight.name for weight in signal.weights] == ["rms"]
            and not signal.trainable_weights
            and float(signal.rms) == 1
        )
        signal.rms.assign(0.5)
        found = keras.Model(model.input, signal.output).predict_on_batch(x)
        np.testing.assert_allclose(found, 2 * expected, rtol=1e-6)
        assert model.output["reconstruction"].shape == signal.output.shape


@pytest.mark.parametrize("name", NETWORKS)
def test_autoencoder_stands_alone_behind_the_signal(name):
    model = build(name)
    x = pictures((8, 8, 3))
    behind = keras.Model(model.get_layer("signal").output, model.output)
    expected = model.predict_on_batch(x)
    for output, value in behind.predict_on_batch((x.mean(axis=-1, keepdims=True) / 255).astype("float32")).items():
        np.testing.assert_allclose(value, expected[output], atol=1e-5)


@pytest.mark.parametrize("function", [dec, idec])
def test_the_embedding_of_a_network_takes_the_place_of_pixels(function):
    frames = keras.Input((2, 4, 4, 3), dtype="uint8", name="frames")
    means = keras.ops.mean(keras.ops.cast(frames, "float32"), axis=(1, 2, 3))
    model = function((2, 4, 4, 3), 5, features=keras.Model(frames, means, name="embedding"), widths=(7,), code=2)
    assert model.input.name == "frames"
    shapes = {name: tuple(x.shape[1:]) for name, x in model.output.items()}
    assert shapes == {"assignment": (5,), "reconstruction": (3,), "code": (2,)}
    assert model.get_layer("signal").output.shape == (None, 3)
    assert model.count_params() == 1 + dense(3, 7) + dense(7, 2) + dense(2, 7) + dense(7, 3) + 5 * 2
    x = pictures((2, 4, 4, 3))
    found = keras.Model(model.input, model.get_layer("signal").output).predict_on_batch(x)
    np.testing.assert_allclose(found, x.mean(axis=(1, 2, 3)), rtol=1e-5)


# Parameters


def dense(inputs: int, units: int) -> int:
    return inputs * units + units


def convolution(kernel: int, inputs: int, filters: int) -> int:
    return kernel**2 * inputs * filters + filters


def normalised(kernel: int, inputs: int, filters: int) -> int:
    """Without bias, with batch normalisation's four numbers a filter."""
    return kernel**2 * inputs * filters + 4 * filters


def of_dec(d: int) -> int:
    """rms, d-500-500-2000-10-2000-500-500-d, ten centres."""
    sizes = (d, 500, 500, 2000, 10, 2000, 500, 500, d)
    return 1 + sum(dense(inputs, units) for inputs, units in zip(sizes, sizes[1:], strict=False)) + 100


def of_dcec(cells: int) -> int:
    convolutions = (5, 1, 32), (5, 32, 64), (3, 64, 128), (3, 128, 64), (5, 64, 32), (5, 32, 1)
    return (
        1 + sum(convolution(*sizes) for sizes in convolutions) + dense(128 * cells, 10) + dense(10, 128 * cells) + 100
    )


def of_fcae(left: int) -> int:
    """`left`: side of the map that the last convolution takes."""
    inner = (5, 1, 50), (5, 50, 50), (left, 50, 120), (left, 120, 50), (5, 50, 50)
    return 1 + sum(normalised(*sizes) for sizes in inner) + convolution(5, 50, 1) + 10 * 120


COUNTS = {  # (function, side) -> parameters
    (dec, 28): of_dec(784),
    (dec, 8): of_dec(64),
    (idec, 28): of_dec(784),
    (dcec, 28): of_dcec(4 * 4),  # 28, 14, 7, 4
    (dcec, 8): of_dcec(1),
    (fcae, 28): of_fcae(4),  # 28, 24, 12, 8, 4
    (fcae, 8): of_fcae(2),  # padded
}


@pytest.mark.parametrize(("function", "side"), COUNTS)
def test_parameters_counted_by_hand(function, side):
    assert function((side, side, 3), 10).count_params() == COUNTS[function, side]


def test_the_published_sum_of_dec():
    assert of_dec(784) == 3_330_794 + 1 + 100  # of 784-500-500-2000-10 and back


SIZES = {  # function, side -> {layer: side of its map}
    (dcec, 28): {
        "encoder1": 14,
        "encoder2": 7,
        "encoder3": 4,
        "decoder3_crop": 7,
        "decoder2_crop": 14,
        "decoder1_crop": 28,
    },
    (dcec, 8): {
        "encoder1": 4,
        "encoder2": 2,
        "encoder3": 1,
        "decoder3_crop": 2,
        "decoder2_crop": 4,
        "decoder1_crop": 8,
    },
    (fcae, 28): {
        **{"encoder1_conv": 24, "pool1": 12, "encoder2_conv": 8, "pool2": 4, "encoder_code_conv": 1},
        **{"decoder_code_deconv": 4, "unpool2": 8, "decoder2_deconv": 12, "unpool1": 24, "decoder1_deconv": 28},
    },
    (fcae, 8): {
        "encoder1_conv": 8,
        "pool1": 4,
        "encoder2_conv": 4,
        "pool2": 2,
        "encoder_code_conv": 1,
        "decoder_code_deconv": 2,
    },
    (fcae, 15): {"pool1_even": 16, "pool1": 8, "pool2": 4, "unpool1": 16, "decoder1_deconv_crop": 15},
}


@pytest.mark.parametrize(("function", "side"), SIZES)
def test_sizes_of_maps(function, side):
    model = function((side, side, 3), 10)
    found = {name: model.get_layer(name).output.shape[1:3] for name in SIZES[function, side]}
    assert found == {name: (size, size) for name, size in SIZES[function, side].items()}


def test_dense_layers_start_uniform_with_a_third_of_the_variance_per_input():
    keras.utils.set_random_seed(0)
    model = dec((28, 28, 3), 10)
    kernels = {layer.name: layer.get_weights()[0] for layer in model.layers if isinstance(layer, keras.layers.Dense)}
    assert len(kernels) == 8
    for name, kernel in kernels.items():
        bound = len(kernel) ** -0.5  # of a uniform distribution with variance 1 / (3 n)
        assert 0.95 * bound < np.abs(kernel).max() <= bound and abs(kernel.std() - bound / 3**0.5) < 0.03 * bound, name
    assert not np.array_equal(kernels["decoder2"], kernels["encoder2"])  # both 500x500: drawn apart


# Where a padded convolution lies over what it reads: all of Keras's backends follow TensorFlow.
@pytest.mark.parametrize(
    ("size", "kernel", "strides", "padding"),
    [
        ((7, 8), 5, 2, "same"),
        ((8, 7), 3, 2, "same"),
        ((9, 6), 5, 1, "same"),
        ((9, 6), 5, 1, "valid"),
        ((1, 2), 3, 2, "same"),
    ],
)
def test_mirrored_convolution_is_the_transpose_of_the_convolution(size, kernel, strides, padding):
    """<conv(x), y> = <x, mirrored(y)> for the same kernel."""
    rng = np.random.default_rng(0)
    window = rng.normal(size=(kernel, kernel, 2, 3)).astype("float32")
    x = rng.normal(size=(1, *size, 2)).astype("float32")
    forward = keras.ops.convert_to_numpy(keras.ops.conv(x, window, strides, padding))
    y = rng.normal(size=forward.shape).astype("float32")
    given = keras.Input(forward.shape[1:])
    back = keras.Model(
        given, autoencoders.mirrored_convolution(given, 2, kernel, size, strides=strides, use_bias=False, name="back")
    )
    back.get_layer("back").set_weights([window])
    found = back.predict_on_batch(y)
    assert found.shape == x.shape
    np.testing.assert_allclose(np.sum(forward * y), np.sum(x * found), rtol=1e-4)


# Soft assignment


def student(codes, centres, alpha: float = 1.0):
    """DEC's eq. 1 in float64."""
    squared = np.square(np.asarray(codes, "float64")[:, None] - np.asarray(centres, "float64")).sum(axis=-1)
    q = (1 + squared / alpha) ** (-(alpha + 1) / 2)
    return q / q.sum(axis=1, keepdims=True)


def assignment_layer(centres, alpha: float = 1.0):
    layer = SoftAssignment(len(centres), alpha)
    layer.build((None, np.shape(centres)[1]))
    layer.centres.assign(np.asarray(centres, "float32"))
    return layer


@pytest.mark.parametrize("alpha", [0.5, 1.0, 3.0])
def test_soft_assignment_is_students_t(alpha):
    rng = np.random.default_rng(0)
    codes, centres = rng.normal(size=(20, 4)).astype("float32"), rng.normal(size=(5, 4)).astype("float32")
    q = np.asarray(assignment_layer(centres, alpha)(codes))
    np.testing.assert_allclose(q, student(codes, centres, alpha), rtol=2e-5)
    np.testing.assert_allclose(q.sum(axis=1), 1, atol=1e-6)


def test_soft_assignment_by_hand():
    layer = assignment_layer([[1.0, 0.0], [-1.0, 0.0]])
    q = np.asarray(layer(np.array([[0, 7], [1, 0], [1e8, 0]], "float32")))
    np.testing.assert_allclose(q, [[0.5, 0.5], [5 / 6, 1 / 6], [0.5, 0.5]], atol=1e-6)  # at 1: 1 against 1 / (1 + 2^2)
    assert np.asarray(assignment_layer([[3.0]])(np.array([[0.0], [9.0]], "float32"))).tolist() == [[1.0], [1.0]]
    alpha2 = np.asarray(assignment_layer([[0.0], [2.0]], alpha=2.0)(np.array([[0.0]], "float32")))
    np.testing.assert_allclose(alpha2, [[1 / (1 + 3**-1.5), 3**-1.5 / (1 + 3**-1.5)]], rtol=1e-6)


def test_unit_power():
    layer = UnitPower()
    x = np.random.default_rng(0).normal(3, 2, (6, 5)).astype("float32")
    np.testing.assert_array_equal(layer(x), x)
    layer.rms.assign(np.sqrt(np.mean(x**2)))
    np.testing.assert_allclose(np.mean(np.square(layer(x))), 1, rtol=1e-5)
    assert layer(x.astype("float16")).dtype == tf.float32


# Losses and gradients


def distributions(rows: int, columns: int, seed: int):
    return np.random.default_rng(seed).dirichlet(np.ones(columns), rows).astype("float32")


def test_cluster_kl_is_scipys_relative_entropy():
    p, q = distributions(8, 5, 0), distributions(8, 5, 1)
    p[0], p[1] = [0, 0, 1, 0, 0], [0.5, 0.5, 0, 0, 0]
    expected = scipy.special.rel_entr(p.astype("float64"), q.astype("float64")).sum(axis=1)
    np.testing.assert_allclose(np.asarray(ClusterKL(reduction="none")(p, q)), expected, atol=1e-5)
    np.testing.assert_allclose(float(ClusterKL()(p, q)), expected.mean(), rtol=1e-5)
    np.testing.assert_allclose(float(ClusterKL()(p, p)), 0, atol=1e-6)


def test_cluster_kl_is_finite_at_zero():
    p, q = tf.constant([[0.0, 1.0], [0.5, 0.5]]), tf.Variable([[1.0, 0.0], [0.0, 1.0]])
    with tf.GradientTape() as tape:
        loss = ClusterKL()(p, q)
    assert np.isfinite(float(loss)) and float(loss) > 1
    assert np.isfinite(tape.gradient(loss, q)).all()


def test_reconstruction_mse_is_the_mean_of_all_elements():
    rng = np.random.default_rng(0)
    for shape in ((4, 3), (4, 5, 6, 1), (4, 1)):  # a trailing axis of 1 stays
        y, x = rng.normal(size=shape).astype("float32"), rng.normal(size=shape).astype("float32")
        np.testing.assert_allclose(float(ReconstructionMSE()(y, x)), np.mean((x - y) ** 2), rtol=1e-5)
        assert ReconstructionMSE(reduction="none")(y, x).shape == (4,)
    uint8 = np.array([[200]], "uint8")
    np.testing.assert_allclose(float(ReconstructionMSE()(uint8, np.array([[203.0]], "float32"))), 9)


@pytest.mark.parametrize("loss", [ClusterKL(), ReconstructionMSE()])
def test_other_shapes_are_refused(loss):
    for given in ((4, 3), (4, 3, 1)):
        with pytest.raises(ValueError, match="same shape"):
            loss(np.ones(given, "float32"), np.ones((4, 2), "float32"))


@pytest.mark.parametrize("alpha", [1.0, 2.5])
def test_gradients_of_clustering(alpha):
    """Against central differences of NumPy's float64, and DEC's eq. 4 and 5, whose sum over the examples is a mean
    here."""
    rng = np.random.default_rng(3)
    codes, centres, p = rng.normal(size=(7, 3)), rng.normal(size=(4, 3)), distributions(7, 4, 2).astype("float64")

    def loss(codes, centres):
        return scipy.special.rel_entr(p, student(codes, centres, alpha)).sum(axis=1).mean()

    def central(function, x, step=1e-5):
        result = np.zeros_like(x)
        for index in np.ndindex(x.shape):
            moved = np.zeros_like(x)
            moved[index] = step
            result[index] = (function(x + moved) - function(x - moved)) / (2 * step)
        return result

    z, layer = tf.Variable(codes.astype("float32")), assignment_layer(centres, alpha)
    with tf.GradientTape() as tape:
        value = ClusterKL()(p.astype("float32"), layer(z))
    by_codes, by_centres = tape.gradient(value, [z, layer.centres.value])
    np.testing.assert_allclose(float(value), loss(codes, centres), rtol=1e-5)

    difference = codes[:, None] - centres  # (7, 4, 3)
    weight = (p - student(codes, centres, alpha)) / (1 + np.square(difference).sum(axis=-1) / alpha)
    each = (alpha + 1) / alpha * weight[..., None] * difference / len(codes)
    for found, numeric, closed in (
        (by_codes, central(lambda x: loss(x, centres), codes), each.sum(axis=1)),
        (by_centres, central(lambda x: loss(codes, x), centres), -each.sum(axis=0)),
    ):
        np.testing.assert_allclose(found, numeric, atol=2e-6)
        np.testing.assert_allclose(found, closed, atol=2e-6)
        assert np.abs(found).max() > 0.01


# Configs, errors, learning


@pytest.mark.parametrize(
    ("made", "own"),
    [
        (UnitPower(name="signal"), {"name": "signal"}),
        (SoftAssignment(7, alpha=0.5, name="clusters"), {"name": "clusters", "clusters": 7, "alpha": 0.5}),
        (ClusterKL(name="kl", reduction="sum"), {"name": "kl", "reduction": "sum"}),
        (ReconstructionMSE(name="mse", reduction="none"), {"name": "mse", "reduction": "none"}),
    ],
)
def test_config_round_trip(made, own):
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(made))
    assert type(again) is type(made) and again.get_config() == made.get_config()
    assert own.items() <= again.get_config().items()


BAD = {  # case -> (call, words of the message)
    "no clusters": (lambda: dec((8, 8, 3), 0), "clusters must be given"),
    "negative clusters": (lambda: dcec((8, 8, 3), 10, clusters=-1), "1 or more"),
    "alpha": (lambda: idec((8, 8, 3), 10, alpha=0.0), "alpha above 0"),
    "channels": (lambda: fcae((8, 8, 3), 10, channels=2), "1 .grey. or 3"),
    "a vector": (lambda: dec((8,), 10), r"\(H, W, 3\)"),
    "no convolution": (lambda: dcec((8, 8, 3), 10, widths=()), "at least one convolution"),
    "no pooling": (lambda: fcae((8, 8, 3), 10, widths=()), "at least one convolution"),
    "padding": (lambda: fcae((8, 8, 3), 10, padding="full"), "auto, valid or same"),
    "unpooling": (lambda: fcae((8, 8, 3), 10, unpooling="bilinear"), "switches, nearest"),
    "too small": (lambda: fcae((12, 40, 3), 10, padding="valid"), "leave nothing of 12x40"),
}


@pytest.mark.parametrize("case", BAD)
def test_errors(case):
    call, words = BAD[case]
    with pytest.raises(ValueError, match=words):
        call()


def test_number_of_clusters():
    assert [model.output["assignment"].shape[1] for model in (dec((8, 8, 3), 10), dec((8, 8, 3), 10, clusters=3))] == [
        10,
        3,
    ]
    assert dec((8, 8, 3), 0, clusters=2).get_layer("clusters").clusters == 2


def test_fcae_without_switches_and_with_padding_of_choice():
    model = fcae((16, 16, 3), 10, padding="valid", unpooling="nearest")
    assert model.get_layer("pool2").output.shape[1:3] == (1, 1) and model.output["reconstruction"].shape == (
        None,
        16,
        16,
        1,
    )
    assert fcae((28, 28, 3), 10, padding="same").get_layer("pool2").output.shape[1:3] == (7, 7)


@pytest.fixture(scope="module")
def digits():
    """32 real digits as pictures (32, 8, 8, 3) uint8, grey in three equal channels."""
    grey = np.round(load_digits().images[:32] * (255 / 16)).astype("uint8")
    return np.repeat(grey[..., None], 3, axis=-1)


LEARNERS = {
    "dec": {"widths": (96, 64), "code": 16},
    "idec": {"widths": (96, 64), "code": 16},
    "dcec": {"widths": (24, 48, 64), "code": 16},
    "fcae": {"widths": (16, 16), "code": 32},
}


def fitted(model, images, targets: dict, steps: int) -> dict:
    """The history of whole batches, all `steps` of them in five epochs, as an epoch costs more than a step."""
    again = steps // 5
    targets = {name: np.concatenate([y] * again) for name, y in targets.items()}
    return model.fit(
        np.concatenate([images] * again), targets, batch_size=len(images), epochs=5, shuffle=False, verbose=0
    ).history


@pytest.mark.parametrize("name", LEARNERS)
def test_reconstructs_real_digits_then_clusters_and_survives_saving(name, digits, tmp_path):
    """Its signal has power 1: the mean picture leaves an error of about 0.5. Then the clusters harden, which trains the
    centres too."""
    model = build(name, **LEARNERS[name])
    before = keras.Model(model.input, model.get_layer("signal").input).predict_on_batch(digits)
    model.get_layer("signal").rms.assign(np.sqrt(np.mean(before**2)))
    signal = keras.Model(model.input, model.get_layer("signal").output).predict_on_batch(digits)
    np.testing.assert_allclose(np.mean(signal**2), 1, rtol=1e-5)

    clusters = model.get_layer("clusters")
    clusters.trainable = False
    model.compile(keras.optimizers.Adam(5e-3), jit_compile=False, loss={"reconstruction": ReconstructionMSE()})
    fitted(model, digits, {"reconstruction": signal}, 200)
    last = np.mean((model.predict_on_batch(digits)["reconstruction"] - signal) ** 2)
    assert last < 0.05, last

    codes = model.predict_on_batch(digits)["code"]
    clusters.trainable = True
    clusters.centres.assign(codes[:10])
    q = model.predict_on_batch(digits)["assignment"]
    np.testing.assert_allclose(q, student(codes, codes[:10]), atol=1e-5)
    p = q**2 / q.sum(axis=0)
    p = p / p.sum(axis=1, keepdims=True)
    losses = {"assignment": ClusterKL(), "reconstruction": ReconstructionMSE()}
    model.compile(
        keras.optimizers.Adam(1e-3), losses, jit_compile=False, loss_weights={"assignment": 1.0, "reconstruction": 0.1}
    )
    history = fitted(model, digits, {"assignment": p, "reconstruction": signal}, 40)
    assert history["assignment_loss"][-1] < 0.7 * history["assignment_loss"][0]
    assert not np.allclose(clusters.get_weights()[0], codes[:10])
    assert float(model.get_layer("signal").rms) == pytest.approx(np.sqrt(np.mean(before**2)))

    expected = model.predict_on_batch(digits)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    for output, value in loaded.predict_on_batch(digits).items():
        np.testing.assert_allclose(value, expected[output], atol=1e-5)
