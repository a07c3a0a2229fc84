"""Metrics of 3-D pose against SciPy, hand-made skeletons and the exact scores, however the data is cut into batches."""

import importlib.util
import os
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops
from scipy.linalg import orthogonal_procrustes
from scipy.spatial.transform import Rotation

from kzoo.metrics import alignment, pose3d_scores
from kzoo.metrics import pose3d as pose3d_metrics

N, T, J = 11, 8, 17
FACTORIES = {
    "mpjpe_mm": pose3d_metrics.MPJPE3D,
    "n_mpjpe_mm": lambda: pose3d_metrics.MPJPE3D(align="scale"),
    "pa_mpjpe_mm": lambda: pose3d_metrics.MPJPE3D(align="procrustes"),
    "mpjve_mm": pose3d_metrics.MPJVE,
    "pck3d": pose3d_metrics.PCK3D,
}
EXACT = {"pck3d": "pck3d@150"}  # where the exact score has another name
ALIGN = {"mpjpe_mm": "none", "n_mpjpe_mm": "scale", "pa_mpjpe_mm": "procrustes"}


def clips(seed, noise=0.12):
    """Labels (N, T, J, 3) in metres and answers, with roots that are not in the origin."""
    rng = np.random.default_rng(seed)
    truth = rng.normal(scale=0.35, size=(N, T, J, 3))
    found = 1.2 * truth + rng.normal(scale=noise, size=truth.shape) + 0.3
    return truth.astype("float32"), found.astype("float32")


def fed(metric, truth, found, cuts=()):
    for t, p in zip(np.split(truth, cuts), np.split(found, cuts), strict=True):
        metric.update_state(t, p)
    return metric


def number(value):
    return ops.convert_to_numpy(ops.convert_to_tensor(value))


def centred(frame):
    frame = frame.astype("float64")
    return frame - frame.mean(0)


def aligned(found, truth):
    """Procrustes by SciPy: the rotation by `Rotation.align_vectors`, then the scale by least squares. (J, 3), centred
    both."""
    turned = Rotation.align_vectors(centred(truth), centred(found))[0].apply(centred(found))
    return turned * (turned * centred(truth)).sum() / (turned**2).sum(), centred(truth)


@pytest.mark.parametrize("seed", range(3))
def test_procrustes_against_scipy(seed):
    truth, found = clips(seed)
    if seed == 2:  # mirrored: the best orthogonal matrix is no rotation
        found = found * np.array([-1, 1, 1], "float32")
    frames = zip(found.reshape(-1, J, 3), truth.reshape(-1, J, 3), strict=True)
    expected = [np.linalg.norm(np.subtract(*aligned(p, t)), axis=-1) for p, t in frames]
    metric = fed(pose3d_metrics.MPJPE3D(align="procrustes"), truth, found)
    np.testing.assert_allclose(number(metric.per_joint()), 1000 * np.mean(expected, axis=0), rtol=1e-4)
    matrix, _ = orthogonal_procrustes(centred(found[0, 0]), centred(truth[0, 0]))
    assert np.sign(np.linalg.det(matrix)) == (-1 if seed == 2 else 1), "the case is what it says"
    np.testing.assert_allclose(
        pose3d_scores.joint_errors_mm(truth, found, "procrustes").reshape(-1, J), 1000 * np.array(expected), rtol=1e-8
    )


def test_scale_against_numpy():
    """The factor from NumPy's least squares, frame by frame, of skeletons relative to their root."""
    truth, found = clips(0)
    errors = []
    for t, p in zip(truth.reshape(-1, J, 3).astype("float64"), found.reshape(-1, J, 3).astype("float64"), strict=True):
        t, p = t - t[0], p - p[0]
        factor = np.linalg.lstsq(p.reshape(-1, 1), t.ravel(), rcond=None)[0]
        errors.append(np.linalg.norm(factor * p - t, axis=-1))
    metric = fed(pose3d_metrics.MPJPE3D(align="scale"), truth, found)
    np.testing.assert_allclose(number(metric.per_joint()), 1000 * np.mean(errors, axis=0), rtol=1e-4)


