"""Poses against SciPy, and the builder of 7-Scenes on small generated scenes: both layouts, windows, depth, and what is
refused.

KZOO_7SCENES=<folder of the kitchen's thousand frames> adds the tests on real frames.
"""

import os
import pathlib
import pickle
import shutil
from typing import ClassVar

import numpy as np
import pytest
import scipy.linalg
import tensorflow_datasets as tfds
from PIL import Image
from scipy.spatial.transform import Rotation

from kzoo.data import pipeline, transforms
from kzoo.datasets import pictures, poses
from kzoo.datasets.seven_scenes import sources
from kzoo.datasets.seven_scenes.seven_scenes_dataset_builder import Builder

WIDTH, HEIGHT = 64, 48
LENGTHS = {1: 25, 2: 4, 12: 7}  # frames of each sequence of the scene by sequences
SPLITS = {"train": [1, 12], "val": [2]}
LISTED = {
    "train": [*range(0, 6), *range(9, 14)],
    "val": [6, 7, 8],
}  # frames of the only sequence of the scene by frames
real_data = pytest.mark.skipif(
    "KZOO_7SCENES" not in os.environ, reason="KZOO_7SCENES does not name a folder of 7-Scenes"
)


# a small scene


def seed_of(sequence, number):
    return 1000 * sequence + number


def photo(seed, size=(WIDTH, HEIGHT)):
    """A smooth random RGB picture."""
    small = np.random.default_rng(seed).integers(0, 255, (4, 5, 3), np.uint8)
    return Image.fromarray(small).resize(size, Image.Resampling.BICUBIC)


def matrix(seed):
    """A random pose (4, 4)."""
    pose = np.eye(4)
    pose[:3, :3] = Rotation.random(random_state=seed).as_matrix()
    pose[:3, 3] = np.random.default_rng(seed).normal(size=3)
    return pose


def pose_text(pose):
    return "".join("\t".join(f"{value: .7e}" for value in row) + "\t\n" for row in np.atleast_2d(pose))


def millimetres(seed):
    """(HEIGHT, WIDTH) uint16 with both numbers that mean none."""
    depth = np.random.default_rng(seed).integers(400, 4000, (HEIGHT, WIDTH)).astype(np.uint16)
    depth[0, :2] = 0, 65535
    return depth


def write_frame(folder, sequence, number, suffix, depth):
    folder.mkdir(parents=True, exist_ok=True)
    stem, seed = folder / f"frame-{number:06d}", seed_of(sequence, number)
    photo(seed).save(f"{stem}.color{suffix}")
    pathlib.Path(f"{stem}.pose.txt").write_text(pose_text(matrix(seed)))
    if depth:
        Image.fromarray(millimetres(seed)).save(f"{stem}.depth.png")


def write_sequences(root):
    """The official layout."""
    for sequence, length in LENGTHS.items():
        for number in range(length):
            write_frame(root / f"seq-{sequence:02d}", sequence, number, ".png", depth=True)
        (root / f"seq-{sequence:02d}" / "Thumbs.db").write_bytes(b"other")
    for name, numbers in {"TrainSplit.txt": SPLITS["train"], "TestSplit.txt": SPLITS["val"]}.items():
        (root / name).write_text("".join(f"sequence{number}\r\n" for number in numbers))
    return root


def write_lists(root):
    """The layout whose lists name frames."""
    for number in range(20):
        write_frame(root / "seq-01", 1, number, ".jpg", depth=False)
    for name, numbers in {"train.txt": LISTED["train"], "test.txt": LISTED["val"]}.items():
        (root / name).write_text("".join(f"seq-01/frame-{number:06d}\n" for number in numbers))
    return root


WRITERS = {"sequences": write_sequences, "frames": write_lists}
EXPECTED = {  # layout -> split -> (sequence, frame)
    "sequences": {split: [(s, n) for s in numbers for n in range(LENGTHS[s])] for split, numbers in SPLITS.items()},
    "frames": {split: [(1, n) for n in numbers] for split, numbers in LISTED.items()},
}


