"""Colour and class statistics against NumPy's covariance, scikit-learn's PCA and examples by hand."""

import json

import numpy as np
import pytest
from sklearn.decomposition import PCA

from kzoo import UserError
from kzoo.data import statistics
from kzoo.data.statistics import IMAGENET, ColourStatistics
from kzoo.nn.layers import ColourTransform

FB_RESNET = np.array(
    [[-0.5675, 0.7192, 0.4009], [-0.5808, -0.0045, -0.8140], [-0.5836, -0.6948, 0.4203]]
)  # as published
FB_LAMBDA = np.array([0.2175, 0.0188, 0.0045])


def photos(count=5, seed=0):
    """Pictures of correlated channels, of several sizes: a list of (H, W, 3) uint8."""
    rng = np.random.default_rng(seed)
    mix = rng.normal(size=(3, 3)) * [25, 15, 8] + 20
    return [
        np.clip(rng.normal(size=(24 + k, 40 - k, 3)) @ mix.T + [90, 120, 140], 0, 255).astype("uint8")
        for k in range(count)
    ]


def pixels_of(pictures):
    return np.concatenate([picture.reshape(-1, 3) for picture in pictures]).astype("float64")


# colours


@pytest.mark.parametrize("seed", range(4))
def test_moments_and_axes(seed):
    pictures = photos(seed=seed)
    found, pixels = statistics.fit_colours(iter(pictures)), pixels_of(pictures)
    assert found.pixels == len(pixels)
    np.testing.assert_allclose(found.mean, pixels.mean(0), rtol=1e-12)
    np.testing.assert_allclose(found.covariance, np.cov(pixels.T, bias=True), rtol=1e-9)
    np.testing.assert_allclose(found.std, pixels.std(0), rtol=1e-9)
    pca = PCA(svd_solver="full").fit(pixels)
    np.testing.assert_allclose(found.eigenvalues, pca.explained_variance_ * (len(pixels) - 1) / len(pixels), rtol=1e-9)
    np.testing.assert_allclose(
        np.abs((found.eigenvectors * pca.components_.T).sum(0)), 1, atol=1e-9
    )  # but for the sign
    np.testing.assert_allclose(found.eigenvectors.T @ found.eigenvectors, np.eye(3), atol=1e-12)


@pytest.mark.parametrize("seed", range(4))
def test_signs_do_not_depend_on_the_solver(seed):
    """The largest entry is positive, whatever the order in which the pixels came."""
    pictures = photos(seed=seed)
    vectors = statistics.fit_colours(pictures).eigenvectors
    assert (vectors[np.abs(vectors).argmax(0), range(3)] > 0).all()
    np.testing.assert_allclose(
        statistics.fit_colours([p[::-1] for p in pictures[::-1]]).eigenvectors, vectors, atol=1e-12
    )


def test_sums_are_exact():
    """Two levels of grey on a bright ground: a sum of squares in float32, or a difference of rounded sums, would lose
    the variance."""
    white = np.full((512, 512, 3), 254, "uint8")
    white[0, 0] = 255
    found, share = statistics.fit_colours([white] * 3), 1 / 512**2
    np.testing.assert_allclose(found.covariance, np.full((3, 3), share * (1 - share)), rtol=1e-12)
    np.testing.assert_allclose(found.mean, 254 + share, rtol=1e-15)


def test_batches_and_pictures_count_alike():
    batch = np.stack([photos(1, seed)[0] for seed in range(4)])
    assert statistics.fit_colours([batch[:3], batch[3:]]) == statistics.fit_colours(batch)


@pytest.mark.parametrize(
    "images", [[], [np.zeros((4, 4, 3))], [np.zeros((4, 4), "uint8")], [np.zeros((4, 4, 4), "uint8")]]
)
def test_what_is_no_picture(images):
    with pytest.raises(UserError):
        statistics.fit_colours(images)


def test_round_trip_through_json():
    found = statistics.fit_colours(photos())
    again = ColourStatistics(**json.loads(json.dumps(found.to_dict())))
    assert again == found and hash(again) == hash(found)
    with pytest.raises(UserError):
        ColourStatistics((1, 2), np.eye(3))


def test_imagenet_is_as_published():
    np.testing.assert_allclose(IMAGENET.eigenvalues / 255**2, FB_LAMBDA, atol=5e-5)
    np.testing.assert_allclose(np.abs((IMAGENET.eigenvectors * FB_RESNET).sum(0)), 1, atol=1e-4)
    assert np.ptp(IMAGENET.eigenvectors[:, 0]) < 0.05, "the first axis is nearly grey, so axes are columns"
    np.testing.assert_allclose(
        IMAGENET.std / 255, [0.2806, 0.2736, 0.2877], rtol=0.015
    )  # measured, pytorch/vision issue 1439
    alpha = np.array([0.1, -0.2, 0.3])
    published = (
        255 * FB_RESNET @ (np.array([-1, 1, -1]) * alpha * FB_LAMBDA)
    )  # the published signs are the other ones on two axes
    np.testing.assert_allclose(IMAGENET.pca_shifts @ alpha, published, atol=0.02)