def similar(truth, mirror=1.0):
    """The same skeletons turned, scaled and moved, each frame otherwise."""
    rng = np.random.default_rng(5)
    turns = Rotation.random(N * T, random_state=5).as_matrix().reshape(N, T, 3, 3)
    scale, move = rng.uniform(0.2, 4, (N, T, 1, 1)), rng.normal(size=(N, T, 1, 3))
    return (scale * (truth * np.array([mirror, 1, 1])) @ turns + move).astype("float32")


# alignment of the metric, answer made from the labels, and whether the error is then 0
INVARIANCES = {
    "moved": ("none", lambda t: t + np.array([0.5, -2, 7], "float32"), True),
    "scaled": ("none", lambda t: 2 * t, False),
    "scaled and moved, N": ("scale", lambda t: 0.3 * t + 1, True),
    "scaled and turned, N": ("scale", similar, False),
    "similar, PA": ("procrustes", similar, True),
    "similar and mirrored, PA": ("procrustes", lambda t: similar(t, -1.0), False),
}


@pytest.mark.parametrize("name", INVARIANCES)
def test_invariances(name):
    align, change, right = INVARIANCES[name]
    truth = clips(1)[0]
    found = change(truth).astype("float32")
    value = float(fed(pose3d_metrics.MPJPE3D(align=align), truth, found).result())
    exact = pose3d_scores.joint_errors_mm(truth, found, align).mean()
    assert (value < 0.01 and exact < 0.01) if right else (value > 50 and exact > 50), (value, exact)


def degenerate():
    """Pairs (labels, answers) of (1, 1, J, 3) without a unique rotation or scale, and the PA error of each joint in mm,
    if by hand."""
    truth = clips(2)[0][:1, :1]
    point, line = (
        np.full_like(truth, 0.7),
        np.linspace(-1, 1, J, dtype="float32")[:, None] * np.array([1, 2, -2], "float32"),
    )
    flat = truth * np.array([1, 0, 1], "float32")
    y, parameter = centred(truth[0, 0]), np.linspace(-1, 1, J)
    # A line can be turned any way, so it becomes the best line that is run through at the same pace: least squares of y
    # = parameter * b.
    along = parameter[:, None] * np.linalg.lstsq(parameter[:, None], y, rcond=None)[0]
    to_centre = np.linalg.norm(y, axis=-1)
    return {
        "answer a point": (truth, point, to_centre),
        "answer all zeros": (truth, np.zeros_like(truth), to_centre),
        "answer almost a point": (truth, (1e-10 * truth).astype("float32"), to_centre),
        "labels a point": (point, truth, np.zeros(J)),
        "both points": (point, np.zeros_like(point), np.zeros(J)),
        "answer a line": (truth, line[None, None], np.linalg.norm(y - along, axis=-1)),
        "labels a line": (line[None, None], truth, None),
        "both lines": (line[None, None], 3 * line[None, None, :, ::-1], np.zeros(J)),
        "answer flat": (truth, flat, None),
        "labels flat": (flat, truth, None),
        "equal": (truth, truth, np.zeros(J)),
        "mirrored and flat": (flat, flat * np.array([-1, 1, 1], "float32"), np.zeros(J)),
    }


DEGENERATE = degenerate()
COMPILED = tf.function(alignment.procrustes_aligned, jit_compile=True)


@pytest.mark.parametrize("name", DEGENERATE)
def test_degenerate_skeletons(name):
    """All is finite, and the same in float32, in float64 and compiled by XLA; where the error is known by hand, it is
    that."""
    truth, found, expected = DEGENERATE[name]
    for make in FACTORIES.values():
        metric = fed(make(), truth, found)
        assert np.isfinite(number(metric.result())) or isinstance(metric, pose3d_metrics.MPJVE), (
            "one frame has no velocity"
        )
    exact = pose3d_scores.joint_errors_mm(truth, found, "procrustes")[0, 0]
    if expected is not None:
        np.testing.assert_allclose(exact, 1000 * expected, atol=1e-3)
    for align in (alignment.procrustes_aligned, COMPILED):
        result = number(align(*(alignment.root_aligned(tf.constant(x)) for x in (found, truth))))
        distance = 1000 * np.linalg.norm(result - (truth - truth[:, :, :1]), axis=-1)[0, 0]
        if (
            "line" in name or "flat" in name or "point" in name
        ):  # several rotations are equally good: only the sum is unique
            np.testing.assert_allclose((distance**2).sum(), (exact**2).sum(), rtol=1e-4, atol=1e-3)
        else:
            np.testing.assert_allclose(distance, exact, rtol=1e-4, atol=1e-3)


