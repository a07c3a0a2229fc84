"""Losses against NumPy, SciPy and scikit-learn; masked, float32, finite when nothing is labelled."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops
from scipy.spatial.distance import jensenshannon
from scipy.special import expit, log_softmax
from sklearn.metrics import log_loss

from kzoo.losses import pose as pose_losses
from kzoo.losses import pose3d as pose3d_losses
from kzoo.losses import seg as seg_losses
from kzoo.nn import geometry, hierarchy

B, J, H, W, C = 3, 5, 9, 12, 4
WEIGHTS = [0.5, 2.0, 1.0, 3.0]
RNG = np.random.default_rng(0)
KEYPOINTS = np.concatenate([RNG.uniform(0.1, 0.9, (B, J, 2)), RNG.integers(0, 3, (B, J, 1))], -1).astype("float32")
KEYPOINTS[KEYPOINTS[..., 2] == 0] = 0
COORDS = RNG.uniform(0, 1, (B, J, 2)).astype("float32")
MAPS = RNG.normal(scale=2, size=(B, H, W, J)).astype("float32")
STACKED = np.stack([MAPS, -MAPS, MAPS + 1], axis=1)  # (B, S, H, W, J)
STAGES = np.stack([COORDS, 1 - COORDS], axis=1)  # (B, S, J, 2)
MASK = RNG.choice([0, 1, 2, 3, 255], (B, H, W)).astype("uint8")
LOGITS = RNG.normal(scale=2, size=(B, H, W, C)).astype("float32")
LABELLED = KEYPOINTS[..., 2] > 0
COUNTED = MASK != 255


# NumPy references


def distance(order, scale, coords=COORDS):
    powers = np.abs(scale * (coords.astype("float64") - KEYPOINTS[..., :2])) ** order
    return powers.sum(-1)[LABELLED].mean()


def squares(joint):
    """Squared distance of all cells from a joint, in cells: (H, W)."""
    x, y = np.arange(W) + 0.5 - joint[0] * W, np.arange(H) + 0.5 - joint[1] * H
    return y[:, None] ** 2 + x**2


def heatmap_mse(maps, sigma):
    joints = zip(*np.nonzero(LABELLED), strict=True)
    return np.mean(
        [((maps[b, ..., j] - np.exp(-squares(KEYPOINTS[b, j]) / (2 * sigma**2))) ** 2).mean() for b, j in joints]
    )


def disc_cross_entropy(radius):
    rows = []
    for b, j in zip(*np.nonzero(LABELLED), strict=True):
        x, y = (np.arange(W) + 0.5) / W - KEYPOINTS[b, j, 0], (np.arange(H) + 0.5) / H - KEYPOINTS[b, j, 1]
        inside = np.hypot(*np.meshgrid(x, y)) <= max(radius, np.sqrt(0.5) / H)
        assert inside.any()
        rows.append(log_loss(inside.ravel(), expit(MAPS[b, ..., j].astype("float64")).ravel(), labels=[0, 1]))
    return np.mean(rows)


def divergence(sigma):
    total = []
    for b, j in zip(*np.nonzero(LABELLED), strict=True):
        logits = MAPS[b, ..., j].astype("float64")
        target = np.exp(-squares(KEYPOINTS[b, j]) / (2 * sigma**2))
        total.append(
            jensenshannon(np.exp(logits).ravel(), target.ravel()) ** 2
        )  # SciPy normalises, and returns the root
    return np.mean(total)


def cross_entropy(class_weights=None, label_smoothing=0.0, dice=0.0):
    logits, truth = LOGITS[COUNTED].astype("float64"), MASK[COUNTED]
    log_p = log_softmax(logits, -1)
    target = np.eye(C)[truth] * (1 - label_smoothing) + label_smoothing / C
    weights = np.ones(C) if class_weights is None else np.array(class_weights)
    loss = np.average(-(target * log_p).sum(-1), weights=weights[truth])
    scores = [
        2 * np.exp(log_p[truth == c, c]).sum() / (np.exp(log_p[:, c]).sum() + (truth == c).sum())
        for c in np.unique(truth)
    ]
    return loss + dice * (1 - np.mean(scores))


def bootstrapped(kept, class_weights=(1, 1, 1, 1)):
    rows = []  # (cross-entropy, weight) of the kept pixels
    for logits, truth in zip(LOGITS.astype("float64"), MASK, strict=True):
        logits, truth = logits[truth != 255], truth[truth != 255]
        losses = -log_softmax(logits, -1)[np.arange(len(truth)), truth]
        rows += [(losses[i], class_weights[truth[i]]) for i in np.argsort(-losses)[:kept]]
    return np.average([loss for loss, _ in rows], weights=[weight for _, weight in rows])


ROWS = {
    "l1": (pose_losses.CoordinateLoss(), KEYPOINTS, COORDS, distance(1, 1)),
    "l2": (pose_losses.CoordinateLoss(norm="l2"), KEYPOINTS, COORDS, distance(2, 1)),
    "l1 in pixels": (pose_losses.CoordinateLoss(scale=256.0), KEYPOINTS, COORDS, distance(1, 256)),
    "l2 in pixels": (pose_losses.CoordinateLoss(norm="l2", scale=64.0), KEYPOINTS, COORDS, distance(2, 64)),
    "euclidean": (
        pose_losses.CoordinateLoss("euclidean"),
        KEYPOINTS,
        COORDS,
        np.linalg.norm(COORDS - KEYPOINTS[..., :2], axis=-1)[LABELLED].mean(),
    ),
    "l1 of stages": (pose_losses.CoordinateLoss(), KEYPOINTS, STAGES, distance(1, 1) + distance(1, 1, 1 - COORDS)),
    "heat maps": (pose_losses.HeatmapMSE(), KEYPOINTS, MAPS, heatmap_mse(MAPS, 2)),
    "halved narrow heat maps": (
        pose_losses.HeatmapMSE(sigma=0.7, scale=0.5),
        KEYPOINTS,
        MAPS,
        heatmap_mse(MAPS, 0.7) / 2,
    ),
    "heat maps of stacks": (
        pose_losses.HeatmapMSE(),
        KEYPOINTS,
        STACKED,
        sum(heatmap_mse(m, 2) for m in (MAPS, -MAPS, MAPS + 1)),
    ),
    "discs": (pose_losses.DiscCrossEntropy(radius=0.15), KEYPOINTS, MAPS, disc_cross_entropy(0.15)),
    "discs smaller than a cell": (
        pose_losses.DiscCrossEntropy(radius=0.001),
        KEYPOINTS,
        MAPS,
        disc_cross_entropy(0.001),
    ),
    "divergence": (pose_losses.HeatmapDivergence(), KEYPOINTS, MAPS, divergence(1)),
    "wide divergence": (pose_losses.HeatmapDivergence(sigma=2.5), KEYPOINTS, MAPS, divergence(2.5)),
    "cross-entropy": (seg_losses.PixelCrossEntropy(), MASK, LOGITS, cross_entropy()),
    "mask with a channel": (seg_losses.PixelCrossEntropy(), MASK[..., None], LOGITS, cross_entropy()),
    "class weights": (
        seg_losses.PixelCrossEntropy(class_weights=WEIGHTS),
        MASK,
        LOGITS,
        cross_entropy(class_weights=WEIGHTS),
    ),
    "label smoothing": (
        seg_losses.PixelCrossEntropy(label_smoothing=0.1),
        MASK,
        LOGITS,
        cross_entropy(label_smoothing=0.1),
    ),
    "dice": (seg_losses.PixelCrossEntropy(dice=0.7), MASK, LOGITS, cross_entropy(dice=0.7)),
    "all": (
        seg_losses.PixelCrossEntropy(class_weights=WEIGHTS, label_smoothing=0.2, dice=1.0),
        MASK,
        LOGITS,
        cross_entropy(class_weights=WEIGHTS, label_smoothing=0.2, dice=1.0),
    ),
    "dice alone": (
        seg_losses.PixelCrossEntropy(cross_entropy=0.0, dice=2.0),
        MASK,
        LOGITS,
        2 * (cross_entropy(dice=1) - cross_entropy()),
    ),
    "half the cross-entropy": (
        seg_losses.PixelCrossEntropy(cross_entropy=0.5, dice=1.0),
        MASK,
        LOGITS,
        cross_entropy(dice=1.0) - cross_entropy() / 2,
    ),
    "the 7 hardest": (seg_losses.PixelCrossEntropy(bootstrap=7), MASK, LOGITS, bootstrapped(7)),
    "a share of the hardest": (seg_losses.PixelCrossEntropy(bootstrap=0.25), MASK, LOGITS, bootstrapped(H * W // 4)),
    "more than there are": (seg_losses.PixelCrossEntropy(bootstrap=10**6), MASK, LOGITS, cross_entropy()),
    "weighted hardest": (
        seg_losses.PixelCrossEntropy(bootstrap=20, class_weights=WEIGHTS),
        MASK,
        LOGITS,
        bootstrapped(20, WEIGHTS),
    ),
}


@pytest.mark.parametrize("name", ROWS)
def test_against_numpy(name):
    loss, truth, predicted, expected = ROWS[name]
    np.testing.assert_allclose(loss(truth, predicted), expected, rtol=2e-5)


@pytest.mark.parametrize("name", ROWS)
def test_survives_serialisation(name):
    loss, truth, predicted, _ = ROWS[name]
    again = keras.losses.deserialize(keras.losses.serialize(loss))
    assert type(again) is type(loss) and again.get_config() == loss.get_config()
    np.testing.assert_array_equal(again(truth, predicted), loss(truth, predicted))


@pytest.mark.parametrize("name", ROWS)
def test_nothing_labelled_gives_zero_and_no_gradient(name):
    loss, truth, predicted, _ = ROWS[name]
    nothing = np.full_like(truth, 255) if truth.dtype == np.uint8 else np.zeros_like(truth)
    value, gradient = value_and_gradient(loss, nothing, predicted)
    assert value == 0 and not gradient.any()


@pytest.mark.parametrize("factor", [0.0, 1e4])
@pytest.mark.parametrize("name", ROWS)
def test_gradients_are_finite(name, factor):
    """Also where all predictions are equal, and where the softmax is a single spike."""
    loss, truth, predicted, _ = ROWS[name]
    value, gradient = value_and_gradient(loss, truth, factor * predicted)
    assert np.isfinite(value) and np.isfinite(gradient).all()


def value_and_gradient(loss, truth, predicted):
    predicted = tf.constant(predicted)
    with tf.GradientTape() as tape:
        tape.watch(predicted)
        value = loss(truth, predicted)
    return value.numpy(), tape.gradient(value, predicted).numpy()


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("name", ROWS)
def test_half_precision_is_computed_in_float32(name, dtype):
    loss, truth, predicted, expected = ROWS[name]
    for call in (loss, loss.call):
        value = call(ops.convert_to_tensor(truth), ops.cast(predicted, dtype))
        assert ops.dtype(value) == "float32"
        np.testing.assert_allclose(np.mean(value), expected, rtol=0.02)


@pytest.mark.parametrize("name", ROWS)
def test_what_is_masked_has_no_say(name):
    """Other predictions, and other coordinates, where nothing is labelled."""
    loss, truth, predicted, expected = ROWS[name]
    truth, predicted = truth.copy(), predicted.copy()
    if truth.dtype == np.uint8:
        predicted[~COUNTED] = 50
    elif predicted.shape[-1] == J:
        np.moveaxis(predicted, -1, 1)[~LABELLED] = np.linspace(-9, 9, H * W).reshape(H, W)
        truth[~LABELLED, :2] = 7
    else:
        np.moveaxis(predicted, -2, 1)[~LABELLED], truth[~LABELLED, :2] = 9, -3
    np.testing.assert_allclose(loss(truth, predicted), expected, rtol=2e-5)


def test_weighted_cross_entropy_against_sklearn():
    truth, probability = MASK[COUNTED], np.exp(log_softmax(LOGITS[COUNTED].astype("float64"), -1))
    expected = log_loss(truth, probability, sample_weight=np.array(WEIGHTS)[truth], labels=range(C))
    np.testing.assert_allclose(seg_losses.PixelCrossEntropy(class_weights=WEIGHTS)(MASK, LOGITS), expected, rtol=2e-5)


def test_another_ignored_id():
    mask = np.where(MASK == 255, 3, MASK)
    expected = seg_losses.PixelCrossEntropy()(np.where(mask == 3, 255, mask), LOGITS)
    np.testing.assert_allclose(seg_losses.PixelCrossEntropy(ignore=3)(mask, LOGITS), expected, rtol=1e-6)


def test_dice_of_a_perfect_and_of_a_wrong_mask():
    one_hot = np.eye(C, dtype="float32")[np.where(COUNTED, MASK, 0)]
    plain, dice = seg_losses.PixelCrossEntropy(), seg_losses.PixelCrossEntropy(dice=1.0)
    for logits, expected in ((40 * one_hot, 0.0), (40 * np.roll(one_hot, 1, -1), 1.0)):
        np.testing.assert_allclose(dice(MASK, logits) - plain(MASK, logits), expected, atol=1e-5)


def test_dice_against_keras():
    """Keras has neither an ignored id nor absent classes; here both definitions agree."""
    mask = np.where(COUNTED, MASK, 0)
    theirs = keras.losses.Dice(axis=(0, 1, 2))(np.eye(C, dtype="float32")[mask], ops.softmax(LOGITS))
    np.testing.assert_allclose(
        seg_losses.PixelCrossEntropy(cross_entropy=0.0, dice=1.0)(mask, LOGITS), theirs, rtol=1e-5
    )


def test_border_weights_multiply_pixels():
    """As in eq. 1 of U-Net: the sum of w * cross-entropy; divided by the number of counted pixels."""
    loss, border = seg_losses.PixelCrossEntropy(), np.random.default_rng(4).uniform(1, 11, MASK.shape).astype("float32")
    truth, log_p = MASK[COUNTED], log_softmax(LOGITS[COUNTED].astype("float64"), -1)
    expected = np.mean(-log_p[np.arange(len(truth)), truth] * border[COUNTED])
    np.testing.assert_allclose(loss(MASK, LOGITS, sample_weight=border), expected, rtol=2e-5)
    image = keras.Input((H, W, C))
    model = keras.Model(image, {"logits": keras.layers.Identity(name="logits")(image)})
    model.compile("sgd", loss={"logits": loss})
    logs = model.test_on_batch(LOGITS, {"logits": MASK}, {"logits": border}, return_dict=True)
    np.testing.assert_allclose(logs["loss"], expected, rtol=2e-5)


def test_equal_pixels_share_the_last_places():
    """3 pixels of 4 that tie: each with three quarters of a place, so that no order of pixels decides."""
    logits = np.zeros((1, 2, 2, 2), "float32")
    values = seg_losses.PixelCrossEntropy(bootstrap=3).call(np.array([[[0, 1], [1, 0]]]), logits)
    np.testing.assert_allclose(values, np.log(2), rtol=1e-6)
    logits[0, 0, 0] = [-3, 3]
    values = np.array(seg_losses.PixelCrossEntropy(bootstrap=3).call(np.array([[[0, 1], [1, 0]]]), logits))[0] * 3 / 4
    np.testing.assert_allclose(
        values, [[6 + np.log1p(np.exp(-6)), np.log(2) * 2 / 3], [np.log(2) * 2 / 3] * 2], rtol=1e-5
    )


def test_compiled_by_xla():
    loss = seg_losses.PixelCrossEntropy(class_weights=WEIGHTS, dice=1.0, bootstrap=20)
    compiled = tf.function(loss, jit_compile=True, reduce_retracing=True)
    np.testing.assert_allclose(compiled(tf.constant(MASK), tf.constant(LOGITS)), loss(MASK, LOGITS), rtol=1e-5)


@pytest.mark.parametrize(
    "options",
    [{"bootstrap": 0}, {"bootstrap": 1.5}, {"bootstrap": -0.5}, {"bootstrap": True}, {"cross_entropy": 0.0}],
    ids=str,
)
def test_keywords_that_leave_no_loss(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        seg_losses.PixelCrossEntropy(**options)


def test_divergence_is_bounded():
    """0 where the map is the target, ln 2 where they do not overlap, in between elsewhere."""
    loss = pose_losses.HeatmapDivergence(sigma=1.0)
    equal = ops.log(geometry.gaussian_maps(KEYPOINTS[..., :2], H, W, 1.0) + 1e-30)
    np.testing.assert_allclose(loss(KEYPOINTS, equal), 0, atol=1e-6)
    corner = np.array([[[0.02, 0.02, 2]]], "float32")
    spike = np.zeros((1, 32, 32, 1), "float32")
    spike[0, -1, -1] = 200
    np.testing.assert_allclose(loss(corner, spike), np.log(2), atol=1e-6)
    for seed in range(5):
        value = loss(KEYPOINTS, np.random.default_rng(seed).normal(scale=10**seed, size=MAPS.shape).astype("float32"))
        assert 0 < float(value) <= np.log(2) + 1e-6


@pytest.mark.parametrize("joints", [1, 2])
def test_one_joint_through_compile(joints):
    """Keras squeezes a last axis of 1 for some losses; not for these."""
    image = keras.Input((8, 8, 3))
    maps = keras.layers.Conv2D(joints, 1, name="maps")(image)
    logits = keras.layers.Conv2D(1, 1, name="logits")(image)
    coords = keras.layers.Reshape((joints, 2), name="coords")(
        keras.layers.Dense(2 * joints)(keras.layers.Flatten()(image))
    )
    model = keras.Model(image, {"maps": maps, "coords": coords, "logits": logits})
    rows = {
        "maps": pose_losses.HeatmapDivergence(),
        "coords": pose_losses.CoordinateLoss(),
        "logits": seg_losses.PixelCrossEntropy(),
    }
    model.compile("sgd", loss=rows, run_eagerly=True)
    pictures = np.random.default_rng(1).normal(size=(B, 8, 8, 3)).astype("float32")
    truth = {"maps": KEYPOINTS[:, :joints], "coords": KEYPOINTS[:, :joints], "logits": MASK[:, :8, :8] // 255}
    expected = {name: float(rows[name](truth[name], value)) for name, value in model(pictures).items()}
    logs = model.train_on_batch(pictures, truth, return_dict=True)
    for name, value in expected.items():
        np.testing.assert_allclose(logs[f"{name}_loss"], value, rtol=1e-5)
    np.testing.assert_allclose(logs["loss"], sum(expected.values()), rtol=1e-5)


def test_parts_drawn_from_bones():
    """Mean over the parts whose joints are all labelled, summed over the predictions; drawn as `kzoo.nn.hierarchy`
    draws them."""
    rng = np.random.default_rng(3)
    keypoints = np.concatenate([rng.uniform(0.1, 0.9, (B, 17, 2)), rng.integers(0, 3, (B, 17, 1))], -1).astype(
        "float32"
    )
    for level, parts in pose_losses.LEVELS.items():
        loss = pose_losses.PartMSE(level=level, sigma=1.3)
        target, valid = (
            np.asarray(x) for x in hierarchy.segment_maps(keypoints[..., :2], keypoints[..., 2] > 0, parts, H, W, 1.3)
        )
        assert 0 < valid.mean() < 1
        predicted = rng.normal(size=(B, 2, H, W, len(parts))).astype("float32")
        squares = ((predicted - target[:, None]) ** 2).mean((2, 3)).sum(1)
        np.testing.assert_allclose(loss(keypoints, predicted), squares[valid > 0].mean(), rtol=1e-5)
        value, gradient = value_and_gradient(loss, keypoints, predicted)
        assert (
            np.isfinite(value)
            and (np.abs(gradient).max((1, 2, 3)) > 0).astype(int).tolist() == valid.astype(int).tolist()
        )
        assert float(loss(np.zeros_like(keypoints), predicted)) == 0


# 3-D pose

JOINTS_3D = RNG.normal(scale=0.4, size=(B, 8, 17, 3)).astype("float32")  # metres
FOUND_3D = (JOINTS_3D + RNG.normal(scale=0.1, size=JOINTS_3D.shape)).astype("float32")
DIFFERENCE_3D = FOUND_3D.astype("float64") - JOINTS_3D
ROWS_3D = {
    "mse": (pose3d_losses.JointLoss(norm="mse"), np.mean(DIFFERENCE_3D**2)),
    "euclidean": (pose3d_losses.JointLoss(), np.linalg.norm(DIFFERENCE_3D, axis=-1).mean()),
    "l1": (pose3d_losses.JointLoss(norm="l1"), np.abs(DIFFERENCE_3D).sum(-1).mean()),
    "mse in mm": (pose3d_losses.JointLoss(norm="mse", scale=1000.0), 1e6 * np.mean(DIFFERENCE_3D**2)),
    "euclidean in mm": (pose3d_losses.JointLoss(scale=1000.0), 1000 * np.linalg.norm(DIFFERENCE_3D, axis=-1).mean()),
}


@pytest.mark.parametrize("name", ROWS_3D)
def test_joint_loss(name):
    """Against NumPy, out of its config, in half precision; finite value and gradient where the answer is right, and far
    from it."""
    loss, expected = ROWS_3D[name]
    np.testing.assert_allclose(loss(JOINTS_3D, FOUND_3D), expected, rtol=2e-5)
    again = keras.losses.deserialize(keras.losses.serialize(loss))
    assert again.get_config() == loss.get_config() and float(again(JOINTS_3D, FOUND_3D)) == float(
        loss(JOINTS_3D, FOUND_3D)
    )
    for dtype in ("float16", "bfloat16"):
        value = loss.call(ops.convert_to_tensor(JOINTS_3D), ops.cast(FOUND_3D, dtype))
        assert ops.dtype(value) == "float32" and value.shape == ()
        np.testing.assert_allclose(value, expected, rtol=0.02)
    value, gradient = value_and_gradient(loss, JOINTS_3D, JOINTS_3D)
    assert abs(value) <= 1e-5 and not gradient.any()
    for factor in (0.0, 1e4):
        value, gradient = value_and_gradient(loss, JOINTS_3D, factor * FOUND_3D)
        assert np.isfinite(value) and np.isfinite(gradient).all() and gradient.any()


def test_mean_of_the_squared_error_nested_as_it_was_published():
    """Average loss = 1/M sum_i (1/8 sum_j (1/17 sum_k (1/3 sum (y_true - y_pred)^2))), literally."""
    average = 0.0
    for i in range(B):
        clip = 0.0
        for j in range(8):
            frame = 0.0
            for k in range(17):
                joint = 0.0
                for axis in range(3):
                    joint += (float(JOINTS_3D[i, j, k, axis]) - float(FOUND_3D[i, j, k, axis])) ** 2
                frame += joint / 3
            clip += frame / 17
        average += clip / 8
    np.testing.assert_allclose(pose3d_losses.JointLoss("mse")(JOINTS_3D, FOUND_3D), average / B, rtol=2e-5)


def test_joint_loss_knows_its_norms():
    with pytest.raises(ValueError, match="norm must be one of mse, euclidean, l1, got 'l2'"):
        pose3d_losses.JointLoss(norm="l2")