@pytest.mark.parametrize("count", [1, 2, 5, 8])
def test_variants_of_color_pca(count):
    colours = statistics.fit_colours(photos())
    shifts = statistics.colour_pca_variants(colours, count, 0.1, seed=3)
    assert shifts.shape == (count, 3)
    np.testing.assert_allclose(shifts.sum(0), 0, atol=1e-12)
    assert len(np.unique(shifts, axis=0)) == count
    assert (count % 2 == 0) == (np.abs(shifts[0]).max() > 0)
    np.testing.assert_array_equal(shifts, statistics.colour_pca_variants(colours, count, 0.1, seed=3))
    np.testing.assert_allclose(2 * shifts, statistics.colour_pca_variants(colours, count, 0.2, seed=3))
    alpha = np.linalg.solve(
        colours.eigenvectors * colours.eigenvalues / 255**2, statistics.colour_pca_variants(colours, 4000).T / 255
    )
    np.testing.assert_allclose(alpha.std(axis=1), 0.1, rtol=0.05)


# input normalisation


def transform(mode, colours, pixels):
    return np.asarray(ColourTransform(**statistics.scaling(colours, mode))(pixels.reshape(1, 1, -1, 3))).reshape(-1, 3)


@pytest.mark.parametrize("mode", statistics.NORMALISATIONS)
def test_scaling(mode):
    pictures = photos()
    pixels, colours = pixels_of(pictures), statistics.fit_colours(pictures)
    centred = pixels - pixels.mean(0)
    expected = {"none": pixels / 255, "mean": centred / 255, "zscore": centred / pixels.std(0), "whiten": None}[mode]
    found = transform(mode, colours, pixels)
    if mode == "whiten":
        np.testing.assert_allclose(found.mean(0), 0, atol=1e-3)
        np.testing.assert_allclose(np.cov(found.T, bias=True), np.eye(3), atol=1e-4)
        expected = PCA(whiten=True, svd_solver="full").fit_transform(pixels)
        found, expected = np.abs(found), np.abs(expected)  # but for the sign
    np.testing.assert_allclose(found, expected, atol=2e-3)
    json.dumps(statistics.scaling(colours, mode))


def test_grey_pictures_stay_finite():
    """No spread on two axes, or on all: nothing is divided by 0, and no noise is blown up beyond rounding's."""
    greys = np.repeat(np.arange(256, dtype="uint8")[:, None, None], 3, axis=2)
    for pictures in ([greys], [greys[:1]]):
        for mode in statistics.NORMALISATIONS:
            assert np.abs(transform(mode, statistics.fit_colours(pictures), pixels_of(pictures))).max() < 4


@pytest.mark.parametrize(("colours", "mode"), [(IMAGENET, "whitening"), (None, "zscore")])
def test_what_cannot_be_normalised(colours, mode):
    with pytest.raises(UserError):
        statistics.scaling(colours, mode)


# classes


def test_median_frequency_by_hand():
    """Class 0 has 6 of the 8 labelled pixels of its picture, 1 has 2 of 8, 2 has 3 of 3, and 3 never occurs."""
    first = np.array([[0, 0, 0, 0], [0, 0, 1, 1]])
    second = np.array([[2, 2], [2, 255]])
    counts, totals = statistics.fit_classes([first, second, second[1:, 1:]], 4)
    np.testing.assert_array_equal(counts, [6, 2, 3, 0])
    np.testing.assert_array_equal(totals, [8, 8, 3, 0])
    np.testing.assert_allclose(
        statistics.median_frequency(counts, totals), [1, 3, 0.75, 0]
    )  # the median of 3/4, 1/4 and 1 is 3/4
    with pytest.raises(UserError):
        statistics.median_frequency([0, 0], [0, 0])


def test_classes_of_batches():
    masks = np.random.default_rng(0).choice([0, 0, 0, 1, 2, 11], (6, 5, 4)).astype("uint8")
    masks[:2][masks[:2] == 2] = 0
    counts, totals = statistics.fit_classes(masks, 3, ignore=11)
    again = statistics.fit_classes([masks[:4], masks[4:]], 3, ignore=11)
    np.testing.assert_array_equal((counts, totals), again)
    np.testing.assert_array_equal(counts, [(masks == k).sum() for k in range(3)])
    np.testing.assert_array_equal(totals, [sum((m != 11).sum() for m in masks if (m == k).any()) for k in range(3)])
    with pytest.raises(UserError):
        statistics.fit_classes(masks, 3)
    with pytest.raises(UserError):
        statistics.fit_classes([masks.astype("int32") - 1], 12)


# joints and places


def test_bounds_are_those_of_every_joint_and_axis():
    clips = np.random.default_rng(0).normal(size=(3, 4, 2, 3)).astype("float32")  # clips, frames, joints, axes
    found = statistics.fit_bounds(iter(clips))
    np.testing.assert_array_equal(found["low"], clips.min(axis=(0, 1)))
    np.testing.assert_array_equal(found["high"], clips.max(axis=(0, 1)))
    with pytest.raises(UserError, match="no joints"):
        statistics.fit_bounds(iter(()))


@pytest.mark.parametrize("windows", [False, True])
def test_places_are_the_mean_and_the_deviation_along_an_axis(windows):
    places = np.random.default_rng(0).normal((3, -20, 1), (2, 2, 2), size=(600, 3)).astype("float32")
    found = statistics.fit_places(iter(places.reshape(200, 3, 3) if windows else places))
    np.testing.assert_allclose(found["centre"], places.mean(axis=0), rtol=1e-5)
    assert found["spread"] == pytest.approx(np.sqrt(places.var(axis=0).mean()), rel=1e-5)


def test_a_camera_that_stands_still_has_a_spread_to_divide_by():
    assert statistics.fit_places([np.ones(3), np.ones(3)])["spread"] == 1.0
