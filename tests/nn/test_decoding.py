"""Decoders: from a joint to its heat map and back, against the graph's twin, and on maps that have no answer."""

import time

import numpy as np
import pytest

from kzoo import UserError
from kzoo.nn import decoding, geometry
from kzoo.nn.decoding import DECODERS

RNG = np.random.default_rng(0)
SIZES = (128, 64, 32, 16)  # cells of a 256-px picture's map at strides 2, 4, 8, 16


def gaussians(positions, height, width, sigma):
    """Gaussians of height 1 at positions (B, J, 2): (B, height, width, J)."""
    x = (np.arange(width) + 0.5) - positions[..., :1] * width
    y = (np.arange(height) + 0.5) - positions[..., 1:] * height
    return np.einsum("bjh,bjw->bhwj", np.exp(-(y**2) / (2 * sigma**2)), np.exp(-(x**2) / (2 * sigma**2))).astype(
        "float32"
    )


def discs(positions, size, radius):
    """1 within `radius` cells of the position, else 0: (B, size, size, J)."""
    x = (np.arange(size) + 0.5) - positions[..., :1] * size
    y = (np.arange(size) + 0.5) - positions[..., 1:] * size
    return ((y**2)[..., :, None] + (x**2)[..., None, :] <= radius**2).astype("float32").transpose(0, 2, 3, 1)


def cells_off(found, positions, size):
    """Mean distance in cells."""
    return float(np.linalg.norm((found - positions) * size, axis=-1).mean())


# name -> (least, most) mean error in cells over interior positions. The mean distance of a point of a cell to its
# centre is 0.3826; to the nearest of the four points a quarter off it, half of that. exp(10 h) gives a Gaussian the
# width sigma / sqrt(10), at sigma 1 so narrow that the grid of cells shows: 0.15; 0.03 at 1.5 and 0.003 at 2. The plain
# soft-argmax has no bound: the background draws it to the centre.
ROUND_TRIP = {
    "argmax": (0.36, 0.41),
    "quarter": (0.18, 0.21),
    "dark": (0.0, 0.02),
    "udp": (0.0, 0.02),
    "debiased_softargmax": (0.0, 0.18),
    "softargmax": (0.0, np.inf),
}


@pytest.mark.parametrize("sigma", [1.0, 1.5, 2.0])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", DECODERS)
def test_a_joint_comes_back_from_its_map(name, size, sigma):
    positions = RNG.uniform(0.35, 0.65, (60, 17, 2))
    found = DECODERS[name](gaussians(positions, size, size, sigma))
    assert found.dtype == np.float32 and found.shape == positions.shape
    least, most = ROUND_TRIP[name]
    assert least <= cells_off(found, positions, size) <= most


@pytest.mark.parametrize("name", DECODERS)
def test_maps_need_not_be_square_nor_scaled(name):
    positions = RNG.uniform(0.35, 0.65, (8, 5, 2))
    maps = gaussians(positions, 48, 64, 2.0)
    found = DECODERS[name](maps)
    off = np.linalg.norm((found - positions) * (64, 48), axis=-1).mean()
    assert off <= max(ROUND_TRIP[name][1], 0.1)
    if name != "argmax":
        np.testing.assert_allclose(DECODERS[name](maps / 50), found, atol=1e-4)  # as a softmax gives them


@pytest.mark.parametrize("name", DECODERS)
@pytest.mark.parametrize("value", [0.0, 0.3, -0.2])
def test_a_constant_map_has_a_finite_answer(name, value):
    found = DECODERS[name](np.full((2, 8, 6, 3), value, "float32"))
    assert np.isfinite(found).all() and (found >= 0).all() and (found <= 1).all()


@pytest.mark.parametrize("name", DECODERS)
def test_joints_at_the_border_and_noise_are_not_thrown_far(name):
    positions = RNG.choice([0.0, 0.004, 0.5, 0.996, 1.0], (40, 17, 2))
    assert np.isfinite(DECODERS[name](gaussians(positions, 64, 64, 2.0))).all()
    if name.endswith("softargmax"):
        return
    off = np.linalg.norm((DECODERS[name](gaussians(positions, 64, 64, 2.0)) - positions) * 64, axis=-1)
    assert off.max() < 2.5
    noisy = gaussians(positions, 64, 64, 2.0) + RNG.normal(0, 0.05, (40, 64, 64, 17)).astype("float32")
    assert np.linalg.norm((DECODERS[name](noisy) - positions) * 64, axis=-1).max() < 4


def test_all_negative_maps_are_decoded_at_their_highest_cell():
    positions = RNG.uniform(0.35, 0.65, (8, 5, 2))
    maps = gaussians(positions, 32, 32, 2.0) - 1.5
    for name in ("argmax", "quarter", "dark", "udp", "debiased_softargmax"):
        assert cells_off(DECODERS[name](maps), positions, 32) < 0.5


