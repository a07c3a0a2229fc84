"""Losses and metrics of camera localisation against literal formulas with SciPy's rotations; learned weights against
their derivatives."""

import importlib.util
import os
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops
from scipy.spatial.transform import Rotation
from scipy.special import log_softmax

from kzoo.losses import loc as loc_losses
from kzoo.metrics import loc as loc_metrics
from kzoo.metrics import loc_scores
from kzoo.nn import layers

B, T, H, W, C = 5, 3, 4, 6, 3
RNG = np.random.default_rng(0)
WEIGHTS = np.array([0.3, -2.0, 0.7, -1.1], "float32")


def quaternions(rotation) -> np.ndarray:
    """w, x, y, z with w >= 0."""
    q = rotation.as_quat()[..., [3, 0, 1, 2]]
    return np.where(q[..., :1] < 0, -q, q)


def poses(shape, turn=2.0):
    """(…, 7) float32, away from half-turns."""
    turns = RNG.uniform(-1, 1, (*shape, 3)) * turn / np.sqrt(3)
    rotation = quaternions(Rotation.from_rotvec(turns.reshape(-1, 3))).reshape(*shape, 4)
    return np.concatenate([RNG.normal(scale=2, size=(*shape, 3)), rotation], -1).astype("float32")


def rotation_of(pose):
    return Rotation.from_quat(pose[..., [4, 5, 6, 3]].reshape(-1, 4).astype("float64"))


def logarithms(pose):
    return rotation_of(pose).as_rotvec().reshape(*pose.shape[:-1], 3) / 2


def terms_of(pose, weights=WEIGHTS):
    """The answer that a network with these poses gives: position, log-quaternion and weights (…, 10)."""
    weights = np.broadcast_to(weights, (*pose.shape[:-1], len(weights)))
    return np.concatenate([pose[..., :3], logarithms(pose), weights], -1).astype("float32")


def relative_of(first, second):
    """Position (…, 3) and log-quaternion of the second camera in the coordinates of the first."""
    back = rotation_of(first).inv()
    moved = back.apply((second[..., :3] - first[..., :3]).reshape(-1, 3))
    return moved.reshape(*first.shape[:-1], 3), (back * rotation_of(second)).as_rotvec().reshape(
        *first.shape[:-1], 3
    ) / 2


NORMS = {
    "l1": lambda d: np.abs(d).mean(),
    "mse": lambda d: (d**2).mean(),
    "euclidean": lambda d: np.linalg.norm(d, axis=-1).mean(),
}
WEIGHTED = {
    "geometric": lambda L, a: np.exp(-a) * L + a,
    "uncertainty": lambda L, log_s: L / (2 * np.exp(log_s) ** 2) + log_s,
    "none": lambda L, a: L,
}


def expected_terms(truth, found, relative, norm):
    """L of eq. (1) by hand: a list of two or four numbers."""
    truth, found, distance = truth.astype("float64"), found.astype("float64"), NORMS[norm]
    terms = [distance(found[..., :3] - truth[..., :3]), distance(logarithms(found) - logarithms(truth))]
    if truth.ndim == 3 and truth.shape[1] > 1:
        if relative == "difference":
            steps = [(np.diff(p[..., :3], axis=1), np.diff(logarithms(p), axis=1)) for p in (truth, found)]
        else:
            steps = [relative_of(p[:, :-1], p[:, 1:]) for p in (truth, found)]
        terms += [distance(b - a) for a, b in zip(*steps, strict=True)]
    return terms


WINDOWS, PICTURES, SINGLES = poses((B, T)), poses((B,)), poses((B, 1))


@pytest.mark.parametrize("weighting", WEIGHTED)
@pytest.mark.parametrize("relative", ["difference", "composition"])
@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("truth", [WINDOWS, PICTURES, SINGLES], ids=["windows", "pictures", "windows of one frame"])
def test_pose_loss(truth, norm, relative, weighting):
    found = poses(truth.shape[:-1])
    expected = expected_terms(truth, found, relative, norm)
    beta = 3.0 if weighting == "none" else 1.0
    total = sum(WEIGHTED[weighting](L * (beta if i % 2 else 1), WEIGHTS[i]) for i, L in enumerate(expected))
    loss = loc_losses.PoseLoss(weighting=weighting, relative=relative, norm=norm, beta=beta)
    np.testing.assert_allclose(loss(truth, terms_of(found)), total, rtol=2e-5)
    named = loss.terms(truth, terms_of(found))
    assert tuple(named) == loc_losses.TERMS[: len(expected)]
    np.testing.assert_allclose(list(named.values()), expected, rtol=2e-5)


