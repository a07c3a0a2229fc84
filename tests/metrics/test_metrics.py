"""Metrics against NumPy and scikit-learn, however the data is cut into batches."""

import keras
import numpy as np
import pytest
from keras import ops
from sklearn.metrics import accuracy_score, confusion_matrix

from kzoo.losses import pose as pose_losses
from kzoo.metrics import pose as pose_metrics
from kzoo.metrics import seg as seg_metrics
from kzoo.nn import geometry

N, J, C, SIDE = 23, 6, 5, 7


def keypoints(seed):
    """Labels with missing joints, one joint never labelled and one person without any; and predictions."""
    rng = np.random.default_rng(seed)
    truth = np.concatenate([rng.uniform(0, 1, (N, J, 2)), rng.integers(0, 3, (N, J, 1))], -1)
    truth[:, 4, 2] = truth[3, :, 2] = 0
    truth[5, 1:, 2], truth[5, 0, 2] = 0, 1  # a person of one joint: no box
    truth[truth[..., 2] == 0] = 0
    predicted = truth[..., :2] + rng.normal(scale=0.08, size=(N, J, 2))
    return truth.astype("float32"), predicted.astype("float32")


def masks(seed):
    """Ids with 255, class 2 absent from the truth; and logits."""
    rng = np.random.default_rng(seed)
    truth = rng.choice([0, 1, 3, 4, 255], (N, SIDE, SIDE), p=[0.5, 0.2, 0.1, 0.1, 0.1]).astype("uint8")
    logits = rng.normal(size=(N, SIDE, SIDE, C)) + 1.5 * np.eye(C)[np.where(truth == 255, 0, truth)]
    return truth, logits.astype("float32")


def fed(metric, truth, predicted, seed):
    """The metric after updates with a random cut into batches."""
    cuts = np.sort(np.random.default_rng(seed).choice(np.arange(1, len(truth)), seed % 7, replace=False))
    for t, p in zip(np.split(truth, cuts), np.split(predicted, cuts), strict=True):
        metric.update_state(t, p)
    return metric


def number(value):
    return ops.convert_to_numpy(ops.convert_to_tensor(value))


@pytest.mark.parametrize("seed", range(6))
def test_mpjpe(seed):
    truth, predicted = keypoints(seed)
    distance = 128 * np.linalg.norm(predicted.astype("float64") - truth[..., :2], axis=-1)
    distance[truth[..., 2] == 0] = np.nan
    metric = fed(pose_metrics.MPJPE(pixels=128.0, joints=J), truth, predicted, seed)
    np.testing.assert_allclose(number(metric.result()), np.nanmean(distance), rtol=1e-5)
    expected = [np.nan if np.isnan(column).all() else np.nanmean(column) for column in distance.T]
    assert np.isnan(expected[4])
    np.testing.assert_allclose(number(metric.per_joint()), expected, rtol=1e-5)


def test_joints_of_maps_are_read_at_their_peaks():
    truth, _ = keypoints(0)
    maps = np.random.default_rng(0).normal(size=(N, 9, 12, J)).astype("float32")
    at_peaks = number(geometry.peak_position(maps))
    for make in (lambda: pose_metrics.MPJPE(joints=J), pose_metrics.PCK):
        np.testing.assert_allclose(
            number(fed(make(), truth, maps, 3).result()), number(fed(make(), truth, at_peaks, 3).result())
        )


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("threshold", [0.05, 0.1, 0.5])
def test_pck(seed, threshold):
    truth, predicted = keypoints(seed)
    correct = []
    for person, guess in zip(truth.astype("float64"), predicted, strict=True):
        seen = person[:, 2] > 0
        if seen.any():
            longer = max(np.ptp(person[seen, :2], axis=0).max(), 1 / 256)
            correct.extend(np.linalg.norm(guess[seen] - person[seen, :2], axis=-1) <= threshold * longer)
    metric = fed(pose_metrics.PCK(threshold=threshold), truth, predicted, seed)
    np.testing.assert_allclose(number(metric.result()), np.mean(correct), rtol=1e-6)


def ious(truth, predicted, ignore=(255,)):
    """Per class, from scikit-learn's confusion matrix; NaN for classes without truth."""
    counted = ~np.isin(truth, ignore)
    matrix = confusion_matrix(truth[counted], predicted[counted], labels=range(C)).astype("float64")
    both, either = np.diag(matrix), matrix.sum(0) + matrix.sum(1) - np.diag(matrix)
    return np.where(matrix.sum(1) > 0, both / np.maximum(either, 1), np.nan), matrix


@pytest.mark.parametrize("ignore", [(255,), (255, 0), (255, 1, 4)])
@pytest.mark.parametrize("seed", range(4))
def test_mean_iou(seed, ignore):
    truth, logits = masks(seed)
    expected, matrix = ious(truth, logits.argmax(-1), ignore)
    metric = fed(seg_metrics.MeanIoU(classes=C, ignore=ignore), truth, logits, seed)
    np.testing.assert_array_equal(number(metric.matrix), matrix)
    np.testing.assert_allclose(number(metric.per_class()), expected, atol=1e-6)
    np.testing.assert_allclose(number(metric.result()), np.nanmean(expected), atol=1e-6)
    assert np.isnan(expected[2])


