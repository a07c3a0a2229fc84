"""Networks of 3-D pose: shapes and numbers of their sources, what each frame's answer depends on, and a 2-D network
frozen inside."""

import cv2
import keras
import numpy as np
import pytest
import run_folders
import scipy.signal
from numpy.lib.stride_tricks import sliding_window_view
from zoo import check_export

from kzoo import UserError, runs
from kzoo.models.conv_lstm import conv_lstm
from kzoo.models.encoder_gru import encoder_gru
from kzoo.models.lift import lift
from kzoo.models.temporal import temporal
from kzoo.nn import lifting, skeletons
from kzoo.nn.layers import named
from kzoo.runs import Run

JOINTS = 17
COCO_JOINTS = [
    *("nose", "left_eye", "right_eye", "left_ear", "right_ear"),
    *(
        f"{side}_{part}"
        for part in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")
        for side in ("left", "right")
    ),
]
NETWORKS = {
    "conv_lstm": (conv_lstm, {"filters": 4, "units": 32}),
    "encoder_gru": (encoder_gru, {"encoder": "small", "units": 32}),
    "encoder_gru both ways": (encoder_gru, {"encoder": "small", "units": 16, "bidirectional": True, "pool": "flatten"}),
    "lift": (lift, {"width": 64, "dropout": 0.0}),
    "temporal": (temporal, {"channels": 64, "dropout": 0.0}),
}


def clips(count: int, shape: tuple, seed: int = 0):
    """Frames, keypoints and root-relative joints of random clips."""
    rng = np.random.default_rng(seed)
    x = {"frames": rng.integers(0, 256, (count, *shape), dtype="uint8")}
    x["keypoints_2d"] = rng.uniform(-0.1, 1.1, (count, shape[0], JOINTS, 2)).astype("float32")
    joints = rng.uniform(-0.8, 0.8, (count, shape[0], JOINTS, 3)).astype("float32")
    joints[:, :, 0] = 0
    return x, joints


@pytest.fixture
def policy():
    yield keras.config.set_dtype_policy
    keras.config.set_dtype_policy("float32")


@pytest.fixture(scope="module", params=["softargmax", "heatmap"])
def pose_run(request, tmp_path_factory):
    """A run of --task=pose."""
    size, options = {"softargmax": ("64", {"widths": (16, 16)}), "heatmap": ("32x64", {"width": 16})}[request.param]
    folder = tmp_path_factory.mktemp("runs") / request.param
    return run_folders.make(folder, "pose", request.param, names=COCO_JOINTS, size=size, seed=1, **options)


def network_of(run: Run, frames: tuple = (4, 32, 32)) -> keras.Model:
    """What a run hands to a lifter."""
    return runs.with_networks({"pose_run": str(run.folder)}, frames)["pose_run"]


def check_learning(model, x, joints, folder):
    """The squared error falls below a tenth of what the mean pose leaves; the trained network survives .keras and
    SavedModel."""
    knows_nothing = np.mean((joints - joints.mean(axis=(0, 1))) ** 2)
    model.compile(keras.optimizers.Adam(3e-3), loss={"joints": "mse"}, jit_compile=False)
    for _ in range(300):
        model.reset_metrics()
        loss = model.train_on_batch(x, {"joints": joints})
        if loss < 0.1 * knows_nothing:
            break
    else:
        pytest.fail(f"{model.name}: {knows_nothing} -> {loss}")
    expected = model.predict_on_batch(x)["joints"]
    model.save(folder / "model.keras")
    loaded = keras.saving.load_model(folder / "model.keras", compile=False)
    np.testing.assert_allclose(loaded.predict_on_batch(x)["joints"], expected, atol=1e-5)
    check_export("saved_model", model, folder / "saved_model", x)


# encoder_gru is slow here, and in the default group of test_zoo_pose3d.py.
@pytest.mark.slow
@pytest.mark.parametrize("name", ["conv_lstm", "encoder_gru", "lift", "temporal"])
def test_learns_saves_and_exports(name, tmp_path):
    function, options = NETWORKS[name]
    keras.utils.set_random_seed(0)
    model = function((4, 32, 32, 3), JOINTS, **options)
    x, joints = clips(4, (4, 32, 32, 3))
    check_learning(model, x[model.inputs[0].name], joints, tmp_path)


