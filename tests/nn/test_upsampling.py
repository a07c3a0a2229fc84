"""Upsampling: the lecture's worked examples, NumPy and TensorFlow references, and every mode inside the decoders."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers, ops
from zoo import check_export

from kzoo.models.encdec import encdec
from kzoo.models.unet import unet
from kzoo.nn import upsampling
from kzoo.nn.upsampling import UPSAMPLING, UPSAMPLING_INITS

RNG = np.random.default_rng(0)
SMALL = {"encoder": "small", "widths": (24, 16, 12, 8)}
FILTER = (2.0, 3.0, 5.0)  # the lecture's x, y, z
MODES = [(mode, start) for mode in UPSAMPLING for start in (None, *UPSAMPLING_INITS.get(mode, ()))]


def column(rows):
    """A list of rows as maps (1, h, w, 1)."""
    return np.asarray(rows, "float32")[None, :, :, None]


@pytest.mark.parametrize(
    ("double", "expected"),
    [
        (upsampling.nearest, [[1, 1, 2, 2], [1, 1, 2, 2], [3, 3, 4, 4], [3, 3, 4, 4]]),
        (upsampling.bed_of_nails, [[1, 0, 2, 0], [0, 0, 0, 0], [3, 0, 4, 0], [0, 0, 0, 0]]),
    ],
)
def test_lecture_unpooling(double, expected):
    np.testing.assert_array_equal(double(column([[1, 2], [3, 4]]), name="x"), column(expected))


def test_lecture_max_unpooling():
    """5 sat at the lower right of its window, 6 at the upper left, 7 at the lower left, 8 at the lower right."""
    pooled, switches = upsampling.max_pool_with_switches(
        column([[1, 2, 6, 3], [3, 5, 2, 1], [1, 2, 2, 1], [7, 3, 4, 8]]), name="pool"
    )
    np.testing.assert_array_equal(pooled, column([[5, 6], [7, 8]]))
    unpooled = upsampling.max_unpool(column([[1, 2], [3, 4]]), switches, name="unpool")
    np.testing.assert_array_equal(unpooled, column([[0, 0, 2, 0], [0, 1, 0, 0], [0, 0, 0, 0], [3, 0, 0, 4]]))


def matrix_of(layer, length: int):
    """The matrix that a 1-D layer with FILTER multiplies by: its answers to the unit vectors are the columns."""
    layer.build((None, length, 1))
    layer.kernel.assign(np.reshape(FILTER, (3, 1, 1)))
    return np.asarray(layer(np.eye(length, dtype="float32")[..., None]))[..., 0].T


@pytest.mark.parametrize("stride", [1, 2])
def test_lecture_convolution_as_matrix(stride):
    """Kernel 3 over four values between one zero on each side: X as on the slide, and the transposed convolution is its
    transpose."""
    x, y, z = FILTER
    rows = [[x, y, z, 0, 0, 0], [0, x, y, z, 0, 0], [0, 0, x, y, z, 0], [0, 0, 0, x, y, z]]
    matrix = matrix_of(layers.Conv1D(1, 3, strides=stride, use_bias=False), 6)
    np.testing.assert_array_equal(matrix, rows[::stride])
    more = None if stride == 1 else 1  # the sixth value of the slide, 0: it lies under no filter
    deconv = layers.Conv1DTranspose(1, 3, strides=stride, use_bias=False, output_padding=more)
    np.testing.assert_array_equal(matrix_of(deconv, 4 // stride), matrix.T)


def test_lecture_transposed_convolution_of_stride_1_is_a_convolution():
    """Of the filter reversed, over two zeros on each side."""
    full = matrix_of(layers.Conv1DTranspose(1, 3, use_bias=False), 4)
    for values, answer in zip(np.eye(4), full.T, strict=True):
        np.testing.assert_array_equal(np.correlate(np.pad(values, 2), FILTER[::-1], "valid"), answer)


def test_lecture_crop_to_twice_the_input():
    """Two values make five, copies of the filter where they overlap summed; without the last they are four, as `same`
    has them."""
    full = matrix_of(layers.Conv1DTranspose(1, 3, strides=2, use_bias=False), 2)
    x, y, z = FILTER
    a, b = 7.0, 11.0
    np.testing.assert_array_equal(full @ (a, b), [a * x, a * y, a * z + b * x, b * y, b * z])
    same = matrix_of(layers.Conv1DTranspose(1, 3, strides=2, padding="same", use_bias=False), 2)
    np.testing.assert_array_equal(same, full[:-1])


@pytest.mark.parametrize(("kernel", "first"), [(3, 0), (4, 1)])
def test_transposed_convolution_is_summed_copies_of_the_filter(kernel, first):
    """2-D, stride 2, several channels; 3x3 is cropped at the end, the zoo's 4x4 by one on each side."""
    x = RNG.normal(size=(1, 2, 3, 5)).astype("float32")
    layer = layers.Conv2DTranspose(2, kernel, strides=2, padding="same", use_bias=False)
    answer = layer(x)
    copies = np.zeros((1, 2 + kernel, 4 + kernel, 2))
    for row in range(2):
        for col in range(3):
            window = np.s_[0, 2 * row : 2 * row + kernel, 2 * col : 2 * col + kernel]
            copies[window] += np.asarray(layer.kernel) @ x[0, row, col]  # (k, k, out, in)
    np.testing.assert_allclose(answer, copies[:, first : first + 4, first : first + 6], atol=1e-5)


