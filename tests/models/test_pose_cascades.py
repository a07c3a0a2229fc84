"""Pose networks that look twice: cpm, deeppose, part_heatmap. Layer tables counted by hand, crops against SciPy, later
stages improve."""

import re

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy import ndimage

from kzoo.losses import pose as pose_losses
from kzoo.models.cpm import CentreMap, cpm
from kzoo.models.deeppose import JointCrops, deeppose
from kzoo.models.part_heatmap import part_heatmap

JOINTS = 17
TINY_DEEPPOSE = {"encoder": "small", "crop": 16, "refine_widths": (8, 16), "refine_features": 32, "jitter": 0.0}
TINY_PARTS = {"encoder": "small", "width": 8, "fc_width": 16, "kernels": (3, 5, 5, 7)}


def rng():
    return np.random.default_rng(0)


def pictures(count: int, size: int):
    return rng().integers(0, 256, (count, size, size, 3), dtype="uint8")


@pytest.mark.parametrize(
    ("arch", "options", "shapes"),
    [
        (cpm, {"width": 8, "stages": 3}, {"heatmaps": (8, 8, 17), "aux_heatmaps": (2, 8, 8, 17)}),
        (cpm, {"width": 8, "stages": 1, "norm": "batch"}, {"heatmaps": (8, 8, 17)}),
        (deeppose, {**TINY_DEEPPOSE, "stages": 3}, {"coords": (17, 2), "aux_coords": (2, 17, 2)}),
        (deeppose, {**TINY_DEEPPOSE, "stages": 1}, {"coords": (17, 2)}),
        (part_heatmap, TINY_PARTS, {"heatmaps": (64, 64, 17), "disc_logits": (64, 64, 17)}),
        (part_heatmap, {**TINY_PARTS, "variant": "hourglass"}, {"heatmaps": (16, 16, 17), "disc_logits": (64, 64, 17)}),
    ],
)
def test_outputs(arch, options, shapes):
    model, images = arch((64, 64, 3), JOINTS, **options), pictures(2, 64)
    outputs = model.predict_on_batch(images)
    assert {name: value.shape[1:] for name, value in outputs.items()} == shapes
    assert sorted(model.output_names) == sorted(shapes)
    for name, value in model(images).items():  # without `training`: as in an exported network
        np.testing.assert_allclose(value, outputs[name], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("arch", "options"),
    [
        (cpm, {"stages": 0}),
        (deeppose, {"encoder": "small", "stages": 0}),
        (deeppose, {"encoder": "small", "crop": 20}),
        (deeppose, {"encoder": "small", "torso": (5, 17)}),
        (part_heatmap, {"variant": "resnet"}),
        (part_heatmap, {**TINY_PARTS, "variant": "hourglass", "depth": 5}),
    ],
)
def test_wrong_options(arch, options):
    with pytest.raises(ValueError, match="must be|needs"):
        arch((64, 64, 3), JOINTS, **options)


def conv(kernel: int, inputs: int, outputs: int) -> int:
    """Weights of a convolution with bias."""
    return kernel**2 * inputs * outputs + outputs


def conv_norm(kernel: int, inputs: int, outputs: int) -> int:
    """Weights of a convolution without bias and its BatchNorm: gamma, beta, moving mean and variance."""
    return kernel**2 * inputs * outputs + 4 * outputs


def test_parameter_count_of_cpm():
    """The layers of the released MPII network; a stage reads 128 features, the J maps and the centre."""
    front = [(3, 64), (64, 64), (64, 128), (128, 128), (128, 256), *3 * [(256, 256)]]
    front += [(256, 512), (512, 512), (512, 256), *3 * [(256, 256)], (256, 128)]
    first = conv(1, 128, 512) + conv(1, 512, JOINTS)
    later = conv(7, 128 + JOINTS + 1, 128) + 4 * conv(7, 128, 128) + conv(1, 128, 128) + conv(1, 128, JOINTS)
    assert cpm((368, 368, 3), JOINTS).count_params() == sum(conv(3, *pair) for pair in front) + first + 5 * later


def test_parameter_count_of_deeppose():
    """ResNet50 without top has 23,587,712 (keras.applications); three convolutions of stride 2 leave 6x6 of a crop of
    48 px; 256 units."""
    first = 23_587_712 + 2048 * 2 * JOINTS + 2 * JOINTS
    later = conv_norm(3, 3, 32) + conv_norm(3, 32, 64) + conv_norm(3, 64, 128)
    later += 6 * 6 * 128 * 256 + 4 * 256 + JOINTS * (256 * 2 + 2)
    assert deeppose((64, 64, 3), JOINTS).count_params() == first + 2 * later


