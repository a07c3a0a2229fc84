"""The builder of DeepLoc on a small generated folder: tables of poses, masks, sequences, windows, and what is
refused."""

import pickle
import shutil

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image
from scipy.spatial.transform import Rotation

from kzoo.data import pipeline, transforms
from kzoo.datasets.deeploc import sources
from kzoo.datasets.deeploc.deeploc_dataset_builder import Builder

WIDTH, HEIGHT = 64, 36
RUNS = {"train": [range(3, 15), range(100, 106)], "val": [range(40, 45)]}  # frame numbers of each sequence
FRAMES = {split: [number for run in runs for number in run] for split, runs in RUNS.items()}
FOLDERS = {"train": "train", "val": "test"}
COLUMNS = ["img_name", "x", "y", "z", "qw", "qx", "qy", "qz"]


# a small DeepLoc


def photo(seed):
    """A smooth random RGB picture."""
    small = np.random.default_rng(seed).integers(0, 255, (4, 5, 3), np.uint8)
    return Image.fromarray(small).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)


def ids(seed):
    """(HEIGHT, WIDTH) uint8: blocks of 4x4 pixels of the ten classes and 255."""
    numbers = np.array([*range(10), 255], np.uint8)[np.arange(HEIGHT * WIDTH // 16) % 11]
    blocks = np.random.default_rng(seed).permutation(numbers).reshape(HEIGHT // 4, WIDTH // 4)
    return np.kron(blocks, np.ones((4, 4), np.uint8))


def pose(seed):
    """Position and quaternion w, x, y, z, of either sign."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=3) * 30, Rotation.random(random_state=seed).as_quat()[[3, 0, 1, 2]] * rng.choice([-1, 1])


def row(number, columns=COLUMNS, separator=" ", suffix=""):
    values = [f"Image_{number}{suffix}", *(f"{value:.8f}" for value in np.concatenate(pose(number)))]
    return separator.join(dict(zip(COLUMNS, values, strict=True))[column] for column in columns) + "\n"


def write(root, pictures="LeftImages", table="poses.txt", test="test", text=None):
    """DeepLoc; the labels of even frames; `text`: frame numbers -> the table's text."""
    text = text or (lambda numbers: " ".join(COLUMNS) + "\n" + "".join(row(number) for number in numbers))
    for split, numbers in FRAMES.items():
        folder = root / (test if split == "val" else "train")
        for name in (pictures, "labels", "labels_colorized"):
            (folder / name).mkdir(parents=True)
        for number in numbers:
            photo(number).save(folder / pictures / f"Image_{number}.png")
            if number % 2 == 0:
                Image.fromarray(ids(number)).save(folder / "labels" / f"Image_{number}.png")
                photo(number).save(folder / "labels_colorized" / f"Image_{number}.png")
        (folder / table).write_text(text(numbers[::-1]))  # in no order of time
    return root


REORDERED = [*COLUMNS[:1], *COLUMNS[4:], *COLUMNS[1:4]]
WRITERS = {  # ways to the same examples
    "published": write,
    "validation": lambda root: write(root, test="validation"),
    "other names": lambda root: write(root, pictures="left", table="Poses.txt", test="val"),
    "no header": lambda root: write(root, text=lambda numbers: "".join(row(number) for number in numbers)),
    "commas": lambda root: write(
        root, text=lambda numbers: "".join(row(number, separator=", ", suffix=".png") for number in numbers)
    ),
    "columns in another order": lambda root: write(
        root, text=lambda numbers: " ".join(REORDERED) + "\n" + "".join(row(number, REORDERED) for number in numbers)
    ),
}


def prepared(tmp_path, source, **kwargs):
    """A builder whose data are prepared."""
    builder = Builder(data_dir=tmp_path / "prepared", data_source=source, **kwargs)
    builder.download_and_prepare()
    return builder


def examples(builder, split):
    """Examples of a split, in the order of time."""
    return sorted(
        tfds.as_numpy(builder.as_dataset(split=split)),
        key=lambda example: (int(example["sequence"]), int(example["frame"])),
    )


def assert_pose(position, rotation, number):
    wanted, quaternion = pose(number)
    np.testing.assert_allclose(position, wanted, atol=1e-5)
    np.testing.assert_allclose(rotation, quaternion * np.sign(quaternion[0]), atol=1e-6)
    assert position.dtype == rotation.dtype == np.float32


# what is read


@pytest.mark.parametrize("layout", WRITERS)
def test_layouts(tmp_path, layout):
    builder = prepared(tmp_path, WRITERS[layout](tmp_path / "data" / "DeepLoc"))
    sequences = {"train": [0] * 12 + [1] * 6, "val": [2] * 5}
    for split, numbers in FRAMES.items():
        for number, sequence, example in zip(numbers, sequences[split], examples(builder, split), strict=True):
            assert (example["frame"], example["sequence"]) == (number, sequence)
            assert_pose(example["position"], example["rotation"], number)
            np.testing.assert_array_equal(example["image"], photo(number))
            wanted = ids(number) if number % 2 == 0 else np.full((HEIGHT, WIDTH), 255)
            np.testing.assert_array_equal(example["mask"][..., 0], wanted)
    metadata = builder.info.metadata
    assert metadata["pose"] == ["x", "y", "z", "qw", "qx", "qy", "qz"] and metadata["source_path"] == str(
        tmp_path / "data" / "DeepLoc"
    )
    assert (
        tuple(metadata["classes"]) == sources.CLASSES and len(sources.CLASSES) == 10 and metadata["flip_classes"] == []
    )
    for split, counts in metadata["counts"].items():
        labelled = sum(number % 2 == 0 for number in FRAMES[split])
        wanted = {"frames": len(FRAMES[split]), "sequences": len(RUNS[split]), "labelled_frames": labelled}
        assert counts == {**dict.fromkeys(sources.COUNTS, 0), **wanted}


def test_without_labels_and_with_more_pictures(tmp_path):
    """Without labels all of a mask is 255; a picture without pose is left out and counted, with its label."""
    root = write(tmp_path / "DeepLoc")
    shutil.rmtree(root / "test" / "labels")
    photo(50).save(root / "train" / "LeftImages" / "Image_50.png")
    Image.fromarray(ids(50)).save(root / "train" / "labels" / "Image_50.png")
    builder = prepared(tmp_path, root.parent)
    assert all((example["mask"] == 255).all() for example in examples(builder, "val"))
    counts = builder.info.metadata["counts"]
    assert counts["val"]["labelled_frames"] == 0
    assert (
        counts["train"]["frames"],
        counts["train"]["pictures_without_pose"],
        counts["train"]["labels_without_pose"],
    ) == (18, 1, 1)


def test_windows(tmp_path):
    """Ten apart, clamped at the ends of each sequence."""
    builder = prepared(tmp_path, write(tmp_path / "DeepLoc"), config="windows")
    assert set(builder.info.features) == {"frames", "position", "rotation", "sequence", "frame"}
    for split, runs in RUNS.items():
        found = {int(example["frame"]): example for example in examples(builder, split)}
        assert sorted(found) == FRAMES[split]
        for run in runs:
            for number in run:
                wanted = [max(number - 10, run[0]), number, min(number + 10, run[-1])]
                for step, frame in enumerate(wanted):
                    assert_pose(found[number]["position"][step], found[number]["rotation"][step], frame)
                    np.testing.assert_array_equal(found[number]["frames"][step], photo(frame))


def test_pipeline(tmp_path):
    builder = prepared(tmp_path, write(tmp_path / "DeepLoc"))
    view = transforms.View((HEIGHT, WIDTH), {"logits": "mask"}, ("frame",))
    ((image, labels, extras),) = pipeline.pipeline(builder, "val", view, batch_size=5).as_numpy_iterator()
    for row_, number in enumerate(extras["frame"]):
        np.testing.assert_array_equal(image[row_], photo(number))
        np.testing.assert_array_equal(labels["logits"][row_], ids(number) if number % 2 == 0 else 255)


# what is refused


def remove(name):
    def damage(root):
        path = root / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()

    return damage


def relabel(edit):
    return lambda root: Image.fromarray(edit(ids(4))).save(root / "train/labels/Image_4.png")


def table(text):
    return lambda root: (root / "train/poses.txt").write_text(text)


def words_of(number, place, value):
    words = row(number).split()
    words[place] = value
    return " ".join(words) + "\n"


# name -> (damage, words of the message)
REFUSED = {
    "no training folder": (remove("train"), ["no DeepLoc", "train", "found: test"]),
    "no test folder": (remove("test"), ["test or validation or val", "found: train"]),
    "two test folders": (lambda root: shutil.copytree(root / "test", root / "val"), ["test and val", "only one"]),
    "no pictures": (
        remove("train/LeftImages"),
        ["train", "leftimages or left", "found: labels, labels_colorized, poses.txt"],
    ),
    "no table": (remove("test/poses.txt"), ["test", "poses.txt", "found: LeftImages, labels"]),
    "picture missing": (remove("train/LeftImages/Image_5.png"), ["poses.txt", "no picture Image_5", "LeftImages"]),
    "empty table": (table(" ".join(COLUMNS) + "\n"), ["poses.txt", "no poses"]),
    "pose twice": (table(2 * row(5)), ["poses.txt", "line 2", "frame 5", "already"]),
    "nan": (table(row(5) + words_of(6, 5, "nan")), ["poses.txt", "line 2", "not finite"]),
    "quaternion of another length": (table(words_of(6, 4, "1.5")), ["poses.txt", "line 1", "quaternion", "length"]),
    "word": (table(row(5) + words_of(6, 2, "north")), ["poses.txt", "line 2", "north", "qw"]),
    "cut line": (table(row(5) + row(6)[:40]), ["poses.txt", "line 2", "expected 8"]),
    "no number": (table(words_of(6, 0, "Image")), ["poses.txt", "line 1", "Image_17"]),
    "class number 10": (relabel(lambda m: np.where(m == 3, 10, m).astype(np.uint8)), ["Image_4.png", "[10]", "0 to 9"]),
    "label of another size": (relabel(lambda m: m[:, :-8]), ["labels/Image_4.png", "56x36", "64x36"]),
    "label in colours": (relabel(lambda m: np.repeat(m[..., None], 3, 2)), ["labels/Image_4.png", "mode RGB"]),
    "two labels of a frame": (
        lambda root: shutil.copy(root / "train/labels/Image_4.png", root / "train/labels/Image_4_b.png"),
        ["Image_4_b.png", "same frame"],
    ),
    "cut picture": (
        lambda root: (root / "train/LeftImages/Image_5.png").write_bytes(b"\x89PNG\r\n\x1a\n"),
        ["LeftImages/Image_5.png", "cannot be read"],
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_broken_sources_are_refused_in_one_line(tmp_path, name):
    damage, words = REFUSED[name]
    root = write(tmp_path / "data" / "DeepLoc")
    damage(root)
    builder = Builder(data_dir=tmp_path / "prepared", data_source=root)
    with pytest.raises((ValueError, FileNotFoundError)) as caught:
        builder.download_and_prepare()
    message = str(caught.value)
    assert "\n" not in message and " at 0x" not in message
    assert all(word in message for word in words), message
    assert not builder.is_prepared() and not list((tmp_path / "prepared").rglob("*.tfrecord*"))


def test_a_parent_of_two_is_refused(tmp_path):
    for name in ("one", "two"):
        write(tmp_path / "data" / name)
    with pytest.raises(ValueError, match="more than one DeepLoc: one, two"):
        sources.find_source(tmp_path / "data")


def test_no_folder_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="nothing: no such folder"):
        prepared(tmp_path, tmp_path / "nothing")


# prepared data


def test_pickled_and_from_another_source(tmp_path, capsys):
    first, second = write(tmp_path / "first"), write(tmp_path / "second")
    builder = pickle.loads(pickle.dumps(Builder(data_dir=tmp_path / "prepared", data_source=first)))
    builder.download_and_prepare()
    assert (
        builder.info.full_name == "deeploc/frames/1.0.0"
        and len(examples(pickle.loads(pickle.dumps(builder)), "val")) == 5
    )
    assert "deeploc/frames val: frames 5, sequences 1, labelled_frames 3\n" in capsys.readouterr().out
    with pytest.raises(ValueError, match="was prepared from .*first, not from .*second"):
        prepared(tmp_path, second)
