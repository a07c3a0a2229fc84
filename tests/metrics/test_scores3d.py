"""Exact scores of 3-D pose: hand-made clips, tables by action and camera, extremes, mirroring."""

import json

import numpy as np
import pytest

from kzoo.metrics import pose3d_scores
from kzoo.nn import geometry
from kzoo.nn.skeletons import H36M_JOINTS

T, J = 8, 17
NAMES = list(H36M_JOINTS)
PAIRS = [
    [NAMES.index(name), NAMES.index(name.replace("left_", "right_"))] for name in NAMES if name.startswith("left_")
]
RNG = np.random.default_rng(0)


def shifted(offsets_mm):
    """Labels and answers in which every joint but the root is off by the clip's offset in mm, and the root by some
    metres with the rest."""
    labels = RNG.normal(scale=0.4, size=(len(offsets_mm), T, J, 3))
    labels -= labels[:, :, :1]
    joints = labels + 2.5
    joints[:, :, 1:, 1] += np.array(offsets_mm)[:, None, None] / 1000
    return labels.astype("float32"), {"joints": joints.astype("float32")}


def test_tables_by_hand():
    """Clips off by 17, 34, 51, 170 mm: 16 of 17 joints are off, so 16, 32, 48, 160 mm on average, the last the only one
    of its action."""
    labels, predictions = shifted([17, 34, 51, 170])
    extras = {
        "action": np.array(["Walking", "Walking", "Walking", "Eating"], dtype=object),
        "camera": np.array(["b", "a", "a", "b"]),
        "subject": np.array([9, 11, 9, 9]),
    }
    report = pose3d_scores.pose3d_report(labels, predictions, extras, NAMES)
    found, tables = report["scores"], report["tables"]
    np.testing.assert_allclose(pose3d_scores.pose3d_errors(labels, predictions), [16, 32, 48, 160], rtol=1e-4)
    assert list(found) == [
        "mpjpe_mm",
        "mpjpe_actions_mm",
        "pa_mpjpe_mm",
        "n_mpjpe_mm",
        "mpjve_mm",
        "pck3d@150",
        "auc3d",
    ]
    assert found["mpjpe_mm"] == pytest.approx(64, rel=1e-4) and found["mpjpe_actions_mm"] == pytest.approx(
        (32 + 160) / 2, rel=1e-4
    )
    assert found["mpjve_mm"] == pytest.approx(0, abs=1e-3), "the same error in every frame"
    assert found["pck3d@150"] == pytest.approx((3 * 17 + 1) / (4 * 17))
    assert found["auc3d"] == pytest.approx((16 * (27 + 24 + 20 + 0) + 4 * 30) / 31 / (4 * 17)), (
        "thresholds above 17, 34, 51, 170; roots"
    )
    assert 0 < found["pa_mpjpe_mm"] < found["mpjpe_mm"] and 0 < found["n_mpjpe_mm"] <= found["mpjpe_mm"]
    assert tables["MPJPE per action (mm)"] == pytest.approx({"Eating": 160, "Walking": 32}, rel=1e-4)
    assert tables["MPJPE per camera (mm)"] == pytest.approx({"a": 40, "b": 88}, rel=1e-4)
    assert tables["MPJPE per joint (mm)"] == pytest.approx(
        {name: 68 * (name != "hip") for name in NAMES}, rel=1e-4, abs=1e-3
    )
    per_clip = pose3d_scores.joint_errors_mm(labels, predictions["joints"], "procrustes").mean((1, 2))
    assert tables["PA-MPJPE per action (mm)"] == pytest.approx({"Eating": per_clip[3], "Walking": per_clip[:3].mean()})
    assert "4 clips of 8 frames, 32 frames in all of subjects 9, 11" in report["notes"][0]
    json.dumps(report)


def test_without_extras_and_with_one_frame():
    labels, predictions = shifted([10, 20])
    report = pose3d_scores.pose3d_report(labels[:, :1], {"joints": predictions["joints"][:, :1]}, {}, NAMES)
    assert "mpjpe_actions_mm" not in report["scores"] and list(report["tables"]) == ["MPJPE per joint (mm)"]
    assert np.isnan(report["scores"]["mpjve_mm"]) and not any(
        "action" in note or "subject" in note for note in report["notes"]
    )


def test_velocity_is_told_per_second_too():
    """The answer trembles by 2 mm from frame to frame: 2 mm per frame for 16 of 17 joints, 25 times that per second."""
    labels, predictions = shifted([0, 0, 0])
    predictions["joints"][:, ::2, 1:, 2] += 0.002
    report = pose3d_scores.pose3d_report(labels, predictions, {}, NAMES)
    assert report["scores"]["mpjve_mm"] == pytest.approx(2 * 16 / 17, rel=1e-3)
    assert f"{25 * report['scores']['mpjve_mm']:.4g} mm/s" in " ".join(report["notes"])


def test_perfect_and_diverged():
    labels, _ = shifted([0, 0])
    perfect = pose3d_scores.pose3d_report(labels, {"joints": labels}, {}, NAMES)["scores"]
    assert all(value == pytest.approx(0, abs=1e-6) for name, value in perfect.items() if name.endswith("_mm"))
    assert perfect["pck3d@150"] == 1 and perfect["auc3d"] == pytest.approx(30 / 31)
    diverged = pose3d_scores.pose3d_report(labels, {"joints": np.nan * labels}, {}, NAMES)["scores"]
    assert all(np.isnan(value) for name, value in diverged.items() if name.endswith("_mm"))
    assert diverged["pck3d@150"] == diverged["auc3d"] == 0


def test_names_must_be_as_many_as_joints():
    labels, predictions = shifted([1])
    with pytest.raises(ValueError):
        pose3d_scores.pose3d_report(labels, predictions, {}, NAMES[:-1])


def test_decoding_keeps_the_joints():
    joints = RNG.normal(size=(2, T, J, 3))
    found = pose3d_scores.decode_pose3d({"joints": joints, "other": None})
    assert list(found) == ["joints"] and found["joints"].dtype == np.float32
    np.testing.assert_array_equal(found["joints"], joints.astype("float32"))


def test_mirrored_answers_come_back():
    """x changes its sign, left becomes right; twice is nothing; what is averaged stays float32."""
    permutation = geometry.flip_permutation(J, PAIRS)
    joints = RNG.normal(size=(2, T, J, 3)).astype("float32")
    back = pose3d_scores.unflip_joints(joints, permutation)
    left, right, nose = (NAMES.index(name) for name in ("left_wrist", "right_wrist", "nose"))
    np.testing.assert_array_equal(back[:, :, left], joints[:, :, right] * [-1, 1, 1])
    np.testing.assert_array_equal(back[:, :, nose], joints[:, :, nose] * [-1, 1, 1])
    np.testing.assert_array_equal(pose3d_scores.unflip_joints(back, permutation), joints)
    assert back.dtype == np.float32 and back.shape == joints.shape and len(PAIRS) == 6