@pytest.mark.parametrize("name", NETWORKS)
def test_contract(name, policy):
    """Named input of its kind, float32 metres relative to joint 0 whatever the policy, for frames that are not
    square."""
    function, options = NETWORKS[name]
    policy("mixed_bfloat16")
    model = function((3, 32, 64, 3), JOINTS, **options)
    policy("float32")
    [given] = model.inputs
    assert (given.name, given.dtype) in (("frames", "uint8"), ("keypoints_2d", "float32"))
    assert model.name == name.split()[0] and model.output_names == ["joints"]
    assert model.output["joints"].shape == (None, 3, JOINTS, 3) and model.output["joints"].dtype == "float32"
    assert any(layer.compute_dtype == "bfloat16" for layer in model.layers)
    answer = model.predict_on_batch(clips(2, (3, 32, 64, 3))[0][given.name])["joints"]
    assert answer.dtype == np.float32 and np.isfinite(answer).all()
    if function is not conv_lstm:
        assert (answer[:, :, 0] == 0).all() and (answer[:, :, 1:] != 0).any()


def small_encoder():
    """Parameters of the encoder `small`: three 3x3 convolutions with batch normalisation (4 numbers a filter) at each
    stride."""
    widths = (3, 16, 32, 64, 96, 128)
    return sum(9 * k * w + 4 * w + 2 * (9 * w * w + 4 * w) for k, w in zip(widths, widths[1:], strict=False))


def gru(inputs, units):
    return 3 * (units * (inputs + units) + 2 * units)  # Keras's GRU has two biases


COUNTS = {
    "encoder_gru": (encoder_gru, {"encoder": "small", "units": 20}, small_encoder() + gru(128, 20) + 20 * 51 + 51),
    "encoder_gru, flat": (
        *(encoder_gru, {"encoder": "small", "units": 20, "pool": "flatten", "bidirectional": True}),
        small_encoder() + 2 * gru(2 * 128, 20) + 40 * 51 + 51,
    ),
    "lift": (lift, {}, 34 * 1024 + 4 * 1024 + 4 * (1024 * 1024 + 4 * 1024) + 1024 * 51 + 51),
    "lift, 1 block": (lift, {"blocks": 1, "width": 10}, 34 * 10 + 40 + 2 * (100 + 40) + 510 + 51),
    "temporal": (temporal, {}, 3 * 34 * 1024 + 4096 + 3 * 1024**2 + 4096 + 1024**2 + 4096 + 1024 * 51 + 51),
    "temporal, 81": (
        *(temporal, {"channels": 10, "widths": (3, 3, 3, 3)}),
        3 * 34 * 10 + 40 + 3 * (3 * 100 + 40 + 100 + 40) + 510 + 51,
    ),
}


@pytest.mark.parametrize("name", COUNTS)
def test_parameters_counted_by_hand(name):
    function, options, expected = COUNTS[name]
    assert function((8, 32, 64, 3), JOINTS, **options).count_params() == expected


MISTAKES = [
    (conv_lstm, {"low": (0, 0)}, "low must have shape"),
    (conv_lstm, {"high": (0, 0, -2)}, "nowhere be above high"),
    (encoder_gru, {"pool": "max"}, "pool must be one of average, flatten, got 'max'"),
    (temporal, {"widths": (3, 2)}, "odd numbers of frames"),
    (temporal, {"widths": ()}, "one or more"),
]


@pytest.mark.parametrize("function, options, message", MISTAKES)
def test_mistakes(function, options, message):
    with pytest.raises(ValueError, match=message):
        function((4, 32, 32, 3), JOINTS, **options)


# conv_lstm


def test_conv_lstm_has_the_shapes_of_the_assignment():
    model = conv_lstm((8, 224, 224, 3), JOINTS)
    layer = model.get_layer
    assert layer("conv").output.shape == (None, 220, 220, 32)
    assert layer("pool").input.shape == (None, 8, 220, 220, 32)
    assert layer("pool").output.shape == (None, 8, 110, 110, 32)
    assert layer("flatten").output.shape == (None, 8, 110 * 110 * 32)
    assert layer("lstm").output.shape == (None, 8, 50)
    assert layer("dense").output.shape == (None, 8, 51)
    assert layer("unit_joints").output.shape == layer("joints").output.shape == (None, 8, 17, 3)
    assert model.count_params() == (5 * 5 * 3 * 32 + 32) + 4 * (50 * (110 * 110 * 32 + 50) + 50) + (50 * 51 + 51)
    assert layer("pool").pool_size == (1, 2, 2) and layer("conv").padding == "valid"


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def conv_lstm_in_numpy(frames, weights, low, high):
    kernel, conv_bias, w, u, lstm_bias, dense, dense_bias = (weight.astype("float64") for weight in weights)
    answers = []
    for clip in frames / 255.0:
        state, cell, poses = np.zeros(u.shape[0]), np.zeros(u.shape[0]), []
        for frame in clip:
            maps = [
                sum(scipy.signal.correlate2d(frame[..., c], one[..., c], mode="valid") for c in range(3))
                for one in np.moveaxis(kernel, -1, 0)
            ]
            maps = np.maximum(np.stack(maps, axis=-1) + conv_bias, 0)
            pooled = sliding_window_view(maps, (2, 2), axis=(0, 1))[::2, ::2].max(axis=(-1, -2))
            i, f, g, o = np.split(pooled.reshape(-1) @ w + state @ u + lstm_bias, 4)
            cell = sigmoid(f) * cell + sigmoid(i) * np.tanh(g)
            state = sigmoid(o) * np.tanh(cell)
            poses.append(low + (high - low) * sigmoid(state @ dense + dense_bias).reshape(-1, 3))
        answers.append(poses)
    return np.array(answers)