def test_parameter_count_of_part_heatmap():
    """The paper's VGG-16 network: 13 convolutions, D6, D7, the scores of two skips; R1 to R8."""
    vgg16 = [(3, 64), (64, 64), (64, 128), (128, 128), (128, 256), *2 * [(256, 256)], (256, 512), *5 * [(512, 512)]]
    detector = (
        sum(conv(3, *pair) for pair in vgg16)
        + conv_norm(1, 512, 4096)
        + conv_norm(1, 4096, 4096)
        + conv(1, 4096, JOINTS)
    )
    skips = 2 * conv(1, 512, JOINTS)
    regressor = conv_norm(9, 3 + JOINTS, 64) + conv_norm(13, 64, 64) + conv_norm(13, 64, 128) + conv_norm(13, 128, 128)
    regressor += conv_norm(15, 128, 256) + conv_norm(1, 256, 512) + conv_norm(1, 512, 512)
    regressor += conv(1, 512, JOINTS) + conv(8, JOINTS, JOINTS)
    assert part_heatmap((64, 64, 3), JOINTS).count_params() == detector + skips + regressor


def test_parameter_count_of_the_hourglass_regressor():
    """D1 to D7 of table 4 with D3, D4 and D5 on four levels; a bottleneck is BatchNorm and convolution with bias, three
    times."""

    def bottleneck(inputs):
        skip = 0 if inputs == 256 else conv(1, inputs, 256)
        return 4 * inputs + conv(1, inputs, 128) + 4 * 128 + conv(3, 128, 128) + 4 * 128 + conv(1, 128, 256) + skip

    level = 3 * bottleneck(256) + 3 * bottleneck(256) + conv(2, 256, 256)
    expected = (
        conv_norm(7, 3 + JOINTS, 64)
        + bottleneck(64)
        + 2 * bottleneck(256)
        + 4 * level
        + conv_norm(1, 256, 512)
        + conv(1, 512, JOINTS)
    )
    model = part_heatmap((64, 64, 3), JOINTS, **{**TINY_PARTS, "width": 64}, variant="hourglass")
    assert sum(layer.count_params() for layer in model.layers if re.match(r"d\d", layer.name)) == expected


def test_centre_map_is_the_released_networks():
    """Gaussian of 21 px in the middle of 368, averaged over cells of 8 px."""
    pixels = np.arange(368) + 0.5 - 184
    gaussian = np.exp(-0.5 * (pixels[:, None] ** 2 + pixels**2) / 21**2)
    found = keras.ops.convert_to_numpy(CentreMap()(np.zeros((2, 46, 46, 3), "float32")))
    assert found.shape == (2, 46, 46, 1)
    np.testing.assert_allclose(found[1, :, :, 0], gaussian.reshape(46, 8, 46, 8).mean((1, 3)), atol=0.02)


@pytest.mark.parametrize("torso", [(5, 12), ()])
@pytest.mark.parametrize("spread", [0.02, 0.3, 3.0])  # below the smallest box, between the bounds, above the largest
def test_crops_against_scipy(torso, spread):
    height, width, crop, sigma = 40, 56, 12, 1.3
    picture = rng().uniform(-1, 1, (2, height, width, 3)).astype("float32")
    positions = rng().normal(0.5, spread, (2, JOINTS, 2)).astype("float32")  # some crops lie partly or wholly outside
    crops, sides = JointCrops(crop, sigma, torso)(picture, positions)
    crops = keras.ops.convert_to_numpy(crops).reshape(2, JOINTS, crop, crop, 3)
    for b in range(2):
        points = positions[b].astype("float64") * [width, height]
        diameter = np.linalg.norm(points[5] - points[12]) if torso else 0.5 * np.ptp(points, axis=0).max()
        side = sigma * np.clip(diameter, 0.2 * 56, 56)
        np.testing.assert_allclose(sides[b, 0], [side / width, side / height], rtol=1e-5)
        steps = (np.arange(crop) + 0.5) / crop * side - side / 2
        for j in range(JOINTS):
            y, x = np.meshgrid(
                points[j, 1] + steps - 0.5, points[j, 0] + steps - 0.5, indexing="ij"
            )  # indices of pixels: centres at .5
            for k in range(3):
                expected = ndimage.map_coordinates(picture[b, :, :, k], [y, x], order=1, mode="grid-constant", cval=0)
                np.testing.assert_allclose(crops[b, j, :, :, k], expected, atol=2e-4)


