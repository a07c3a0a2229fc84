"""Rotations as unit quaternions w, x, y, z (Hamilton's): products, logarithms, distances.

Gradients are finite everywhere: at no rotation at all, at half-turns and, for `normalise`, at 0. Nothing is a matrix
product: `ops.matmul` runs in TF32 on recent GPUs. The quaternions q and -q are one rotation; labels and networks use
the one with w >= 0.
"""

import math

import numpy as np
from keras import ops

SMALL = 1e-3  # squared length in rad^2 below which the Taylor series of three terms is exact in float32
EMPTY = 1e-12  # squared length of a 4-vector that has no direction


def _squared(x):
    """Sum of squares over the last axis, which stays: (…, K) -> (…, 1)."""
    return ops.sum(ops.square(x), axis=-1, keepdims=True)


def positive(q):
    """The quaternion of the same rotation with w >= 0: (…, 4) -> (…, 4). At w = 0 it stays as it is."""
    return q * ops.where(q[..., :1] < 0, -1.0, 1.0)  # not the sign of w: that of 0 is 0


def normalise(q):
    """Unit quaternion of any 4-vector: (…, 4) -> (…, 4).

    A vector shorter than 1e-6 becomes the identity, without gradient.
    """
    # Not a tensor: a network would hold it as an input, which ONNX files then ask for.
    identity = np.array([1, 0, 0, 0], "float32")
    # Before the division: a `where` after it would let NaN into the gradient.
    q = ops.where(_squared(q) < EMPTY, identity, q)
    return q / ops.sqrt(_squared(q))


def multiply(p, q):
    """Hamilton's product, the rotation q followed by p: (…, 4) and (…, 4) -> (…, 4)."""
    p0, p1 = p[..., :1], p[..., 1:]
    q0, q1 = q[..., :1], q[..., 1:]
    scalar = p0 * q0 - ops.sum(p1 * q1, axis=-1, keepdims=True)
    vector = p0 * q1 + q0 * p1 + ops.cross(p1, q1, axis=-1)
    return ops.concatenate([scalar, vector], axis=-1)


def conjugate(q):
    """The inverse of a unit quaternion: (…, 4) -> (…, 4)."""
    return ops.concatenate([q[..., :1], -q[..., 1:]], axis=-1)


def rotate(q, v):
    """Vectors turned by unit quaternions, q v q*: (…, 4) and (…, 3) -> (…, 3)."""
    # The axis of `ops.cross` is always said: PyTorch else takes the first one of 3 elements.
    axis = q[..., 1:]
    double = 2 * ops.cross(axis, v, axis=-1)
    return v + q[..., :1] * double + ops.cross(axis, double, axis=-1)


def log(q):
    """Logarithm of unit quaternions: the rotation's axis times half its angle.

    Args:
        q: (…, 4) of length 1; q and -q have the same logarithm, that of the one with w >= 0.
    Returns:
        (…, 3) radians, of length 0 to pi / 2. It jumps at half-turns, as w >= 0 does.

    Reference: Brahmbhatt et al., Geometry-Aware Learning of Maps for Camera Localization, CVPR 2018, §3.2:
    log q = v / |v| acos w. Here the angle is atan2(|v|, w): the same, but exact for small angles, where the cosine is
    flat.
    """
    q = positive(q)
    w, v = q[..., :1], q[..., 1:]
    squared = _squared(v)
    small = squared < SMALL
    # both branches get numbers that they can bear, since the gradient passes through both
    ratio = ops.where(small, squared / ops.square(ops.where(small, w, 1.0)), 0.0)
    series = (1 - ratio / 3 + ops.square(ratio) / 5) / ops.where(small, w, 1.0)  # atan(x) / x
    length = ops.sqrt(ops.where(small, 1.0, squared))
    return v * ops.where(small, series, ops.arctan2(length, w) / length)


def exp(v):
    """Exponential of half-angle vectors, the inverse of `log` for lengths up to pi / 2.

    Args:
        v: (…, 3) radians, any length.
    Returns:
        (…, 4) unit quaternions: cos |v|, v sin |v| / |v|; w < 0 where pi / 2 < |v| < 3 pi / 2, and so on: see
        `positive`.

    Reference: Brahmbhatt et al., CVPR 2018, §3.2.
    """
    squared = _squared(v)
    small = squared < SMALL
    length = ops.sqrt(ops.where(small, 1.0, squared))
    near = ops.where(small, squared, 0.0)
    cosine = ops.where(small, 1 - near / 2 + ops.square(near) / 24, ops.cos(length))
    sinc = ops.where(small, 1 - near / 6 + ops.square(near) / 120, ops.sin(length) / length)
    return ops.concatenate([cosine, v * sinc], axis=-1)


def relative(pose_a, pose_b):
    """Pose of camera b in the coordinates of camera a.

    Args:
        pose_a, pose_b: (…, 7) camera to world: position in metres, unit quaternion.
    Returns:
        (…, 7): R_a^T (t_b - t_a) in metres, and q_a* q_b with w >= 0.
    """
    back = conjugate(pose_a[..., 3:])
    moved = rotate(back, pose_b[..., :3] - pose_a[..., :3])
    return ops.concatenate([moved, positive(multiply(back, pose_b[..., 3:]))], axis=-1)


def angle_deg(p, q):
    """Angle of the rotation from p to q: unit quaternions (…, 4) and (…, 4) of either sign -> (…,) degrees in 0..180.

    It is 2 acos |<p, q>|, but exact to 1e-5 degrees in float32, where that arc cosine is off by hundredths near 0.
    """
    difference = multiply(conjugate(p), q)
    squared = ops.sum(ops.square(difference[..., 1:]), axis=-1)
    length = ops.sqrt(ops.maximum(squared, 1e-24))  # the root's slope at 0 is infinite
    return (360 / math.pi) * ops.arctan2(length, ops.abs(difference[..., 0]))
