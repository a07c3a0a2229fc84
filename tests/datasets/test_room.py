"""The rendered room: the same bits everywhere, poses and depth and masks that agree with one another, and a builder
that TFDS accepts."""

import hashlib
import io
import pathlib
import pickle
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from scipy.spatial.transform import Rotation

from kzoo.datasets.people import people_dataset_builder
from kzoo.datasets.room import Builder, camera, caster, furniture, render, room_dataset_builder, scene

# SHA-256 of what `fingerprint` reads; to be changed only together with the builder's version.
FINGERPRINTS = {
    "train": "3745a9299788f24ddcb42433e515250b46c4c2b996869a4dc1242a020b117128",
    "val": "7756204bf7bc4b156c789d0e46e1c9f4e21c93f2009d8453d19cd71fe8c50b8b",
}
STRIDE = 20  # of the frames that are rendered here


@pytest.fixture(scope="module")
def frames():
    """Every 20th frame of `train`."""
    return [render.render("train", index) for index in range(0, Builder.SIZES["train"], STRIDE)]


@pytest.fixture(scope="module")
def poses():
    """{split: (sequences, frames, 7) float64}: x, y, z, qw, qx, qy, qz."""
    return {
        split: np.array(
            [
                [np.concatenate(camera.pose(sequence, frame)) for frame in range(length)]
                for sequence in camera.SEQUENCES[split]
            ]
        )
        for split, length in camera.LENGTHS.items()
    }


def fingerprint(examples):
    """SHA-256 of pictures and labels."""
    digest = hashlib.sha256()
    for example in examples:
        for name in sorted(example):
            digest.update(np.asarray(example[name]).tobytes())
    return digest.hexdigest()


def rotation_of(frame):
    """(3, 3), camera to world; SciPy has w last."""
    return Rotation.from_quat(np.roll(np.float64(frame["rotation"]), -1)).as_matrix()


def back_project(frame, rows, columns):
    """World coordinates (n, 3) of the surface that is seen at the centres of pixels."""
    homogeneous = np.stack([columns + 0.5, rows + 0.5, np.ones(rows.size)], 1)
    rays = np.linalg.solve(np.float64(frame["intrinsics"]), homogeneous.T).T
    return frame["position"] + (rays * frame["depth"][rows, columns, None]) @ rotation_of(frame).T


def degrees_between(first, second):
    """The angles between rotations (..., 4)."""
    return np.degrees(2 * np.arccos(np.minimum(np.abs((first * second).sum(-1)), 1)))


def every_pixel():
    return np.divmod(np.arange(camera.HEIGHT * camera.WIDTH), camera.WIDTH)


@pytest.mark.parametrize("split", FINGERPRINTS)
def test_same_bits_on_every_machine(split):
    assert fingerprint(render.render(split, index) for index in (0, 7, 90)) == FINGERPRINTS[split]


def test_worker_process_draws_the_same(frames):
    command = [sys.executable, "-m", render.__name__, "train", "0", "41", "40"]
    output = io.BytesIO(subprocess.run(command, check=True, capture_output=True).stdout)
    assert fingerprint([pickle.load(output), pickle.load(output)]) == fingerprint([frames[0], frames[2]])


def test_rendering_needs_no_tensorflow():
    code = "import sys, kzoo.datasets.room.render; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("name", "axis", "places"),
    [("floor", 2, (0.0,)), ("ceiling", 2, (scene.HEIGHT,)), ("rug", 2, (0.0, 0.012)), ("wall", None, (0.0,))],
)
def test_pixels_lie_in_their_planes(frames, name, axis, places):
    """Pose, intrinsics and depth take every pixel of a flat surface into its plane; half a pixel's shift would move it
    by centimetres."""
    seen = 0
    for frame in frames[::3]:
        rows, columns = np.nonzero(frame["mask"][..., 0] == furniture.CLASSES.index(name))
        points, seen = back_project(frame, rows, columns), seen + rows.size
        if axis is None:
            gaps = np.minimum(scene.LENGTH / 2 - np.abs(points[:, 0]), scene.DEPTH / 2 - np.abs(points[:, 1]))
            assert np.abs(gaps).max(initial=0) < 1e-4
        elif len(places) == 1:
            assert np.abs(points[:, axis] - places[0]).max(initial=0) < 1e-4
        else:
            assert (
                points[:, axis].min(initial=1) > places[0] - 1e-4 and points[:, axis].max(initial=0) < places[1] + 1e-4
            )
    assert seen > 500


