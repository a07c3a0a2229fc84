"""Test-time augmentation: every way back leads back, and averages are those of their answers."""

import numpy as np
import pytest
import tensorflow as tf

from kzoo import UserError
from kzoo.data.statistics import IMAGENET, colour_pca_variants
from kzoo.inference import tta
from kzoo.nn.decoding import softmax, unflip_maps

SIZE = (96, 128)
COLOURS = np.random.default_rng(0).normal(0, 3, (3, 4)).astype("float32")  # RGB -> logits of 4 classes
PERMUTATION = np.array([0, 2, 1, 3])
SHIFTS = colour_pca_variants(IMAGENET, 4)


def by_colour(images):
    """A network that looks at single pixels: (B, h, w, 3) uint8 -> (B, h, w, 4) probabilities."""
    return softmax(images.astype("float32") / 255 @ COLOURS)


def at_any_size(size):
    return by_colour


def noise(batch=2, size=SIZE, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (batch, *size, 3), dtype="uint8")


def smooth(batch=2, size=SIZE):
    """Slow waves of colour."""
    y, x = ((np.arange(side) + 0.5) / side for side in size)
    phase = np.arange(batch)[:, None, None, None] + np.arange(3)
    return np.rint(127.5 + 120 * np.sin(6 * x[:, None] + 4 * y[:, None, None] + phase)).astype("uint8")


@pytest.mark.parametrize("variants", [tta.flip(np.arange(4)), tta.color_pca(np.zeros((1, 3)))])
def test_the_way_back_is_exact(variants):
    images = noise()
    np.testing.assert_array_equal(tta.predict(at_any_size, images, (tta.PLAIN, *variants)), by_colour(images))


@pytest.mark.parametrize("variants", [tta.scales(SIZE), tta.scales(SIZE, (0.5, 2)), tta.crops(SIZE)])
def test_the_way_back_but_for_resampling(variants):
    """Moved by a third of a pixel, the answer is off by more. The picture's border is not interpolated but
    continued."""
    images = smooth()
    expected, inner = by_colour(images), np.s_[:, 4:-4, 4:-4]
    assert np.abs(expected[:, :, 1:] - expected[:, :, :-1]).max() / 3 > 0.006
    for variant in variants:
        found = variant.answer(at_any_size, images)
        assert found.shape == expected.shape and found.dtype == np.float32
        assert np.abs(found - expected)[inner].max() < 0.006, variant.name


def test_colours_are_shifted_rounded_and_clipped():
    shifts = [[0.4, 20.6, -300], [0, 0, 1]]
    first, second = (variant.forward(noise(1)) for variant in tta.color_pca(shifts))
    image = noise(1).astype(int)
    np.testing.assert_array_equal(first[..., 0], image[..., 0])
    np.testing.assert_array_equal(first[..., 1], np.minimum(image[..., 1] + 21, 255))
    assert not first[..., 2].any() and first.dtype == np.uint8
    np.testing.assert_array_equal(second[..., 2], np.minimum(image[..., 2] + 1, 255))


@pytest.mark.parametrize(
    ("size", "factor", "scaled"),
    [
        ((384, 512), 0.75, (288, 384)),
        ((384, 512), 1.25, (480, 640)),
        ((96, 128), 0.75, (64, 96)),
        ((96, 128), 1.25, (128, 160)),
        ((64, 64), 0.75, (32, 32)),  # 48 lies in the middle
        ((64, 64), 1.25, (96, 96)),
        ((64, 96), 0.1, (32, 32)),
    ],
)
def test_scales_resample_as_tensorflow_does(size, factor, scaled):
    """Half-pixel centres, against tf.image.resize."""
    (variant,) = tta.scales(size, [factor])
    images, shown = noise(1, size), variant.forward(noise(1, size))
    assert shown.shape == (1, *scaled, 3) and shown.dtype == np.uint8
    assert np.abs(shown - tf.image.resize(images, scaled).numpy()).max() <= 1
    for classes in (1, 5, 150):
        maps = np.random.default_rng(0).random((1, *scaled, classes), "float32")
        np.testing.assert_allclose(variant.backward(maps), tf.image.resize(maps, size).numpy(), atol=1e-5)


@pytest.mark.parametrize(
    ("size", "window"), [(SIZE, (84, 112)), ((33, 47), (29, 42)), ((8, 8), (4, 4)), ((5, 64), (5, 56))]
)
def test_weights_of_crops_sum_to_one(size, window):
    corners, weights = tta.crop_weights(size, window)
    np.testing.assert_allclose(weights.sum(axis=0), 1, atol=1e-6)
    assert len(corners) == 5 and corners[3] == (size[0] - window[0], size[1] - window[1])
    inside = np.zeros(weights.shape, bool)
    for index, (top, left) in enumerate(corners):
        inside[index, top : top + window[0], left : left + window[1]] = True
    assert np.array_equal(weights > 0, inside)
    if size == SIZE:
        assert weights[0, 0, 0] == weights[3, -1, -1] == 1, "in a corner only its own crop counts"
        steps = [np.abs(np.diff(weights, axis=axis)).max() for axis in (1, 2)]
        assert max(steps) < 0.15, "no visible border"


