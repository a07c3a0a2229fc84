"""Coordinates, written once.

A position is a pair (x, y) of fractions of the picture: (0, 0) is the outer corner of the first pixel, (1, 1) that of
the last, and the centre of pixel i of n is (i + 0.5) / n. The same fraction therefore names the same place at every
resolution.
"""

import numpy as np
from keras import ops


def cell_centres(n: int) -> np.ndarray:
    """Positions of the centres of `n` cells along one axis: (n,) float32, (i + 0.5) / n."""
    return ((np.arange(n) + 0.5) / n).astype("float32")


def spatial_softmax(logits):
    """Softmax over both spatial axes.

    Args:
        logits: (B, h, w, J) float.
    Returns:
        (B, h, w, J) float32, each map sums to 1.
    """
    _, height, width, joints = logits.shape
    flat = ops.reshape(ops.cast(logits, "float32"), (-1, height * width, joints))
    return ops.reshape(ops.softmax(flat, axis=1), (-1, height, width, joints))


def expected_position(probabilities):
    """Mean position under a probability map (soft-argmax).

    Args:
        probabilities: (B, h, w, J) float32, each map sums to 1.
    Returns:
        (B, J, 2) float32, x and y as fractions.

    Reference: Sun et al. 2018, eq. 2; the grid of cell centres as in Nibali et al. 2018, §3.1.
    """
    _, height, width, _ = probabilities.shape
    # Not einsum, which LiteRT does not have in this form. Sums over rows (B, w, J) and over columns (B, h, J).
    x = ops.sum(ops.sum(probabilities, axis=1) * cell_centres(width)[:, None], axis=1)
    y = ops.sum(ops.sum(probabilities, axis=2) * cell_centres(height)[:, None], axis=1)
    return ops.stack([x, y], axis=-1)


def _offsets(positions, height: int, width: int):
    """From positions to cell centres, in cells: (B, J, width) and (B, J, height)."""
    x = (ops.convert_to_tensor(cell_centres(width)) - positions[..., :1]) * width
    y = (ops.convert_to_tensor(cell_centres(height)) - positions[..., 1:]) * height
    return x, y


def _outer(x, y):
    """Columns (B, J, w) and rows (B, J, h) -> their products (B, h, w, J)."""
    return ops.transpose(y, (0, 2, 1))[:, :, None] * ops.transpose(x, (0, 2, 1))[:, None]


def gaussian_maps(positions, height: int, width: int, sigma: float):
    """Gaussian probability maps, normalised over the cells.

    Args:
        positions: (B, J, 2) float32, fractions; positions outside the picture give the tail that lies inside.
        height, width: cells.
        sigma: standard deviation in cells of the map.
    Returns:
        (B, height, width, J) float32, each map sums to 1.
    """
    x, y = _offsets(positions, height, width)
    columns = ops.softmax(-0.5 * ops.square(x / sigma), axis=-1)
    rows = ops.softmax(-0.5 * ops.square(y / sigma), axis=-1)
    return _outer(columns, rows)


def gaussian_peaks(positions, height: int, width: int, sigma: float):
    """Gaussians of height 1 at sub-pixel positions: the usual target of heat-map regression.

    Args:
        positions: (B, J, 2) float32, fractions.
        height, width: cells.
        sigma: standard deviation in cells of the map.
    Returns:
        (B, height, width, J) float32 in [0, 1].
    """
    x, y = _offsets(positions, height, width)
    return _outer(ops.exp(-0.5 * ops.square(x / sigma)), ops.exp(-0.5 * ops.square(y / sigma)))


def disc_maps(positions, height: int, width: int, radius: float):
    """1 in the cells whose centre is within `radius` of the position, else 0.

    At least the nearest cell of a position in the picture is 1.

    Args:
        positions: (B, J, 2) float32, fractions.
        height, width: cells.
        radius: fraction of the picture's side.
    Returns:
        (B, height, width, J) float32 of 0 and 1.
    """
    x, y = _offsets(positions, height, width)
    x = ops.square(x / width)[:, None]  # (B, 1, J, w)
    y = ops.square(y / height)[..., None]  # (B, J, h, 1)
    squared = ops.transpose(x, (0, 1, 3, 2)) + ops.transpose(y, (0, 2, 3, 1))  # (B, h, w, J)
    return ops.cast(squared <= max(radius, 0.7072 / min(height, width)) ** 2, "float32")


def peak_position(maps):
    """The highest cell's centre, moved by a quarter of a cell towards the higher neighbour of each axis.

    Not moved along an axis at whose border it lies (Newell et al. 2016, §3.3).

    Args:
        maps: (B, h, w, J) float.
    Returns:
        (B, J, 2) float32, fractions.
    """
    _, height, width, joints = maps.shape
    flat = ops.transpose(ops.reshape(ops.cast(maps, "float32"), (-1, height * width, joints)), (0, 2, 1))
    cell = ops.argmax(flat, axis=-1)[..., None]
    x, y = cell % width, cell // width

    def quarter(position, stride, count):
        inside = (position > 0) & (position < count - 1)
        before = ops.take_along_axis(flat, ops.where(inside, cell - stride, cell), axis=-1)
        after = ops.take_along_axis(flat, ops.where(inside, cell + stride, cell), axis=-1)
        return (ops.cast(position, "float32") + 0.5 + 0.25 * ops.sign(after - before)) / count

    return ops.concatenate([quarter(x, 1, width), quarter(y, width, height)], axis=-1)


def transform_points(matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Apply affine matrices to points.

    Args:
        matrix: (..., 3, 3) float.
        points: (..., J, 2) float.
    Returns:
        (..., J, 2) float64.
    """
    matrix, points = np.asarray(matrix, "float64"), np.asarray(points, "float64")
    return points @ np.swapaxes(matrix[..., :2, :2], -1, -2) + matrix[..., None, :2, 2]


def classes_at(classes, matrix, size: tuple[int, int]) -> np.ndarray:
    """Classes at the pixels of a picture, from the nearest ones of the network's.

    Args:
        classes: (h, w) uint8; matrix: (3, 3) fractions of these -> pixels, without rotation; size: (H, W) of the
        picture.
    Returns:
        (H, W) uint8.
    """
    places = []
    for axis, count in enumerate(classes.shape[::-1]):
        pixels = np.arange(size[1 - axis]) + 0.5
        fractions = (pixels - matrix[axis, 2]) / matrix[axis, axis]
        places.append(np.clip(fractions * count, 0, count - 1).astype(int))
    columns, rows = places
    return classes[rows[:, None], columns]


def flip_permutation(count: int, pairs) -> np.ndarray:
    """Index vector (count,) int32 that swaps the given pairs.

    `joints[:, flip_permutation(17, pairs)]` swaps left and right.
    """
    order = np.arange(count, dtype="int32")
    for left, right in pairs:
        order[[left, right]] = right, left
    return order
