"""The Human3.6M builder on small generated releases of both layouts: frames, joints, cameras, names, and what is
refused."""

import os
import pathlib
import pickle
import shutil
import subprocess
import sys
from typing import ClassVar

import cv2
import h5py
import numpy as np
import pytest
import tensorflow_datasets as tfds

from kzoo import UserError
from kzoo.datasets.human36m import cameras, clips, sources
from kzoo.datasets.human36m.human36m_dataset_builder import Builder, Config
from kzoo.nn.skeletons import H36M_JOINTS

cdflib = pytest.importorskip("cdflib")

WIDTH, HEIGHT, POSES, FRAMES = 200, 202, 36, 40
DARK, STEP, DIGITS = 30, 30, 7  # the background's blue and green tell the frame's number by two digits
KEPT = (0, 1, 2, 3, 6, 7, 8, 12, 13, 14, 15, 17, 18, 19, 25, 26, 27)
TRIALS = (
    (1, "Directions", " 1", "Directions"),
    (1, "TakingPhoto", "", "Photo"),
    (9, "WalkDog", " 2", "WalkDog"),
)  # the last: in the NPZ
FILMED = ("54138969", "58860488")
LABELS = {"Directions": 0, "Photo": 5, "WalkDog": 12}


# a small Human3.6M: invented people and cameras


def world_positions(subject, action):
    """(POSES, 32, 3) float32 metres: a person of scattered joints that walks; joints that are not kept lie far away."""
    random = np.random.default_rng([subject, len(action)])
    body = np.where(np.isin(np.arange(32), KEPT)[:, None], random.uniform(-0.6, 0.6, (32, 3)), 50)
    path = np.cumsum(random.normal(0, 0.01, (POSES, 1, 3)), 0) + [0.3 * subject, 1, 1]
    return np.float32(body + path + random.normal(0, 0.01, (POSES, 32, 3)))


def camera_numbers(subject, index):
    """Angles, position in mm, and lens of one camera; all invented."""
    angles = np.array([0.4 + 0.3 * index, -0.2 * index, 0.1 * subject])
    position = np.array([300.0 * subject, 1000, 1000]) - 4000 * rotation(angles)[2]
    lens = np.array([230.0 + index, 228, 102 - index, 104, -0.15, 0.1, 0.02, 0.004, -0.003])  # f, c, k1 k2 k3, p1 p2
    return angles, position, lens


def rotation(angles):
    """Rx Ry Rz, each by OpenCV."""
    x, y, z = (cv2.Rodrigues(angle * axis)[0] for angle, axis in zip(angles, np.eye(3), strict=True))
    return x @ y @ z


def project(points, subject, index):
    """(n, 3) world metres -> (n, 2) pixels, by OpenCV."""
    angles, position, lens = camera_numbers(subject, index)
    turn = rotation(angles)
    matrix = np.array([[lens[0], 0, lens[2]], [0, lens[1], lens[3]], [0, 0, 1]])
    distortion = np.array([*lens[4:6], *lens[7:9], lens[6]])  # OpenCV's order: k1 k2 p1 p2 k3
    return cv2.projectPoints(np.float64(points), cv2.Rodrigues(turn)[0], -turn @ (position / 1000), matrix, distortion)[
        0
    ][:, 0]


def in_camera(points, subject, index):
    """(..., 3) world metres -> camera coordinates."""
    angles, position, _ = camera_numbers(subject, index)
    return np.einsum("ij,...j->...i", rotation(angles), points - position / 1000)


