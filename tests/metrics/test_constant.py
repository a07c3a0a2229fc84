"""Answers that are the same for every picture: baselines, and networks that collapsed to them."""

import numpy as np
import pytest

from kzoo.metrics import constant, loc_scores, pose3d_scores, pose_scores, seg_scores
from kzoo.tasks import TASKS

RNG = np.random.default_rng(0)
JOINTS = ("a", "b", "c")
KEYPOINTS = np.concatenate([RNG.uniform(size=(20, 3, 2)), np.full((20, 3, 1), 2.0)], axis=-1)
CLIPS = RNG.normal(size=(20, 4, 3, 3))
POSES = np.concatenate([RNG.normal(size=(20, 3)), np.tile([1.0, 0, 0, 0], (20, 1))], axis=1)
MASKS = RNG.integers(0, 3, (20, 4, 4)).astype("uint8")
CLASSES = ["background", "arm", "leg"]


def test_the_mean_pose_counts_labelled_joints():
    train = KEYPOINTS.copy()
    train[:5, 1] = [9, 9, 0]
    answer = pose_scores.mean_pose(train, KEYPOINTS[:7], JOINTS)["mean pose"]
    np.testing.assert_allclose(answer["coords"][3, 1], train[5:, 1, :2].mean(axis=0))
    assert answer["coords"].shape == (7, 3, 2) and answer["confidence"].shape == (7,)
    found = pose3d_scores.mean_pose(CLIPS, CLIPS[:7], JOINTS)["mean pose"]["joints"]
    np.testing.assert_allclose(found[6, 2], CLIPS.mean(axis=(0, 1)))


def test_the_class_that_is_everywhere():
    ((name, answer),) = seg_scores.one_class(None, MASKS, CLASSES).items()
    assert name == "all background" and not answer["classes"].any() and answer["classes"].shape == MASKS.shape
    masks = np.where(MASKS == 0, 1, MASKS)
    ((name, answer),) = seg_scores.one_class(None, masks, ["sky", "road", "car"]).items()
    assert name == "all road" and (answer["classes"] == 1).all()


@pytest.mark.parametrize("task", ["pose", "pose3d", "seg"])
def test_baselines_are_scored_as_networks_are(task):
    labels = {"pose": KEYPOINTS, "pose3d": CLIPS, "seg": MASKS}[task]
    names = CLASSES if task == "seg" else list(JOINTS)
    evaluator = TASKS[task].evaluator
    (answer,) = evaluator.baselines.answers(labels, labels, names).values()
    scores = evaluator.score(labels, answer, {}, names)["scores"]
    assert np.isfinite(scores[next(iter(scores))])


def still(values, at):
    return np.broadcast_to(values.mean(axis=0), values.shape) + at * RNG.normal(size=values.shape)


ANSWERS = {  # task -> labels, predictions that lie `at` from the same for every picture, names
    "pose": lambda at: (KEYPOINTS, {"coords": still(KEYPOINTS[..., :2], at), "scores": np.full((20, 3), 0.9)}, JOINTS),
    "pose3d": lambda at: (CLIPS, {"joints": still(CLIPS, at)}, JOINTS),
    "loc": lambda at: (POSES, {"position": still(POSES[:, :3], at)}, ("x",)),
    "seg": lambda at: (MASKS, {"classes": (RNG.uniform(size=MASKS.shape) < at).astype("uint8")}, CLASSES),
}


@pytest.mark.parametrize("task", list(ANSWERS))
def test_a_collapsed_network_is_told(task):
    said = TASKS[task].evaluator.collapsed(*ANSWERS[task](1e-5), {}, ("coords",))
    assert said.startswith("Collapsed:") and "--find_lr" in said
    assert TASKS[task].evaluator.collapsed(*ANSWERS[task](0.3), {}, ("coords",)) is None


def test_advice_fits_the_network():
    labels, predictions, names = ANSWERS["pose"](0.0)
    flat = {**predictions, "scores": np.zeros((20, 3))}
    advise = TASKS["pose"].evaluator.collapsed
    assert "--loss_set=sigma=" in advise(labels, flat, names, {}, ("heatmaps",)), "maps that stay at 0"
    assert "sigma" not in advise(labels, predictions, names, {}, ("heatmaps",)), "these do not"
    assert "sigma" not in advise(labels, flat, names, {}, ("coords", "latent_heatmaps")), "has no target maps"


def test_advice_that_was_taken_is_not_given():
    labels, predictions, names = ANSWERS["seg"](0.0)
    advise = TASKS["seg"].evaluator.collapsed
    assert "--class_weights=median_frequency" in advise(labels, predictions, names, {}, ())
    taken = {"class_weights": "median_frequency", "loss": "cross_entropy_dice"}
    said = advise(labels, predictions, names, taken, ())
    assert "--class_weights" not in said and "dice" not in said and "--epochs" in said
    nobody = np.zeros_like(labels)
    assert advise(nobody, predictions, names, {}, ()) is None, "there is nothing else in the truth"


def test_few_examples_and_constant_truth_say_nothing():
    assert not constant.is_still(np.zeros((2, 3)), np.ones((2, 3)))
    assert not constant.is_still(np.zeros((9, 3)), np.ones((9, 3)))
    assert not constant.is_still(np.full((9, 3), np.nan), RNG.normal(size=(9, 3)))


@pytest.mark.parametrize("at", [0.0, 0.1])
def test_a_split_without_any_person_has_no_miou(at):
    nobody = np.zeros((5, 8, 8), "uint8")
    answers = (RNG.uniform(size=nobody.shape) < at).astype("uint8")
    result = seg_scores.seg_report(nobody, {"classes": answers}, {}, ["background", "person"])
    assert np.isnan(result["scores"]["miou"]) and result["scores"]["pixel_accuracy"] == 1 - answers.mean()
    assert any("No person in the truth of this split" in note for note in result["notes"])
    ignored = seg_scores.seg_report(np.full_like(nobody, 255), {"classes": answers}, {}, ["background", "person"])
    assert np.isnan(ignored["scores"]["miou"])


def test_loc_baselines_are_answers():
    found = loc_scores.baselines(POSES, POSES[:4])
    assert found["mean pose"]["position"].shape == (4, 3) and found["mean pose"]["rotation"].shape == (4, 4)