@pytest.mark.parametrize("portable", [False, True])
def test_conv_lstm_equals_its_equations(portable):
    rng = np.random.default_rng(0)
    low, high = rng.uniform(-2, -1, (2, 3)), rng.uniform(0, 1, (2, 3))
    model = conv_lstm((3, 15, 12, 3), 2, filters=4, units=6, low=low.tolist(), high=high.tolist(), portable=portable)
    weights = [rng.normal(0, 0.3, weight.shape).astype("float32") for weight in model.get_weights()]
    model.set_weights(weights)
    frames = rng.integers(0, 256, (2, 3, 15, 12, 3), dtype="uint8")
    np.testing.assert_allclose(
        model.predict_on_batch(frames)["joints"], conv_lstm_in_numpy(frames, weights, low, high), atol=1e-5
    )


def test_portable_conv_lstm_is_the_same_function():
    frames = clips(2, (4, 33, 32, 3))[0]["frames"]
    plain, portable = (conv_lstm((4, 33, 32, 3), JOINTS, filters=4, portable=portable) for portable in (False, True))
    portable.set_weights(plain.get_weights())
    expected = plain.predict_on_batch(frames)["joints"]
    assert expected.std() > 1e-3
    np.testing.assert_allclose(portable.predict_on_batch(frames)["joints"], expected, atol=1e-6)
    kinds = {type(operation).__name__ for operation in portable.operations}
    assert "MaxPooling2D" in kinds and "MaxPooling3D" not in kinds and portable.get_layer("lstm").unroll


@pytest.mark.parametrize("low, high", [((-1, -2, 0), (1, 0.5, 3)), (-np.ones((17, 3)), np.arange(51).reshape(17, 3))])
def test_sigmoid_is_mapped_to_the_bounds(low, high):
    model = conv_lstm(
        (2, 16, 16, 3), JOINTS, filters=1, units=2, low=np.asarray(low).tolist(), high=np.asarray(high).tolist()
    )
    bounds = keras.layers.deserialize(keras.layers.serialize(model.get_layer("joints")))
    for value, expected in ((0, low), (1, high)):
        np.testing.assert_allclose(
            bounds(np.full((1, 2, 17, 3), value))[0, 1], np.broadcast_to(expected, (17, 3)), atol=1e-6
        )


def test_conv_lstm_in_float16(policy):
    """TensorFlow has no 3-D pooling of float16 on CPUs."""
    policy("mixed_float16")
    model = conv_lstm((2, 16, 16, 3), JOINTS, filters=2, units=4)
    assert model.get_layer("conv").compute_dtype == "float16"
    assert np.isfinite(model.predict_on_batch(np.zeros((1, 2, 16, 16, 3), "uint8"))["joints"]).all()


# What an answer depends on


def dependence(model, frames: int) -> np.ndarray:
    """[s, t]: whether frame t's answer changes with frame s's joints."""
    x = clips(1, (frames, 32, 32, 3))[0]["keypoints_2d"]
    changed = np.repeat(x, frames, axis=0)
    for s in range(frames):
        changed[s, s] += np.linspace(-0.5, 0.5, 2 * JOINTS).reshape(JOINTS, 2)
    difference = model.predict_on_batch(changed)["joints"] - model.predict_on_batch(x)["joints"]
    return np.abs(difference).max(axis=(2, 3)) > 1e-5


def switch_off(model, name: str):
    """A branch that ends in this batch normalisation adds 0."""
    model.get_layer(name).gamma.assign(np.zeros(model.get_layer(name).gamma.shape))


FIELDS = [  # widths, causal, block switched off, frames before, frames after
    ((3, 3), False, None, 4, 4),
    ((3, 3), True, None, 8, 0),
    ((3,), False, None, 1, 1),
    ((1, 5), True, None, 4, 0),
    ((5, 3), False, 1, 2, 2),  # the residual alone: the middle of the block's input
    ((5, 3), True, 1, 4, 0),  # its end
    ((3, 3, 3), False, None, 13, 13),  # more than the clip has
]


