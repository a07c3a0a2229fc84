"""Features for image retrieval, and the table that compares a network with what needs no training."""

import re

import numpy as np
import pytest

from kzoo.evaluation import report, retrieval
from kzoo.metrics import loc_scores


def test_thumbnails_ignore_brightness_and_tell_pictures_apart():
    pictures = np.random.default_rng(0).integers(40, 200, (3, 24, 32, 3), dtype="uint8")
    features = retrieval.thumbnails(pictures)
    assert features.shape == (3, 12 * 16 * 3) and features.dtype == "float32"
    np.testing.assert_allclose(retrieval.thumbnails(pictures + np.uint8(20)), features, atol=0.5)
    found = loc_scores.retrieve(
        features, np.tile([[0.0, 0, 0, 1, 0, 0, 0]], (3, 1)) + np.arange(3)[:, None] * np.eye(7)[0], features[::-1]
    )
    np.testing.assert_allclose(found[:, 0], [2, 1, 0])


@pytest.mark.parametrize(
    ("encoder", "weights", "words"),
    [
        ("small", "none", "thumbnails of 16x12 px"),
        (None, None, "thumbnails of 16x12 px"),
        ("small", "gone.weights.h5", "thumbnails of 16x12 px, as .*gone.weights.h5.*"),
    ],
)
def test_without_trained_weights_pictures_are_compared_themselves(encoder, weights, words):
    how, function = retrieval.method((32, 64), encoder=encoder, weights=weights)
    assert re.fullmatch(words, how) and function(np.zeros((1, 32, 64, 3), "uint8")).shape == (1, 576)


def test_a_trained_encoder_gives_the_mean_of_its_last_map(tmp_path):
    import keras

    from kzoo.nn.encoders import ENCODERS, encode

    image = keras.Input((32, 64, 3), dtype="uint8")
    base = ENCODERS["small"].build(keras.Input((32, 64, 3)))
    weights = str(tmp_path / "small.weights.h5")
    base.save_weights(weights)
    how, function = retrieval.method((32, 64), encoder="small", weights=weights)
    pictures = np.random.default_rng(0).integers(0, 256, (2, 32, 64, 3), dtype="uint8")
    last = keras.Model(image, encode(image, "small", weights)[-1]).predict_on_batch(pictures)
    np.testing.assert_allclose(function(pictures), last.mean(axis=(1, 2)), rtol=1e-5, atol=1e-6)
    assert "small" in how


def test_windows_are_told_by_their_middle_frame():
    frames = np.random.default_rng(0).integers(0, 256, (2, 3, 24, 32, 3), dtype="uint8")

    class Pipeline:
        @staticmethod
        def as_numpy_iterator():
            return iter([(frames, {"label": np.arange(2)}, {})])

    found, labels = retrieval.features(retrieval.thumbnails, Pipeline(), 2)
    np.testing.assert_array_equal(found, retrieval.thumbnails(frames[:, 1]))
    np.testing.assert_array_equal(labels, [0, 1])


def test_table_of_baselines_has_the_ratio_to_retrieval():
    scores = {"position_median_m": 0.2, "rotation_median_deg": 4.0, "within_25cm_2deg": 0.5}
    others = {"mean pose": {**scores, "position_median_m": 0.8}, "retrieval": {**scores, "position_median_m": 0.4}}
    table = report.baseline_table({**scores, "miou": 0.3}, others, "by eye")
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines() if line.startswith("|")
    ]
    assert [row[0] for row in rows] == ["", "---", "this network", "mean pose", "retrieval"]
    assert (
        [row[-2:] for row in rows[2:]] == [["0.5", "1"], ["2", "1"], ["1", "1"]]
        and "miou" not in table
        and "by eye" in table
    )


def test_on_the_training_split_retrieval_finds_each_picture_itself():
    scores = {"position_median_m": 0.2, "rotation_median_deg": 4.0}
    table = report.baseline_table(scores, {"mean pose": scores, "retrieval": dict.fromkeys(scores, 0.0)}, "by eye")
    assert table.splitlines()[2].split("|")[-3:] == ["  ", "  ", ""]
