"""Three-vectors and rotations on plain Python floats.

They give the same bits on every machine, which BLAS and libm do not promise.

A vector is a tuple (x, y, z); a rotation is a tuple of three rows, and `apply(rotation, v)` is its product with a
column.
"""

import math

IDENTITY = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))


def sin_cos(angle_deg):
    """Sine and cosine of an angle in degrees, by their power series (|angle| <= 360; error below 1e-12)."""
    x = angle_deg * (math.pi / 180)
    sine = 0.0
    cosine = 0.0
    term = 1.0
    for n in range(0, 48, 4):  # the next four terms x^n / n! of exp(ix)
        cosine += term
        term *= x / (n + 1)
        sine += term
        term *= x / (n + 2)
        cosine -= term
        term *= x / (n + 3)
        sine -= term
        term *= x / (n + 4)
    return sine, cosine


def arc_tangent(y, x):
    """The angle in degrees (-180 to 180) of the point (x, y).

    Halved until its power series is short (error below 1e-11).
    """
    if x < 0:
        return (180.0 if y >= 0 else -180.0) - arc_tangent(y, -x)
    for _ in range(3):  # (x + r, y) lies at half the angle of (x, y)
        x += math.sqrt(x * x + y * y)
    tangent = y / x if x else 0.0
    total = 0.0
    power = tangent
    for n in range(1, 21, 2):
        total += power / n
        power *= -tangent * tangent
    return 8 * total * (180 / math.pi)


def rot_x(angle_deg):
    """Rotation about x: y turns towards z."""
    s, c = sin_cos(angle_deg)
    return (1.0, 0.0, 0.0), (0.0, c, -s), (0.0, s, c)


def rot_y(angle_deg):
    """Rotation about y: z turns towards x."""
    s, c = sin_cos(angle_deg)
    return (c, 0.0, s), (0.0, 1.0, 0.0), (-s, 0.0, c)


def rot_z(angle_deg):
    """Rotation about z: x turns towards y."""
    s, c = sin_cos(angle_deg)
    return (c, -s, 0.0), (s, c, 0.0), (0.0, 0.0, 1.0)


def dot(a, b):
    """Scalar product."""
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


def cross(a, b):
    """Vector product."""
    return a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]


def add(a, b, factor=1.0):
    """a + factor * b."""
    return a[0] + factor * b[0], a[1] + factor * b[1], a[2] + factor * b[2]


def norm(a):
    """Euclidean length."""
    return math.sqrt(dot(a, a))


def unit(a):
    """The vector of length 1 along a."""
    length = norm(a)
    return a[0] / length, a[1] / length, a[2] / length


def lerp(a, b, fraction):
    """The point at a fraction of the way from a to b."""
    return add(a, add(b, a, -1.0), fraction)


def apply(rotation, v):
    """rotation times column v."""
    return dot(rotation[0], v), dot(rotation[1], v), dot(rotation[2], v)


def transposed(rotation):
    """The inverse of a rotation."""
    return tuple(zip(*rotation, strict=True))


def compose(*rotations):
    """The product of rotations, leftmost outermost."""
    product = rotations[0]
    for right in rotations[1:]:
        columns = tuple(zip(*right, strict=True))
        product = tuple(tuple(dot(row, column) for column in columns) for row in product)
    return product


def distance_to_segment(point, start, end):
    """Distance from a point to the segment from start to end."""
    axis = add(end, start, -1.0)
    fraction = dot(add(point, start, -1.0), axis) / max(dot(axis, axis), 1e-12)
    return norm(add(point, lerp(start, end, min(max(fraction, 0.0), 1.0)), -1.0))
