"""The decoders of `kzoo.nn.decoding` from `keras.ops` alone, for use inside a network: the same names, arguments and
answers.

They are made of sums, products, comparisons and matrix products, because every runtime that a network is exported to
has these. There is no argmax and no gather: Keras's argmax looks at the sign of zero by a bit cast, which ONNX does not
have. A cell is picked by a product with a row of zeros and a single one, which is exact.
"""

import numpy as np
from keras import ops

from kzoo.nn.geometry import cell_centres

TINY = float(np.finfo("float32").tiny)
EPSILON = float(np.finfo("float32").eps)


def first_highest(values):
    """Index of the highest number along the last axis, of several the first: (…, N) -> (…) float32, exact for N up to
    2**24."""
    count = values.shape[-1]
    best = ops.max(values, axis=-1, keepdims=True)
    indices = ops.where(values >= best, np.arange(count, dtype="float32"), float(count))
    return ops.minimum(ops.min(indices, axis=-1), count - 1.0)  # of NaN nothing is the highest


def _by_joint(maps):
    """(B, h, w, J) -> (B, J, h, w) float32."""
    return ops.transpose(ops.cast(maps, "float32"), (0, 3, 1, 2))


def _scaled(maps):
    """Maps (B, J, h, w) in 0..1, see `decoding._scaled`."""
    peak, lowest = ops.max(maps, axis=(2, 3), keepdims=True), ops.min(maps, axis=(2, 3), keepdims=True)
    lift = ops.where(peak > 0, ops.zeros_like(lowest), lowest)
    return ops.maximum(maps - lift, 0.0) / ops.maximum(peak - lift, TINY)


def _highest(maps):
    """Column and row (B, J) float32 of the highest cell of (B, J, h, w)."""
    _, joints, height, width = maps.shape
    cell = first_highest(ops.reshape(maps, (-1, joints, height * width)))
    row = ops.floor((cell + 0.5) / width)
    return cell - width * row, row


def _neighbours(maps, x, y, reach: int):
    """Function (dx, dy), up to `reach` cells, -> values (B, J) of (B, J, h, w) at (x + dx, y + dy), of the nearest cell
    where that is outside."""

    def picked(place, count):  # (B, J) -> (B, J, 2 reach + 1, count) of 0 and 1
        # Minus, for Keras 3.15 on TensorFlow takes a vector that is added for a bias along axis 1 where their lengths
        # happen to agree.
        places = ops.clip(place[..., None] - np.arange(reach, -reach - 1, -1, dtype="float32"), 0.0, count - 1.0)
        return ops.cast(ops.equal(places[..., None], np.arange(count, dtype="float32")), "float32")

    rows, columns = picked(y, maps.shape[2]), picked(x, maps.shape[3])
    patch = ops.matmul(ops.matmul(rows, maps), ops.transpose(columns, (0, 1, 3, 2)))  # (B, J, 2 reach + 1, 2 reach + 1)
    return lambda dx, dy: patch[..., reach + dy, reach + dx]


def _inside(x, y, maps, border: int):
    """(B, J, 2) bool: at least `border` cells away from the ends of each axis."""
    height, width = maps.shape[2:]
    sides = [ops.logical_and(p > border - 0.5, p < n - border - 0.5) for p, n in ((x, width), (y, height))]
    return ops.stack(sides, axis=-1)


def _fractions(x, y, step, maps):
    """Centres of the cells (x, y), moved by `step` (B, J, 2) cells, as (B, J, 2) fractions."""
    return (ops.stack([x, y], axis=-1) + 0.5 + step) / np.array([maps.shape[3], maps.shape[2]], "float32")


def argmax(maps):
    """As `kzoo.nn.decoding.argmax`."""
    maps = _by_joint(maps)
    return _fractions(*_highest(maps), 0.0, maps)


def quarter(maps):
    """As `kzoo.nn.decoding.quarter`."""
    maps = _by_joint(maps)
    x, y = _highest(maps)
    at = _neighbours(maps, x, y, 1)
    towards = ops.sign(ops.stack([at(1, 0) - at(-1, 0), at(0, 1) - at(0, -1)], axis=-1))
    return _fractions(x, y, 0.25 * towards * ops.cast(_inside(x, y, maps, 1), "float32"), maps)


