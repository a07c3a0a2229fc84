"""Tiles: the whole picture's answer away from the seams, weights that sum to 1, bounded memory."""

import subprocess
import sys

import cv2
import keras
import numpy as np
import pytest

from kzoo import UserError
from kzoo.inference.tiling import predict_tiled, seams
from kzoo.models.unet import unet
from kzoo.nn.decoding import softmax

STRIDE, RADIUS = 8, 10  # of `local`


def local(images):
    """A network of stride 8: mean over 21x21 pixels (zeros around the picture), and over cells of 8x8: (B, H, W, 3) ->
    (B, H, W, 6)."""
    values = images.astype("float32") / 255
    side = 2 * RADIUS + 1
    means = np.stack([cv2.blur(x, (side, side), borderType=cv2.BORDER_CONSTANT) for x in values])
    batch, height, width, _ = values.shape
    cells = values.reshape(batch, height // STRIDE, STRIDE, width // STRIDE, STRIDE, 3).mean(axis=(2, 4))
    return np.concatenate([means, cells.repeat(STRIDE, axis=1).repeat(STRIDE, axis=2)], axis=-1)


def noise(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype="uint8")


def padded(image, height, width):
    return np.pad(image, ((0, height - image.shape[0]), (0, width - image.shape[1]), (0, 0)))


CASES = [  # picture, tile, overlap, size of the whole picture's padded twin
    ((96, 128), (48, 64), 24, (96, 128)),
    ((90, 117), (48, 56), 20, (96, 120)),  # no multiples
    ((200, 48), (64, 48), 40, (200, 48)),  # one tile across; more than half overlaps: three tiles on one pixel
    ((96, 96), (48, 40), 0, (96, 96)),
    ((30, 21), (48, 64), 8, (48, 64)),  # below the tile
    ((64, 48), (64, 48), 0, (64, 48)),  # the tile itself
    ((144, 144), (96, 96), 44, (144, 144)),
]


@pytest.mark.parametrize(("shape", "tile", "overlap", "whole"), CASES)
def test_tiles_answer_as_the_whole_picture_away_from_seams(shape, tile, overlap, whole):
    image = noise(*shape)
    expected = local(padded(image, *whole)[None])[0, : shape[0], : shape[1]]
    found = predict_tiled(local, image, tile=tile, overlap=overlap, classes=6, multiple=STRIDE)
    assert found.shape == expected.shape and found.dtype == np.float32
    distance = seams(shape, tile, overlap, STRIDE)
    assert distance.shape == shape
    error = np.abs(found - expected)
    assert error[..., 3:].max() < 1e-6, "cells lie as in the whole picture"
    assert (distance >= RADIUS).mean() > 0.1 and error[distance >= RADIUS].max() < 1e-5
    wrong = error[distance < RADIUS]
    assert not wrong.size or wrong.max() > 1e-3
    if overlap >= 4 * RADIUS:
        assert distance.min() >= RADIUS


@pytest.mark.parametrize(("shape", "tile", "overlap", "whole"), CASES)
def test_weights_sum_to_one(shape, tile, overlap, whole):
    ones = predict_tiled(
        lambda tiles: np.ones((*tiles.shape[:3], 1)), noise(*shape), tile=tile, overlap=overlap, classes=1, multiple=8
    )
    np.testing.assert_allclose(ones, 1, atol=1e-6)


def test_seams_and_weights_by_hand():
    """Tiles of 8 at 0, 4 and 8 in 16 pixels: with 4 shared pixels they weigh 0, sin^2(pi/8), sin^2(3 pi/8), 1 there."""
    distance = seams((16, 8), (8, 8), 4, 4)
    np.testing.assert_array_equal(
        distance, np.repeat(np.array([[7, 6, 5, 4, 3, 1, 1, 3, 3, 1, 1, 3, 4, 5, 6, 7]]).T, 8, axis=1)
    )
    seen = []

    def first_tile(tiles):
        seen.extend(tiles)
        return np.full((len(tiles), 8, 8, 1), len(seen) == 1)

    image = noise(16, 8)
    weight = predict_tiled(first_tile, image, tile=(8, 8), overlap=4, classes=1, multiple=4)[:, 0, 0]
    expected = [1, 1, 1, 1, 1, np.sin(3 * np.pi / 8) ** 2, np.sin(np.pi / 8) ** 2, 0, *[0] * 8]
    np.testing.assert_allclose(weight, expected, atol=1e-6)
    for tile, start in zip(seen, (0, 4, 8), strict=True):
        np.testing.assert_array_equal(tile, image[start : start + 8])


def test_batches_change_nothing(capsys):
    sizes = []

    def counted(tiles):
        sizes.append(len(tiles))
        return local(tiles)

    options = {"tile": (48, 48), "overlap": 16, "classes": 6, "multiple": STRIDE}
    image = noise(90, 117)
    one = predict_tiled(counted, image, **options)
    assert sizes == [1] * 12 and not capsys.readouterr().err
    sizes.clear()
    five = predict_tiled(counted, image, batch_size=5, progress=True, **options)
    assert sizes == [5, 5, 2] and "tile" in capsys.readouterr().err
    np.testing.assert_array_equal(one, five)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tile": (40, 32)}, "multiples of 32 .* got 40"),
        ({"tile": (0, 32)}, "multiples of 32 .* got 0"),
        ({"overlap": 40}, "0 to 32 px .* got 40"),
        ({"overlap": -1}, "got -1"),
        ({"batch_size": 0}, "at least 1, got 0"),
        ({"image": np.zeros((64, 64, 3), "float32")}, "float32"),
        ({"image": np.zeros((64, 64), "uint8")}, r"\(64, 64\)"),
        ({"classes": 4}, r"\(1, 64, 64, 4\) probabilities, got \(1, 64, 64, 6\)"),
    ],
)
def test_mistakes_are_one_line(options, message):
    image = options.pop("image", noise(96, 96))
    with pytest.raises(UserError, match=message):
        predict_tiled(local, image, **{"tile": (64, 64), "overlap": 32, "classes": 6, **options})


