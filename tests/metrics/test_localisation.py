"""Exact scores and baselines of camera localisation against SciPy, scikit-learn and literal formulas."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from sklearn.metrics import accuracy_score, jaccard_score
from sklearn.neighbors import KNeighborsRegressor

from kzoo import UserError
from kzoo.metrics import loc_scores

N, M, D = 40, 30, 6
NAMES = ["x", "y", "z", "qw", "qx", "qy", "qz"]


def quaternions(rotation) -> np.ndarray:
    """w, x, y, z with w >= 0."""
    q = rotation.as_quat()[..., [3, 0, 1, 2]]
    return np.where(q[..., :1] < 0, -q, q)


def scipy_of(q):
    return Rotation.from_quat(np.asarray(q, "float64")[..., [1, 2, 3, 0]])


def poses(count, seed):
    rng = np.random.default_rng(seed)
    return np.concatenate([rng.uniform(-3, 3, (count, 3)), quaternions(Rotation.random(count, rng=rng))], -1).astype(
        "float32"
    )


def moved(labels, metres, degrees, seed=0):
    """Answers off by so many metres and degrees in random directions; quaternions of any length and sign."""
    rng = np.random.default_rng(seed)
    axes = rng.normal(size=(2, len(labels), 3))
    axes /= np.linalg.norm(axes, axis=-1, keepdims=True)
    turned = quaternions(scipy_of(labels[:, 3:]) * Rotation.from_rotvec(np.radians(degrees)[:, None] * axes[1]))
    factor = rng.choice([-2.0, -0.3, 1.0, 5.0], (len(labels), 1))
    return {"position": labels[:, :3] + np.asarray(metres)[:, None] * axes[0], "rotation": factor * turned}


LABELS = poses(N, 0)
METRES, DEGREES = np.linspace(0, 0.8, N), np.random.default_rng(1).permutation(np.linspace(0, 12, N))


def test_errors_are_those_that_were_made():
    found = moved(LABELS, METRES, DEGREES)
    np.testing.assert_allclose(loc_scores.loc_errors(LABELS, found), METRES, atol=1e-6)
    np.testing.assert_allclose(loc_scores.rotation_errors_deg(LABELS, found), DEGREES, atol=1e-5)
    for angle in (0.0, 1e-3, 90.0, 179.999, 180.0):
        found = moved(LABELS, METRES, np.full(N, angle))
        np.testing.assert_allclose(loc_scores.rotation_errors_deg(LABELS, found), angle, atol=1e-5)


def test_scores():
    found = loc_scores.loc_scores(LABELS, moved(LABELS, METRES, DEGREES))
    expected = {
        "position_median_m": np.median(METRES),
        "position_mean_m": np.mean(METRES),
        "rotation_median_deg": np.median(DEGREES),
        "rotation_mean_deg": np.mean(DEGREES),
        "within_5cm_5deg": sum(m <= 0.05 and d <= 5 for m, d in zip(METRES, DEGREES, strict=True)) / N,
        "within_25cm_2deg": sum(m <= 0.25 and d <= 2 for m, d in zip(METRES, DEGREES, strict=True)) / N,
        "within_50cm_5deg": sum(m <= 0.5 and d <= 5 for m, d in zip(METRES, DEGREES, strict=True)) / N,
    }
    assert list(found) == list(expected) and 0 < expected["within_5cm_5deg"] < expected["within_50cm_5deg"] < 1
    np.testing.assert_allclose(list(found.values()), list(expected.values()), atol=1e-6)


def test_perfect_and_opposite_quaternions_score_the_same():
    for sign in (1, -1):
        found = loc_scores.loc_scores(LABELS, {"position": LABELS[:, :3], "rotation": sign * LABELS[:, 3:]})
        errors, shares = list(found.values())[:4], list(found.values())[4:]
        np.testing.assert_allclose(errors, 0, atol=3e-6)
        assert shares == [1, 1, 1]


def test_an_answer_that_is_not_finite_is_seen():
    found = moved(LABELS, METRES, DEGREES)
    found["position"][3], found["rotation"][5] = np.nan, np.nan
    assert np.flatnonzero(np.isnan(loc_scores.loc_errors(LABELS, found))).tolist() == [3]
    assert np.flatnonzero(np.isnan(loc_scores.rotation_errors_deg(LABELS, found))).tolist() == [5]
    scored = loc_scores.loc_scores(LABELS, found)
    assert np.isnan(scored["position_median_m"]) and np.isfinite(scored["within_50cm_5deg"])


def test_decoding_takes_the_middle_frame():
    rng = np.random.default_rng(0)
    outputs = {
        "position": rng.normal(size=(5, 3, 3)),
        "rotation": rng.normal(size=(5, 3, 4)),
        "pose_terms": np.zeros((5, 3, 10)),
    }
    outputs["rotation"][4, 1] = 0
    found = loc_scores.decode_loc(outputs)
    assert {name: (array.shape, array.dtype.name) for name, array in found.items()} == {
        "position": ((5, 3), "float32"),
        "rotation": ((5, 4), "float32"),
    }
    np.testing.assert_array_equal(found["position"], outputs["position"][:, 1].astype("float32"))
    np.testing.assert_allclose(
        np.abs((found["rotation"] * outputs["rotation"][:, 1]).sum(-1))[:4],
        np.linalg.norm(outputs["rotation"][:4, 1], axis=-1),
    )
    np.testing.assert_allclose(np.linalg.norm(found["rotation"], axis=-1), 1, atol=1e-6)
    assert (found["rotation"][:, 0] >= 0).all()
    np.testing.assert_array_equal(found["rotation"][4], [1, 0, 0, 0])
    single = loc_scores.decode_loc({name: value[:, 1] for name, value in outputs.items()})
    np.testing.assert_array_equal(single["rotation"], found["rotation"])


def test_labels_of_windows_are_scored_at_the_middle_frame():
    windows = np.stack([poses(N, 7), LABELS, poses(N, 8)], axis=1)
    found = moved(LABELS, METRES, DEGREES)
    assert loc_scores.loc_scores(windows, found) == loc_scores.loc_scores(LABELS, found)
    report = loc_scores.loc_report(windows, found, {}, NAMES)
    assert "windows of 3 frames" in report["notes"][0]


# report


def test_report():
    sequence = np.arange(N) % 3
    found = moved(LABELS, METRES, DEGREES)
    report = loc_scores.loc_report(LABELS, found, {"sequence": sequence}, NAMES)
    assert report["scores"] == loc_scores.loc_scores(LABELS, found) and "confusion" not in report
    tables = report["tables"]
    assert list(tables) == ["Median position error per sequence (m)", "Median rotation error per sequence (deg)"]
    for table, errors in zip(tables.values(), (METRES, DEGREES), strict=True):
        assert list(table) == ["0", "1", "2"]
        np.testing.assert_allclose(
            list(table.values()), [np.median(errors[sequence == s]) for s in range(3)], atol=1e-5
        )
    assert (
        any("Sattler" in note and "retrieval" in note for note in report["notes"])
        and f"{N} pictures" in report["notes"][0]
    )
    assert loc_scores.loc_report(LABELS, found, {}, NAMES)["tables"] == {}


@pytest.mark.parametrize("channel", [False, True])
@pytest.mark.parametrize("classes", [(), ("wall", "floor", "door")])
def test_report_of_a_network_that_segments_too(classes, channel):
    """Every second picture has no mask, and counts for the pose only."""
    rng = np.random.default_rng(0)
    mask = rng.choice([0, 1, 2, 255], (N, 4, 5)).astype("uint8")
    mask[::2] = 255
    answer = np.where(
        rng.uniform(size=mask.shape) < 0.7, np.where(mask == 255, 0, mask), rng.integers(0, 3, mask.shape)
    ).astype("uint8")
    logits = np.eye(3)[answer] + 0.1 * rng.uniform(size=(*mask.shape, 3))
    found = {**moved(LABELS, METRES, DEGREES), "logits": logits}
    predictions = loc_scores.decode_loc(found)
    np.testing.assert_array_equal(predictions["classes"], answer)
    report = loc_scores.loc_report(
        LABELS, predictions, {"mask": mask[..., None] if channel else mask, "class_names": classes}, NAMES
    )
    truth, picked = mask[mask < 255], answer[mask < 255]
    np.testing.assert_allclose(report["scores"]["pixel_accuracy"], accuracy_score(truth, picked))
    iou = jaccard_score(truth, picked, average=None)
    np.testing.assert_allclose(report["scores"]["miou"], iou.mean())
    np.testing.assert_allclose(list(report["tables"]["IoU per class"].values()), iou)
    assert tuple(report["tables"]["IoU per class"]) == (classes or ("0", "1", "2"))
    assert np.sum(report["confusion"]) == len(truth) and any(
        f"of {N // 2} pictures" in note for note in report["notes"]
    )


def test_report_without_any_mask_says_so():
    predictions = {**moved(LABELS, METRES, DEGREES), "classes": np.zeros((N, 2, 2), "uint8")}
    report = loc_scores.loc_report(LABELS, predictions, {"mask": np.full((N, 2, 2), 255, "uint8")}, NAMES)
    assert "miou" not in report["scores"] and "No picture" in report["notes"][-1]


# baselines


@pytest.mark.parametrize("seed", range(5))
def test_mean_pose(seed):
    labels = poses(M, seed)
    signs = np.random.default_rng(seed).choice([-1.0, 1.0], (M, 1))
    found = loc_scores.mean_pose(np.concatenate([labels[:, :3], signs * labels[:, 3:]], -1))
    np.testing.assert_allclose(found[:3], labels[:, :3].mean(0), atol=1e-6)
    expected = scipy_of(labels[:, 3:]).mean()  # SciPy's is Markley's too
    assert (expected.inv() * scipy_of(found[3:])).magnitude() < 1e-5 and found[3] >= 0
    windows = np.stack([poses(M, 50), labels, poses(M, 51)], axis=1)
    np.testing.assert_allclose(loc_scores.mean_pose(windows), found, atol=1e-9)


def test_retrieval_is_the_nearest_neighbour_by_cosine():
    rng = np.random.default_rng(0)
    train, features, truth = rng.normal(size=(M, D)), 7 * rng.normal(size=(N, D)), poses(M, 3)
    neighbours = KNeighborsRegressor(1, metric="cosine").fit(train, truth)
    found = loc_scores.retrieve(train, truth, features)
    np.testing.assert_allclose(found, neighbours.predict(features), atol=1e-6)
    np.testing.assert_allclose(loc_scores.retrieve(train, truth, 3 * train), truth, atol=1e-6)
    ranks = neighbours.kneighbors(features, 4, return_distance=False)
    found = loc_scores.retrieve(train, truth, features, k=4)
    np.testing.assert_allclose(found[:, :3], truth[ranks, :3].mean(1), atol=1e-6)
    for pose, rank in zip(found, ranks, strict=True):
        assert (scipy_of(truth[rank, 3:]).mean().inv() * scipy_of(pose[3:])).magnitude() < 1e-5


def test_retrieval_in_blocks_is_the_same(monkeypatch):
    rng = np.random.default_rng(0)
    train, features, truth = rng.normal(size=(M, D)), rng.normal(size=(N, D)), poses(M, 3)
    whole = loc_scores.retrieve(train, truth, features, k=2)
    monkeypatch.setattr(loc_scores, "BLOCK", 7)
    np.testing.assert_array_equal(loc_scores.retrieve(train, truth, features, k=2), whole)


def test_retrieval_survives_features_of_zeros_and_takes_the_first_of_equals():
    truth = poses(3, 0)
    found = loc_scores.retrieve([[1, 0], [1, 0], [0, 1]], truth, [[0, 0], [2, 0], [0, 5]])
    np.testing.assert_allclose(found, truth[[0, 0, 2]], atol=1e-6)


@pytest.mark.parametrize(
    ("train", "features", "k", "named"),
    [
        ((M, D), (N, D), 0, "k must"),
        ((M, D), (N, D), M + 1, "k must"),
        ((M, D), (N, D + 1), 1, "features"),
        ((M - 1, D), (N, D), 1, "poses"),
    ],
)
def test_retrieval_refuses(train, features, k, named):
    with pytest.raises(UserError, match=named):
        loc_scores.retrieve(np.ones(train), poses(M, 0), np.ones(features), k)


def test_baselines():
    train, rng = poses(M, 3), np.random.default_rng(0)
    known, asked = rng.normal(size=(M, D)), rng.normal(size=(N, D))
    answers = loc_scores.baselines(train, LABELS, known, asked, k=2)
    found = {name: loc_scores.loc_scores(LABELS, answer) for name, answer in answers.items()}
    assert list(found) == ["mean pose", "retrieval"] and list(loc_scores.baselines(train, LABELS)) == ["mean pose"]
    errors = np.linalg.norm(train[:, :3].mean(0) - LABELS[:, :3], axis=-1)
    np.testing.assert_allclose(found["mean pose"]["position_median_m"], np.median(errors), rtol=1e-6)
    looked_up = loc_scores.retrieve(known, train, asked, 2)
    turns = np.degrees((scipy_of(LABELS[:, 3:]).inv() * scipy_of(looked_up[:, 3:])).magnitude())
    np.testing.assert_allclose(found["retrieval"]["rotation_mean_deg"], turns.mean(), rtol=1e-6)