def test_what_is_not_finite_is_nan_in_its_frame_alone():
    """A network that has diverged has no score; it neither raises nor passes."""
    truth, found = clips(3)
    found[2, 3, 4, 1] = np.nan
    for align in pose3d_metrics.NAMES:
        errors = pose3d_scores.joint_errors_mm(truth, found, align)
        assert np.isnan(errors[2, 3]).any() and np.isfinite(np.delete(errors.reshape(-1, J), 2 * T + 3, axis=0)).all()
        assert np.isnan(number(fed(pose3d_metrics.MPJPE3D(align=align), truth, found).result()))


def test_error_per_joint_as_it_was_published():
    """MPJPE_i = 1/M sum 1/8 sum sqrt(x_i^2 + y_i^2 + z_i^2) for i = 1…17, literally.

    The published formula does not say so, but x_i, y_i and z_i are differences of coordinates, y_true - y_pred, of
    skeletons in which joint 0 is the origin.
    """
    truth, found = clips(4)
    expected = []
    for i in range(17):
        total = 0.0
        for clip in range(N):
            for frame in range(8):
                t, p = truth[clip, frame].astype("float64"), found[clip, frame].astype("float64")
                x, y, z = (t[i] - t[0]) - (p[i] - p[0])
                total += np.sqrt(x**2 + y**2 + z**2) / 8
        expected.append(1000 * total / N)
    metric = fed(pose3d_metrics.MPJPE3D(), truth, found)
    np.testing.assert_allclose(number(metric.per_joint()), expected, rtol=1e-5)
    np.testing.assert_allclose(number(metric.result()), np.mean(expected), rtol=1e-5)
    assert number(metric.per_joint())[0] == 0, "the root"


def test_velocity_by_hand():
    """One joint of two runs away by 3, 4 and 0 mm in x from frame to frame and by 4 mm in y at the first step: 5, 4 and
    0 mm."""
    truth = np.zeros((1, 4, 2, 3), "float32")
    truth[..., 1, 2] = np.array([0, 0.1, 0.4, 0.2])  # motion that both have
    found = truth + 0.5
    found[0, :, 1, 0] += np.cumsum([0, 0.003, 0.004, 0])
    found[0, :, 1, 1] += np.cumsum([0, 0.004, 0, 0])
    expected = (5 + 4 + 0) / 3 / 2
    np.testing.assert_allclose(number(fed(pose3d_metrics.MPJVE(), truth, found).result()), expected, rtol=1e-4)
    np.testing.assert_allclose(pose3d_scores.velocity_errors_mm(truth, found).mean(), expected, rtol=1e-4)


def test_pck_and_auc_by_hand():
    """Errors of 0, 2, 48, 102, 149, 151 and 400 mm of 7 joints; 30, 30, 21, 10, 1, 0 and 0 of the 31 thresholds lie
    above them."""
    truth = np.zeros((1, 1, 7, 3), "float32")
    found = truth.copy()
    found[0, 0, :, 1] = np.array([0, 2, -48, 102, -149, 151, 400]) / 1000
    np.testing.assert_allclose(number(fed(pose3d_metrics.PCK3D(), truth, found).result()), 5 / 7, rtol=1e-6)
    np.testing.assert_allclose(
        number(fed(pose3d_metrics.PCK3D(threshold_mm=50), truth, found).result()), 3 / 7, rtol=1e-6
    )
    expected = (30 + 30 + 21 + 10 + 1) / 31 / 7
    errors = pose3d_scores.joint_errors_mm(truth, found)
    assert pose3d_scores.auc3d(errors) == pytest.approx(expected) and pose3d_scores.pck3d(errors) == pytest.approx(
        5 / 7
    )
    assert pose3d_scores.auc3d(np.zeros((2, 3, 4))) == pytest.approx(30 / 31)


