"""U-Net's border weights against distances that SciPy computes over the whole picture, one instance at a time."""

import numpy as np
import pytest
from scipy import ndimage

from kzoo.data import borders

TWO = np.zeros((40, 48), "uint8")
TWO[8:20, 6:18] = 1
TWO[10:24, 22:40] = 1  # a gap of 4 pixels
CLASSES = TWO.copy()
CLASSES[8:20, 6:18] = 2
CLASSES[30:36, 4:44] = 3
CLASSES[0:3] = 255
CLASSES[20, 18] = 2  # touches its class by a corner: 8-connected
FAR = np.zeros((20, 200), "uint8")
FAR[5:10, 2:6] = FAR[5:10, 190:196] = 1
RANDOM = np.random.default_rng(0).choice([0, 1, 2, 255], (32, 24), p=[0.9, 0.04, 0.04, 0.02]).astype("uint8")


def reference(mask, w0, sigma):
    distances = []
    for category in set(np.unique(mask)) - {0, 255}:
        components, count = ndimage.label(mask == category, structure=np.ones((3, 3)))
        distances += [ndimage.distance_transform_edt(components != i) for i in range(1, count + 1)]
    if len(distances) < 2:
        return np.ones(mask.shape)
    d1, d2 = np.sort(distances, axis=0)[:2]
    return np.where(mask == 0, 1 + w0 * np.exp(-((d1 + d2) ** 2) / (2 * sigma**2)), 1)


@pytest.mark.parametrize("mask", [TWO, CLASSES, FAR, RANDOM], ids=["two", "classes", "far", "random"])
@pytest.mark.parametrize(("w0", "sigma"), [(10, 5), (3, 1.5)])
def test_against_scipy(mask, w0, sigma):
    weights = borders.border_weights(mask, w0, sigma)
    assert weights.dtype == np.float32 and weights.shape == mask.shape
    np.testing.assert_allclose(weights, reference(mask, w0, sigma), rtol=2e-6)


def test_the_middle_of_a_gap():
    """Four pixels apart, the sides of a pixel in the gap add up to five steps, wherever in the gap it lies."""
    np.testing.assert_allclose(borders.border_weights(TWO)[15, 18:22], 1 + 10 * np.exp(-0.5), rtol=1e-6)


@pytest.mark.parametrize("value", [0, 255])
def test_fewer_than_two_instances_weigh_one(value):
    mask = np.full((16, 16), value, "uint8")
    mask[4:8, 4:8] = 1
    np.testing.assert_array_equal(borders.border_weights(mask), 1)
    np.testing.assert_array_equal(borders.border_weights(np.full((16, 16), value, "uint8")), 1)


def test_another_ignored_id():
    renamed = np.where(CLASSES == 255, 7, CLASSES)
    np.testing.assert_allclose(borders.border_weights(renamed, ignore=7), borders.border_weights(CLASSES), rtol=1e-6)