def test_discs():
    """On the plateau of a disc the highest cell is its first one, a radius off; decoders that look around it find the
    middle."""
    positions = RNG.uniform(0.35, 0.65, (60, 17, 2))
    radius = 2.56  # 10 px of 256 on 64 cells
    maps = discs(positions, 64, radius)
    assert np.linalg.norm((DECODERS["argmax"](maps) - positions) * 64, axis=-1).max() <= radius + 1e-3
    for name in ("dark", "udp", "debiased_softargmax"):
        assert cells_off(DECODERS[name](maps), positions, 64) < 0.25


def test_quarter_equals_the_graph():
    """The streamed MPJPE of heat maps and `quarter` are one formula, at the border too."""
    maps = RNG.normal(0, 1, (5, 7, 9, 11)).astype("float32")
    np.testing.assert_allclose(decoding.quarter(maps), np.asarray(geometry.peak_position(maps)), atol=1e-6)


def test_softargmax_equals_the_graph():
    maps = RNG.uniform(0, 1, (3, 7, 9, 4)).astype("float32")
    scaled = maps / maps.max(axis=(1, 2), keepdims=True)
    expected = np.asarray(geometry.expected_position(geometry.spatial_softmax(10 * scaled)))
    np.testing.assert_allclose(decoding.softargmax(maps), expected, atol=1e-6)


def test_debiased_softargmax_equals_the_papers_correction():
    """The sums of the whole map minus those of a background of zeros, in double precision."""
    maps = gaussians(RNG.uniform(0.2, 0.8, (3, 4, 2)), 16, 12, 1.5).astype("float64")
    maps /= maps.max(axis=(1, 2), keepdims=True)
    x = (np.arange(12) + 0.5)[None, None, :, None] / 12
    weights = np.exp(10 * maps)
    expected = ((x * weights).sum((1, 2)) - 16 * x.sum()) / (weights.sum((1, 2)) - 16 * 12)
    np.testing.assert_allclose(decoding.debiased_softargmax(maps)[..., 0], expected, atol=1e-6)


def test_decoding_a_validation_set_is_quick():
    maps = gaussians(RNG.uniform(0, 1, (764, 17, 2)), 32, 32, 2.0)
    for name, decode in DECODERS.items():
        start = time.process_time()
        decode(maps)
        assert time.process_time() - start < 3, name  # well under a second on an idle core


MAPS = gaussians(np.full((2, 3, 2), 0.25), 8, 8, 1.0)
COORDS = np.full((2, 3, 2), 0.75, "float32")
ANSWERS = [  # outputs, decoder, joint, confidence
    ({"coords": COORDS}, None, 0.75, 1.0),
    ({"coords": COORDS, "latent_heatmaps": 0.5 * MAPS}, None, 0.75, 0.5 * MAPS.max()),
    ({"coords": COORDS, "latent_heatmaps": MAPS}, "dark", 0.25, MAPS.max()),
    ({"heatmaps": 3 * MAPS, "aux_heatmaps": MAPS[:, None, :, ::-1]}, None, 0.25, 1.0),
    ({"disc_logits": MAPS[:, ::-1, ::-1], "heatmaps": MAPS}, "udp", 0.25, MAPS.max()),
    ({"disc_logits": MAPS}, "dark", 0.25, MAPS.max()),
]


@pytest.mark.parametrize(("outputs", "decoder", "joint", "confidence"), ANSWERS)
def test_the_answer_comes_from_the_right_output(outputs, decoder, joint, confidence):
    found = decoding.decode_pose(outputs, decoder)
    np.testing.assert_allclose(found["coords"], joint, atol=0.03)
    np.testing.assert_allclose(found["confidence"], confidence, atol=1e-5)
    assert found["confidence"].dtype == np.float32


def test_what_applies_to_which_network():
    assert decoding.applicable(["coords"]) == ("coords",)
    assert decoding.applicable(["heatmaps", "aux_heatmaps"])[0] == decoding.DEFAULT_DECODER
    assert set(decoding.applicable(["coords", "latent_heatmaps"])) == {"coords", *DECODERS}
    assert decoding.applicable(["logits"]) == decoding.sources(["logits"]) == ()
    assert decoding.sources(["aux_heatmaps", "disc_logits", "heatmaps"]) == ("heatmaps",)


@pytest.mark.parametrize(
    ("outputs", "decoder", "message"),
    [
        ({"coords": COORDS}, "dark", "allowed: coords"),
        ({"heatmaps": MAPS}, "coords", "dark"),
        ({"heatmaps": MAPS}, "best", "'best'"),
    ],
)
def test_a_decoder_that_cannot_be_used_is_told(outputs, decoder, message):
    with pytest.raises(UserError, match=message):
        decoding.decode_pose(outputs, decoder)