def prepared(tmp_path, source, **kwargs):
    """A builder whose data are prepared."""
    builder = Builder(data_dir=tmp_path / "prepared", data_source=source, **kwargs)
    builder.download_and_prepare()
    return builder


def examples(builder, split, **kwargs):
    """Examples of a split, in the order of time."""
    found = tfds.as_numpy(builder.as_dataset(split=split, **kwargs))
    return sorted(found, key=lambda example: (int(example["sequence"]), int(example["frame"])))


def assert_pose(position, rotation, seed):
    """They are those of the file, by SciPy."""
    wanted = matrix(seed)
    np.testing.assert_allclose(position, wanted[:3, 3], atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(rotation), 1, atol=1e-6)
    assert rotation[0] >= 0 and position.dtype == rotation.dtype == np.float32
    np.testing.assert_allclose(Rotation.from_quat(rotation[[1, 2, 3, 0]]).as_matrix(), wanted[:3, :3], atol=2e-6)


# poses


def test_quaternions_are_scipys():
    """Random rotations, and half turns and all but half turns about the axes, their diagonals and random axes, where w
    is about 0."""
    rng = np.random.default_rng(0)
    axes = np.concatenate([np.array(np.meshgrid(*[[-1, 0, 1]] * 3)).reshape(3, -1).T, rng.normal(size=(200, 3))])
    axes = axes[np.linalg.norm(axes, axis=1) > 0]
    axes /= np.linalg.norm(axes, axis=1, keepdims=True)
    turns = [Rotation.from_rotvec(axes * (np.pi - short)) for short in (0, 1e-9, 1e-7, 1e-4)]
    rotations = Rotation.concatenate(
        [Rotation.random(10_000, random_state=1), *turns, Rotation.from_rotvec(1e-9 * axes)]
    )
    found = np.array([poses.quaternion_of(rotation) for rotation in rotations.as_matrix()])
    wanted = rotations.as_quat()[:, [3, 0, 1, 2]]
    assert found.dtype == np.float32 and (found[:, 0] >= 0).all()
    np.testing.assert_allclose(np.abs((found * wanted).sum(1)), 1, atol=1e-6)
    clear = np.abs(wanted[:, 0]) > 1e-6  # elsewhere both signs are right
    np.testing.assert_allclose(found[clear], wanted[clear] * np.sign(wanted[clear, :1]), atol=1e-6)


def test_the_nearest_rotation_is_taken():
    """Noise within the tolerance is removed: what is left is the orthogonal factor of SciPy's polar decomposition."""
    for seed in range(20):
        pose = matrix(seed)
        pose[:3, :3] += np.random.default_rng(seed).uniform(-8e-4, 8e-4, (3, 3))
        nearest, _ = scipy.linalg.polar(pose[:3, :3])
        np.testing.assert_allclose(poses.nearest_rotation(pose[:3, :3]), nearest, atol=1e-12)
        _, rotation = poses.pose_of(pose, "pose")
        np.testing.assert_allclose(Rotation.from_quat(rotation[[1, 2, 3, 0]]).as_matrix(), nearest, atol=1e-6)


def edited(edit):
    pose = matrix(5)
    edit(pose)
    return pose_text(pose)


def put(place, value):
    return edited(lambda pose: pose.__setitem__(place, value))


POSES = {  # damage -> (text of the file, words of the message)
    "nan": (put((1, 1), np.nan), ["not finite", "nan"]),
    "infinite position": (put((0, 3), -np.inf), ["not finite", "-inf"]),
    "mirrored": (edited(lambda pose: pose.__setitem__((slice(3), 0), -pose[:3, 0])), ["mirrored", "-1.0000"]),
    "scaled by 1 %": (
        edited(lambda pose: pose.__setitem__((slice(3), slice(3)), 1.01 * pose[:3, :3])),
        ["no rotation", "0.02"],
    ),
    "all 0": (edited(lambda pose: pose.__setitem__((slice(3), slice(3)), 0)), ["no rotation"]),
    "world to camera, transposed": (pose_text(matrix(5).T), ["last row", "0 0 0 1"]),
    "cut after two rows": (pose_text(matrix(5)[:2]), ["[4, 4]", "4 rows of 4"]),
    "cut within a row": (pose_text(matrix(5))[:-20], ["[4, 4, 4, 3]", "4 rows of 4"]),
    "3x4": (pose_text(matrix(5)[:3]), ["[4, 4, 4]"]),
    "empty": ("", ["[]"]),
    "words": ("a b c d\n" * 4, ["no numbers"]),
}


