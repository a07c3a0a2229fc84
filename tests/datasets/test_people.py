"""The rendered data set: the same bits everywhere, labels that agree with one another, and a builder that TFDS
accepts."""

import hashlib
import io
import pathlib
import pickle
import subprocess
import sys

import numpy as np
import pytest
import tensorflow_datasets as tfds

from kzoo.datasets.people import Builder, people_dataset_builder, render, skeleton
from kzoo.datasets.people.body import ARMS, CLASSES, LEGS, TORSO
from kzoo.datasets.people.vectors import dot, sin_cos

COUNT = 40
# SHA-256 of what `fingerprint` reads; to be changed only together with the builder's version.
FINGERPRINTS = {
    "train": "164de0304163cc08f56995dfa72bae899ea01dfab30531a6aa0f5d421f5d8276",
    "val": "7099e1c54d7766ea052fe00cdf3e5e18d6b27cd22fc6a8e52dbd95d14ba4f703",
}


@pytest.fixture(scope="module")
def examples():
    """The first examples of `train`."""
    return [render.render("train", index) for index in range(COUNT)]


def fingerprint(examples):
    """SHA-256 of pictures and labels."""
    digest = hashlib.sha256()
    for example in examples:
        for name in sorted(example):
            digest.update(np.asarray(example[name]).tobytes())
    return digest.hexdigest()


@pytest.mark.parametrize("split", FINGERPRINTS)
def test_same_bits_on_every_machine(split):
    assert fingerprint(render.render(split, index) for index in range(3)) == FINGERPRINTS[split]


def test_examples_differ(examples):
    assert len({example["image"].tobytes() for example in examples}) == COUNT
    assert len({example["image_id"] for example in examples} | {render.render("val", 0)["image_id"]}) == COUNT + 1


def test_sine_and_cosine():
    angles = np.arange(-360, 361, 7.5)
    expected = np.stack([np.sin(np.radians(angles)), np.cos(np.radians(angles))], -1)
    np.testing.assert_allclose([sin_cos(float(angle)) for angle in angles], expected, atol=1e-12)


def test_joints_project_to_keypoints(examples):
    for example in examples:
        homogeneous = example["joints"] @ example["camera"].T
        fractions = homogeneous[:, :2] / homogeneous[:, 2:] / render.SIZE
        inside = ((fractions >= 0) & (fractions < 1)).all(-1)
        seen = example["keypoints"][:, 2] > 0
        np.testing.assert_array_equal(seen, inside)
        np.testing.assert_allclose(example["keypoints"][seen, :2], fractions[seen], atol=2e-5)
        assert not example["keypoints"][~seen].any()


def classes_at(examples, joint, visibility):
    """The mask's classes at a joint, over the examples where its v is `visibility`."""
    index = skeleton.JOINTS.index(joint)
    points = [(example, example["keypoints"][index]) for example in examples]
    return np.array(
        [e["mask"][int(y * render.SIZE), int(x * render.SIZE), 0] for e, (x, y, v) in points if v == visibility]
    )


ROWS = [
    ("nose", {1}),
    ("left_wrist", {ARMS["left"]}),
    ("right_wrist", {ARMS["right"]}),
    ("left_elbow", {ARMS["left"]}),
    ("right_elbow", {ARMS["right"]}),
    ("left_knee", {LEGS["left"]}),
    ("right_knee", {LEGS["right"]}),
    ("left_ankle", {LEGS["left"]}),
    ("right_ankle", {LEGS["right"]}),
    ("left_hip", {TORSO, LEGS["left"]}),
    ("right_shoulder", {TORSO, ARMS["right"]}),
]


@pytest.mark.parametrize(("joint", "allowed"), ROWS)
def test_visible_joints_lie_on_their_own_part(examples, joint, allowed):
    at = classes_at(examples, joint, 2)
    assert len(at) > COUNT / 4
    assert np.isin(at, list(allowed)).mean() > 0.95  # a border pixel's vote may go to its neighbour


def test_some_joints_are_hidden(examples):
    v = np.concatenate([example["keypoints"][:, 2] for example in examples])
    assert 0.05 < np.mean(v == 1) < 0.4
    assert np.mean(v == 2) > 0.5


def test_faces_show_only_from_the_front(examples):
    """A nose is visible only if it points to the camera: it is then nearer than the middle of the ears."""
    for example in examples:
        nose, ears = example["joints"][0], example["joints"][3:5].mean(0)
        if example["keypoints"][0, 2] == 2:
            assert nose[2] < ears[2] + 0.05