@pytest.mark.parametrize("widths, causal, off, before, after", FIELDS)
def test_receptive_field_of_temporal(widths, causal, off, before, after):
    keras.utils.set_random_seed(0)
    model = temporal((15, 32, 32, 3), JOINTS, widths=widths, channels=24, causal=causal)
    if off:
        switch_off(model, f"block{off}_b_bn")
    s, t = np.ogrid[:15, :15]
    np.testing.assert_array_equal(dependence(model, 15), (s >= t - before) & (s <= t + after))


def test_temporal_with_reversed_kernels_reads_time_backwards():
    keras.utils.set_random_seed(0)
    model, backwards = (temporal((8, 32, 32, 3), JOINTS, channels=24) for _ in range(2))
    backwards.set_weights([weight[::-1] if weight.ndim == 3 else weight for weight in model.get_weights()])
    x = clips(2, (8, 32, 32, 3))[0]["keypoints_2d"]
    expected = model.predict_on_batch(x)["joints"]
    np.testing.assert_allclose(backwards.predict_on_batch(x[:, ::-1])["joints"][:, ::-1], expected, atol=1e-5)
    still = np.repeat(x[:, :1], 8, axis=1)  # repeated ends of a clip without motion are more of the same
    answers = model.predict_on_batch(still)["joints"]
    np.testing.assert_allclose(answers, np.repeat(answers[:, :1], 8, axis=1), atol=1e-5)


def test_lift_treats_frames_independently():
    keras.utils.set_random_seed(0)
    np.testing.assert_array_equal(dependence(lift((5, 32, 32, 3), JOINTS, width=32), 5), np.eye(5, dtype=bool))


@pytest.mark.parametrize("function, last", [(lift, "dense"), (temporal, "shrink")])
def test_blocks_are_residual(function, last):
    """Without what the block adds, the first layer's features reach the last one unchanged."""
    model, plain = (function((4, 32, 32, 3), JOINTS, **options) for options in NO_BLOCKS[function])
    switch_off(model, "block1_b_bn")
    for name in ("expand_linear" if function is lift else "expand_conv", "expand_bn", last):
        plain.get_layer(name).set_weights(model.get_layer(name).get_weights())
    x = clips(2, (4, 32, 32, 3))[0]["keypoints_2d"]
    np.testing.assert_allclose(plain.predict_on_batch(x)["joints"], model.predict_on_batch(x)["joints"], atol=1e-5)


NO_BLOCKS = {
    lift: ({"width": 16, "blocks": 1}, {"width": 16, "blocks": 0}),
    temporal: ({"channels": 16}, {"channels": 16, "widths": (3,)}),
}


def test_norms_of_lift_stay_within_the_bound():
    x, joints = clips(4, (4, 32, 32, 3))
    for max_norm, bounded in ((1.0, True), (None, False)):
        model = lift((4, 32, 32, 3), JOINTS, width=16, max_norm=max_norm)
        model.compile(keras.optimizers.Adam(0.1), loss="mse", run_eagerly=True)
        model.train_on_batch(x["keypoints_2d"], {"joints": joints})
        norms = [np.linalg.norm(w, axis=0).max() for w in model.get_weights() if w.ndim == 2]
        assert len(norms) == 6 and all(norm < 1.0001 for norm in norms) == bounded


@pytest.mark.parametrize("height, width", [(32, 64), (64, 32), (48, 48)])
def test_lifters_see_square_pixels(height, width):
    inputs, seen = lifting.observed_keypoints((1, height, width, 3), JOINTS)
    pixels = np.random.default_rng(0).uniform(0, 32, (1, 1, JOINTS, 2))
    expected = (pixels - [width / 2, height / 2]) / (width / 2)
    found = keras.Model(inputs, seen).predict_on_batch((pixels / [width, height]).astype("float32"))
    np.testing.assert_allclose(found, expected, atol=1e-6)


# A 2-D network inside


def in_training(model, x):
    return keras.ops.convert_to_numpy(model(x, training=True))