@pytest.mark.parametrize("name", POSES)
def test_broken_poses_are_refused(tmp_path, name):
    text, words = POSES[name]
    path = write_lists(tmp_path / "scene") / "seq-01" / "frame-000003.pose.txt"
    path.write_text(text)
    with pytest.raises(ValueError) as caught:
        sources.find_splits(sources.find_source(tmp_path / "scene"))
    message = str(caught.value)
    assert message.startswith(f"{path}: ") and "\n" not in message
    assert all(word in message for word in words), message


def test_windows_end_with_their_run():
    assert poses.window(0, 30, 3, 10) == [0, 0, 10] and poses.window(29, 30, 3, 10) == [19, 29, 29]
    assert poses.window(15, 30, 3, 10) == [5, 15, 25] and poses.window(0, 1, 3, 10) == [0, 0, 0]
    assert poses.window(4, 30, 5, 1) == [2, 3, 4, 5, 6]


# what is read


@pytest.mark.parametrize("given", ["folder", "parent"])
@pytest.mark.parametrize("layout", WRITERS)
def test_layouts(tmp_path, layout, given):
    root = WRITERS[layout](tmp_path / "data" / "kitchen")
    source = root if given == "folder" else root.parent
    builder = prepared(tmp_path, source)
    expected = EXPECTED[layout]
    assert {name: split.num_examples for name, split in builder.info.splits.items()} == {
        s: len(rows) for s, rows in expected.items()
    }
    for split, rows in expected.items():
        for (sequence, number), example in zip(rows, examples(builder, split), strict=True):
            assert (example["sequence"], example["frame"]) == (sequence, number)
            seed = seed_of(sequence, number)
            assert_pose(example["position"], example["rotation"], seed)
            assert np.abs(example["image"].astype(float) - np.asarray(photo(seed))).mean() < (
                0.01 if layout == "sequences" else 3
            )
            np.testing.assert_allclose(example["intrinsics"], [[58.5, 0, 32], [0, 58.5, 24], [0, 0, 1]])
    metadata = builder.info.metadata
    assert (metadata["source"], metadata["source_path"], metadata["scene"]) == (layout, str(source), "kitchen")
    assert metadata["pose"] == ["x", "y", "z", "qw", "qx", "qy", "qz"]
    assert builder.builder_config.name == "frames" and "depth" not in builder.info.features
    runs = {"sequences": {"train": 2, "val": 1}, "frames": {"train": 2, "val": 1}}[layout]
    for split, rows in expected.items():
        wanted = {
            "frames": len(rows),
            "sequences": len({s for s, _ in rows}),
            "runs": runs[split],
            "converted_pictures": 0,
            "turned_pictures": 0,
        }
        assert metadata["counts"][split] == wanted


@pytest.mark.parametrize("layout", WRITERS)
def test_pictures_are_stored_as_they_are(tmp_path, layout):
    root = WRITERS[layout](tmp_path / "scene")
    other = root / EXPECTED_FILE[layout]
    photo(7).convert("L").save(other)
    builder = prepared(tmp_path, root)
    stored = examples(builder, "val", decoders={"image": tfds.decode.SkipDecoding()})
    for example in stored:
        name = f"seq-{example['sequence']:02d}/frame-{example['frame']:06d}.color{other.suffix}"
        if root / name == other:
            assert example["image"][1:4] == b"PNG"
        else:
            assert example["image"] == (root / name).read_bytes()
    assert builder.info.metadata["counts"]["val"]["converted_pictures"] == 1


EXPECTED_FILE = {"sequences": "seq-02/frame-000001.color.png", "frames": "seq-01/frame-000007.color.jpg"}