@pytest.mark.parametrize("name", FACTORIES)
def test_batches_dtypes_and_the_exact_score(name):
    truth, found = clips(6)
    exact = pose3d_scores.pose3d_report(truth, {"joints": found}, {}, [str(j) for j in range(J)])["scores"][
        EXACT.get(name, name)
    ]
    whole = number(fed(FACTORIES[name](), truth, found).result())
    np.testing.assert_allclose(whole, exact, rtol=1e-4)
    for cuts in ((1,), (3, 4, 9), tuple(range(1, N))):
        np.testing.assert_allclose(number(fed(FACTORIES[name](), truth, found, cuts).result()), whole, rtol=1e-5)
    half = fed(FACTORIES[name](), truth, ops.cast(found, "float16"))
    np.testing.assert_allclose(number(half.result()), exact, rtol=0.01)


@pytest.mark.parametrize("name", FACTORIES)
def test_reset_and_serialisation(name):
    metric = FACTORIES[name]()
    assert metric.name == name and np.isnan(number(metric.result())), "no data, no score"
    fed(metric, *clips(0))
    metric.reset_state()
    assert np.isnan(number(metric.result()))
    again = keras.metrics.deserialize(keras.metrics.serialize(metric))
    assert type(again) is type(metric) and again.get_config() == metric.get_config() and again.name == name
    assert float(fed(again, *clips(1)).result()) == float(fed(metric, *clips(1)).result())


def test_through_compile_and_fit():
    """In a graph, under XLA where Keras chooses it, with several batches, and with a name of one's own."""
    clip = keras.Input((T, J, 3), name="clip")
    model = keras.Model(clip, {"joints": keras.layers.Identity(name="joints")(clip)})
    model.compile(
        "sgd", loss={"joints": "mse"}, metrics={"joints": [make() for make in FACTORIES.values()]}, jit_compile=True
    )
    truth, found = clips(7)
    logs = model.evaluate(found, {"joints": truth}, batch_size=4, return_dict=True, verbose=0)
    for name, make in FACTORIES.items():
        key = next(key for key in logs if key.removeprefix("joints_") == name)
        np.testing.assert_allclose(logs[key], number(fed(make(), truth, found).result()), rtol=1e-4)
    assert pose3d_metrics.MPJPE3D(align="scale", name="mine").name == "mine"


def test_unknown_alignment():
    with pytest.raises(ValueError, match="align must be one of none, scale, procrustes, got 'rigid'"):
        pose3d_metrics.MPJPE3D(align="rigid")


ON_A_BACKEND = """
import sys, numpy as np
from kzoo.metrics import pose3d as metrics3d
data = np.load(sys.argv[1])
for name, make in {"mpjpe_mm": metrics3d.MPJPE3D, "n_mpjpe_mm": lambda: metrics3d.MPJPE3D("scale"),
                   "mpjve_mm": metrics3d.MPJVE,
                   "pa_mpjpe_mm": lambda: metrics3d.MPJPE3D("procrustes"), "pck3d": metrics3d.PCK3D}.items():
    metric = make()
    metric.update_state(data["truth"], data["found"])
    np.testing.assert_allclose(float(metric.result()), data[name], rtol=1e-4, err_msg=name)
    metric.update_state(np.zeros((1, 8, 17, 3), "float32"), data["found"][:1])  # points
    assert np.isfinite(float(metric.result())), name
    if name.endswith("mpjpe_mm"):
        metric.update_state(data["truth"][:1], np.nan * data["found"][:1])
        assert np.isnan(float(metric.result())), name
"""


@pytest.mark.peer
@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_the_same_on_other_backends(backend, tmp_path):
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed: pip install -e '.[{backend}]'")
    truth, found = clips(8)
    expected = {name: number(fed(make(), truth, found).result()) for name, make in FACTORIES.items()}
    np.savez(tmp_path / "clips.npz", truth=truth, found=found, **expected)
    command = [sys.executable, "-c", ON_A_BACKEND, str(tmp_path / "clips.npz")]
    subprocess.run(command, env={**os.environ, "KERAS_BACKEND": backend}, check=True)