@pytest.mark.parametrize("kind", ["float32", "mixed_bfloat16"])
def test_estimated_keypoints_are_the_runs_own(pose_run, policy, kind, tmp_path):
    """Against the run's network on frames resized by OpenCV; the same while training, under any policy, and after
    saving."""
    frames = clips(2, (3, 48, 80, 3))[0]["frames"]
    policy(kind)
    given = keras.Input((3, 48, 80, 3), dtype="uint8")
    model = keras.Model(given, lifting.estimated_keypoints(given, network_of(pose_run)))
    assert keras.config.dtype_policy().name == kind
    found = model.predict_on_batch(frames)
    np.testing.assert_allclose(in_training(model, frames), found, atol=1e-5)
    assert not model.trainable_variables and model.get_layer("pose_2d").get_weights()
    model.save(tmp_path / "model.keras")
    np.testing.assert_allclose(in_training(keras.saving.load_model(tmp_path / "model.keras"), frames), found, atol=1e-5)

    network = pose_run.model()
    size = network.input.shape[1:3]
    resized = [
        cv2.resize(frame.astype("float32"), size[::-1], interpolation=cv2.INTER_LINEAR)
        for frame in frames.reshape(-1, 48, 80, 3)
    ]
    outputs = network.predict_on_batch(np.rint(resized).astype("uint8"))
    coords = outputs["coords"] if "coords" in outputs else peaks(outputs["heatmaps"])
    expected = np.einsum("kj,bjc->bkc", skeletons.h36m_from(COCO_JOINTS), coords).reshape(2, 3, JOINTS, 2)
    assert np.ptp(expected, axis=(0, 1)).max() > 0.01, "different frames, different joints"
    np.testing.assert_allclose(found, expected, atol=1e-3)


def peaks(maps) -> np.ndarray:
    """A quarter of a cell from the highest cell towards its higher neighbour."""
    batch, height, width, joints = maps.shape
    result = np.zeros((batch, joints, 2), "float32")
    for b, j in np.ndindex(batch, joints):
        y, x = np.unravel_index(maps[b, :, :, j].argmax(), (height, width))
        dx = np.sign(maps[b, y, x + 1, j] - maps[b, y, x - 1, j]) if 0 < x < width - 1 else 0
        dy = np.sign(maps[b, y + 1, x, j] - maps[b, y - 1, x, j]) if 0 < y < height - 1 else 0
        result[b, j] = (x + 0.5 + 0.25 * dx) / width, (y + 0.5 + 0.25 * dy) / height
    return result


@pytest.mark.parametrize("pose_run", ["heatmap"], indirect=True)
@pytest.mark.slow
def test_lifters_on_a_pose_run(pose_run, tmp_path):
    """One model from pixels to metres: it learns, the 2-D network does not, and it is saved, loaded and exported
    without the run."""
    keras.utils.set_random_seed(0)
    model, other = (
        function((4, 32, 32, 3), JOINTS, dropout=0.0, pose_run=network_of(pose_run), **NARROW[function])
        for function in (lift, temporal)
    )
    x, joints = clips(4, (4, 32, 32, 3))
    for lifter in (model, other):
        assert lifter.inputs[0].name == "frames" and lifter.inputs[0].dtype == "uint8"
        inside = {id(variable) for variable in lifter.get_layer("pose_2d").variables}
        assert inside and not inside & {id(variable) for variable in lifter.trainable_variables}
    assert other.predict_on_batch(x["frames"])["joints"].shape == joints.shape
    before = [weight.copy() for weight in model.get_layer("pose_2d").get_weights()]
    check_learning(model, x["frames"], joints, tmp_path)
    for old, new in zip(before, model.get_layer("pose_2d").get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    loaded = keras.saving.load_model(tmp_path / "model.keras", compile=False)
    assert not loaded.get_layer("pose_2d").trainable_variables


NARROW = {lift: {"width": 64}, temporal: {"channels": 32}}


@pytest.mark.parametrize("pose_run", ["heatmap"], indirect=True)
def test_wrong_pose_runs(pose_run, tmp_path):
    with pytest.raises(ValueError, match="17 joints, got num_outputs=5"):
        lift((4, 32, 32, 3), 5, pose_run=network_of(pose_run))
    with pytest.raises(ValueError, match="needs 'nose'"):
        lifting.pose_network(pose_run.model(), COCO_JOINTS[1:])
    with pytest.raises(UserError, match="no run folder"):
        network_of(Run(tmp_path / "nothing", pose_run.config))
    other = Run.create(tmp_path, run_folders.configuration("seg", "unet"))
    with pytest.raises(UserError, match="must be a run of task=pose, got .* a run of task=seg"):
        network_of(other)
    image = keras.Input((32, 32, 3), dtype="uint8", name="image")
    no_joints = keras.Model(image, named({"logits": keras.layers.Conv2D(17, 1)(image)}))
    with pytest.raises(UserError, match="must emit one of coords, .* emits logits"):
        lifting.pose_network(no_joints, COCO_JOINTS)