def test_depth(tmp_path):
    builder = prepared(tmp_path, write_sequences(tmp_path / "scene"), config="depth")
    for example in examples(builder, "val"):
        wanted = millimetres(seed_of(2, int(example["frame"]))) / 1000
        wanted[0, :2] = 0
        assert example["depth"].dtype == np.float32
        np.testing.assert_allclose(example["depth"], wanted, atol=1e-6)


RUNS = {  # layout -> split -> (sequence, frames) of each run; a window must not reach beyond it
    "sequences": {"train": [(1, range(25)), (12, range(7))], "val": [(2, range(4))]},
    "frames": {"train": [(1, range(0, 6)), (1, range(9, 14))], "val": [(1, range(6, 9))]},
}


@pytest.mark.parametrize("layout", WRITERS)
def test_windows(tmp_path, monkeypatch, layout):
    """Frames ten apart, clamped at the ends of each run; every file is read once."""
    read, opened = pictures.content_of, []
    root = WRITERS[layout](tmp_path / "scene")
    monkeypatch.setattr(pictures, "content_of", lambda path: opened.append(path.name) or read(path))
    builder = prepared(tmp_path, root, config="windows")
    names = [f"{path.parent.name}/{path.name}" for path in root.glob("seq-*/*.color.*")]
    count = sum(len(rows) for rows in EXPECTED[layout].values())
    assert sum(".color." in name for name in opened) == count <= len(names)
    assert set(builder.info.features) == {"frames", "position", "rotation", "sequence", "frame"}
    for split, found_runs in RUNS[layout].items():
        found = {(int(e["sequence"]), int(e["frame"])): e for e in examples(builder, split)}
        assert len(found) == len(EXPECTED[layout][split])
        for sequence, numbers in found_runs:
            for number in numbers:
                example = found[sequence, number]
                assert example["frames"].shape == (3, HEIGHT, WIDTH, 3)
                wanted = [max(number - 10, numbers[0]), number, min(number + 10, numbers[-1])]
                for step, frame in enumerate(wanted):
                    seed = seed_of(sequence, frame)
                    assert_pose(example["position"][step], example["rotation"][step], seed)
                    assert np.abs(example["frames"][step].astype(float) - np.asarray(photo(seed))).mean() < 3


@pytest.mark.parametrize("layout", WRITERS)
def test_pipeline(tmp_path, layout):
    """Both kinds of pictures come through the input pipeline, single and in windows."""
    root = WRITERS[layout](tmp_path / "scene")
    for config, reads, shape in (
        ("frames", "image", (3, HEIGHT, WIDTH, 3)),
        ("windows", "frames", (3, 3, HEIGHT, WIDTH, 3)),
    ):
        builder = prepared(tmp_path, root, config=config)
        view = transforms.View((HEIGHT, WIDTH), {}, ("sequence", "frame"), reads=(reads,))
        batch = next(pipeline.pipeline(builder, "val", view, batch_size=3).as_numpy_iterator())
        pictures, extras = batch[0], batch[-1]
        assert pictures.shape == shape and pictures.dtype == np.uint8
        middle = pictures if config == "frames" else pictures[:, 1]
        for picture, sequence, number in zip(middle, extras["sequence"], extras["frame"], strict=True):
            assert np.abs(picture.astype(float) - np.asarray(photo(seed_of(sequence, number)))).mean() < 3


# what is refused


def remove(name):
    def damage(root):
        path = root / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()

    return damage


def replace(name, content):
    return lambda root: (root / name).write_bytes(content)


def cut(name):
    return lambda root: (root / name).write_bytes((root / name).read_bytes()[:200])


def copy(name, to):
    return lambda root: (shutil.copytree if (root / name).is_dir() else shutil.copy)(root / name, root / to)


def resize(name):
    return lambda root: photo(3, (WIDTH, HEIGHT - 8)).save(root / name)


def pack(root):
    shutil.make_archive(root / "seq-02", "zip", root / "seq-02")
    shutil.rmtree(root / "seq-02")


