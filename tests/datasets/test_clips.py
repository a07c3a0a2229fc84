"""The rendered clips: the same bits everywhere, labels that agree with one another, bodies that move as people do."""

import hashlib
import io
import itertools
import pathlib
import pickle
import subprocess
import sys

import numpy as np
import pytest
import tensorflow_datasets as tfds

from kzoo.data import builders
from kzoo.datasets.people import Builder, clips, motion, people_dataset_builder, posture, skeleton, studio
from kzoo.datasets.people.body import dress
from kzoo.datasets.people.style import sample_style, upper_body
from kzoo.datasets.people.vectors import arc_tangent, transposed
from kzoo.nn.skeletons import H36M_BONES, H36M_JOINTS, h36m_from

# SHA-256 of what `fingerprint` reads; to be changed only together with the configuration's version.
FINGERPRINTS = {
    ("train", 9): "70372ddac4085722fe28ba5ca96afa58343ce52284ef3f8dddbca74ace366049",
    ("val", 30): "0641e1d6f886e649a1897188eed1b6080c9dd2165bf6420f3cda906a86d26d94",
}
STYLES = 12
INDEX = {name: index for index, name in enumerate(H36M_JOINTS)}


def rng_of(*seed):
    """A seeded generator."""
    return np.random.Generator(np.random.PCG64(seed))


def fingerprint(clip):
    """SHA-256 of a clip's arrays and names."""
    digest = hashlib.sha256()
    for name in sorted(clip):
        value = clip[name]
        digest.update(value.encode() if isinstance(value, str) else np.asarray(value).tobytes())
    return digest.hexdigest()


@pytest.fixture(scope="module")
def rendered():
    """The first eight clips of `train`: two takes, each by four cameras."""
    return [clips.render("train", index) for index in range(8)]


@pytest.fixture(scope="module")
def takes():
    """{(action, number): (style, body, its bones in eight frames, (8, 17, 3) joints)} in the stage's axes, of random
    styles."""
    made = {}
    for number, action in itertools.product(range(STYLES), motion.ACTIONS):
        style, body = sample_style(rng_of(1, number, len(action))), studio.body_of(1 + number % 7)
        moments = [motion.bones_at(action, frame / clips.FPS, style, body) for frame in range(clips.LENGTH)]
        made[action, number] = (
            style,
            body,
            moments,
            np.array([clips.joint_positions(body, frames) for frames in moments]),
        )
    return made


@pytest.mark.parametrize(("split", "index"), FINGERPRINTS)
def test_same_bits_on_every_machine(split, index):
    assert fingerprint(clips.render(split, index)) == FINGERPRINTS[split, index]


def test_worker_process_draws_the_same_without_tensorflow(rendered):
    worker = "import sys, runpy; runpy.run_module('kzoo.datasets.people.clips', run_name='__main__')"
    code = f"{worker}; sys.exit('tensorflow' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code, "train", "1", "6", "4"], check=True, capture_output=True)
    output = io.BytesIO(run.stdout)
    assert [fingerprint(pickle.load(output)) for _ in range(2)] == [fingerprint(rendered[1]), fingerprint(rendered[5])]


def test_joints_project_to_keypoints(rendered):
    for clip in rendered:
        homogeneous = (clip["joints"] + clip["root"][:, None]) @ clip["intrinsics"].T
        fractions = homogeneous[..., :2] / homogeneous[..., 2:] / clips.SIZE
        np.testing.assert_allclose(clip["keypoints_2d"], fractions, atol=1e-5)
        assert fractions.min() > 0 and fractions.max() < 1


def test_joints_are_relative_to_the_hip(rendered):
    for clip in rendered:
        assert not clip["joints"][:, INDEX["hip"]].any()
        assert (np.abs(clip["root"] - (0, 0, 5)) < (0.7, 0.3, 1.1)).all()


