"""Rotations against SciPy, at all angles and both signs of the quaternion; gradients against central differences in
float64."""

import numpy as np
import pytest
import tensorflow as tf
from keras import ops
from scipy.spatial.transform import Rotation

from kzoo.nn import rotations

N = 10_000
RNG = np.random.default_rng(0)
ANGLES = [
    0,
    1e-30,
    1e-20,
    1e-10,
    1e-6,
    1e-4,
    1e-3,
    0.01,
    0.0632,
    0.0633,
    0.1,
    1,
    3,
    np.pi - 1e-3,
    np.pi - 1e-5,
    np.pi - 1e-6,
]  # radians
AXES = [(1, 0, 0), (0, -1, 0), (0, 0, 1), (0.6, 0, -0.8), (2 / 3, -1 / 3, 2 / 3)]


def quaternions(rotation) -> np.ndarray:
    """w, x, y, z of SciPy's x, y, z, w."""
    return rotation.as_quat()[..., [3, 0, 1, 2]]


def scipy_of(q):
    return Rotation.from_quat(np.asarray(q, "float64")[..., [1, 2, 3, 0]])


def number(value):
    return ops.convert_to_numpy(value)


RANDOM = Rotation.random(N, rng=RNG)
TURNS = Rotation.from_rotvec([angle * np.array(axis) for angle in ANGLES for axis in AXES])
SIGNS = RNG.choice([-1.0, 1.0], (N, 1))
P, Q = quaternions(RANDOM).astype("float32"), (SIGNS * quaternions(Rotation.random(N, rng=RNG))).astype("float32")
SPECIAL = quaternions(TURNS)
V = RNG.normal(scale=3, size=(N, 3)).astype("float32")
CASES = {
    "random": (RANDOM, quaternions(RANDOM)),
    "random, both signs": (RANDOM, SIGNS * quaternions(RANDOM)),
    "small and half-turns": (TURNS, SPECIAL),
    "the same, negated": (TURNS, -SPECIAL),
}


@pytest.mark.parametrize("name", CASES)
def test_logarithm_and_exponential(name):
    rotation, q = CASES[name]
    q = q.astype("float32")
    half = rotation.as_rotvec() / 2
    found = number(rotations.log(q))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, half, rtol=2e-6, atol=5e-7)
    again = number(rotations.exp(found))
    np.testing.assert_allclose(again, number(rotations.positive(q)), atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(again, axis=-1), 1, atol=5e-7)


def test_the_formula_of_the_paper_where_it_is_well_conditioned():
    q = np.where(P[:, :1] < 0, -P, P).astype("float64")
    q = q[(q[:, 0] < 0.95)]
    expected = q[:, 1:] / np.linalg.norm(q[:, 1:], axis=1, keepdims=True) * np.arccos(q[:, :1])
    np.testing.assert_allclose(number(rotations.log(q.astype("float32"))), expected, atol=2e-6)


@pytest.mark.parametrize("length", [0.0, 0.5, 1.7, 3.0, 5.0, 20.0])
def test_exponential_of_any_length(length):
    axis = np.array(AXES[-1])
    q = number(rotations.exp((length * axis).astype("float32")))
    np.testing.assert_allclose(q, [np.cos(length), *(np.sin(length) * axis)], atol=3e-6)


def test_products_turn_vectors_as_matrices_do():
    p, q = scipy_of(P), scipy_of(Q)
    product = number(rotations.positive(rotations.multiply(P, Q)))
    np.testing.assert_allclose(product, quaternions(p * q) * np.where(quaternions(p * q)[:, :1] < 0, -1, 1), atol=2e-5)
    np.testing.assert_allclose(number(rotations.rotate(Q, V)), q.apply(V), atol=1e-5)
    np.testing.assert_allclose(number(rotations.rotate(rotations.conjugate(Q), V)), q.inv().apply(V), atol=1e-5)
    one, i, j, k = np.eye(4, dtype="float32")
    np.testing.assert_array_equal(number(rotations.multiply(i, j)), k)
    np.testing.assert_array_equal(number(rotations.multiply(j, i)), -k)
    np.testing.assert_array_equal(number(rotations.multiply(one, i)), i)


def test_axes_of_three_elements_are_not_taken_for_the_vectors():
    """(3, 3, K): PyTorch's cross product takes the first axis of 3 elements unless told otherwise."""
    p, q, v = (x[:9].reshape(3, 3, -1) for x in (P, Q, V))
    np.testing.assert_allclose(number(rotations.rotate(q, v)).reshape(9, 3), scipy_of(Q[:9]).apply(V[:9]), atol=1e-5)
    np.testing.assert_array_equal(
        number(rotations.multiply(p, q)).reshape(9, 4), number(rotations.multiply(P[:9], Q[:9]))
    )


def test_one_quaternion_meets_many_vectors():
    np.testing.assert_allclose(number(rotations.rotate(Q[0], V[:20])), scipy_of(Q[0]).apply(V[:20]), atol=1e-5)