@pytest.mark.parametrize(("start", "apart"), [(0, 6), (255, 12), (545, -12), (830, 5)])
def test_one_frame_projects_into_another(start, apart):
    """What one frame sees lies at the other's depth and has its class, but for what is hidden there and for borders."""
    first, second = render.render("train", start), render.render("train", start + apart)
    points = back_project(first, *every_pixel())
    local = (points - second["position"]) @ rotation_of(second)  # the inverse rotation
    projected = local @ np.float64(second["intrinsics"]).T
    with np.errstate(divide="ignore", invalid="ignore"):
        column, row = np.floor(projected[:, :2].T / projected[:, 2])
    inside = (local[:, 2] > 0.1) & (column >= 0) & (column < camera.WIDTH) & (row >= 0) & (row < camera.HEIGHT)
    assert inside.sum() > 1000
    place = row[inside].astype(int), column[inside].astype(int)
    gap = second["depth"][place] / local[inside, 2] - 1
    assert (
        gap < 0.05
    ).mean() > 0.97  # nothing that was seen has vanished: the other frame sees it or something before it
    visible = np.abs(gap) < 0.05
    assert visible.mean() > 0.6
    assert (first["mask"].reshape(-1)[inside][visible] == second["mask"][..., 0][place][visible]).mean() > 0.95


def own_axes(solid, points):
    """Points (n, 3) from a solid's centre, along its own axes."""
    return (points - solid.centre) @ Rotation.from_euler("z", solid.yaw, degrees=True).as_matrix()


def contains(solid, points, slack):
    """Whether points (n, 3) are in a solid whose half extents are `slack` larger."""
    local = np.abs(own_axes(solid, points)) / (np.array(solid.half) + slack)
    flat = np.linalg.norm(local[:, :2], axis=1)
    inside = {
        "box": local.max(1),
        "cylinder": np.maximum(flat, local[:, 2]),
        "ellipsoid": np.linalg.norm(local, axis=1),
    }
    return inside[solid.kind] <= 1


@pytest.mark.parametrize("index", [3, 22, 38, 57])
def test_rays_stop_at_the_first_surface(frames, index):
    """No point before a ray's end is in a solid; its end is in one of its class, or on a wall."""
    frame, solids = frames[index], scene.room().solids
    rng = np.random.default_rng(index)
    rows, columns = rng.integers(camera.HEIGHT, size=250), rng.integers(camera.WIDTH, size=250)
    points = back_project(frame, rows, columns)
    shares = np.linspace(0.1, 1, 100)[:-1, None, None]
    before = (frame["position"] + shares * (points - frame["position"])).reshape(-1, 3)
    assert not any(contains(solid, before, -1e-3).any() for solid in solids if min(solid.half) > 2e-3)
    at_end = np.array([contains(solid, points, 1e-4) for solid in solids])  # (solids, rays)
    shell = np.minimum(scene.LENGTH / 2 - np.abs(points[:, 0]), scene.DEPTH / 2 - np.abs(points[:, 1]))
    shell = np.minimum(shell, np.minimum(points[:, 2], scene.HEIGHT - points[:, 2])) < 1e-4
    labels = frame["mask"][rows, columns, 0]
    own = np.array([solid.label for solid in solids])[:, None] == labels
    assert ((at_end & own).any(0) | (shell & np.isin(labels, scene.room().labels))).all()
    assert at_end.any(0).sum() > 30


@pytest.mark.parametrize("index", [5, 110])
def test_no_solid_is_cut_by_its_window(index, monkeypatch):
    """Looking for each solid in all of the picture finds no more than in the window where it may be."""
    position, rotation = camera.pose(*divmod(index, camera.LENGTHS["train"]))
    size = camera.HEIGHT // 2 + 1, camera.WIDTH // 2 + 1
    arguments = scene.room(), camera.matrix(rotation), position, size, camera.focal() / 2
    quick = caster.cast(*arguments)
    monkeypatch.setattr(caster, "windows", lambda room, *_: np.tile([0, size[0], 0, size[1]], (len(room.solids), 1)))
    whole = caster.cast(*arguments)
    np.testing.assert_array_equal(quick.depth, whole.depth)
    np.testing.assert_array_equal(quick.label, whole.label)


@pytest.mark.parametrize(("yaw", "pitch", "roll"), [(0, 0, 0), (90, 0, 0), (200, -20, 5), (-30, 12, -8), (290, 3, 1)])
def test_quaternion_of_angles(yaw, pitch, roll):
    """SciPy's: level axes, turned about the vertical, tilted up about the camera's x, rolled about its optical axis."""
    level = Rotation.from_matrix([[0, 0, 1], [-1, 0, 0], [0, -1, 0]])
    expected = (
        Rotation.from_euler("z", yaw, True)
        * level
        * Rotation.from_euler("x", pitch, True)
        * Rotation.from_euler("z", roll, True)
    )
    q = camera.quaternion(yaw, pitch, roll)
    np.testing.assert_allclose(q, expected.as_quat(canonical=True, scalar_first=True), atol=1e-12)
    np.testing.assert_allclose(camera.matrix(q), expected.as_matrix(), atol=1e-12)