# name -> (layout, damage, words of the message)
REFUSED = {
    "no lists": (
        "sequences",
        remove("TestSplit.txt"),
        ["no scene of 7-Scenes", "TestSplit.txt", "train.txt", "found: TrainSplit.txt"],
    ),
    "two kinds of lists": ("sequences", write_lists, ["both TrainSplit.txt and train.txt"]),
    "no sequence": ("sequences", remove("seq-02"), ["seq-02", "missing", "seq-01"]),
    "packed sequence": ("sequences", pack, ["seq-02", "unpacked first"]),
    "sequence without frames": (
        "sequences",
        lambda root: [p.unlink() for p in (root / "seq-02").glob("frame*")],
        ["seq-02", "no frame-"],
    ),
    "no pose": ("sequences", remove("seq-01/frame-000003.pose.txt"), ["seq-01/frame-000003.pose.txt is missing"]),
    "no picture": ("sequences", remove("seq-01/frame-000003.color.png"), ["seq-01/frame-000003.color.png", "missing"]),
    "listed frame missing": (
        "frames",
        replace("test.txt", b"seq-01/frame-000099\n"),
        ["frame-000099.color.png (or .jpg) is missing"],
    ),
    "picture twice": (
        "frames",
        copy("seq-01/frame-000003.color.jpg", "seq-01/frame-000003.color.png"),
        ["frame-000003", "same frame"],
    ),
    "line that is no frame": (
        "frames",
        replace("train.txt", b"seq-01/frame-000001\nframe one\n"),
        ["train.txt", "line 2", "'frame one'"],
    ),
    "line that is no sequence": (
        "sequences",
        replace("TestSplit.txt", b"kitchen\n"),
        ["TestSplit.txt", "line 1", "'sequence1'"],
    ),
    "line twice": ("frames", replace("train.txt", 2 * b"seq-01/frame-000001\n"), ["train.txt", "line 2", "again"]),
    "empty list": ("frames", replace("test.txt", b"\n"), ["test.txt", "no frames"]),
    "list that is no text": ("frames", replace("test.txt", b"\xff\xfe\x00"), ["test.txt", "not a readable text file"]),
    "frame in both splits": (
        "frames",
        replace("test.txt", b"seq-01/frame-000003\n"),
        ["seq-01/frame-000003", "both splits"],
    ),
    "sequence in both splits": (
        "sequences",
        replace("TestSplit.txt", b"sequence1\n"),
        ["seq-01/frame-000000", "both splits"],
    ),
    "cut picture": ("frames", cut("seq-01/frame-000003.color.jpg"), ["frame-000003.color.jpg", "cannot be read"]),
    "not a picture": (
        "frames",
        replace("seq-01/frame-000003.color.jpg", b"<html>"),
        ["frame-000003.color.jpg", "cannot be read"],
    ),
    "picture of another size": (
        "sequences",
        resize("seq-01/frame-000003.color.png"),
        ["frame-000003.color.png", "64x40", "64x48"],
    ),
}
DEPTH_REFUSED = {
    "no depth": (
        "sequences",
        remove("seq-01/frame-000003.depth.png"),
        ["frame-000003.depth.png is missing", "official"],
    ),
    "depth in colours": (
        "sequences",
        resize("seq-01/frame-000003.depth.png"),
        ["frame-000003.depth.png", "mode RGB", "16 bits"],
    ),
    "cut depth": ("sequences", cut("seq-01/frame-000003.depth.png"), ["frame-000003.depth.png", "cannot be read"]),
    "depth of another size": (
        "sequences",
        lambda root: Image.fromarray(millimetres(3)[:-8]).save(root / "seq-01/frame-000003.depth.png"),
        ["frame-000003.depth.png", "64x40", "64x48"],
    ),
}
CASES = [(config, name) for config, table in (("frames", REFUSED), ("depth", DEPTH_REFUSED)) for name in table]


@pytest.mark.parametrize(("config", "name"), CASES)
def test_broken_sources_are_refused_in_one_line(tmp_path, config, name):
    layout, damage, words = {**REFUSED, **DEPTH_REFUSED}[name]
    root = WRITERS[layout](tmp_path / "scene")
    damage(root)
    builder = Builder(data_dir=tmp_path / "prepared", data_source=root, config=config)
    with pytest.raises((ValueError, FileNotFoundError)) as caught:
        builder.download_and_prepare()
    message = str(caught.value)
    assert "\n" not in message and " at 0x" not in message
    assert all(word in message for word in words), message
    assert not builder.is_prepared() and not list((tmp_path / "prepared").rglob("*.tfrecord*"))