def numpy_bilinear(x):
    """Half-pixel centres, the outermost row and column repeated; (B, h, w, K)."""
    for axis in (1, 2):
        size = x.shape[axis]
        place = (np.arange(2 * size) + 0.5) / 2 - 0.5
        low, weight = np.floor(place).astype(int), place - np.floor(place)
        ends = [np.take(x, np.clip(low + i, 0, size - 1), axis) for i in (0, 1)]
        weight = np.expand_dims(weight, tuple(i for i in range(4) if i != axis))
        x = (1 - weight) * ends[0] + weight * ends[1]
    return x


def test_bilinear():
    x = RNG.normal(size=(2, 3, 5, 4)).astype("float32")
    np.testing.assert_allclose(upsampling.bilinear(x, name="x"), numpy_bilinear(x), atol=1e-6)
    np.testing.assert_allclose(upsampling.bilinear(column([[0, 16]]), name="x")[0, :, :, 0], [[0, 4, 12, 16]] * 2)


def reloaded(start):
    return keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(start))


def test_bilinear_start_of_the_transposed_convolution():
    """Interpolates mixtures of the maps away from the border, where zeros come in."""
    x = RNG.normal(size=(1, 4, 6, 3)).astype("float32")
    layer = layers.Conv2DTranspose(
        5, 4, strides=2, padding="same", kernel_initializer=reloaded(upsampling.BilinearStart("glorot_uniform"))
    )
    answer = layer(x)
    mixed = x @ np.asarray(layer.kernel)[1, 1].T / 0.75**2  # the window's largest weight
    np.testing.assert_allclose(answer[:, 1:-1, 1:-1], numpy_bilinear(mixed)[:, 1:-1, 1:-1], atol=1e-5)
    np.testing.assert_allclose(answer[0, 0, 0], 9 / 16 * mixed[0, 0, 0], atol=1e-5)
    assert np.linalg.matrix_rank(mixed[0].reshape(-1, 5)) == 3


