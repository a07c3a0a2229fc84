"""Coordinates: the same fraction names the same place at every resolution."""

import numpy as np
import pytest
from keras import ops

from kzoo.nn import geometry

MAPS = [(6, 8), (32, 24), (64, 48)]


def rng():
    return np.random.default_rng(0)


@pytest.mark.parametrize(("n", "expected"), [(1, [0.5]), (2, [0.25, 0.75]), (5, [0.1, 0.3, 0.5, 0.7, 0.9])])
def test_cell_centres(n, expected):
    centres = geometry.cell_centres(n)
    assert centres.dtype == np.float32
    np.testing.assert_allclose(centres, expected, rtol=1e-6)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_spatial_softmax(dtype):
    logits = rng().normal(scale=3, size=(2, 5, 7, 3)).astype("float16")
    maps = geometry.spatial_softmax(ops.cast(logits, dtype))
    assert ops.dtype(maps) == "float32"
    maps = ops.convert_to_numpy(maps)
    np.testing.assert_allclose(maps.sum((1, 2)), 1, atol=1e-6)
    if dtype != "bfloat16":
        exact = np.exp(logits.astype("float64"))
        np.testing.assert_allclose(maps, exact / exact.sum((1, 2), keepdims=True), rtol=1e-5)


def test_spatial_softmax_of_huge_logits_is_finite():
    assert np.isfinite(ops.convert_to_numpy(geometry.spatial_softmax(1e30 * rng().normal(size=(1, 4, 4, 2))))).all()


@pytest.mark.parametrize(("height", "width"), MAPS)
def test_a_delta_lies_at_its_cells_centre(height, width):
    row, column = rng().integers(0, height, 9), rng().integers(0, width, 9)
    maps = np.zeros((1, height, width, 9), "float32")
    maps[0, row, column, np.arange(9)] = 1
    found = ops.convert_to_numpy(geometry.expected_position(maps))
    np.testing.assert_allclose(found[0], np.stack([(column + 0.5) / width, (row + 0.5) / height], -1), atol=1e-6)


@pytest.mark.parametrize(("height", "width"), MAPS[1:])
def test_round_trip_through_a_heat_map(height, width):
    points = rng().uniform(0.25, 0.75, (2, 5, 2)).astype("float32")
    maps = geometry.gaussian_maps(points, height, width, sigma=1.0)
    assert maps.shape == (2, height, width, 5)
    np.testing.assert_allclose(ops.convert_to_numpy(geometry.expected_position(maps)), points, atol=1e-5)


def test_gaussian_maps_have_the_shape_of_a_gaussian():
    """Ratios of neighbouring cells, against the formula; sigma is in cells of the map, also of a map that is not
    square."""
    points, sigma = np.array([[[0.3, 0.6]]], "float32"), 1.7
    maps = ops.convert_to_numpy(geometry.gaussian_maps(points, 12, 20, sigma))[0, ..., 0]
    x, y = np.arange(20) + 0.5 - 0.3 * 20, np.arange(12) + 0.5 - 0.6 * 12
    exact = np.exp(-(y[:, None] ** 2 + x**2) / (2 * sigma**2))
    np.testing.assert_allclose(maps, exact / exact.sum(), rtol=1e-4, atol=1e-12)


@pytest.mark.parametrize("far", [-0.5, 1.5, -40.0, 1000.0])
def test_gaussian_maps_of_points_outside(far):
    maps = ops.convert_to_numpy(
        geometry.gaussian_maps(np.array([[[far, 0.5], [0.5, far], [far, far]]], "float32"), 16, 12, 1.0)
    )
    assert np.isfinite(maps).all()
    np.testing.assert_allclose(maps.sum((1, 2)), 1, atol=1e-5)
    edge = maps[0, :, 0 if far < 0 else -1, 0]
    assert edge.sum() > 0.5, "the tail that lies inside is at the nearer edge"


def test_gaussian_peaks():
    """The formula, at sub-pixel positions, on a map that is not square; far outside it is dark and finite."""
    points, sigma = np.array([[[0.3, 0.6], [0.51, 0.02], [40.0, -3.0]]], "float32"), 1.7
    maps = ops.convert_to_numpy(geometry.gaussian_peaks(points, 12, 20, sigma))
    x, y = np.arange(20) + 0.5 - points[0, :, :1] * 20, np.arange(12) + 0.5 - points[0, :, 1:] * 12
    exact = np.exp(-(y[..., None] ** 2 + x[:, None] ** 2) / (2 * sigma**2))
    np.testing.assert_allclose(maps[0].transpose(2, 0, 1), exact, atol=1e-6)


def test_disc_maps():
    """Circles of OpenCV's size, and at least one cell of each joint in the picture."""
    points = rng().uniform(0, 1, (2, 50, 2)).astype("float32")
    for radius in (0.0, 0.1, 0.3):
        maps = ops.convert_to_numpy(geometry.disc_maps(points, 24, 32, radius))
        assert set(np.unique(maps)) == {0, 1} and (maps.sum((1, 2)) >= 1).all()
        row, column = (points[..., 1] * 24).astype(int), (points[..., 0] * 32).astype(int)
        assert maps[np.arange(2)[:, None], row, column, np.arange(50)].all(), "the cell of the joint itself"
        middle = ((points > radius) & (points < 1 - radius)).all(-1)
        if radius > 0.05:
            np.testing.assert_allclose(maps.sum((1, 2))[middle] / (24 * 32), np.pi * radius**2, rtol=0.12)


def test_peak_position():
    """The highest cell and a quarter towards the higher neighbour; at a border, and where neighbours are equal,
    none."""
    maps = np.zeros((1, 5, 7, 4), "float32")
    maps[0, 2, 3, :3] = 1
    maps[0, 2, 4, 0] = maps[0, 1, 3, 1] = 0.5  # right of it; above it
    maps[0, 0, 6, 3] = 1
    found = ops.convert_to_numpy(geometry.peak_position(maps))[0] * [7, 5]
    np.testing.assert_allclose(found, [[3.75, 2.5], [3.5, 2.25], [3.5, 2.5], [6.5, 0.5]], atol=1e-6)


@pytest.mark.parametrize("batch", [(), (4,), (2, 3)])
def test_transform_points(batch):
    matrix, points = rng().normal(size=(*batch, 3, 3)), rng().normal(size=(*batch, 5, 2))
    matrix[..., 2, :] = 0, 0, 1
    moved = geometry.transform_points(matrix, points)
    homogeneous = np.concatenate([points, np.ones((*batch, 5, 1))], -1)
    np.testing.assert_allclose(moved, np.einsum("...ij,...nj->...ni", matrix, homogeneous)[..., :2], atol=1e-12)
    np.testing.assert_allclose(geometry.transform_points(np.linalg.inv(matrix), moved), points, atol=1e-9)
    assert geometry.transform_points(matrix.astype("float32"), points.astype("float32")).dtype == np.float64


@pytest.mark.parametrize(
    ("count", "pairs"), [(3, []), (4, [(0, 3)]), (17, [(k, k + 1) for k in range(1, 17, 2)]), (256, [[3, 4], [5, 6]])]
)
def test_flip_permutation(count, pairs):
    order = geometry.flip_permutation(count, pairs)
    np.testing.assert_array_equal(order[order], np.arange(count))
    assert np.count_nonzero(order != np.arange(count)) == 2 * len(pairs)
    assert all(order[left] == right and order[right] == left for left, right in pairs)