def test_a_window_by_hand():
    """Two frames: the camera moves 1 m along x and turns by 60 degrees about z; the answer stays where it began."""
    half = np.pi / 6
    truth = np.array([[[0, 0, 0, 1, 0, 0, 0], [1, 0, 0, np.cos(half), 0, 0, np.sin(half)]]], "float32")
    answer = np.zeros((1, 2, 10), "float32")
    expected = {
        "trans_abs": 1 / 6,
        "rot_abs": half / 6,
        "trans_rel": 1 / 3,
        "rot_rel": half / 3,
    }  # of 6 and of 3 components one is off
    for relative in loc_losses.RELATIVES:
        found = loc_losses.PoseLoss(relative=relative).terms(truth, answer)
        assert {name: round(float(value), 5) for name, value in found.items()} == {
            k: round(v, 5) for k, v in expected.items()
        }


def test_composition_sees_what_a_common_turn_hides():
    """Both frames turned and moved alike: the true relative pose is right, the differences of coordinates are not."""
    whole = Rotation.from_rotvec([0.3, -0.5, 0.8])
    moved = np.concatenate(
        [(whole.apply(WINDOWS[..., :3].reshape(-1, 3)) + [1, 2, 3]), quaternions(whole * rotation_of(WINDOWS))], -1
    ).reshape(WINDOWS.shape)
    by = {
        relative: loc_losses.PoseLoss(relative=relative).terms(WINDOWS, terms_of(moved))
        for relative in loc_losses.RELATIVES
    }
    assert float(by["composition"]["trans_rel"]) < 1e-5 and float(by["composition"]["rot_rel"]) < 1e-5
    assert float(by["difference"]["trans_rel"]) > 0.1 and float(by["difference"]["rot_rel"]) > 0.01