def test_crops_show_their_windows():
    """The five windows at once, all pictures of the first window first."""
    size, images = (64, 64), np.zeros((2, 64, 64, 3), "uint8")
    for index, corner in enumerate([(0, 0), (0, -8), (-8, 0), (-8, -8)], start=1):
        images[:, corner[0] :, corner[1] :][:, :8, :8] = [[[[40 * index]]], [[[10 * index]]]]
    (variant,) = tta.crops(size)
    shown = variant.forward(images)
    assert shown.shape == (10, 64, 64, 3) and variant.passes == 5
    for index, (row, column) in enumerate([(0, 0), (0, -1), (-1, 0), (-1, -1)]):
        np.testing.assert_array_equal(
            shown[2 * index : 2 * index + 2, row, column, 0], [40 * (index + 1), 10 * (index + 1)]
        )


def directed(images):
    """A network that prefers class 1 at the left and in front of bright pixels: it does not treat both directions
    alike."""
    values = images.astype("float32").mean(axis=-1) / 255
    column = np.linspace(1, 0, images.shape[2], dtype="float32") + 0 * values
    return softmax(np.stack([values, column, 0.3 - column, values * np.roll(values, 1, axis=2)], axis=-1))


def test_flip_makes_a_network_symmetric():
    images = noise()
    variants = tta.variants_of("flip", {"flip": tta.flip(PERMUTATION)})
    answer, mirrored = (tta.predict(lambda size: directed, x, variants) for x in (images, images[:, :, ::-1]))
    np.testing.assert_allclose(unflip_maps(mirrored, PERMUTATION), answer, atol=1e-6)
    assert np.abs(unflip_maps(directed(images[:, :, ::-1]), PERMUTATION) - directed(images)).max() > 0.1


def test_every_family_in_one_pass():
    """Each name's answer is the mean of its variants' and equals the one computed for it alone; passes are counted as
    they are made."""
    known, images, seen = tta.families(SIZE, PERMUTATION, SHIFTS), noise(), []
    assert ("none", *known, "all") == tta.TTA

    def counted_at(size):
        def network(batch):
            assert batch.shape[1:3] == tuple(size) and len(batch) == len(images), (
                "no more pictures at once than came in"
            )
            assert batch.flags.c_contiguous and batch.dtype == np.uint8
            seen.append(size)
            return directed(batch)

        return network

    found = dict(tta.gains(counted_at, images, known))
    counts = tta.passes(known)
    assert list(found) == list(counts) == list(tta.TTA)
    assert counts == {"none": 1, "flip": 2, "scales": 3, "color_pca": 5, "crops": 6, "all": 13} and len(seen) == 13
    for name, answer in found.items():
        seen.clear()
        np.testing.assert_array_equal(
            answer, tta.predict(counted_at, images, tta.variants_of(name, known)), err_msg=name
        )
        assert len(seen) == counts[name]
        np.testing.assert_allclose(answer.sum(axis=-1), 1, atol=1e-5)
    plain, back = directed(images), unflip_maps(directed(images[:, :, ::-1]), PERMUTATION)
    np.testing.assert_array_equal(found["none"], plain)
    np.testing.assert_allclose(found["flip"], (plain + back) / 2, atol=1e-6)
    colours = [directed(np.clip(np.rint(images + shift), 0, 255).astype("uint8")) for shift in SHIFTS]
    np.testing.assert_allclose(found["color_pca"], np.mean([plain, *colours], axis=0), atol=1e-6)
    parts = [found[name] * (1 + len(variants)) - plain for name, variants in known.items()]
    np.testing.assert_allclose(found["all"], (plain + sum(parts)) / 9, atol=1e-5)


def test_average_of_a_generator():
    arrays = np.random.default_rng(0).random((5, 2, 3)).astype("float32")
    kept = arrays.copy()
    np.testing.assert_allclose(tta.average(x for x in arrays), arrays.mean(axis=0), atol=1e-6)
    np.testing.assert_array_equal(arrays, kept)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: tta.scales((64, 64), [1.0]), "that size again"),
        (lambda: tta.scales((64, 64), [0.0]), "above 0, got 0"),
        (lambda: tta.crops((64, 64), 1.0), "below 1 of the sides, got 1.0"),
        (lambda: tta.crops((64, 64), 0.4), "got 0.4"),
        (lambda: tta.crops((64, 64), 0.999), "is the picture"),
        (lambda: tta.color_pca([1, 2, 3]), r"got shape \(3,\)"),
        (
            lambda: tta.variants_of("rotate", tta.families(SIZE, PERMUTATION, SHIFTS)),
            "allowed: none, flip, scales, color_pca, crops, all",
        ),
        (lambda: tta.average([]), "got none"),
    ],
)
def test_mistakes_are_one_line(call, message):
    with pytest.raises(UserError, match=message):
        call()