def test_relative_poses():
    a, b = np.concatenate([V, P], -1), np.concatenate([V[::-1], Q], -1)
    found = number(rotations.relative(a, b))
    back = scipy_of(P).inv()
    np.testing.assert_allclose(found[:, :3], back.apply(V[::-1].astype("float64") - V), atol=2e-5)
    assert (found[:, 3] >= 0).all()
    assert (back * scipy_of(Q) * scipy_of(found[:, 3:]).inv()).magnitude().max() < 2e-6
    again = number(rotations.rotate(P, found[:, :3])) + V  # b's position from a and the relative pose
    np.testing.assert_allclose(again, V[::-1], atol=3e-5)


def test_angles():
    expected = np.degrees((scipy_of(P).inv() * scipy_of(Q)).magnitude())
    np.testing.assert_allclose(number(rotations.angle_deg(P, Q)), expected, atol=3e-4)
    for angle in (0, 1e-3, 0.5, 90, 179.9, 180):
        turned = scipy_of(P[:50]) * Rotation.from_rotvec(np.radians(angle) * np.array(AXES[-1]))
        for sign in (1, -1):
            found = number(rotations.angle_deg(P[:50], (sign * quaternions(turned)).astype("float32")))
            np.testing.assert_allclose(found, angle, atol=3e-5)


def test_the_sign_of_a_half_turn_is_kept():
    """At w = 0 a sign function would give a quaternion of length 0."""
    q = np.array([[0, 1, 0, 0], [0, -1, 0, 0], [-0.6, 0.8, 0, 0], [0.6, -0.8, 0, 0]], "float32")
    np.testing.assert_array_equal(number(rotations.positive(q)), q[[0, 1, 3, 3]])


@pytest.mark.parametrize("scale", [1e-5, 1e-3, 1, 1e6])
def test_normalise(scale):
    x = (scale * (0.1 + np.abs(RNG.normal(size=(50, 4))))).astype("float32")
    np.testing.assert_allclose(number(rotations.normalise(x)), x / np.linalg.norm(x, axis=1, keepdims=True), atol=3e-7)


def test_a_vector_without_direction_is_the_identity():
    x = tf.Variable(np.zeros((2, 4), "float32"))
    with tf.GradientTape() as tape:
        y = rotations.normalise(x)
        loss = tf.reduce_sum(y * [1.0, 2.0, 3.0, 4.0])
    np.testing.assert_array_equal(y, np.eye(4)[[0, 0]])
    np.testing.assert_array_equal(tape.gradient(loss, x), 0)


# gradients


def gradient(function, x):
    x = tf.constant(np.asarray(x, "float32"))
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = tf.reduce_sum(function(x))
    return tape.gradient(y, x).numpy()


def central(function, x, step=1e-6):
    """Gradient of the float64 function of one vector (K,)."""
    return np.array([(function(x + step * e) - function(x - step * e)) / (2 * step) for e in np.eye(len(x))])


def log64(q):
    length = np.linalg.norm(q[1:])
    return np.sum(q[1:] * [1, -2, 3]) * (np.arctan2(length, q[0]) / length if length > 1e-9 else 1 / q[0])


def exp64(v):
    length = np.linalg.norm(v)
    return np.cos(length) + np.sum(v * [1, -2, 3]) * (np.sin(length) / length if length > 1e-9 else 1)


@pytest.mark.parametrize("sign", [1, -1])
def test_gradient_of_the_logarithm(sign):
    found = gradient(lambda q: rotations.log(q) * [1.0, -2.0, 3.0], sign * SPECIAL)
    assert np.isfinite(found).all()
    np.testing.assert_allclose(
        sign * found, [central(log64, q) for q in SPECIAL.astype("float32").astype("float64")], atol=2e-4
    )


def test_gradient_of_the_exponential():
    half = TURNS.as_rotvec() / 2
    found = gradient(lambda v: tf.reduce_sum(rotations.exp(v) * [1.0, 1.0, -2.0, 3.0], -1), half)
    np.testing.assert_allclose(found, [central(exp64, v) for v in half], atol=2e-5)


def test_exact_half_turns_and_equal_rotations_have_finite_gradients():
    q = np.array([[0, 1, 0, 0], [0, 0, -1, 0], [1, 0, 0, 0], [-1, 0, 0, 0]], "float32")
    functions = {
        "log": rotations.log,
        "positive": rotations.positive,
        "normalise": rotations.normalise,
        "angle to itself": lambda x: rotations.angle_deg(q, x),
        "angle to its opposite": lambda x: rotations.angle_deg(-q, x),
        "angle to the identity": lambda x: rotations.angle_deg(q[2:3], x),
        "relative": lambda x: rotations.relative(np.ones((4, 7), "float32"), tf.concat([x[:, :3], x], 1)),
    }
    for name, function in functions.items():
        assert np.isfinite(gradient(function, q)).all(), name
    np.testing.assert_allclose(number(rotations.angle_deg(q, -q)), 0, atol=1e-6)