def _blur_matrix(count: int, sigma: float) -> np.ndarray:
    """(count, count) float32 that smooths an axis by a Gaussian of `sigma` cells, cut at 2.5 sigma, 0 outside."""
    reach = int(np.ceil(2.5 * sigma))
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    distance = np.arange(count)[:, None] - np.arange(count)
    weights = (kernel / kernel.sum())[np.clip(distance, -reach, reach) + reach]
    return np.where(np.abs(distance) <= reach, weights, 0).astype("float32")


def _newton(maps, sigma: float, floor: float, reach: int, derivatives):
    """The peak's cell (B, J) each and the step (B, J, 2) from its centre, see `decoding._newton`."""
    maps = _scaled(maps)
    height, width = maps.shape[2:]
    blurred = _scaled(ops.matmul(ops.matmul(_blur_matrix(height, sigma), maps), _blur_matrix(width, sigma)))
    x, y = _highest(maps * blurred)
    dx, dy, dxx, dxy, dyy = derivatives(_neighbours(ops.log(ops.maximum(blurred, floor)), x, y, reach))
    step = ops.stack([dxy * dy - dyy * dx, dxy * dx - dxx * dy], axis=-1) / (dxx * dyy - dxy * dxy)[..., None]
    longest = ops.max(ops.abs(step), axis=-1, keepdims=True)
    return (
        x,
        y,
        ops.where(longest <= 1.0, step, ops.zeros_like(step)),
    )  # a step that is not finite is not below 1 either


def dark(maps, sigma: float = 2.0):
    """As `kzoo.nn.decoding.dark`."""

    def derivatives(at):
        dx, dy = 0.5 * (at(1, 0) - at(-1, 0)), 0.5 * (at(0, 1) - at(0, -1))
        dxx, dyy = (
            0.25 * (before - 2 * at(0, 0) + after) for before, after in ((at(-2, 0), at(2, 0)), (at(0, -2), at(0, 2)))
        )
        return dx, dy, dxx, 0.25 * (at(1, 1) - at(-1, 1) - at(1, -1) + at(-1, -1)), dyy

    maps = _by_joint(maps)
    x, y, step = _newton(maps, sigma, 1e-10, 2, derivatives)
    inside = ops.all(_inside(x, y, maps, 2), axis=-1, keepdims=True)
    return _fractions(x, y, ops.where(inside, step, ops.zeros_like(step)), maps)


def udp(maps, sigma: float = 2.0):
    """As `kzoo.nn.decoding.udp`."""

    def derivatives(at):
        c = at(0, 0)
        dx, dy = 0.5 * (at(1, 0) - at(-1, 0)), 0.5 * (at(0, 1) - at(0, -1))
        dxx, dyy = at(1, 0) - 2 * c + at(-1, 0) + EPSILON, at(0, 1) - 2 * c + at(0, -1) + EPSILON
        dxy = 0.5 * (at(1, 1) + at(-1, -1) - at(1, 0) - at(-1, 0) - at(0, 1) - at(0, -1) + 2 * c)
        return dx, dy, dxx, dxy, dyy

    maps = _by_joint(maps)
    return _fractions(*_newton(maps, sigma, 1e-3, 1, derivatives), maps)


def _mean_position(weights):
    """Weighted mean of the cells' centres: (B, J, h, w) -> (B, J, 2) fractions."""
    sides = [
        (ops.sum(weights, axis=2), weights.shape[3]),
        (ops.sum(weights, axis=3), weights.shape[2]),
    ]  # (B, J, w), (B, J, h)
    sums = ops.stack([ops.sum(side * (cell_centres(count) - 0.5), axis=-1) for side, count in sides], axis=-1)
    return 0.5 + sums / ops.maximum(ops.sum(weights, axis=(2, 3)), 1e-6)[..., None]


def softargmax(maps, beta: float = 10.0):
    """As `kzoo.nn.decoding.softargmax`."""
    return _mean_position(ops.exp(beta * _scaled(_by_joint(maps))))


def debiased_softargmax(maps, beta: float = 10.0):
    """As `kzoo.nn.decoding.debiased_softargmax`."""
    return _mean_position(ops.exp(beta * _scaled(_by_joint(maps))) - 1.0)


DECODERS = {f.__name__: f for f in (argmax, quarter, dark, udp, softargmax, debiased_softargmax)}