def networks(*sizes):
    """One U-Net at several sizes: (B, h, w, 3) uint8 -> (B, h, w, 5) probabilities, with weights and statistics as if
    trained."""
    keras.utils.set_random_seed(0)
    models = [unet((*size, 3), 5, encoder="small", widths=(16, 16, 16, 16)) for size in sizes]
    random = np.random.default_rng(0)
    for model in models[:1]:
        for weight in model.weights:
            if weight.path.endswith(("gamma", "moving_variance")):
                weight.assign(random.uniform(0.5, 2, weight.shape))
            elif weight.path.endswith(("beta", "bias", "moving_mean")):
                weight.assign(random.normal(0, 0.3, weight.shape))
    for model in models[1:]:
        model.set_weights(models[0].get_weights())
    return [
        lambda images, model=model: softmax(np.asarray(model.predict_on_batch(images)["logits"])) for model in models
    ]


def radius_of(network, height, width):
    """Pixels that a change reaches at most, upwards or downwards, measured at an edge between cells as seams are."""
    middle = height // 64 * 32
    first, second = noise(height, width, 1), noise(height, width, 2)
    mixed = np.concatenate([first[:middle], second[middle:]])
    changed_above, changed_below = (
        np.flatnonzero(np.any(network(mixed[None]) != network(image[None]), axis=(0, 2, 3)))
        for image in (second, first)
    )
    return max(middle - changed_below.min(), changed_above.max() - middle + 1)


def compared(shape, tile, overlap, radius):
    """Largest error of tiles at pixels that are right and at the others, and the share of the right ones."""
    whole, tiled = networks(shape, tile)
    image = noise(*shape)
    error = np.abs(predict_tiled(tiled, image, tile=tile, overlap=overlap, classes=5) - whole(image[None])[0]).max(
        axis=-1
    )
    right = seams(shape, tile, overlap) >= radius
    return error[right].max(), error[~right].max(), right.mean()


def test_unet_by_tiles():
    """The receptive field by hand: down 31 + 4 * 31 pixels, up 32 + 16 + 16 + 8 + 8 + 4 + 4 + 2, bilinear 2, at most
    247 in all."""
    radius = radius_of(networks((512, 384))[0], 512, 384)
    assert 150 < radius <= 247
    right, wrong, share = compared((512, 384), (384, 320), 256, radius)
    assert share > 0.15 and right < 1e-5 and wrong > 1e-4


@pytest.mark.slow
def test_unet_by_tiles_of_a_large_picture():
    right, wrong, share = compared((2048, 1536), (1024, 768), 256, 247)
    assert share > 0.2 and right < 1e-3 and wrong > right


MEMORY = """
import keras, numpy as np
from kzoo.evaluation import costs
from kzoo.inference.tiling import predict_tiled
image = keras.Input((512, 512, 3), dtype="uint8")
model = keras.Model(image, keras.layers.Conv2D(11, 1, activation="softmax")(keras.layers.Rescaling(1 / 255)(image)))
picture = np.random.default_rng(0).integers(0, 256, (3072, 4096, 3), dtype="uint8")
maps = predict_tiled(model.predict_on_batch, picture, tile=(512, 512), overlap=128, classes=11, batch_size=2)
assert maps.shape == (3072, 4096, 11) and abs(maps[::64, ::64].sum(axis=-1) - 1).max() < 1e-5
print(costs.most_held() / 2**10)
"""


@pytest.mark.slow
def test_memory_of_a_large_picture():
    """4096x3072 pixels, 11 classes: 0.52 GiB of answer; all in all below 4 GiB."""
    run = subprocess.run([sys.executable, "-c", MEMORY], check=False, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    gib = float(run.stdout.split()[-1])
    assert 0.5 < gib < 4