def write_video(path, positions, subject, index, frames=FRAMES, size=(WIDTH, HEIGHT)):
    """A video whose background tells the frame's number, with a red head."""
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), 50, size)
    for number in range(frames):
        colour = [DARK + STEP * digit for digit in (number % DIGITS, number // DIGITS, 0)]  # blue, green, red
        frame = np.full((size[1], size[0], 3), colour, np.uint8)
        head = project(positions[min(number, POSES - 1)][[KEPT[10]]], subject, index)[0]
        cv2.circle(frame, np.floor(head).astype(int).tolist(), 7, (0, 0, 255), -1)
        writer.write(frame)
    writer.release()


def write_videos(root):
    for subject, action, trial, _ in TRIALS:
        for index, camera in enumerate(cameras.CAMERAS):
            if camera in FILMED:
                path = root / f"S{subject}" / "Videos" / f"{action}{trial}.{camera}.mp4"
                write_video(path, world_positions(subject, action), subject, index)
    (root / "S1" / "Videos" / "_ALL.54138969.mp4").write_bytes(b"")
    return root


def write_cdf(path, positions):
    path.parent.mkdir(parents=True, exist_ok=True)
    file = cdflib.cdfwrite.CDF(path)
    spec = {
        "Variable": "Pose",
        "Data_Type": file.CDF_FLOAT,
        "Num_Elements": 1,
        "Rec_Vary": True,
        "Dim_Sizes": [len(positions), 96],
    }
    file.write_var(spec, var_data=np.float32(1000 * positions).reshape(1, len(positions), 96))
    file.close()


def write_xml(root):
    poses = np.zeros((4, 11, 6))
    for subject in (1, 9, 11):
        for index in range(4):
            poses[index, subject - 1] = np.concatenate(camera_numbers(subject, index)[:2])
    lenses = np.array([camera_numbers(1, index)[2] for index in range(4)])
    vector = " ".join(map(repr, np.concatenate([poses.ravel(), lenses.ravel()]).tolist()))
    (root / "metadata.xml").write_text(
        f"<metadata><mapping><tr><td>1</td></tr></mapping><w0>[{vector}]</w0></metadata>"
    )
    return root


def write_hdf5(root):
    with h5py.File(root / "cameras.h5", "w") as file:
        for subject in (1, 9, 11):
            for index, name in enumerate(cameras.CAMERAS):
                angles, position, lens = camera_numbers(subject, index)
                values = {
                    "R": rotation(angles).T,
                    "T": position[None],
                    "f": lens[:2, None],
                    "c": lens[2:4, None],
                    "k": lens[4:7, None],
                }
                for key, value in {
                    **values,
                    "p": lens[7:, None],
                    "Name": np.uint16([[ord(letter)] for letter in name]),
                }.items():
                    file[f"subject{subject}/camera{index + 1}/{key}"] = value
    return root


def write_poses(root, folder, mono):
    for subject, action, trial, _ in TRIALS:
        positions, place = world_positions(subject, action), root / f"S{subject}" / folder
        if not mono:
            write_cdf(place / f"{action}{trial}.cdf", positions)
        for index, camera in enumerate(cameras.CAMERAS if mono else ()):
            write_cdf(place / f"{action}{trial}.{camera}.cdf", in_camera(positions, subject, index))
    return root


def write_archive(root, joints=range(32)):
    content = {"S1": {}, "S9": {}}
    for subject, action, trial, name in TRIALS:
        content[f"S{subject}"][name + trial] = world_positions(subject, action)[:, list(joints)]
    np.savez_compressed(root / "data_3d_h36m.npz", positions_3d=content)
    return root


WRITERS = {
    "mono": lambda root: write_xml(write_poses(root, "MyPoseFeatures/D3_Positions_mono", True)),
    "world": lambda root: write_xml(write_poses(root, "MyPoseFeatures/D3_Positions", False)),
    "h36m-fetch": lambda root: write_hdf5(write_poses(root, "Poses_D3_Positions_mono", True)),
    "npz": lambda root: write_xml(write_archive(root)),
    "npz of 17 joints": lambda root: write_hdf5(write_archive(root, KEPT)),
}


@pytest.fixture(scope="module")
def filmed(tmp_path_factory):
    """The videos, made once."""
    return write_videos(tmp_path_factory.mktemp("videos") / "h36m")


def release(filmed, root, layout):
    """A release of a layout at `root`."""
    return WRITERS[layout](pathlib.Path(shutil.copytree(filmed, root)))


def prepared(tmp_path, source, **kwargs):
    """A builder whose data are prepared."""
    builder = Builder(data_dir=tmp_path / "prepared", data_source=source, **kwargs)
    builder.download_and_prepare()
    return builder


def examples(builder, split):
    """Examples of a split, sorted by id."""
    return sorted(tfds.as_numpy(builder.as_dataset(split=split)), key=lambda example: int(example["clip_id"]))


def frame_numbers(frames):
    """Which frames of the video a clip shows, read from the background; the black border is not looked at."""
    inside = [frame[frame.max(-1) > DARK // 2] for frame in frames]
    digits = [np.round((np.median(pixels, 0) - DARK) / STEP).astype(int) for pixels in inside]
    return [int(blue + DIGITS * green) for _, green, blue in digits]


class TestBuilder(tfds.testing.DatasetBuilderTestCase):
    """TFDS's own test of a builder, on a generated manual folder."""

    DATASET_CLASS = Builder
    SPLITS: ClassVar = {"train": 8, "val": 4}

    @classmethod
    def setUpClass(cls):
        folder = pathlib.Path(tfds.testing.make_tmp_dir())
        cls.addClassCleanup(shutil.rmtree, folder, ignore_errors=True)
        cls.EXAMPLE_DIR = WRITERS["mono"](write_videos(folder))
        super().setUpClass()


# what is read


@pytest.mark.parametrize("layout", WRITERS)
def test_layouts(tmp_path, filmed, layout):
    """Both layouts give the same clips, and they are what OpenCV and the definitions say."""
    root = release(filmed, tmp_path / "data" / "h36m", layout)
    builder = prepared(tmp_path, root.parent if layout == "world" else root)
    rows = [(split, example) for split in ("train", "val") for example in examples(builder, split)]
    order = [
        (subject, action, name, index, start)
        for subject, action, _, name in TRIALS
        for index in (0, 2)
        for start in (0, 16)
    ]
    assert len({int(example["clip_id"]) for _, example in rows}) == len(rows) == len(order) == 12
    for (subject, action, name, index, start), (split, example) in zip(order, rows, strict=True):
        assert (split, example["subject"]) == ({1: "train", 9: "val"}[subject], subject)
        assert (example["action"], example["camera"]) == (LABELS[name], index)
        kept = world_positions(subject, action)[start : start + 16 : 2][:, KEPT].astype(float)
        points = in_camera(kept, subject, index)
        np.testing.assert_allclose(example["joints"], points - points[:, :1], atol=2e-6)
        np.testing.assert_allclose(example["root"], points[:, 0], atol=2e-6)
        assert (example["joints"][:, 0] == 0).all() and example["joints"].dtype == np.float32
        # the crop, found again from the intrinsics: 224 / side = focal of the crop / focal
        lens = camera_numbers(subject, index)[2]
        side = 224 * lens[0] / example["intrinsics"][0, 0]
        corner = lens[2:4] - example["intrinsics"][:2, 2] * side / 224
        np.testing.assert_allclose(example["intrinsics"][1, 1], lens[1] * 224 / side, rtol=1e-5)
        pixels = project(kept.reshape(-1, 3), subject, index).reshape(8, 17, 2)
        np.testing.assert_allclose(example["keypoints_2d"] * side + corner, pixels, atol=1e-3)
        extent = example["keypoints_2d"].max((0, 1)) - example["keypoints_2d"].min((0, 1))
        np.testing.assert_allclose(extent.max(), 1 / 1.25, atol=0.02)  # and so the crop holds the person
        assert example["keypoints_2d"].min() > 0.09 and example["keypoints_2d"].max() < 0.91
        # the frames
        assert example["frames"].shape == (8, 224, 224, 3) and example["frames"].dtype == np.uint8
        assert frame_numbers(example["frames"]) == list(range(start, start + 16, 2))
        for frame, (x, y) in zip(example["frames"], example["keypoints_2d"][:, H36M_JOINTS.index("head")], strict=True):
            red, green, _ = frame[int(224 * y), int(224 * x)].astype(int)
            assert red > 180 and red - green > 100
    metadata = builder.info.metadata
    assert (metadata["source"], metadata["fps"]) == ("npz" if "npz" in layout else "official", 25)
    assert [(H36M_JOINTS[a][4:], H36M_JOINTS[b][5:]) for a, b in metadata["flip_joints"]] == [
        (f"_{part}", f"_{part}") for part in ("hip", "knee", "ankle", "shoulder", "elbow", "wrist")
    ]
    assert metadata["subjects"] == {"train": [1], "val": [9]} and metadata["counts"]["val"]["recordings"] == 2
    assert metadata["counts"]["train"] == {
        **dict.fromkeys(clips.COUNTS, 0),
        **{"recordings": 4, "clips": 8, "poses_without_video": 4 if layout in ("mono", "h36m-fetch") else 0},
    }


@pytest.mark.parametrize("length,stride", [(8, 2), (4, 9)])
def test_other_clips(tmp_path, filmed, length, stride):
    """Clips that overlap, clips with gaps, and another size."""
    config = Config(name="other", length=length, stride=stride, size=64)
    builder = prepared(tmp_path, release(filmed, tmp_path / "h36m", "npz"), config=config)
    starts = [start for start in range(0, POSES, 2 * stride) if start + 2 * (length - 1) < POSES]
    found = [example for example in examples(builder, "val") if example["camera"] == 0]
    assert [frame_numbers(example["frames"]) for example in found] == [
        list(range(s, s + 2 * length, 2)) for s in starts
    ]
    assert found[0]["frames"].shape == (length, 64, 64, 3) and found[0]["joints"].shape == (length, 17, 3)


@pytest.mark.parametrize("read", ["metadata.xml", "cameras.h5"])
def test_projection(tmp_path, read):
    """From world to pixels as OpenCV does it, from both files."""
    write_xml(write_hdf5(tmp_path))
    points = np.random.default_rng(0).uniform(-0.7, 0.7, (50, 3)) + [0.3 * 9, 1, 1]
    found = cameras.read_cameras(tmp_path / read)
    assert set(found) == {(subject, name) for subject in (1, 9, 11) for name in cameras.CAMERAS}
    for index, name in enumerate(cameras.CAMERAS):
        camera = found[9, name]
        np.testing.assert_allclose(camera.project(camera.from_world(points)), project(points, 9, index), atol=1e-6)


def test_crop():
    """A crop that reaches beyond the frame is black there; inside it, it is the mean of what it covers."""
    frame = np.random.default_rng(0).integers(0, 255, (30, 40, 3), np.uint8)
    frame = cv2.resize(frame[:6, :8], (40, 30), interpolation=cv2.INTER_NEAREST)  # blocks of 5 pixels
    found = cv2.imdecode(np.frombuffer(clips._crop(frame, np.array([-10, 10]), 40, 20), np.uint8), cv2.IMREAD_COLOR)
    padded = np.zeros((40, 40, 3))
    padded[:20, 10:] = frame[10:, :30]
    wanted = padded.reshape(20, 2, 20, 2, 3).mean((1, 3))
    grey = np.array(
        [0.114, 0.587, 0.299]
    )  # JPEG halves the resolution of colours, and blurs within blocks of 16 pixels
    assert np.abs((found - wanted) @ grey).mean() < 6 and np.abs(found[16:] @ grey).max() < 4
    sharp = clips._crop(np.full((30, 40, 3), 90, np.uint8), np.array([5, 5]), 10, 20)
    np.testing.assert_allclose(cv2.imdecode(np.frombuffer(sharp, np.uint8), cv2.IMREAD_COLOR), 90, atol=1)


@pytest.mark.parametrize(
    "name,key",
    [
        ("Directions", ("Directions", "", "")),
        ("Directions 1.54138969", ("Directions", "1", "54138969")),
        ("TakingPhoto 1", ("Photo", "1", "")),
        ("WalkingDog.60457274", ("WalkDog", "", "60457274")),
        ("SittingDown_2.55011271", ("SittingDown", "2", "55011271")),
        *((action, (action, "", "")) for action in sources.ACTIONS),
    ],
)
def test_names(name, key):
    assert sources._key(name, "here") == key
    assert len(sources.ACTIONS) == 15


def test_damaged_and_missing(tmp_path, filmed, capsys):
    """S11's damaged recording is left out with one line; poses that nobody filmed and videos that end early are
    counted."""
    root = release(filmed, tmp_path / "h36m", "npz")
    for name in ("Directions.54138969.mp4", "Directions.55011271.mp4"):
        (root / "S11" / "Videos").mkdir(parents=True, exist_ok=True)
        (root / "S11" / "Videos" / name).write_bytes(b"damaged")
    for path in (root / "S1" / "Videos").glob("Directions*"):
        path.unlink()
    write_video(root / "S1" / "Videos" / "TakingPhoto.54138969.mp4", world_positions(1, "TakingPhoto"), 1, 0, frames=20)
    builder = prepared(tmp_path, root)
    out = capsys.readouterr().out
    assert out.count("human36m: S11 Directions is left out: the release's video of one camera is damaged\n") == 1
    assert "human36m/clips train: S1: recordings 2, clips 3, clips_after_video 1, poses_without_video 1\n" in out
    assert builder.info.metadata["counts"]["val"]["damaged_recordings"] == 2 and builder.info.metadata["subjects"][
        "val"
    ] == [9]
    assert [frame_numbers(row["frames"])[0] for row in examples(builder, "train") if row["camera"] == 0] == [0]


@pytest.mark.skipif(os.name == "nt", reason="names are text there")
def test_a_video_whose_name_is_not_utf8(tmp_path):
    """OpenCV dies of such a name as text."""
    path = os.fsdecode(os.fsencode(tmp_path) + b"/w\xfclk.mp4")
    write_video(tmp_path / "walk.mp4", world_positions(1, "TakingPhoto"), 1, 0, frames=4)
    shutil.copy(tmp_path / "walk.mp4", path)
    frames = clips._read_frames(path, {}, 1, 0, None, 8)
    with pytest.raises(OSError, match="video cannot be opened"):
        list(clips._read_frames(f"{path}.gone", {}, 1, 0, None, 8))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(clips, "_check", lambda *_: None)
        assert list(frames) == []


def test_clips_stream(tmp_path, filmed):
    """A clip comes as soon as it is whole, while the video is still being read."""
    root = release(filmed, tmp_path / "h36m", "npz")
    source = sources.find_source(root)
    recording = sources.find_recordings(source, {split: dict.fromkeys(clips.COUNTS, 0) for split in sources.SUBJECTS})[
        "train"
    ][0]
    camera = cameras.read_cameras(source.cameras)[1, recording.camera]
    counts = dict.fromkeys(clips.COUNTS, 0)
    made = clips.generate(recording, camera, Config(name="x", length=2, stride=2), counts)
    starts = [next(made)[0] for _ in range(3)]
    assert starts == [0, 4, 8] and counts["clips"] == 0  # the video is still open
    made.close()


# what is refused


def remove(name):
    def damage(root):
        path = root / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()

    return damage


def replace(name, content):
    def damage(root):
        (root / name).write_bytes(content)

    return damage


def cut(name, size):
    def damage(root):
        (root / name).write_bytes((root / name).read_bytes()[:size])

    return damage


def rename(name, to):
    def damage(root):
        (root / name).rename(root / to)

    return damage


def film(frames=FRAMES, size=(WIDTH, HEIGHT)):
    """Damage: a recording's video has another number of frames or another size."""

    def damage(root):
        write_video(
            root / "S1" / "Videos" / "Directions 1.54138969.mp4", world_positions(1, "Directions"), 1, 0, frames, size
        )

    return damage


def lose_camera(root):
    with h5py.File(root / "cameras.h5", "a") as file:
        del file["subject9/camera3"]


def archive(positions):
    def damage(root):
        np.savez_compressed(root / "data_3d_h36m.npz", positions_3d=positions)

    return damage


def other_pickle(root):
    np.savez(
        root / "data_3d_h36m.npz",
        positions_3d=np.array({"S1": {"Directions": pathlib.PurePosixPath("x")}}, dtype=object),
    )


def wrong_cameras(root):
    """S1's cameras look away."""
    text = (root / "metadata.xml").read_text()
    vector = np.array(text.split("[")[1].split("]")[0].split(), float)
    vector[: 44 * 6].reshape(4, 11, 6)[:, 0, :3] += [np.pi / 2, 0, 0]
    (root / "metadata.xml").write_text(f"<metadata><w0>[{' '.join(map(repr, vector.tolist()))}]</w0></metadata>")


MONO, VIDEO = "S1/MyPoseFeatures/D3_Positions_mono/Directions 1.54138969.cdf", "S1/Videos/Directions 1.54138969.mp4"
BAD = np.full((POSES, 32, 3), np.nan, np.float32)

# name -> (layout, damage, words of the message)
REFUSED = {
    "no cameras": ("mono", remove("metadata.xml"), ["h36m: the cameras are missing", "metadata.xml or cameras.h5"]),
    "one camera missing": (
        "npz of 17 joints",
        lose_camera,
        ["cameras.h5: no camera 58860488 of S9", "WalkDog 2.58860488.mp4"],
    ),
    "broken XML": ("mono", replace("metadata.xml", b"<metadata>"), ["metadata.xml: no readable cameras"]),
    "XML without w0": (
        "npz",
        replace("metadata.xml", b"<metadata/>"),
        ["metadata.xml: no readable cameras", "no element w0"],
    ),
    "w0 of two numbers": ("npz", replace("metadata.xml", b"<a><w0>[1 2]</w0></a>"), ["w0 has 2 numbers; expected 300"]),
    "broken HDF5": ("npz of 17 joints", replace("cameras.h5", b"x"), ["cameras.h5: no readable cameras"]),
    "cameras that look away": ("npz", wrong_cameras, [VIDEO, "poses and cameras do not belong together"]),
    "no poses": ("mono", remove(MONO), [f"{VIDEO}: no poses for this video in", "D3_Positions_mono or D3_Positions"]),
    "no poses in the archive": (
        "npz",
        archive({"S1": {}, "S9": {}}),
        ["no poses for this video (and 3 more) in data_3d_h36m.npz"],
    ),
    "broken CDF": ("mono", replace(MONO, b"CDF"), [f"{MONO}: poses cannot be read"]),
    "cut CDF": ("mono", cut(MONO, 1000), [f"{MONO}: poses cannot be read"]),
    "broken archive": ("npz", replace("data_3d_h36m.npz", b"PK"), ["data_3d_h36m.npz: not VideoPose3D's"]),
    "archive with other things": (
        "npz",
        other_pickle,
        ["data_3d_h36m.npz: not VideoPose3D's", "PurePosixPath, which is no array"],
    ),
    "archive of 16 joints": (
        "npz",
        lambda root: write_archive(root, range(16)),
        ["S1 Directions 1", "(36, 16, 3)", "32 or 17"],
    ),
    "positions not finite": (
        "npz",
        archive({"S1": {"Directions 1": BAD, "Photo": BAD}, "S9": {"WalkDog 2": BAD}}),
        ["not finite"],
    ),
    "video that ends early": ("mono", film(frames=8), [f"{VIDEO}: video ends after 8 of 36 frames", "50 Hz"]),
    "cut video": ("mono", cut(VIDEO, 2000), [f"{VIDEO}: video cannot be opened"]),
    "video of another size": (
        "mono",
        film(size=(100, 100)),
        [f"{VIDEO}: video is 100x100", "(102, 104)", "original size"],
    ),
    "unknown action": (
        "npz",
        rename(VIDEO, "S1/Videos/Dancing.54138969.mp4"),
        ["unknown action 'Dancing'", "TakingPhoto"],
    ),
    "unknown camera": ("npz", rename(VIDEO, "S1/Videos/Directions 1.12345678.mp4"), ["camera 12345678", "54138969"]),
    "recording twice": (
        "npz",
        rename(VIDEO, "S1/Videos/Photo.54138969.mp4"),
        ["Photo.54138969.mp4 is the same recording"],
    ),
    "no test subject": ("mono", remove("S9/Videos"), ["split 'val' is empty", "S9/Videos, S11/Videos"]),
    "not Human3.6M": ("npz", remove("data_3d_h36m.npz"), ["not Human3.6M", "D3_Positions_mono", "data_3d_h36m.npz"]),
}


@pytest.mark.parametrize("name", REFUSED)
def test_broken_sources_are_refused_in_one_line(tmp_path, filmed, name):
    layout, damage, words = REFUSED[name]
    root = release(filmed, tmp_path / "h36m", layout)
    damage(root)
    builder = Builder(data_dir=tmp_path / "prepared", data_source=root, config=Config(name="small", size=16))
    with pytest.raises((ValueError, OSError)) as caught:
        builder.download_and_prepare()
    message = str(caught.value)
    assert "\n" not in message and all(word in message for word in words), message
    assert not builder.is_prepared()


def test_without_cdflib(tmp_path, filmed, monkeypatch):
    root = release(filmed, tmp_path / "h36m", "mono")
    monkeypatch.setitem(sys.modules, "cdflib", None)
    with pytest.raises(UserError, match=r"Directions 1.*\.cdf .*pip install cdflib"):
        prepared(tmp_path, root)


@pytest.mark.parametrize("name", ["nothing", "file"])
def test_no_folder_is_refused(tmp_path, name):
    (tmp_path / "file").write_text("")
    with pytest.raises(FileNotFoundError, match=f"{name}: no such folder"):
        prepared(tmp_path, tmp_path / name)


# prepared data


def test_another_source_is_refused_and_pickled(tmp_path, filmed):
    """What `tfds.load` and multi-process readers do, and a set that was prepared from elsewhere."""
    first, second = (release(filmed, tmp_path / name, "npz") for name in ("first", "second"))
    options = {"data_dir": tmp_path / "prepared", "config": Config(name="small", size=16)}
    builder = Builder(data_source=first, **options)
    copied = pickle.loads(pickle.dumps(builder))
    copied.download_and_prepare()
    assert len(examples(pickle.loads(pickle.dumps(copied)), "train")) == 8
    with pytest.raises(ValueError, match="was prepared from .*first, not from .*second"):
        Builder(data_source=second, **options).download_and_prepare()
    assert tfds.builder("human36m", data_dir=tmp_path / "prepared").info.full_name == "human36m/clips/1.0.0"


def test_nothing_is_imported_before_it_is_needed():
    code = "import sys, kzoo.datasets.human36m.human36m_dataset_builder; sys.exit('cdflib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=120).returncode == 0