@pytest.mark.parametrize("ignore", [(255,), (255, 0)])
@pytest.mark.parametrize("seed", range(4))
def test_pixel_accuracy(seed, ignore):
    truth, logits = masks(seed)
    counted = ~np.isin(truth, ignore)
    metric = fed(seg_metrics.PixelAccuracy(ignore=ignore), truth, logits, seed)
    np.testing.assert_allclose(
        number(metric.result()), accuracy_score(truth[counted], logits.argmax(-1)[counted]), atol=1e-6
    )


FACTORIES = {
    "mpjpe": (lambda: pose_metrics.MPJPE(pixels=64.0, joints=J), keypoints),
    "pck": (lambda: pose_metrics.PCK(threshold=0.2), keypoints),
    "miou": (lambda: seg_metrics.MeanIoU(classes=C, ignore=(0, 255)), masks),
    "pixel_accuracy": (lambda: seg_metrics.PixelAccuracy(ignore=(3, 255)), masks),
}


@pytest.mark.parametrize("name", FACTORIES)
def test_reset_and_serialisation(name):
    make, data = FACTORIES[name]
    metric, fresh = make(), make()
    assert np.isnan(number(fresh.result())), "no data, no score"
    fed(metric, *data(0), 3)
    metric.reset_state()
    assert np.isnan(number(metric.result()))
    again = keras.metrics.deserialize(keras.metrics.serialize(metric))
    assert type(again) is type(metric) and again.get_config() == metric.get_config() and again.name == name
    values = {float(fed(m, *data(1), 1).result()) for m in (metric, fresh, again)}
    assert len(values) == 1 and np.isfinite(values.pop())


@pytest.mark.parametrize("name", FACTORIES)
def test_nothing_labelled_is_nan_and_changes_no_later_score(name):
    make, data = FACTORIES[name]
    metric, plain = make(), make()
    truth, predicted = data(0)
    metric.update_state(np.full_like(truth, 255) if truth.dtype == np.uint8 else np.zeros_like(truth), predicted)
    assert np.isnan(number(metric.result()))
    metric.update_state(truth, predicted)
    plain.update_state(truth, predicted)
    np.testing.assert_array_equal(number(metric.result()), number(plain.result()))


@pytest.mark.parametrize("name", ["miou", "pixel_accuracy"])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_logits_probabilities_and_a_mask_with_a_channel(name, dtype):
    make, data = FACTORIES[name]
    truth, logits = data(0)
    logits = np.round(logits * 4) / 4 + np.arange(C) / 64  # the same order in every dtype
    one, two, three = make(), make(), make()
    one.update_state(truth, logits)
    two.update_state(truth[..., None], ops.cast(logits, dtype))
    three.update_state(truth, ops.softmax(logits, axis=-1))
    assert float(one.result()) == float(two.result()) == float(three.result())


@pytest.mark.parametrize("strange", [C, 254])
def test_an_id_that_is_no_class_is_not_dropped_in_silence(strange):
    truth, logits = masks(0)
    truth[4, 3, 3] = strange
    metric = fed(seg_metrics.MeanIoU(classes=C), truth, logits, 2)
    assert np.isnan(number(metric.result()))
    metric.reset_state()
    truth[4, 3, 3] = 0
    assert np.isfinite(number(fed(metric, truth, logits, 2).result()))


def test_large_counts_stay_exact():
    """Beyond 2**24 a float32 counter stands still."""
    start, (truth, logits) = 2**24 + 1, masks(0)
    miou, accuracy = seg_metrics.MeanIoU(classes=C), seg_metrics.PixelAccuracy()
    miou.matrix.assign(np.full((C, C), start))
    accuracy.correct.assign(start)
    accuracy.count.assign(3 * start)
    for _ in range(3):
        miou.update_state(truth, logits)
        accuracy.update_state(truth, logits)
    _, matrix = ious(truth, logits.argmax(-1))
    np.testing.assert_array_equal(number(miou.matrix), start + 3 * matrix.astype("int64"))
    assert int(accuracy.count) == 3 * start + 3 * matrix.sum()
    assert int(accuracy.correct) == start + 3 * np.trace(matrix)
    exact = start + 3 * matrix
    both = np.diag(exact)
    np.testing.assert_allclose(number(miou.result()), np.mean(both / (exact.sum(0) + exact.sum(1) - both)), rtol=1e-6)


def test_through_compile_with_one_joint():
    """(B, 1, 3) against (B, 1, 2), in `fit`'s own graph and with a smaller last batch."""
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2), keras.layers.Reshape((1, 2))])
    model.compile(loss=pose_losses.CoordinateLoss(), metrics=[pose_metrics.MPJPE(joints=1), pose_metrics.PCK()])
    truth, x = keypoints(0)[0][:, :1], np.random.default_rng(0).normal(size=(N, 3)).astype("float32")
    scores = model.evaluate(x, truth, batch_size=4, verbose=0, return_dict=True)
    expected = pose_metrics.MPJPE(joints=1)
    expected.update_state(truth, model.predict(x, verbose=0))
    np.testing.assert_allclose(scores["mpjpe"], expected.result(), rtol=1e-5)