def test_depth_to_space():
    """Shi et al. 2016, eq. 4: pixel (row, column) comes from channel group 2 (row mod 2) + column mod 2."""
    x = RNG.normal(size=(2, 3, 4, 20)).astype("float32")
    answer = np.asarray(upsampling.depth_to_space(x))
    assert answer.shape == (2, 6, 8, 5)
    for row in range(6):
        for col in range(8):
            group = 2 * (row % 2) + col % 2
            np.testing.assert_array_equal(answer[:, row, col], x[:, row // 2, col // 2, 5 * group : 5 * group + 5])
    np.testing.assert_array_equal(answer, tf.nn.depth_to_space(x, 2))


def test_icnr_starts_as_nearest():
    x = RNG.normal(size=(1, 4, 4, 3)).astype("float32")
    start = reloaded(upsampling.ICNR("glorot_uniform"))
    wide = layers.Conv2D(8, 3, padding="same", kernel_initializer=start)
    y = wide(x)
    np.testing.assert_array_equal(upsampling.depth_to_space(y), upsampling.nearest(y[..., :2], name="x"))
    assert np.ptp(wide.kernel[..., :2]) > 0
    with pytest.raises(ValueError, match="multiple of 4 filters, got 6"):
        start((3, 3, 2, 6))


def argmax_unpooled(x, weight):
    """Pooling, a product and unpooling by TensorFlow's own argmax."""
    pooled, places = tf.nn.max_pool_with_argmax(x, 2, 2, "SAME", include_batch_in_index=True)
    return tf.reshape(
        tf.scatter_nd(tf.reshape(places, (-1, 1)), tf.reshape(pooled * weight, (-1,)), (tf.size(x),)), tf.shape(x)
    )


def switch_unpooled(x, weight):
    pooled, switches = upsampling.max_pool_with_switches(x, name="pool")
    return upsampling.max_unpool(pooled * weight, switches, name="unpool")


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("jit", [False, True])
@pytest.mark.parametrize("ties", [False, True])
def test_max_unpooling_equals_argmax_unpooling(dtype, jit, ties):
    """Bit for bit, answers and both gradients, with and without equal maxima."""
    x = RNG.integers(0, 3, (2, 6, 8, 5)) if ties else RNG.normal(size=(2, 6, 8, 5))
    x, weight, probe = (tf.cast(a, dtype) for a in (x, RNG.normal(size=(2, 3, 4, 5)), RNG.normal(size=(2, 6, 8, 5))))
    results = []
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy(dtype)
    try:
        for function, compiled in ((argmax_unpooled, False), (switch_unpooled, jit)):
            function = tf.function(function, jit_compile=compiled)
            with tf.GradientTape() as tape:
                tape.watch([x, weight])
                answer = function(x, weight)
                loss = answer * probe
            results.append([answer, *tape.gradient(loss, [x, weight])])
    finally:
        keras.config.set_dtype_policy(policy)
    for expected, found in zip(*results, strict=True):
        assert found.dtype == dtype
        np.testing.assert_array_equal(found, expected)


def test_the_first_of_equal_maxima_is_kept_and_a_window_never_loses_its_value():
    x = np.stack([column([[1, 1], [1, 1]]), column([[0, 1], [1, 0]]), column([[np.nan, 1], [2, np.nan]])])[:, 0]
    _, switches = upsampling.max_pool_with_switches(x, name="pool")
    assert np.asarray(switches)[:2, 0, 0, :, 0].tolist() == [[True, False, False, False], [False, True, False, False]]
    assert np.asarray(switches).sum() == 3


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: upsampling.max_pool_with_switches(keras.Input((5, 4, 1)), name="pool"),
            "even height and width, got 5x4",
        ),
        (
            lambda: upsampling.max_pool_with_switches(keras.Input((None, 4, 1)), name="pool"),
            "even height and width, got Nonex4",
        ),
        (
            lambda: upsampling.max_unpool(
                keras.Input((2, 2, 3)),
                upsampling.max_pool_with_switches(keras.Input((4, 4, 1)), name="pool")[1],
                name="x",
            ),
            r"need switches of shape \(2, 2, 4, 3\), got \(2, 2, 4, 1\)",
        ),
        (
            lambda: unet((32, 32, 3), 2, **SMALL, upsampling="bicubic"),
            "must be one of transposed, nearest, .*, got 'bicubic'",
        ),
        (
            lambda: unet((32, 32, 3), 2, **SMALL, upsampling_init="icnr"),
            "transposed must be None or bilinear, got 'icnr'",
        ),
        (
            lambda: encdec((32, 32, 3), 2, **SMALL, upsampling="nearest", upsampling_init="icnr"),
            "of nearest must be None, got 'icnr'",
        ),
        (
            lambda: encdec((32, 32, 3), 2, encoder="small", widths=[8] * 5, upsampling="max_unpool"),
            "up5 .* none at stride 1: use fewer",
        ),
        (lambda: encdec((32, 32, 3), 2, **SMALL, norm="layer"), "norm must be batch, group or none"),
    ],
)
def test_mistakes(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize(("mode", "start"), MODES)
def test_step_doubles_counts_and_compiles(mode, start):
    """Kernel weights as in the module's table; XLA gives the same answer and gradients."""
    inputs, filters, tap = 20, 12, 16
    x, encoder_map = (
        RNG.normal(size=(2, 4, 6, inputs)).astype("float32"),
        RNG.normal(size=(2, 8, 12, tap)).astype("float32"),
    )
    kernels = {"transposed": 16 * inputs * filters, "max_unpool": inputs * tap, "subpixel": 36 * inputs * filters}
    outputs = tap if mode == "max_unpool" else filters
    init = UPSAMPLING_INITS[mode][start]("he_normal") if start else "he_normal"
    symbols = [keras.Input(a.shape[1:]) for a in (x, encoder_map)]
    y = UPSAMPLING[mode](symbols[0], filters, encoder_map=symbols[1], init=init, norm="none", bias=0.5, name="up1")
    model = keras.Model(symbols, y)
    assert y.shape == (None, 8, 12, outputs)
    assert sum(w.shape.num_elements() for w in model.weights if w.path.endswith("kernel")) == kernels.get(
        mode, 9 * inputs * filters
    )

    def answer_and_gradients(x, encoder_map):
        with tf.GradientTape() as tape:
            answer = model([x, encoder_map])
            loss = tf.reduce_sum(answer**2)
        return [answer, *tape.gradient(loss, model.trainable_variables)]

    plain = answer_and_gradients(x, encoder_map)
    for expected, found in zip(plain, tf.function(answer_and_gradients, jit_compile=True)(x, encoder_map), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
    assert all(np.abs(value).max() > 0 for value in plain)


@pytest.mark.parametrize(("mode", "start"), MODES)
def test_decoders_in_16_bits(mode, start):
    """Not square, mixed precision, every option at once: float32 out at the full size, and all weights get
    gradients."""
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        options = {**SMALL, "upsampling": mode, "upsampling_init": start, "norm": "group", "bias": 0.1, "dropout": 0.2}
        model = unet((64, 96, 3), 5, **options, scaling={"matrix": np.eye(3) / 64, "offset": (-2, -2, -2)})
        images = RNG.integers(0, 256, (1, 64, 96, 3), dtype="uint8")
        with tf.GradientTape() as tape:
            logits = model(images, training=True)["logits"]
            loss = tf.reduce_sum(logits**2)
    finally:
        keras.config.set_dtype_policy(policy)
    assert logits.shape == (1, 64, 96, 5) and logits.dtype == "float32"
    assert model.get_layer("up1_relu").output.dtype == model.get_layer("up4_merge_relu").output.dtype == "bfloat16"
    for weight, gradient in zip(model.trainable_variables, tape.gradient(loss, model.trainable_variables), strict=True):
        assert gradient is not None and np.abs(gradient.numpy()).max() > 0, weight.path


@pytest.mark.parametrize("mode", UPSAMPLING)
def test_decoders_save_and_export(mode, tmp_path):
    model = encdec((64, 64, 3), 3, encoder="small", widths=(16, 8), upsampling=mode)
    images = RNG.integers(0, 256, (2, 64, 64, 3), dtype="uint8")
    expected = model.predict_on_batch(images)["logits"]
    model.save(tmp_path / "model.keras")
    np.testing.assert_allclose(
        keras.saving.load_model(tmp_path / "model.keras").predict_on_batch(images)["logits"], expected, atol=1e-5
    )
    check_export("saved_model", model, tmp_path / "saved_model", images)
    assert np.ptp(ops.convert_to_numpy(expected)) > 0


def test_transposed_decoder_is_the_one_of_earlier_runs():
    """Weights in their order and with their names, so that saved runs still load."""
    model = unet((32, 32, 3), 2, encoder="small", widths=(8, 6))
    names = [f"up{step}_{part}" for step in (1, 2) for part in ("deconv", "bn", "merge_conv", "merge_bn")]
    found = list(dict.fromkeys(w.path.split("/")[0] for w in model.weights if w.path.startswith(("up", "score"))))
    assert found == [*names, "score"]
    assert [model.get_layer(f"up{step}_deconv").kernel.shape for step in (1, 2)] == [(4, 4, 8, 128), (4, 4, 6, 8)]