def test_walks_are_smooth(poses):
    for walk in poses.values():
        np.testing.assert_allclose(np.linalg.norm(walk[..., 3:], axis=-1), 1, atol=1e-12)
        assert walk[..., 3].min() > 0.25  # so w >= 0 never makes the sign jump
        assert np.linalg.norm(np.diff(walk[..., :3], axis=1), axis=-1).max() < 0.15
        assert np.linalg.norm(np.diff(walk[..., 3:], axis=1), axis=-1).max() < 0.08  # 9 degrees
        assert np.linalg.norm(np.diff(walk[..., :3], 2, axis=1), axis=-1).max() < 0.04


def test_camera_stays_clear_of_walls_and_furniture(poses):
    places = np.concatenate([walk[..., :3].reshape(-1, 3) for walk in poses.values()])
    walls = (
        scene.LENGTH / 2 - np.abs(places[:, 0]),
        scene.DEPTH / 2 - np.abs(places[:, 1]),
        places[:, 2],
        scene.HEIGHT - places[:, 2],
    )
    assert np.min(walls) > 0.5
    for solid in scene.room().solids:  # the box around it
        outside = np.maximum(np.abs(own_axes(solid, places)) - solid.half, 0)
        assert np.linalg.norm(outside, axis=1).min() > 0.5, furniture.CLASSES[solid.label]


def test_splits_walk_the_same_room_on_other_ways(poses):
    train, val = (poses[split].reshape(-1, 7) for split in ("train", "val"))
    metres = np.linalg.norm(val[:, None, :3] - train[None, :, :3], axis=-1)
    degrees = degrees_between(val[:, None, 3:], train[None, :, 3:])
    assert ((metres < 0.05) & (degrees < 5)).any(1).mean() < 0.05
    assert ((metres < 1) & (degrees < 25)).any(1).mean() > 0.95
    assert not set(camera.SEQUENCES["train"]) & set(camera.SEQUENCES["val"])


def test_scores_to_beat(poses):
    """What README.md says of predictors that need no network."""
    train, val = (poses[split].reshape(-1, 7) for split in ("train", "val"))

    def errors(predicted):
        metres = np.linalg.norm(predicted[:, :3] - val[:, :3], axis=1)
        return [np.median(metres), np.median(degrees_between(predicted[:, 3:], val[:, 3:]))]

    mean = train.mean(0, keepdims=True)
    assert errors(mean / np.append(np.ones(3), np.full(4, np.linalg.norm(mean[:, 3:])))) == pytest.approx(
        [0.92, 65.3], abs=0.05
    )
    metres = np.linalg.norm(val[:, None, :3] - train[None, :, :3], axis=-1)
    oracle = train[(metres + degrees_between(val[:, None, 3:], train[None, :, 3:]) / 50).argmin(1)]
    assert errors(oracle) == pytest.approx([0.25, 6.2], abs=0.05)


def test_every_class_occurs(frames):
    share = np.bincount(np.concatenate([frame["mask"].ravel() for frame in frames]), minlength=len(furniture.CLASSES))
    assert share.size == len(furniture.CLASSES) and (share > 0.002 * share.sum()).all()


def test_light_differs_between_and_along_sequences(frames):
    position, rotation = camera.pose(0, 0)
    samples = caster.cast(scene.room(), camera.matrix(rotation), position, (33, 43), camera.focal() / 3)
    moments = [(sequence, frame) for sequence in range(8) for frame in (0, 60)]
    means = {moment: render.shade(samples, render.light_at(*moment)).mean((1, 2)) for moment in moments}
    levels = np.array([means[moment].mean() for moment in moments])
    warmth = np.array([means[moment][0] / means[moment][2] for moment in moments])
    assert levels[::2].max() / levels[::2].min() > 1.15 and warmth[::2].max() / warmth[::2].min() > 1.05
    assert np.median(np.abs(levels[1::2] / levels[::2] - 1)) > 0.01
    pictures = np.stack([frame["image"] for frame in frames])
    assert 60 < pictures.mean() < 170 and (pictures == 255).mean() < 0.05


def numbered(lengths):
    """Frames of sequences, whose position and picture hold their number."""
    for sequence, length in enumerate(lengths):
        for frame in range(length):
            place = np.array([sequence, frame, 0], np.float32)
            picture = np.full((4, 4, 3), frame, np.uint8)
            yield {
                "image": picture,
                "position": place,
                "rotation": np.float32([1, 0, 0, 0]),
                "sequence": sequence,
                "frame": frame,
            }