@pytest.mark.parametrize(
    ("weighting", "slope", "optimum"),
    [
        ("geometric", lambda L, a: 1 - np.exp(-a) * L, np.log),
        ("uncertainty", lambda L, log_s: 1 - np.exp(-2 * log_s) * L, lambda L: 0.5 * np.log(L)),
        ("none", lambda L, a: 0 * L, None),
    ],
)
def test_gradients_of_the_learned_weights(weighting, slope, optimum):
    loss, weights = loc_losses.PoseLoss(weighting=weighting), tf.Variable(WEIGHTS)
    answer = terms_of(poses((B, T)))[..., :6]
    L = np.array(
        expected_terms(
            WINDOWS, np.concatenate([answer[..., :3], quaternions_of_logs(answer[..., 3:])], -1), "difference", "l1"
        )
    )

    def gradient(truth, answer):
        with tf.GradientTape() as tape:
            value = loss(truth, tf.concat([answer, tf.broadcast_to(weights, (*answer.shape[:-1], 4))], -1))
        return tape.gradient(value, weights).numpy()

    np.testing.assert_allclose(gradient(WINDOWS, answer), slope(L, WEIGHTS), rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(gradient(WINDOWS[:, 0], answer[:, 0])[2:], 0)  # no window: no relative terms
    if optimum:
        weights.assign(optimum(L).astype("float32"))
        np.testing.assert_allclose(gradient(WINDOWS, answer), 0, atol=1e-5)


def quaternions_of_logs(half):
    return quaternions(Rotation.from_rotvec(2 * half.reshape(-1, 3).astype("float64"))).reshape(*half.shape[:-1], 4)


# segmentation

MASK = RNG.choice([0, 1, 2, 255], (B, H, W), p=[0.4, 0.2, 0.2, 0.2]).astype("uint8")
LOGITS = RNG.normal(scale=2, size=(B, H, W, C)).astype("float32")


def cross_entropy(mask, class_weights=(1, 1, 1)):
    counted = mask != 255
    picked = -log_softmax(LOGITS[counted].astype("float64"), -1)[np.arange(counted.sum()), mask[counted]]
    return np.average(picked, weights=np.array(class_weights)[mask[counted]])


SEMANTIC = {**WEIGHTED, "uncertainty": lambda L, log_s: L / np.exp(log_s) ** 2 + log_s}  # eq. (4) has no 2


@pytest.mark.parametrize("weighting", SEMANTIC)
@pytest.mark.parametrize("weight", [-0.4, 0.9])
def test_semantics_loss(weighting, weight):
    answer = np.concatenate([LOGITS, np.full((B, H, W, 1), weight, "float32")], -1)
    loss = loc_losses.SemanticsLoss(weighting=weighting)
    expected = SEMANTIC[weighting](cross_entropy(MASK), weight)
    np.testing.assert_allclose(loss(MASK, answer), expected, rtol=1e-5)
    np.testing.assert_allclose(loss(MASK[..., None], answer), expected, rtol=1e-5)
    weighed = loc_losses.SemanticsLoss(weighting=weighting, class_weights=[0.5, 2, 1])
    np.testing.assert_allclose(
        weighed(MASK, answer), SEMANTIC[weighting](cross_entropy(MASK, (0.5, 2, 1)), weight), rtol=1e-5
    )


@pytest.mark.parametrize("labelled", [True, False])
def test_weight_of_the_semantics_moves_only_where_something_is_labelled(labelled):
    logits, weight = tf.Variable(LOGITS), tf.Variable(0.2)
    mask = MASK if labelled else np.full_like(MASK, 255)
    with tf.GradientTape() as tape:
        loss = loc_losses.SemanticsLoss()(mask, tf.concat([logits, tf.fill((B, H, W, 1), weight)], -1))
    pull, push = tape.gradient(loss, [weight, logits])
    assert np.isfinite(loss)
    if labelled:
        np.testing.assert_allclose(pull, 1 - 2 * np.exp(-0.4) * cross_entropy(MASK), rtol=1e-5)
        np.testing.assert_array_equal(push.numpy()[MASK == 255], 0)
        assert np.abs(push.numpy()[MASK != 255]).min() > 0
    else:
        assert float(loss) == 0 and float(pull) == 0
        np.testing.assert_array_equal(push, 0)


# PoseNet


@pytest.mark.parametrize("truth", [WINDOWS, PICTURES], ids=["windows", "pictures"])
def test_posenet(truth):
    raw = RNG.normal(size=(*truth.shape[:-1], 7)).astype("float32")
    unit = raw[..., 3:].astype("float64") / np.linalg.norm(raw[..., 3:], axis=-1, keepdims=True)
    position = np.linalg.norm(raw[..., :3] - truth[..., :3].astype("float64"), axis=-1).mean()
    apart, opposite = (np.linalg.norm(unit - sign * truth[..., 3:], axis=-1) for sign in (1, -1))
    assert (apart > opposite).any()
    np.testing.assert_allclose(loc_losses.PositionLoss()(truth, raw[..., :3]), position, rtol=1e-5)
    np.testing.assert_allclose(loc_losses.RotationLoss()(truth, raw[..., 3:]), apart.mean(), rtol=1e-5)
    np.testing.assert_allclose(
        loc_losses.RotationLoss(nearest=True)(truth, raw[..., 3:]), np.minimum(apart, opposite).mean(), rtol=1e-5
    )


def test_auxiliary_heads():
    answer = RNG.normal(size=(B, 2, 7)).astype("float32")
    parts = [
        float(loc_losses.PositionLoss()(PICTURES, answer[:, s, :3]))
        + 120 * float(loc_losses.RotationLoss()(PICTURES, answer[:, s, 3:]))
        for s in range(2)
    ]
    np.testing.assert_allclose(loc_losses.AuxPoseLoss(beta=120.0)(PICTURES, answer), sum(parts), rtol=1e-5)
    assert loc_losses.AuxPoseLoss().beta == 500


# edges

POSE_LOSSES = {
    f"{weighting} {relative} {norm}": loc_losses.PoseLoss(weighting=weighting, relative=relative, norm=norm)
    for weighting in WEIGHTED
    for relative in loc_losses.RELATIVES
    for norm in NORMS
}
STILL = np.tile(np.array([1, 2, 3, 1, 0, 0, 0], "float32"), (B, T, 1))
HALF_TURN = np.tile(np.array([1, 2, 3, 0, 0, -1, 0], "float32"), (B, T, 1))


@pytest.mark.parametrize("pose", [WINDOWS, STILL, HALF_TURN], ids=["windows", "no turn", "half-turns"])
def test_perfect_and_opposite_answers_are_finite(pose):
    """Of a perfect answer, only the weights that multiply nothing are left; values and gradients are finite."""
    opposite = pose * np.array([1, 1, 1, -1, -1, -1, -1], "float32")
    logs = np.concatenate([pose[..., :3], quaternion_logs(pose), np.broadcast_to(WEIGHTS, (B, T, 4))], -1).astype(
        "float32"
    )
    rows = [(loss, pose, logs, 0.0 if loss.weighting == "none" else WEIGHTS.sum()) for loss in POSE_LOSSES.values()]
    rows += [(loc_losses.PositionLoss(), pose, pose[..., :3], 0), (loc_losses.RotationLoss(), pose, pose[..., 3:], 0)]
    rows += [
        (loc_losses.RotationLoss(), pose, opposite[..., 3:], 2),
        (loc_losses.RotationLoss(nearest=True), pose, opposite[..., 3:], 0),
    ]
    rows += [
        (loc_losses.AuxPoseLoss(beta=1.0), pose[:, 0], pose[:, :1], 0),
        (loc_losses.AuxPoseLoss(1.0), pose[:, 0], opposite[:, :1], 2),
    ]
    for loss, truth, answer, expected in rows:
        answer = tf.Variable(answer)
        with tf.GradientTape() as tape:
            value = loss(truth, answer)
        np.testing.assert_allclose(value, expected, atol=2e-4)
        assert np.isfinite(tape.gradient(value, answer)).all()


def quaternion_logs(pose):
    """By acos, in float64, w >= 0."""
    q = pose[..., 3:].astype("float64")
    length = np.linalg.norm(q[..., 1:], axis=-1, keepdims=True)
    return np.where(length > 0, q[..., 1:] / np.maximum(length, 1e-12) * np.arctan2(length, q[..., :1]), 0)


@pytest.mark.parametrize(
    "options", [{"weighting": "learned"}, {"relative": "odometry"}, {"norm": "l3"}, {"beta": 500.0}]
)
def test_options_are_refused(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        loc_losses.PoseLoss(**options)


def test_semantics_refuses_an_unknown_weighting():
    with pytest.raises(ValueError, match="uncertainty"):
        loc_losses.SemanticsLoss(weighting="kendall")


# the layer


@pytest.mark.parametrize("shape", [(2, 5), (2, 3, 5), (2, 4, 6, 5)])
@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_learned_weights_join_the_answer(shape, policy, tmp_path):
    x = RNG.normal(size=shape).astype("float32")
    inputs = keras.Input(shape[1:])
    model = keras.Model(inputs, layers.LearnedWeights((0, -3.5), name="terms", dtype=policy)(inputs))
    assert model.output_shape == (None, *shape[1:-1], shape[-1] + 2)
    (variable,) = model.trainable_variables
    assert (variable.name, variable.shape, variable.dtype) == ("weights", (2,), "float32")
    variable.assign([0.25, -3.001])
    model.save(tmp_path / "model.keras")
    for network in (model, keras.saving.load_model(tmp_path / "model.keras")):
        y = ops.convert_to_numpy(network(x))
        assert y.dtype == np.float32
        np.testing.assert_array_equal(y[..., :5], x)
        np.testing.assert_array_equal(
            y[..., 5:], np.broadcast_to(np.array([0.25, -3.001], "float32"), (*shape[:-1], 2))
        )


def test_learned_weights_need_a_start():
    with pytest.raises(ValueError, match="initial"):
        layers.LearnedWeights(())


def test_fit_brings_the_weights_to_the_logarithm_of_the_loss():
    """A network that answers with what it is given: only the weights learn, and go to a = log L."""
    inputs = keras.Input((T, 6))
    model = keras.Model(inputs, layers.LearnedWeights([0, -3, 0, -3])(inputs))
    answer = terms_of(poses((B, T)))[..., :6]
    model.compile(keras.optimizers.SGD(0.2), loc_losses.PoseLoss())
    model.fit(np.tile(answer, (80, 1, 1)), np.tile(WINDOWS, (80, 1, 1)), batch_size=B, shuffle=False, verbose=0)
    found = np.concatenate([answer[..., :3], quaternions_of_logs(answer[..., 3:])], -1)
    np.testing.assert_allclose(
        model.trainable_variables[0], np.log(expected_terms(WINDOWS, found, "difference", "l1")), atol=1e-3
    )


# metrics


@pytest.mark.parametrize(
    "truth", [poses((23,)), poses((23, T)), poses((23, 4))], ids=["pictures", "windows", "windows of four"]
)
def test_metrics_are_the_exact_means_however_the_data_is_cut(truth):
    found = poses(truth.shape[:-1])
    found[..., 3:] *= RNG.uniform(-2, 2, (*truth.shape[:-1], 1))
    predictions = loc_scores.decode_loc({"position": found[..., :3], "rotation": found[..., 3:]})
    exact = loc_scores.loc_scores(truth, predictions)
    for metric, part, name in (
        (loc_metrics.PositionError(), slice(0, 3), "position_mean_m"),
        (loc_metrics.RotationError(), slice(3, 7), "rotation_mean_deg"),
    ):
        for rows in ([slice(None)], [slice(0, 7), slice(7, 8), slice(8, 23)]):
            metric.reset_state()
            for row in rows:
                metric.update_state(truth[row], found[row][..., part])
            np.testing.assert_allclose(metric.result(), exact[name], rtol=1e-5)
    assert [loc_metrics.PositionError().name, loc_metrics.RotationError().name] == ["position_error", "rotation_error"]


PEER = """
import sys, numpy as np
from keras import backend, ops
from kzoo.losses import loc as pose_losses
from kzoo.metrics import loc as pose_metrics
assert backend.backend() == sys.argv[2]
data = dict(np.load(sys.argv[1]))
print(*[float(loss(data["truth"], data["terms"])) for loss in (
    pose_losses.PoseLoss(),
    pose_losses.PoseLoss("uncertainty", "composition", "euclidean"),
    pose_losses.PoseLoss("none", norm="mse"),
)])
print(float(pose_losses.PositionLoss()(data["truth"], data["terms"][..., :3])))
print(float(pose_losses.RotationLoss(nearest=True)(data["truth"], data["terms"][..., 6:])))
print(float(pose_losses.SemanticsLoss()(data["mask"], data["logits"])))
for metric, part in ((pose_metrics.PositionError(), slice(0, 3)), (pose_metrics.RotationError(), slice(6, 10))):
    metric.update_state(ops.convert_to_tensor(data["truth"]), ops.convert_to_tensor(data["terms"][..., part]))
    print(float(metric.result()))
"""


@pytest.mark.peer
@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_the_same_on_other_backends(backend, tmp_path):
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed: pip install -e '.[{backend}]'")
    truth = poses(
        (3, T)
    )  # as many windows as frames as coordinates: an axis taken for another would not be noticed by its length
    logits = np.concatenate([LOGITS, np.full((B, H, W, 1), 0.3, "float32")], -1)
    np.savez(tmp_path / "data.npz", truth=truth, terms=terms_of(poses((3, T))), mask=MASK, logits=logits)
    found = []
    for name in ("tensorflow", backend):
        command = [sys.executable, "-c", PEER, str(tmp_path / "data.npz"), name]
        run = subprocess.run(
            command, env={**os.environ, "KERAS_BACKEND": name}, check=True, capture_output=True, text=True
        )
        found.append(np.array(run.stdout.split(), float))
    assert len(found[0]) == 8 and np.isfinite(found[0]).all()
    np.testing.assert_allclose(found[1], found[0], rtol=2e-5)