def test_a_crop_shows_its_joint_in_the_middle():
    picture = np.zeros((1, 64, 64, 1), "float32")
    picture[0, 20:23, 40:43] = 1
    crops, _ = JointCrops(crop=13, sigma=1.0)(picture, np.array([[[41.5 / 64, 21.5 / 64]]], "float32"))
    crop = keras.ops.convert_to_numpy(crops)[0, :, :, 0]
    assert crop[6, 6] == crop.max() == 1
    np.testing.assert_allclose(crop, crop[::-1, ::-1], atol=1e-5)


def fixed(estimate, displacement, **options):
    """A network whose first stage answers `estimate` (J, 2) and whose later ones move it by `displacement` (J, 2) sides
    of a crop."""
    model = deeppose((64, 64, 3), JOINTS, **TINY_DEEPPOSE, **options)
    for layer in model.layers:
        if layer.name == "joints" or layer.name.endswith("_displacement"):
            kernel, bias = layer.weights
            bias.assign((estimate if layer.name == "joints" else displacement).reshape(bias.shape))
            kernel.assign(np.zeros(kernel.shape, "float32"))
    return model


def test_a_perfect_estimate_stays_where_it_is():
    """First stage right, displacements zero: every stage answers the truth."""
    truth = rng().uniform(0.1, 0.9, (JOINTS, 2)).astype("float32")
    outputs = fixed(truth, np.zeros((JOINTS, 2)), stages=3).predict_on_batch(pictures(2, 64))
    np.testing.assert_allclose(outputs["coords"], np.stack(2 * [truth]), atol=1e-6)
    np.testing.assert_allclose(outputs["aux_coords"], np.broadcast_to(truth, (2, 2, JOINTS, 2)), atol=1e-6)


def test_each_joint_reads_its_own_pair():
    """Eq. 6: a displacement of 1/4 of a crop's side for joint 3 moves joint 3 alone, by that."""
    estimate, displacement = np.full((JOINTS, 2), 0.5), np.zeros((JOINTS, 2))
    estimate[5], displacement[3] = (0.8, 0.9), (0.25, -0.25)
    outputs = fixed(estimate, displacement, stages=2, sigma=1.5).predict_on_batch(pictures(1, 64))
    expected = displacement * 1.5 * 0.5  # the torso, from joint 5 to joint 12, is (0.3, 0.4)
    np.testing.assert_allclose(outputs["coords"][0] - outputs["aux_coords"][0, 0], expected, atol=1e-6)


def test_a_loss_reaches_its_own_stage():
    """As in the paper, where a stage is trained on given estimates of the one before."""
    model = deeppose((64, 64, 3), JOINTS, **TINY_DEEPPOSE, stages=3)
    with tf.GradientTape(persistent=True) as tape:
        outputs = model(pictures(2, 64), training=True)
        answers = {
            "joints": outputs["aux_coords"][:, 0],
            "refine2_": outputs["aux_coords"][:, 1],
            "refine3_": outputs["coords"],
        }
        errors = {own: tf.reduce_sum(tf.square(answer - 1)) for own, answer in answers.items()}
    for own, error in errors.items():
        gradients = zip(model.trainable_variables, tape.gradient(error, model.trainable_variables), strict=True)
        reached = {weight.path for weight, gradient in gradients if gradient is not None and np.abs(gradient).max() > 0}
        others = tuple({"joints", "refine2_", "refine3_"} - {own})
        assert any(path.startswith(own) for path in reached) and not any(path.startswith(others) for path in reached)


def test_refinement_improves_on_the_first_stage():
    """Eight random pictures learnt by heart, on estimates of a first stage that is left untrained."""
    keras.utils.set_random_seed(0)
    images, keypoints = pictures(8, 64), rng().uniform(0.2, 0.8, (8, 5, 3)).astype("float32")
    keypoints[..., 2] = 2
    model = deeppose((64, 64, 3), 5, **TINY_DEEPPOSE, stages=2)
    for layer in model.layers:
        layer.trainable = layer.name.startswith("refine2_")
    model.compile(keras.optimizers.Adam(3e-3), loss={"coords": pose_losses.CoordinateLoss()}, jit_compile=False)
    for _ in range(60):
        model.train_on_batch(images, {"coords": keypoints})
    outputs = model(images, training=True)  # batch statistics: the moving ones lag behind after 60 steps
    first, last = (
        np.abs(stage - keypoints[..., :2]).mean() for stage in (outputs["aux_coords"][:, 0], outputs["coords"])
    )
    assert last < 0.25 * first