@pytest.mark.parametrize("first", [0, 4])
def test_cameras_see_one_body(rendered, first):
    """The same take from two cameras is one rigid transform apart (Kabsch 1976), about by the cameras' difference in
    yaw."""
    views = rendered[first : first + 4]
    assert (
        len({clip["camera"] for clip in views}) == 4 and len({(clip["subject"], clip["action"]) for clip in views}) == 1
    )
    points = [(clip["joints"] + clip["root"][:, None]).reshape(-1, 3).astype("float64") for clip in views]
    for (a, one), (b, two) in itertools.combinations(zip(views, points, strict=True), 2):
        centred = one - one.mean(0), two - two.mean(0)
        u, _, vt = np.linalg.svd(centred[0].T @ centred[1])
        rotation = u @ np.diag([1, 1, np.sign(np.linalg.det(u @ vt))]) @ vt
        np.testing.assert_allclose(centred[0] @ rotation, centred[1], atol=1e-5)
        yaw = abs(studio.CAMERAS[a["camera"]].yaw - studio.CAMERAS[b["camera"]].yaw)
        angle = np.degrees(np.arccos(np.clip((np.trace(rotation) - 1) / 2, -1, 1)))
        assert angle == pytest.approx(
            min(yaw, 360 - yaw), abs=20
        )  # they turn to the person, who is not in the stage's middle


def test_the_front_cameras_see_faces_and_the_left_ones_the_left_side():
    _, (x, _, z) = studio.CAMERAS["front_left"].view(studio.CENTRE)
    assert x > 0 and z > 0
    for name, camera in studio.CAMERAS.items():
        _, (x, height, z) = camera.view(studio.CENTRE)
        assert (x > 0) == name.endswith("left") and (z > 0) == name.startswith("front")
        assert height == camera.height and np.hypot(x, z) == pytest.approx(camera.distance)


def test_bones_keep_their_lengths(takes):
    """All but those at the spine's and the nose's ends, which bend with trunk and neck."""
    bones = [bone for bone in sum(H36M_BONES.values(), ()) if bone not in {(0, 7), (7, 8), (8, 9)}]
    for (_, number), (_, body, _, joints) in takes.items():
        length = {
            bone: np.linalg.norm(joints[:, bone[0]] - joints[:, bone[1]], axis=-1)
            for bone in sum(H36M_BONES.values(), ())
        }
        for bone in bones:
            np.testing.assert_allclose(length[bone], length[bone][0], atol=1e-9)
        assert length[0, 7] == pytest.approx(length[7, 8])
        for bone, part in (((1, 2), "thigh"), ((2, 3), "shank"), ((11, 12), "upper_arm"), ((15, 16), "forearm")):
            assert length[bone][0] == pytest.approx(studio.body_of(1 + number % 7).lengths[part])
        assert np.ptp(length[0, 7]) < 0.02 * body.stature and np.ptp(length[8, 9]) < 0.05 * body.stature


def test_joints_are_those_of_h36m_from_coco(takes):
    """What `skeletons.h36m_from` makes of the pictures' joints, but for the head's top, which it extrapolates."""
    matrix = h36m_from(skeleton.JOINTS)
    for _, body, moments, joints in takes.values():
        made = matrix @ np.array(skeleton.joint_positions(body, moments[0]))
        distances = np.linalg.norm(made - joints[0], axis=-1)
        assert distances[INDEX["head"]] < 0.12
        assert np.delete(distances, INDEX["head"]).max() < 1e-6


@pytest.mark.parametrize("action", motion.ACTIONS)
def test_angles_are_human_and_feet_on_the_floor(action):
    for number in range(20):
        style, body = sample_style(rng_of(2, number)), studio.body_of(1 + number % 7)
        for time in (0.0, 0.13, 0.28):
            angles, rotation, position = motion.moment(action, time, style, body)
            for name, angle in angles.items():
                low, high = skeleton.LIMITS[name.removeprefix("left_").removeprefix("right_")]
                assert low <= angle <= high, name
            solids = dress(rng_of(number), body, skeleton.pose_frames(body, angles, rotation, position))
            ends = [
                (s.start[1] + s.axes[1][1] * s.length * k, s.radius[k] * min(1, *s.stretch))
                for s in solids
                for k in (0, 1)
            ]
            lowest = min(y - radius for y, radius in ends)
            assert lowest == pytest.approx(0, abs=0.012) or (action == "run" and 0 < lowest < 0.12)


def test_run_has_flight(takes):
    runs = [(body, moments) for (action, _), (_, body, moments, _) in takes.items() if action == "run"]
    lowest = np.array(
        [min(posture.sole_heights(body, frames).values()) for body, moments in runs for frames in moments]
    )
    assert 0.1 < np.mean(lowest > 0.005) < 0.5


SPEEDS = {
    "walk": (1.0, 1.75),
    "run": (2.2, 3.8),
    "sit_down": (0.0, 0.8),
}  # metres per second of the pelvis over the floor