def test_all_scenes_at_once_are_refused(tmp_path):
    for scene in ("chess", "fire"):
        write_lists(tmp_path / "data" / scene)
    with pytest.raises(ValueError, match="several scenes: chess, fire; give the folder of one"):
        sources.find_source(tmp_path / "data")


@pytest.mark.parametrize("name", ["nothing", "file"])
def test_no_folder_is_refused(tmp_path, name):
    (tmp_path / "file").write_text("")
    with pytest.raises(FileNotFoundError, match=f"{name}: no such folder"):
        prepared(tmp_path, tmp_path / name)


def test_without_a_source(tmp_path):
    """No manual folder: TFDS's error says what to put where."""
    config = tfds.download.DownloadConfig(manual_dir=tmp_path / "manual")
    with pytest.raises(AssertionError, match="TrainSplit.txt"):
        Builder(data_dir=tmp_path / "prepared").download_and_prepare(download_config=config)


# prepared data


class TestBuilder(tfds.testing.DatasetBuilderTestCase):
    """TFDS's own test of a builder, on a generated manual folder."""

    DATASET_CLASS = Builder
    BUILDER_CONFIG_NAMES_TO_TEST: ClassVar = ["frames", "windows"]
    SPLITS: ClassVar = {split: len(rows) for split, rows in EXPECTED["frames"].items()}

    @classmethod
    def setUpClass(cls):
        folder = pathlib.Path(tfds.testing.make_tmp_dir())
        cls.addClassCleanup(shutil.rmtree, folder, ignore_errors=True)
        cls.EXAMPLE_DIR = write_lists(folder)
        super().setUpClass()


def test_another_source_is_refused(tmp_path, capsys):
    first, second = write_lists(tmp_path / "first"), write_lists(tmp_path / "second")
    prepared(tmp_path, first)
    assert "seven_scenes/frames val: frames 3, sequences 1, runs 1\n" in capsys.readouterr().out
    with pytest.raises(ValueError, match="was prepared from .*first, not from .*second"):
        prepared(tmp_path, second)
    again = Builder(data_dir=tmp_path / "prepared")
    again.download_and_prepare()
    assert again.info.metadata["source_path"] == str(first) == prepared(tmp_path, first).info.metadata["source_path"]


def test_pickled(tmp_path):
    """What multi-process readers do."""
    builder = Builder(data_dir=tmp_path / "prepared", data_source=write_lists(tmp_path / "scene"), config="windows")
    copied = pickle.loads(pickle.dumps(builder))
    copied.download_and_prepare()
    assert (
        copied.info.full_name == "seven_scenes/windows/1.0.0"
        and len(examples(pickle.loads(pickle.dumps(copied)), "val")) == 3
    )


# real frames


@real_data
def test_real_frames():
    """The kitchen's thousand frames: sizes, runs, and what needs no network."""
    source = sources.find_source(os.environ["KZOO_7SCENES"])
    splits = sources.find_splits(source)
    assert {split: len(frames) for split, frames in splits.items()} == {"train": 760, "val": 200}
    ends = {split: [(run[0].number, run[-1].number) for run in poses.runs(frames)] for split, frames in splits.items()}
    assert ends == {"train": [(0, 289), (410, 689), (810, 999)], "val": [(300, 399), (700, 799)]}
    content, size = poses.read_picture(splits["val"][0].picture, {})
    assert size == (320, 240) and content[:2] == b"\xff\xd8"
    np.testing.assert_allclose(sources.intrinsics(size), [[292.5, 0, 160], [0, 292.5, 120], [0, 0, 1]])
    train, val = (np.array([frame.position for frame in splits[split]]) for split in ("train", "val"))
    np.testing.assert_allclose(np.median(np.linalg.norm(val - train.mean(0), axis=1)), 0.76, atol=0.005)
    nearest = np.linalg.norm(val[:, None] - train, axis=-1).min(1)
    np.testing.assert_allclose(np.median(nearest), 0.15, atol=0.005)