def test_left_is_the_persons_own_left(examples):
    """The vector product of left and up points forward, as the face does: nobody is drawn as their own mirror image."""
    for example in examples:
        joints = dict(zip(skeleton.JOINTS, example["joints"], strict=True))
        left = joints["left_hip"] - joints["right_hip"]
        up = joints["left_shoulder"] + joints["right_shoulder"] - joints["left_hip"] - joints["right_hip"]
        forward = np.cross(left, up)
        turned = forward / np.linalg.norm(forward)
        face = joints["nose"] - (joints["left_ear"] + joints["right_ear"]) / 2
        assert turned @ face > -0.05  # the head turns by less than a right angle against the trunk


def test_area_and_box(examples):
    for example in examples:
        mask = example["mask"][..., 0] > 0
        x, y, width, height = example["bbox"].astype(int)
        assert example["area"] == mask.sum() > 100
        assert mask[y : y + height, x : x + width].sum() == mask.sum()
        assert mask[y, x : x + width].any() and mask[y + height - 1, x : x + width].any()
        assert set(np.unique(example["mask"])) <= set(range(len(CLASSES)))


def test_angles_and_lengths_are_human():
    for index in range(60):
        rng = np.random.Generator(np.random.PCG64(index))
        body = skeleton.sample_body(rng)
        angles = skeleton.sample_pose(rng, body)
        for name, angle in angles.items():
            low, high = skeleton.LIMITS[name.removeprefix("left_").removeprefix("right_")]
            assert low <= angle <= high, name
        view = skeleton.sample_view(rng)
        for i in range(3):  # a rotation: orthonormal rows
            for j in range(3):
                assert abs(dot(view[i], view[j]) - (i == j)) < 1e-9
        frames = skeleton.pose_frames(body, angles, view, (0.1, 0.2, 3.0))
        joints = dict(zip(skeleton.JOINTS, np.array(skeleton.joint_positions(body, frames)), strict=True))
        for bone, start, end in (
            ("upper_arm", "shoulder", "elbow"),
            ("forearm", "elbow", "wrist"),
            ("thigh", "hip", "knee"),
            ("shank", "knee", "ankle"),
        ):
            for side in skeleton.SIDES:
                length = np.linalg.norm(joints[f"{side}_{start}"] - joints[f"{side}_{end}"])
                assert length == pytest.approx(body.lengths[bone])
                share = length / body.stature / skeleton.PROPORTIONS[bone]
                assert abs(share - 1) <= skeleton.PROPORTION_SPREAD + 1e-9


def test_worker_process_draws_the_same(examples):
    command = [sys.executable, "-m", render.__name__, "train", "1", "4", "2"]
    output = io.BytesIO(subprocess.run(command, check=True, capture_output=True).stdout)
    assert fingerprint([pickle.load(output), pickle.load(output)]) == fingerprint([examples[1], examples[3]])


@pytest.mark.parametrize("executable", [sys.executable, "/no/such/python"])
def test_workers_and_their_absence_give_the_same(executable, examples, monkeypatch):
    """Two workers, or none that can be started: the same examples in the same order."""
    monkeypatch.setattr(people_dataset_builder, "WORTH_WORKERS", 1)
    monkeypatch.setattr(people_dataset_builder, "available_cores", lambda: 2)
    monkeypatch.setattr(people_dataset_builder.sys, "executable", executable)
    assert fingerprint(people_dataset_builder.rendered("train", 5)) == fingerprint(examples[:5])


def test_rendering_needs_no_tensorflow():
    code = "import sys, kzoo.datasets.people.render; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


class BuilderTest(tfds.testing.DatasetBuilderTestCase):
    """TFDS's own checks, on a few examples."""

    DATASET_CLASS = Builder
    BUILDER_CONFIG_NAMES_TO_TEST = ["pictures"]  # noqa: RUF012
    SPLITS = {"train": 4, "val": 2}  # noqa: RUF012
    EXAMPLE_DIR = pathlib.Path(people_dataset_builder.__file__).parent  # nothing is downloaded, so any folder serves

    def setUp(self):
        self.enterContext(pytest.MonkeyPatch.context()).setattr(Builder, "SIZES", self.SPLITS)
        super().setUp()

    def test_metadata(self):
        metadata = self.builder.info.metadata
        assert metadata["classes"] == list(CLASSES)
        assert metadata["flip_classes"] == [[3, 4], [5, 6]]
        assert metadata["flip_joints"] == [[left, left + 1] for left in range(1, 17, 2)]


def test_head_box_frames_the_head(examples):
    """The smallest box around the head's pixels, as fractions; all zero where no head is seen."""
    head = CLASSES.index("head")
    for example in examples:
        x, y, width, height = np.rint(example["head_box"] * render.SIZE).astype(int)
        seen = example["mask"][..., 0] == head
        assert seen.any() == bool(width * height)
        assert seen.sum() == seen[y : y + height, x : x + width].sum()
        if seen.any():
            assert seen[y].any() and seen[y + height - 1].any() and seen[:, x].any() and seen[:, x + width - 1].any()