@pytest.mark.parametrize("action", motion.ACTIONS)
def test_speeds_are_plausible(takes, action):
    slow, fast = SPEEDS.get(action, (0.0, 0.35))
    for number in range(STYLES):
        style, _, _, joints = takes[action, number]
        path = (joints[-1, 0] - joints[0, 0])[[0, 2]] * clips.FPS / (clips.LENGTH - 1)
        assert slow <= np.linalg.norm(path) <= fast
        if action in ("walk", "run"):  # to where the person faces
            heading = np.radians(style.heading)
            assert path @ (np.sin(heading), np.cos(heading)) > 0.98 * np.linalg.norm(path)
        relative = joints - joints[:, :1]
        assert np.linalg.norm(np.diff(relative, axis=0), axis=-1).max() * clips.FPS < 7


def in_pelvis(moments, bone):
    """(8, 3) origins of a bone in the axes of the pelvis: left, up, forward."""
    pelvis = [frames["pelvis"] for frames in moments]
    return np.array(
        [
            np.array(transposed(p.rotation)) @ (np.array(f[bone].origin) - p.origin)
            for p, f in zip(pelvis, moments, strict=True)
        ]
    )


def cycle(action, number, frames=24, seconds=1.2):
    """The bones of one person at even moments of a long time."""
    style = sample_style(rng_of(3, number))
    return style, [
        motion.bones_at(action, k * seconds / frames, style, studio.body_of(1 + number)) for k in range(frames)
    ]


@pytest.mark.parametrize("action", ["walk", "run"])
def test_arms_swing_against_legs(action):
    for number in range(4):
        _, moments = cycle(action, number)
        for side, other in (("left", "right"), ("right", "left")):
            arm, own, opposite = (
                in_pelvis(moments, bone)[:, 2] for bone in (f"{side}_hand", f"{side}_foot", f"{other}_foot")
            )
            assert np.corrcoef(arm, own)[0, 1] < -0.5 and np.corrcoef(arm, opposite)[0, 1] > 0.5


def test_knees_bend_forward(takes):
    for (action, _), (_, _, moments, _) in takes.items():
        for side in skeleton.SIDES:
            hip, knee, ankle = (in_pelvis(moments, f"{side}_{bone}") for bone in ("thigh", "shank", "foot"))
            assert ((knee - (hip + ankle) / 2)[:, 2] > -0.01).all(), action


def test_sitting_down_goes_down_and_back():
    for number in range(6):
        style, moments = cycle("sit_down", number, 2, 2.0)
        hips = np.array([frames["pelvis"].origin for frames in moments])
        heading = np.radians(style.heading)
        ahead = (hips[-1] - hips[0])[[0, 2]] @ (np.sin(heading), np.cos(heading))
        lowest = moments[-1]["left_shank"].origin[1]
        assert hips[-1, 1] == pytest.approx(lowest, abs=0.15) and hips[-1, 1] < hips[0, 1] + 1e-3
        assert ahead < 0 or style.start > 0.8


def test_a_punch_stretches_the_acting_arm_alone():
    for number in range(6):
        style, moments = cycle("punch", number)
        for side in skeleton.SIDES:
            stretch = np.linalg.norm(
                in_pelvis(moments, f"{side}_hand") - in_pelvis(moments, f"{side}_upper_arm"), axis=-1
            )
            lengths = studio.body_of(1 + number).lengths
            assert (stretch.max() > 0.95 * (lengths["upper_arm"] + lengths["forearm"])) == (side == style.hand)
            assert stretch.min() < 0.7 * (lengths["upper_arm"] + lengths["forearm"])


def test_subjects_actions_and_cameras_are_balanced():
    seen = {}
    for split, size in Builder.CLIPS.items():
        numbers = [clips.take_of(split, index) for index in range(size)]
        assert len(set(numbers)) == size
        seen[split] = {subject for subject, *_ in numbers}
        counts = {subject: sum(row[0] == subject for row in numbers) for subject in seen[split]}
        assert len(set(counts.values())) == 1
        combinations = {(subject, action, camera) for subject, action, _, camera in numbers}
        assert len(combinations) == len(seen[split]) * len(motion.ACTIONS) * len(studio.CAMERAS)
    assert seen == {"train": {1, 2, 3, 4, 5}, "val": {6, 7}}
    assert len({studio.body_of(subject).stature for subject in range(1, 8)}) == 7