WINDOWS = [  # steps, skip, frame -> the frames around it, in a sequence of 8
    (3, 2, 4, [2, 4, 6]),
    (3, 2, 0, [0, 0, 2]),
    (3, 2, 1, [0, 1, 3]),
    (3, 2, 7, [5, 7, 7]),
    (3, 10, 3, [0, 3, 7]),
    (5, 1, 6, [4, 5, 6, 7, 7]),
    (1, 10, 6, [6]),
]


@pytest.mark.parametrize(("steps", "skip", "frame", "expected"), WINDOWS)
def test_windows_end_where_their_sequence_does(steps, skip, frame, expected):
    examples = list(room_dataset_builder.windows(numbered((3, 8, 2)), steps, skip))
    assert [(e["sequence"], e["frame"]) for e in examples] == [
        (s, f) for s, length in enumerate((3, 8, 2)) for f in range(length)
    ]
    example = examples[3 + frame]
    np.testing.assert_array_equal(example["position"], [[1, number, 0] for number in expected])
    assert [tf.io.decode_png(picture).numpy().max() for picture in example["frames"]] == expected
    assert example["rotation"].shape == (steps, 4)


@pytest.mark.parametrize(("labelled", "expected"), [(1, [0, 0, 0, 0]), (2, [0, 255, 0, 255]), (3, [0, 255, 255, 0])])
def test_masks_of_some_frames_only(labelled, expected):
    frames = [{"frame": frame, "mask": np.zeros((2, 2, 1), np.uint8)} for frame in range(4)]
    assert [e["mask"].max() for e in room_dataset_builder.half_labelled(frames, labelled)] == expected


class FramesTest(tfds.testing.DatasetBuilderTestCase):
    """TFDS's own checks, on a few frames."""

    DATASET_CLASS = Builder
    BUILDER_CONFIG_NAMES_TO_TEST = ["frames"]  # noqa: RUF012
    SPLITS = {"train": 4, "val": 2}  # noqa: RUF012
    EXAMPLE_DIR = pathlib.Path(room_dataset_builder.__file__).parent  # nothing is downloaded, so any folder serves

    def setUp(self):
        self.enterContext(pytest.MonkeyPatch.context()).setattr(Builder, "SIZES", self.SPLITS)
        super().setUp()

    def test_metadata(self):
        assert self.builder.info.metadata["pose"] == ["x", "y", "z", "qw", "qx", "qy", "qz"]
        assert self.builder.info.metadata.get("flip_classes", []) == []
        assert self.builder.info.metadata.get("classes", list(furniture.CLASSES)) == list(furniture.CLASSES)


class WindowsTest(FramesTest):
    """The same of windows."""

    BUILDER_CONFIG_NAMES_TO_TEST = ["windows"]  # noqa: RUF012


def test_prepared_frames_are_what_is_rendered(tmp_path, monkeypatch):
    """Both configurations, drawn by worker processes; frames of interest, masks, and what windows leave out."""
    monkeypatch.setattr(Builder, "SIZES", {"train": 12, "val": 1})
    monkeypatch.setattr(people_dataset_builder, "WORTH_WORKERS", 1)
    read = {}
    for config in ("frames", "windows"):
        builder = Builder(config=config, data_dir=tmp_path)
        builder.download_and_prepare()
        examples = tfds.as_numpy(builder.as_dataset(split="train"))
        read[config] = {int(example["frame"]): example for example in examples}
    frames, windows = read.values()
    assert sorted(frames) == sorted(windows) == list(range(12))
    expected = render.render("train", 6)
    for name in ("image", "mask", "depth", "position", "rotation", "intrinsics"):
        np.testing.assert_array_equal(frames[6][name], expected[name])
    assert [int(frames[f]["mask"].min()) == 255 for f in range(12)] == [f % 2 == 1 for f in range(12)]
    assert set(windows[0]) == {"frames", "position", "rotation", "sequence", "frame"}
    for place, frame in enumerate((0, 5, 11)):  # ten apart, and only twelve frames there
        np.testing.assert_array_equal(windows[5]["frames"][place], frames[frame]["image"])
        np.testing.assert_array_equal(windows[5]["position"][place], frames[frame]["position"])


@pytest.mark.parametrize(("config", "every"), [("frames", 2), ("labelled", 1)])
def test_how_many_frames_have_masks(room_dir, config, every):
    dataset = Builder(config=config, data_dir=room_dir).as_dataset(split="train").as_numpy_iterator()
    known = {int(example["frame"]): bool((example["mask"] < 255).any()) for example in dataset}
    assert len(known) == 24 and all(labelled == (frame % every == 0) for frame, labelled in known.items())
