"""Augmentation: image, mask and keypoints move together, in any affine."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from scipy import ndimage
from scipy.spatial.transform import Rotation

from kzoo.data import augment, statistics
from kzoo.nn import geometry

NOTHING = augment.Geometric(zoom=0.0, rotation_deg=0.0, translate=0.0, aspect=0.0, flip=0.0)
FLIP = dataclasses.replace(NOTHING, flip=1.0)
WILD = augment.Geometric(zoom=0.5, rotation_deg=60.0, translate=0.1, aspect=0.4, flip=0.5)
SIZES = [
    64,
    97,
    100,
    256,
]  # 97: positions are not exact in float32, and a kernel that cuts off instead of rounding shows


def matrices(ranges, count, first=0):
    """`count` random matrices (N, 3, 3) and whether they mirror (N,)."""

    @tf.function
    def draw():
        seeds = tf.stack([tf.range(first, first + count), tf.fill([count], 5)], -1)
        return tf.map_fn(
            lambda seed: augment.random_matrix(seed, ranges), seeds, fn_output_signature=(tf.float32, tf.bool)
        )

    return tuple(value.numpy() for value in draw())


def noise(height, width, channels=3, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels)).astype("uint8")


def smooth(height, width, seed=0):
    """Waves of a few pixels: (height, width, 3) uint8."""
    random = np.random.default_rng(seed).normal(size=(height, width, 3))
    waves = ndimage.gaussian_filter(random, (2, 2, 0))
    return np.clip(128 + 60 * waves / waves.std(), 0, 255).astype("uint8")


def warp(image, matrix, size, interpolation="BILINEAR", fill=0):
    return augment.warp(
        tf.constant(image), tf.constant(matrix, tf.float32), (size, size), interpolation=interpolation, fill=fill
    ).numpy()


def warp_keypoints(keypoints, matrix, source, drop_outside=False):
    keypoints, matrix = tf.constant(keypoints, tf.float32), tf.constant(matrix, tf.float32)
    return augment.warp_keypoints(keypoints, matrix, source, drop_outside=drop_outside).numpy()


# one matrix for all


@pytest.mark.parametrize("size", SIZES)
def test_no_ranges_change_nothing(size):
    random, mirrored = augment.random_matrix((3, 4), NOTHING)
    np.testing.assert_allclose(random, np.eye(3), atol=1e-7)
    assert not mirrored
    image, matrix = noise(size, size), augment.fit_matrix(size, size) @ random
    np.testing.assert_array_equal(warp(image, matrix, size), image)
    np.testing.assert_array_equal(warp(image, matrix, size, "NEAREST", 255), image)


@pytest.mark.parametrize("size", SIZES)
def test_flip(size):
    """Once: the mirror image. Twice: the identity, to the pixel."""
    random, mirrored = augment.random_matrix((3, 4), FLIP)
    assert mirrored
    matrix = augment.fit_matrix(size, size) @ random
    for image, how in ((noise(size, size), ("BILINEAR", 0)), (noise(size, size, 1), ("NEAREST", 255))):
        once = warp(image, matrix, size, *how)
        np.testing.assert_array_equal(once, image[:, ::-1])
        np.testing.assert_array_equal(warp(once, matrix, size, *how), image)
    keypoints = np.array([[0.2, 0.7, 2], [0.5, 0.5, 1], [0, 0, 0]], "float32")
    once = warp_keypoints(keypoints, matrix, (size, size))
    np.testing.assert_allclose(once, [[0.8, 0.7, 2], [0.5, 0.5, 1], [0, 0, 0]], atol=1e-6)
    np.testing.assert_allclose(warp_keypoints(once, matrix, (size, size)), keypoints, atol=1e-6)


@pytest.mark.parametrize(("height", "width", "size"), [(256, 256, 256), (240, 180, 192), (160, 256, 128)])
def test_a_painted_keypoint_lands_where_its_label_says(height, width, size):
    """Centroid of a bright blob, over zoom, rotation, aspect, shift, flip and letterbox."""
    rng, checked = np.random.default_rng(1), 0
    random, mirrored = matrices(WILD, 60, first=height)
    assert 10 < mirrored.sum() < 50
    fit, i, j = augment.fit_matrix(height, width).numpy(), np.arange(height)[:, None] + 0.5, np.arange(width) + 0.5
    centres = geometry.cell_centres(size)
    for matrix in fit @ random:
        x, y = rng.uniform(0.3, 0.7, 2)
        blob = 250 * np.exp(-((i - y * height) ** 2 + (j - x * width) ** 2) / (2 * 4.0**2))
        ((moved_x, moved_y, v),) = warp_keypoints([[x, y, 2]], matrix, (width, height))
        assert v == 2
        if not 0.2 < moved_x < 0.8 or not 0.2 < moved_y < 0.8:  # the blob may be cut
            continue
        light = warp(blob[..., None].astype("uint8"), matrix, size)[..., 0].astype("float64")
        centroid = np.array([light.sum(0) @ centres, light.sum(1) @ centres]) / light.sum()
        assert np.abs(centroid - (moved_x, moved_y)).max() * size < 0.5
        checked += 1
    assert checked >= 45


@pytest.mark.parametrize(("height", "width"), [(50, 80), (80, 50), (64, 64)])
def test_mask_gets_no_new_ids(height, width):
    mask = np.random.default_rng(0).choice([0, 3, 7], (height, width, 1)).astype("uint8")
    fit = augment.fit_matrix(height, width).numpy()
    for matrix in fit @ matrices(WILD, 20)[0]:
        ids = set(np.unique(warp(mask, matrix, 48, "NEAREST", 255)))
        assert {0, 3, 7} <= ids <= {0, 3, 7, 255}


def test_outside_is_filled():
    white = np.full((40, 80, 3), 255, "uint8")
    warped = warp(white, augment.fit_matrix(40, 80), 40)
    assert not warped[:10].any() and not warped[30:].any() and (warped[10:30] == 255).all()
    mask = warp(white[..., :1] // 255, augment.fit_matrix(40, 80), 40, "NEAREST", 255)
    assert (mask[:10] == 255).all() and (mask[10:30] == 1).all() and (mask[30:] == 255).all()


@pytest.mark.parametrize("seed", range(6))
def test_warp_against_scipy(seed):
    """Bilinear resampling, where all four neighbours are inside. And no bias: cutting off instead of rounding darkens
    by half a level."""
    height, width, size = 90, 120, 100
    image = smooth(height, width, seed)
    matrix = (augment.fit_matrix(height, width).numpy() @ matrices(WILD, 1, first=seed)[0][0]).astype("float64")
    x, y = np.meshgrid(np.arange(size) + 0.5, np.arange(size) + 0.5)
    source = geometry.transform_points(matrix, np.stack([x.ravel(), y.ravel()], -1) / size) - 0.5
    inside = ((source > 0.01) & (source < np.array([width, height]) - 1.01)).all(-1)
    expected = np.stack(
        [ndimage.map_coordinates(image[..., k].astype("float64"), source[:, ::-1].T, order=1) for k in range(3)], -1
    )
    difference = (warp(image, matrix, size).reshape(-1, 3) - expected)[inside]
    assert inside.mean() > 0.2
    assert np.abs(difference).max() <= 2
    assert abs(difference.mean()) < 0.1


# keypoints


def test_joints_that_leave():
    keypoints = np.array([[0.1, 0.5, 2], [0.5, 0.5, 1], [0.9, 0.9, 0]], "float32")
    matrix = np.diag([50.0, 50.0, 1.0])
    matrix[:2, 2] = 25  # the middle half
    kept, dropped = (warp_keypoints(keypoints, matrix, (100, 100), drop) for drop in (False, True))
    np.testing.assert_allclose(kept, [[-0.3, 0.5, 2], [0.5, 0.5, 1], [0, 0, 0]], atol=1e-6)
    np.testing.assert_allclose(dropped, [[0, 0, 0], [0.5, 0.5, 1], [0, 0, 0]], atol=1e-6)


def test_inverse_takes_predictions_back():
    fit = augment.fit_matrix(120, 200).numpy()
    keypoints = np.column_stack([np.random.default_rng(0).uniform(0.1, 0.9, (5, 2)), np.full(5, 2)])
    for matrix in fit @ matrices(WILD, 10)[0]:
        moved = warp_keypoints(keypoints, matrix, (200, 120))
        np.testing.assert_allclose(
            geometry.transform_points(matrix, moved[:, :2]), keypoints[:, :2] * (200, 120), atol=1e-2
        )


# the matrices


@pytest.mark.parametrize(("height", "width"), [(480, 640), (640, 480), (33, 99), (256, 256), (1, 7)])
def test_fit_matrix_is_a_letterbox(height, width):
    matrix = augment.fit_matrix(height, width).numpy().astype("float64")
    corners = geometry.transform_points(np.linalg.inv(matrix), np.array([[0, 0], [width, height]]))
    np.testing.assert_allclose(corners.sum(0), [1, 1], atol=1e-6)  # centred
    extent = corners[1] - corners[0]
    np.testing.assert_allclose(
        extent, np.array([width, height]) / max(width, height), atol=1e-6
    )  # whole, and the aspect kept


ALONE = [dataclasses.replace(NOTHING, zoom=1.0), dataclasses.replace(NOTHING, aspect=0.5)]


@pytest.mark.parametrize("ranges", [augment.Geometric(), WILD, *ALONE])
def test_random_matrix_uses_its_ranges_and_keeps_them(ranges):
    drawn, mirrored = matrices(ranges, 300)
    drawn = drawn.astype("float64")
    first, second = np.linalg.norm(drawn[:, :2, 0], axis=1), np.linalg.norm(drawn[:, :2, 1], axis=1)
    np.testing.assert_array_equal(drawn[:, 2], np.tile([0, 0, 1], (300, 1)))
    np.testing.assert_allclose((drawn[:, :2, 0] * drawn[:, :2, 1]).sum(1), 0, atol=1e-5)  # no shear
    np.testing.assert_array_equal(np.linalg.det(drawn) < 0, mirrored)
    centre = geometry.transform_points(drawn, np.full((300, 1, 2), 0.5))[:, 0] - 0.5
    measured = {
        "zoom": np.log(1 / np.sqrt(first * second)) / np.log1p(ranges.zoom or 1),
        "aspect": np.log(second / first) / np.log1p(ranges.aspect or 1),
        "rotation_deg": np.degrees(np.arctan2(-drawn[:, 0, 1], drawn[:, 1, 1])) / (ranges.rotation_deg or 1),
        "translate": centre / (ranges.translate or 1),
    }
    for name, share in measured.items():
        limit = 1 if getattr(ranges, name) else 0
        assert np.abs(share).max() <= limit + 1e-4, name
        if limit:
            assert share.min() < -0.9 and share.max() > 0.9, name
            assert abs(share.mean()) < 0.12, name
    assert abs(mirrored.mean() - ranges.flip) < 0.1


def test_random_matrix_depends_on_its_seed_alone():
    tf.random.set_seed(1)
    one = matrices(WILD, 3)
    tf.random.set_seed(2)
    two, other = matrices(WILD, 3), matrices(WILD, 3, first=3)
    np.testing.assert_array_equal(one[0], two[0])
    assert np.abs(one[0] - other[0]).max() > 0.01 and np.abs(one[0][0] - one[0][1]).max() > 0.01


# colour

PLAIN = augment.Photometric(brightness=0.0, contrast=0.0, saturation=0.0, hue_deg=0.0)
GREYS = np.repeat(np.arange(256, dtype="uint8")[:, None, None], 3, axis=2)
LUMA = np.array([0.299, 0.587, 0.114])


def recoloured(image, seed, ranges):
    """The picture where it is, in other colours."""
    shape = image.shape[:2]
    return augment.warp_and_jitter(tf.constant(image), augment.fit_matrix(*shape, shape), shape, seed, ranges).numpy()


def jitter(image, seed, **ranges):
    return recoloured(image, (seed, 0), dataclasses.replace(PLAIN, **ranges)).astype(int)


def test_no_jitter():
    image = noise(32, 48)
    assert np.abs(jitter(image, 0) - image).max() <= 1


JITTERS = [
    {"brightness": 0.3},
    {"contrast": 0.5},
    {"saturation": 0.5},
    {"hue_deg": 40.0},
    {"contrast": 0.3, "hue_deg": 20.0},
]


@pytest.mark.parametrize("ranges", JITTERS)
def test_greys_stay_grey(ranges):
    for seed in range(8):
        out = jitter(GREYS, seed, **ranges)
        assert np.ptp(out, axis=-1).max() <= 1
        assert (np.diff(out[:, 0, 0]) >= 0).all()


def test_brightness_adds_and_contrast_turns_about_the_middle():
    shifts, slopes = [], []
    for seed in range(40):
        shift = jitter(GREYS, seed, brightness=0.2)[100:150, 0, 0] - np.arange(100, 150)
        assert np.ptp(shift) <= 1
        shifts.append(shift.mean() / 255)
        out = jitter(GREYS, seed, contrast=0.4)[:, 0, 0]
        assert np.abs(out[127:129] - [127, 128]).max() <= 1
        slopes.append((out[177] - out[77]) / 100)
    assert -0.205 < min(shifts) < -0.12 and 0.12 < max(shifts) < 0.205
    assert 0.59 < min(slopes) < 0.75 and 1.25 < max(slopes) < 1.41


@pytest.mark.parametrize("ranges", [{"hue_deg": 60.0}, {"saturation": 0.5}])
def test_hue_and_saturation_keep_luma(ranges):
    middle = np.random.default_rng(0).integers(90, 166, (16, 16, 3)).astype("uint8")  # far from clipping
    changed = 0
    for seed in range(8):
        out = jitter(middle, seed, **ranges)
        np.testing.assert_allclose(out @ LUMA, middle @ LUMA, atol=1.5)
        changed = max(changed, np.abs(out - middle).max())
    assert changed > 10


def test_hue_turns_by_its_angle():
    """Forth and back: a turn in the chroma plane has an inverse, and no red becomes more saturated."""
    to_yiq = np.array([[0.299, 0.587, 0.114], [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]])
    for seed in range(20):
        matrix, _ = augment.colour_matrix((seed, 0), dataclasses.replace(PLAIN, hue_deg=30.0))
        turn = to_yiq @ matrix.numpy().T.astype("float64") @ np.linalg.inv(to_yiq)
        np.testing.assert_allclose(turn @ turn.T, np.eye(3), atol=1e-4)
        assert abs(np.degrees(np.arctan2(turn[2, 1], turn[1, 1]))) <= 30.01


def test_colour_depends_on_its_seed_alone():
    image = noise(8, 8)
    one, same, other = (recoloured(image, seed, augment.Photometric()) for seed in ((1, 2), (1, 2), (1, 3)))
    np.testing.assert_array_equal(one, same)
    assert (one != other).any()


def test_color_pca_is_one_shift_with_the_moments_of_the_paper():
    """Covariance sigma^2 sum_k p_k p_k' lambda_k^2 for RGB in 0..1 (Krizhevsky et al. 2012, §4.1), so sigma^2 C C; and
    the mean is 0."""
    covariance = np.array([[5000, 3500, 2000], [3500, 4500, 2500], [2000, 2500, 4000]]) / 255**2
    ranges = dataclasses.replace(
        PLAIN, pca=0.1, colours=statistics.ColourStatistics((100, 110, 120), covariance * 255**2)
    )

    @tf.function
    def draw():
        seeds = tf.stack(
            [tf.range(20_000, dtype=tf.int64), tf.fill([20_000], tf.constant(3, tf.int64))], -1
        )  # int64 as in the pipeline
        return tf.map_fn(
            lambda seed: augment.colour_matrix(seed, ranges), seeds, fn_output_signature=(tf.float32, tf.float32)
        )

    matrices, offsets = (value.numpy() for value in draw())
    np.testing.assert_allclose(matrices, np.tile(np.eye(3), (20_000, 1, 1)), atol=1e-5)
    expected = 0.1**2 * covariance @ covariance * 255**2
    spread = np.sqrt(np.diag(expected))
    np.testing.assert_allclose(offsets.mean(0) / spread, 0, atol=0.03)  # four standard errors
    np.testing.assert_allclose(
        np.cov(offsets.T) / np.outer(spread, spread), expected / np.outer(spread, spread), atol=0.04
    )


def test_color_pca_changes_no_other_draw_and_scales():
    plain, shifted = augment.Photometric(), augment.Photometric(pca=0.1)
    for seed in range(5):
        (matrix, offset), (same, moved) = (augment.colour_matrix((seed, 7), ranges) for ranges in (plain, shifted))
        (_, half) = augment.colour_matrix((seed, 7), dataclasses.replace(plain, pca=shifted.scaled(0.5).pca))
        np.testing.assert_array_equal(matrix, same)
        assert np.abs(moved - offset).max() > 1e-3
        np.testing.assert_allclose(2 * (half - offset), moved - offset, atol=1e-3)
    own = statistics.ColourStatistics((1, 2, 3), np.diag([3, 2, 1]))
    scaled = augment.Photometric(pca=0.2, colours=own).scaled(0.5)
    assert (scaled.pca, scaled.colours, scaled.hue_deg) == (0.1, own, 6.0)


def test_colours_of_earlier_runs():
    """Without Color PCA the draws are those that runs before it had."""
    signed = 2 * tf.random.stateless_uniform([4], (3, 4)).numpy() - 1
    _, offset = augment.colour_matrix((3, 4), dataclasses.replace(PLAIN, brightness=0.2))
    np.testing.assert_allclose(offset, np.full(3, 255 * 0.2 * signed[0]), atol=1e-3)


@pytest.mark.parametrize("ranges", [None, augment.Photometric(), augment.Photometric(pca=0.5)])
def test_one_pass_equals_warp_then_jitter(ranges):
    """The compiled pass differs by the rounding between the two steps alone."""
    coarse = np.random.default_rng(0).integers(0, 256, (12, 9, 3)).astype("float32")
    image = tf.cast(tf.image.resize(coarse, (96, 72)), tf.uint8)
    for seed in range(12):
        matrix = (
            augment.fit_matrix(96, 72)
            @ augment.random_matrix([seed, 0], augment.Geometric(zoom=0.5, rotation_deg=90.0, aspect=0.3))[0]
        )
        warped = augment.warp(image, matrix, (64, 64), interpolation="BILINEAR", fill=0)
        expected = warped.numpy()
        if ranges:
            colour, offset = augment.colour_matrix([seed, 1], ranges)
            expected = np.clip(np.rint(expected @ colour.numpy() + offset.numpy()), 0, 255)
        found = augment.warp_and_jitter(image, matrix, (64, 64), [seed, 1], ranges)
        difference = np.abs(found.numpy().astype(int) - expected)
        assert difference.max() <= 2 and difference.mean() < 0.5


def test_identity_is_exact_in_one_pass():
    image = tf.constant(np.random.default_rng(0).integers(0, 256, (64, 64, 3)), tf.uint8)
    np.testing.assert_array_equal(
        augment.warp_and_jitter(image, augment.fit_matrix(64, 64), (64, 64), [0, 0], None), image
    )


@pytest.mark.parametrize("shape", [(48, 64), (64, 48)])
def test_oblong_outputs(shape):
    """The picture keeps its aspect, a rotation keeps right angles, and the warped mask agrees with the warped
    points."""
    fit = augment.fit_matrix(90, 120, shape).numpy()
    corners = np.array([[0, 0, 1], [1, 0, 1], [0, 1, 1]]) @ fit.T
    across, down = corners[1] - corners[0], corners[2] - corners[0]
    assert across[0] / shape[1] == pytest.approx(down[1] / shape[0]), "the same scale along both axes"
    assert across[0] >= 120 - 1e-3 and down[1] >= 90 - 1e-3, "all of the picture"
    turned = (
        fit
        @ augment.random_matrix([3, 0], augment.Geometric(rotation_deg=45.0, flip=0.0), shape[1] / shape[0])[0].numpy()
    )
    across, down = turned[:2, 0] / shape[1], turned[:2, 1] / shape[0]
    assert abs(across @ down) < 1e-6 * np.linalg.norm(across) ** 2 and np.linalg.norm(across) == pytest.approx(
        np.linalg.norm(down), rel=1e-5
    )
    assert abs(across[1]) > 0.01
    image = smooth(90, 120)
    warped = augment.warp_and_jitter(tf.constant(image), tf.constant(turned), shape, [0, 0], None).numpy()
    slow = augment.warp(tf.constant(image), tf.constant(turned), shape, interpolation="BILINEAR", fill=0).numpy()
    assert warped.shape == (*shape, 3) and np.abs(warped.astype(int) - slow).mean() < 1


def test_crops_lie_inside_and_anywhere():
    """A window of 60 % of each side: its corners cover the range of places and never leave the picture."""
    ranges = augment.Geometric(zoom=0, rotation_deg=0, translate=0, flip=0, crop=0.4)
    found = np.stack([augment.random_matrix([seed, 5], ranges)[0].numpy() for seed in range(200)])
    np.testing.assert_allclose(found[:, [0, 1], [0, 1]], 0.6, rtol=1e-6)
    corner = found[:, :2, 2]
    assert (
        corner.min() >= 0
        and corner.max() <= 0.4
        and (corner.min(axis=0) < 0.02).all()
        and (corner.max(axis=0) > 0.38).all()
    )
    assert abs(np.corrcoef(corner.T)[0, 1]) < 0.2


# clips and joints in space


@pytest.mark.parametrize("shape", [(64, 64), (48, 80)])
def test_a_turned_or_mirrored_camera_sees_the_warped_picture(shape):
    """Projecting the turned joints gives the warped projection of the joints: the rotation is about the optical
    axis."""
    ranges = dataclasses.replace(NOTHING, rotation_deg=40.0, flip=0.5)
    height, width = shape
    joints = np.random.default_rng(0).normal(size=(2, 5, 3)) * (0.5, 0.5, 0.3) + (0, 0, 4)  # two frames, metres
    lens = np.array([60 / width, 60 / height])  # focal lengths in fractions, the principal point in the middle

    def project(points):
        return points[..., :2] / points[..., 2:] * lens + 0.5

    signs = set()
    for i in range(8):
        random, mirrored = augment.random_matrix((i, 1), ranges, width / height)
        turned = augment.turn_joints(tf.constant(joints, tf.float32), random, shape).numpy()
        moved = augment.warp_points(
            tf.constant(project(joints), tf.float32), augment.fit_matrix(height, width, shape) @ random, (width, height)
        )
        np.testing.assert_allclose(project(turned), moved, atol=1e-5)
        np.testing.assert_allclose(np.linalg.norm(turned, axis=-1), np.linalg.norm(joints, axis=-1), rtol=1e-5)
        signs.add(bool(mirrored))
    assert signs == {True, False}


def test_zoom_and_translation_leave_joints_in_space_alone():
    ranges = augment.Geometric(zoom=0.5, rotation_deg=0.0, translate=0.2, flip=0.0)
    joints = np.random.default_rng(0).normal(size=(1, 5, 3)).astype("float32")
    random, _ = augment.random_matrix((7, 1), ranges)
    assert not np.allclose(random, np.eye(3), atol=0.05)
    np.testing.assert_allclose(augment.turn_joints(tf.constant(joints), random, (64, 64)), joints, atol=1e-6)


def test_all_frames_of_a_clip_are_treated_alike():
    frames = np.stack([smooth(40, 40, seed) for seed in range(3)])
    random, _ = augment.random_matrix((2, 3), WILD)
    matrix = augment.fit_matrix(40, 40) @ random
    arguments = (matrix, (32, 32), (5, 6), augment.Photometric())
    together = augment.warp_and_jitter(tf.constant(frames), *arguments)
    assert together.shape == (3, 32, 32, 3)
    for frame, found in zip(frames, together, strict=True):
        np.testing.assert_array_equal(augment.warp_and_jitter(tf.constant(frame), *arguments), found)


def test_a_rolled_camera_has_the_turned_pose():
    """World points seen by the turned pose project to where the warp moves them."""
    shape, rng = (48, 80), np.random.default_rng(1)
    ranges = dataclasses.replace(NOTHING, rotation_deg=35.0)
    lens = np.array([60 / shape[1], 60 / shape[0]])
    for i, rotation in enumerate(Rotation.random(6, rng=rng)):
        centre = rng.normal(size=3)
        seen = rng.normal(size=(5, 3)) * (0.5, 0.5, 0.3) + (0, 0, 4)  # in camera coordinates
        world = rotation.apply(seen) + centre
        x, y, z, w = rotation.as_quat(canonical=True)
        random, _ = augment.random_matrix((i, 1), ranges, shape[1] / shape[0])
        pose = augment.turn_pose(tf.constant([[*centre, w, x, y, z]], tf.float32), random, shape).numpy()[0]
        assert pose[3] >= 0
        again = Rotation.from_quat(pose[[4, 5, 6, 3]]).inv().apply(world - pose[:3])
        before, after = (p[:, :2] / p[:, 2:] * lens + 0.5 for p in (seen, again))
        moved = augment.warp_points(
            tf.constant(before, tf.float32), augment.fit_matrix(*shape, shape) @ random, shape[::-1]
        )
        np.testing.assert_allclose(after, moved, atol=1e-5)