@pytest.mark.parametrize("seed", range(5))
def test_ball_joints_invert(seed):
    rng = rng_of(4, seed)
    for side in skeleton.SIDES:
        angles = rng.uniform(-170, 170), rng.uniform(1, 170), rng.uniform(-170, 170)
        np.testing.assert_allclose(
            posture.swing_twist_angles(side, skeleton.swing_twist(side, *angles)), angles, atol=1e-8
        )


def test_arc_tangent():
    y, x = rng_of(5).normal(size=(2, 200)) * 10.0 ** rng_of(6).uniform(-6, 6, (2, 200))
    np.testing.assert_allclose(
        [arc_tangent(*pair) for pair in zip(y, x, strict=True)], np.degrees(np.arctan2(y, x)), atol=1e-10
    )
    corners = [(0.0, 1.0), (1.0, 0.0), (0.0, -1.0), (-1.0, 0.0), (0.0, 0.0)]
    assert [arc_tangent(*corner) for corner in corners] == pytest.approx([0, 90, 180, -90, 0])


FEET = [posture.Foot(0.15, 0.2, pitch=20), posture.Foot(0.16, 0.2, 0.1, 10, -10), posture.Foot(0.14, -0.05, 0.02, -5)]


@pytest.mark.parametrize("foot", FEET)
def test_inverse_kinematics_reach_the_foot(foot):
    """The ankle arrives where it is wanted relative to the other foot, which stands flat."""
    body, other = studio.body_of(2), posture.Foot(-0.15, 0.0)
    wanted = posture.Posture(
        (0.0, motion.leg_length(body), 0.0), (0.0, 3.0, 2.0), {"left": foot, "right": other}, upper_body()
    )
    angles, rotation, position = posture.solve(body, wanted)
    frames = skeleton.pose_frames(body, angles, rotation, position)
    for side, place in (("left", foot), ("right", other)):
        np.testing.assert_allclose(frames[f"{side}_foot"].origin, posture.ankle_of(body, place), atol=2e-3)
        assert posture.sole_heights(body, frames)[side] == pytest.approx(place.lift, abs=2e-3)


def test_prepared_clips(tmp_path, monkeypatch, rendered):
    monkeypatch.setattr(builders.builder_class("people"), "CLIPS", {"train": 4, "val": 1})
    builder = builders.prepare("people/clips", str(tmp_path))
    assert builder.info.full_name == "people/clips/1.0.0"
    assert {split: info.num_examples for split, info in builder.info.splits.items()} == {"train": 4, "val": 1}
    metadata = builder.info.metadata
    assert metadata["joints"] == list(H36M_JOINTS) and metadata["fps"] == 25
    pairs = [(H36M_JOINTS[left], H36M_JOINTS[right]) for left, right in metadata["flip_joints"]]
    assert len(pairs) == 6 and all(left == "left_" + right.removeprefix("right_") for left, right in pairs)
    assert builder.info.features["action"].names == list(motion.ACTIONS)
    assert builder.info.features["camera"].names == list(studio.CAMERAS)
    stored = {int(example["clip_id"]): example for example in tfds.as_numpy(builder.as_dataset("train"))}
    assert sorted(stored) == [0, 1, 2, 3]
    example, clip = stored[2], rendered[2]
    assert example["frames"].dtype == np.uint8 and example["frames"].shape == (8, clips.SIZE, clips.SIZE, 3)
    for name in ("frames", "keypoints_2d", "joints", "root", "intrinsics", "subject"):
        np.testing.assert_array_equal(example[name], clip[name])
    assert (example["action"], example["camera"]) == (0, 2)


class BuilderTest(tfds.testing.DatasetBuilderTestCase):
    """TFDS's own checks, on a few clips."""

    DATASET_CLASS = Builder
    BUILDER_CONFIG_NAMES_TO_TEST = ["clips"]  # noqa: RUF012
    SPLITS = {"train": 2, "val": 1}  # noqa: RUF012
    EXAMPLE_DIR = pathlib.Path(people_dataset_builder.__file__).parent  # nothing is downloaded, so any folder serves

    def setUp(self):
        self.enterContext(pytest.MonkeyPatch.context()).setattr(Builder, "CLIPS", self.SPLITS)
        super().setUp()
