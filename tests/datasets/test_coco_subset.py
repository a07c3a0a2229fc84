"""The COCO subset builder on small generated folders: sources, configs, geometry, and what is refused or counted.

KZOO_COCO=<COCO folder> adds the tests on real pictures.
"""

import functools
import http.server
import io
import json
import os
import pathlib
import pickle
import shutil
import subprocess
import sys
import threading
import zipfile
from typing import ClassVar
from unittest import mock

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image
from pycocotools import mask as coco_mask

from kzoo.datasets.coco_subset import classes, masks, records, sources
from kzoo.datasets.coco_subset.coco_subset_dataset_builder import Builder

WIDTH, HEIGHT = 200, 160
BOX = [50.5, 30.25, 60.0, 100.0]
POLYGON = [60.0, 40.0, 100.0, 40.0, 100.0, 120.0, 60.0, 120.0]
FIRST_IDS = {"train": 1, "val": 11}
CONFIGS = ("pose", "seg", "things")
real_data = pytest.mark.skipif("KZOO_COCO" not in os.environ, reason="KZOO_COCO does not name a COCO folder")


# a small COCO folder


def joints(labelled=17, box=BOX):
    """51 numbers: the first `labelled` joints lie in the box, the others are unlabelled."""
    rng = np.random.default_rng(labelled)
    points = np.array(box[:2]) + rng.uniform(0.05, 0.95, (17, 2)) * box[2:]
    visible = np.where(np.arange(17) < labelled, 1 + np.arange(17) % 2, 0)
    return [round(float(value), 3) for value in np.column_stack([points * (visible > 0)[:, None], visible]).ravel()]


def uncompressed(mask):
    """Uncompressed RLE of an (H, W) mask."""
    flat = mask.ravel(order="F")
    edges = np.flatnonzero(np.diff(flat)) + 1
    runs = np.diff([0, *edges, flat.size]).tolist()
    return {"size": list(mask.shape), "counts": runs if flat[0] == 0 else [0, *runs]}


def compressed(mask):
    """Compressed RLE of an (H, W) mask, as JSON can hold it."""
    rle = coco_mask.encode(np.asfortranarray(mask))
    return {"size": list(mask.shape), "counts": rle["counts"].decode()}


def block(left, top, right, bottom):
    """(HEIGHT, WIDTH) uint8 mask of a rectangle in pixels."""
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[top:bottom, left:right] = 1
    return mask


def tables(split):
    """File name -> content. Picture 1: two persons, a dog, a crowd; 2: a crowd, a person with few joints, a small one;
    3: nothing."""
    one, two, three = (FIRST_IDS[split] + number for number in range(3))
    images = [
        {"id": key, "file_name": f"{key:012d}.jpg", "width": WIDTH, "height": HEIGHT} for key in (one, two, three)
    ]

    def row(number, image_id, **changes):
        base = {
            "id": 100 * one + number,
            "image_id": image_id,
            "category_id": 1,
            "iscrowd": 0,
            "bbox": BOX,
            "area": 3200.0,
        }
        return {**base, "segmentation": [POLYGON], **changes}

    persons = [
        row(1, one, keypoints=joints()),
        row(2, one, keypoints=joints(9), segmentation=[]),
        row(3, two, keypoints=joints(0), iscrowd=1, segmentation=uncompressed(block(0, 0, 9, 9))),
        row(4, two, keypoints=joints(7)),
        row(5, two, keypoints=joints(8), bbox=[10, 10, 80, 63.9]),
    ]
    things = [
        row(6, one),
        row(7, one, category_id=18, segmentation=uncompressed(block(70, 50, 90, 60))),
        row(8, one, iscrowd=1, segmentation=compressed(block(0, 0, 80, 50))),
        row(9, two, segmentation=compressed(block(20, 20, 50, 90))),
    ]
    names = [{"id": key, "name": classes.CATEGORIES[key]} for key in (1, 18)]
    return {
        f"person_keypoints_{split}.json": {"images": images, "annotations": persons, "categories": names[:1]},
        f"instances_{split}.json": {"images": images, "annotations": things, "categories": names},
    }


def photo(seed, size=(WIDTH, HEIGHT)):
    """A smooth random RGB picture."""
    small = np.random.default_rng(seed).integers(0, 255, (5, 6, 3), np.uint8)
    return Image.fromarray(small).resize(size, Image.Resampling.BICUBIC)


def write_folder(root, edit=None, suffix="", pictures="images"):
    """A COCO folder at `root`. `edit` changes the train tables; `suffix` is put behind the split's name; `pictures` is
    a folder pattern."""
    (root / "annotations").mkdir(parents=True)
    for split in sources.SPLITS:
        content = tables(split)
        if edit and split == "train":
            edit(content[f"person_keypoints_{split}.json"], content[f"instances_{split}.json"])
        for name, table in content.items():
            (root / "annotations" / name.replace(split, split + suffix)).write_text(json.dumps(table))
        folder = root / pictures.format(split)
        folder.mkdir(exist_ok=True)
        for number in range(3):
            key = FIRST_IDS[split] + number
            photo(key).save(folder / f"{key:012d}.jpg", quality=95)
    return root


def write_archive(folder, crops=None):
    """The lab's layout, unpacked in `folder`/coco_subset. `crops`: split -> list of (picture, keypoints,
    segmentation)."""
    root = folder / "coco_subset"
    (root / "annotations").mkdir(parents=True)
    inner = [[40, 40, 90, 40, 90, 90], [200, 200, 220, 200, 220, 220]]
    generated = {
        split: [(photo(FIRST_IDS[split] + n, (256, 256)), joints(9 + n), inner if n != 1 else []) for n in range(3)]
        for split in FIRST_IDS
    }
    for split, rows in (crops or generated).items():
        (root / f"{split}_256").mkdir()
        records_ = []
        for number, (picture, keypoints, segmentation) in enumerate(rows):
            picture.save(root / f"{split}_256" / f"{number:05d}.jpg", quality=95)
            records_.append({"file_name": f"{number:05d}.jpg", "keypoints": keypoints, "segmentation": segmentation})
        (root / "annotations" / f"keypoints_256_{split}.json").write_text(json.dumps(records_))
    return root


def zip_archive(root, path):
    """Zips the unpacked archive at `root`, without entries for folders."""
    with zipfile.ZipFile(path, "w") as target:
        for file in sorted(root.rglob("*.*")):
            target.write(file, pathlib.PurePath("coco_subset") / file.relative_to(root))
    return path


def prepared(tmp_path, config, **kwargs):
    """A builder whose data are prepared."""
    builder = Builder(config=config, data_dir=tmp_path / "prepared", **kwargs)
    builder.download_and_prepare()
    return builder


def examples(builder, split="train", key="image_id"):
    """Examples of a split, sorted by an id."""
    return sorted(tfds.as_numpy(builder.as_dataset(split=split)), key=lambda example: int(example[key]))


def counted(builder, split="train"):
    """Counts of a split, zeros left out."""
    return {key: value for key, value in builder.info.metadata["counts"][split].items() if value}


# TFDS's own test of a builder


class _Generated(tfds.testing.DatasetBuilderTestCase):
    """The cases below on a generated manual folder."""

    __test__ = False
    DATASET_CLASS = Builder

    @classmethod
    def setUpClass(cls):
        cls.EXAMPLE_DIR = write_folder(pathlib.Path(cls.create_tempdir_path()))
        super().setUpClass()

    @classmethod
    def create_tempdir_path(cls):
        """A folder that pytest's own clean-up does not need to know."""
        folder = pathlib.Path(tfds.testing.make_tmp_dir()) / cls.__name__
        cls.addClassCleanup(shutil.rmtree, folder.parent, ignore_errors=True)
        return folder


class TestPoseBuilder(_Generated):
    __test__ = True
    BUILDER_CONFIG_NAMES_TO_TEST: ClassVar = ["pose"]
    SPLITS: ClassVar = {"train": 2, "val": 2}


class TestMaskBuilders(_Generated):
    __test__ = True
    BUILDER_CONFIG_NAMES_TO_TEST: ClassVar = ["seg", "things"]
    SPLITS: ClassVar = {"train": 3, "val": 3}


# configs


def test_pose(tmp_path):
    builder = prepared(tmp_path, "pose", data_source=write_folder(tmp_path / "coco"))
    first, second = examples(builder, key="ann_id")
    assert (first["ann_id"], first["image_id"], second["ann_id"]) == (101, 1, 102)
    assert first["image"].shape == (256, 256, 3) and first["mask"].shape == (256, 256, 1)
    np.testing.assert_allclose(first["bbox"], BOX)
    assert first["area"] == 3200
    assert set(np.unique(first["mask"])) == {0, 1} and set(np.unique(second["mask"])) == {255}
    side = 125.0
    np.testing.assert_allclose(first["mask"].sum(), 40 * 80 * (256 / side) ** 2, rtol=0.02)
    assert (second["keypoints"][9:] == 0).all() and (second["keypoints"][:9, 2] > 0).all()
    assert counted(builder) == {
        "kept": 2,
        "dropped_crowd": 1,
        "dropped_few_joints": 1,
        "dropped_small": 1,
        "unused_pictures": 2,
        "without_mask": 1,
    }


def test_crop_to_image_takes_joints_back(tmp_path):
    builder = prepared(tmp_path, "pose", data_source=write_folder(tmp_path / "coco"))
    for example, labelled in zip(examples(builder, key="ann_id"), (17, 9), strict=True):
        given = np.reshape(joints(labelled), (17, 3))
        fractions = np.column_stack([example["keypoints"][:, :2], np.ones(17)])
        pixels = (fractions @ example["crop_to_image"].T)[:, :2]
        np.testing.assert_allclose(pixels[:labelled], given[:labelled, :2], atol=1e-3)
        np.testing.assert_array_equal(example["keypoints"][:, 2], given[:, 2])


def test_seg(tmp_path):
    builder = prepared(tmp_path, "seg", data_source=write_folder(tmp_path / "coco"))
    first, second, third = examples(builder)
    mask = first["mask"][..., 0]
    assert mask.shape == (HEIGHT, WIDTH) and set(np.unique(mask)) == {0, 1, 255}
    assert mask[45, 70] == 1 and mask[20, 20] == 255 and mask[55, 80] == 1, (
        "a person lies on a crowd; a dog is background"
    )
    np.testing.assert_array_equal(second["mask"][..., 0], block(20, 20, 50, 90))
    assert not third["mask"].any()
    assert counted(builder) == {"kept": 3, "without_objects": 1, "crowd_regions": 1}


def test_things(tmp_path):
    builder = prepared(tmp_path, "things", data_source=write_folder(tmp_path / "coco"))
    mask = examples(builder)[0]["mask"][..., 0]
    assert mask[55, 80] == 17 and mask[100, 80] == 1, (
        "the small dog stays visible on the large person; category 18 is class 17"
    )
    assert len(builder.info.metadata["classes"]) == 81 and builder.info.metadata["classes"][17] == "dog"


def test_pictures_are_stored_as_they_are(tmp_path):
    root = write_folder(tmp_path / "coco")
    builder = prepared(tmp_path, "seg", data_source=root)
    stored = next(
        iter(
            builder.as_dataset(split="train", decoders={"image": tfds.decode.SkipDecoding()}).filter(
                lambda e: e["image_id"] == 2
            )
        )
    )
    assert stored["image"].numpy() == (root / "images" / f"{2:012d}.jpg").read_bytes()


def test_seg_prefers_the_person_file(tmp_path):
    root = write_folder(tmp_path / "coco")
    for split in sources.SPLITS:
        table = tables(split)[f"instances_{split}.json"]
        table["images"] = table["images"][:1]
        table["annotations"] = table["annotations"][:1]
        (root / "annotations" / f"instances_person_{split}.json").write_text(json.dumps(table))
    assert counted(prepared(tmp_path, "seg", data_source=root)) == {"kept": 1}


# sources


def as_data_source(path, _):
    return {"data_source": path}, {}


def as_manual_dir(path, _):
    return {}, {"download_config": tfds.download.DownloadConfig(manual_dir=path)}


LAYOUTS = {
    "plain": {},
    "official names": {"suffix": "2017", "pictures": "{}2017"},
    "official names, one folder": {"suffix": "2017"},
}


@pytest.mark.parametrize("given", [as_data_source, as_manual_dir])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_folder_layouts(tmp_path, layout, given):
    init, prepare = given(write_folder(tmp_path / "coco", **LAYOUTS[layout]), None)
    builder = Builder(config="pose", data_dir=tmp_path / "prepared", **init)
    builder.download_and_prepare(**prepare)
    assert builder.info.metadata["source"] == "folder" and builder.info.metadata["source_path"] == str(
        tmp_path / "coco"
    )
    assert counted(builder)["kept"] == 2


@pytest.mark.parametrize("form", ["zip", "folder of the zip", "unpacked", "folder of the unpacked"])
def test_archive(tmp_path, form):
    root = write_archive(tmp_path / "lab")
    if "zip" in form:
        (tmp_path / "zipped").mkdir()
        zip_archive(root, tmp_path / "zipped" / "coco_subset.zip")
    paths = {
        "zip": tmp_path / "zipped" / "coco_subset.zip",
        "folder of the zip": tmp_path / "zipped",
        "unpacked": root,
        "folder of the unpacked": tmp_path / "lab",
    }
    pose = prepared(tmp_path, "pose", data_source=paths[form])
    assert pose.info.metadata["source"] == "archive" and pose.info.metadata["source_path"] == str(paths[form])
    rows = examples(pose, key="ann_id")
    assert [int(row["image_id"]) for row in rows] == [0, 1, 2]
    np.testing.assert_array_equal(rows[0]["crop_to_image"], np.diag([256, 256, 1]))
    given = np.reshape(joints(9), (17, 3))
    np.testing.assert_allclose(rows[0]["keypoints"][:, :2] * 256, given[:, :2], atol=1e-3)
    low, high = given[:9, :2].min(0), given[:9, :2].max(0)
    np.testing.assert_allclose(rows[0]["bbox"], [*low, *(high - low)], atol=1e-3)
    assert rows[0]["mask"][210, 215] == 0 and rows[0]["mask"][50, 80] == 1, "only the first polygon counts"
    assert rows[0]["area"] == rows[0]["mask"].sum()
    assert set(np.unique(rows[1]["mask"])) == {255}
    seg = prepared(tmp_path, "seg", data_source=paths[form])
    assert counted(seg) == {"kept": 2, "dropped_without_mask": 1}
    with pytest.raises(ValueError, match="no labels for the config 'things'") as caught:
        prepared(tmp_path, "things", data_source=paths[form])
    assert "\n" not in str(caught.value)


def write_official(folder):
    """The three official zips, extracted as TFDS does."""
    root = write_folder(folder / "all", suffix="2017", pictures="{}2017")
    for name, inner in (("train", "train2017"), ("val", "val2017"), ("annotations", "annotations")):
        (folder / name).mkdir()
        (root / inner).rename(folder / name / inner)
    return {name: folder / name for name in sources.OFFICIAL_URLS}


@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize("manual", ["none", "other data sets"])
def test_official_download(tmp_path, config, manual):
    if manual != "none":
        (tmp_path / "downloads" / "manual" / "imagenet").mkdir(parents=True)
    folders = write_official(tmp_path / "official")
    builder = Builder(config=config, data_dir=tmp_path / "prepared")
    with mock.patch.object(tfds.download.DownloadManager, "download_and_extract", return_value=folders) as fetch:
        builder.download_and_prepare(download_dir=tmp_path / "downloads")
    fetch.assert_called_once_with(sources.OFFICIAL_URLS)
    assert (
        builder.info.metadata["source"] == "official"
        and builder.info.metadata["source_path"] == sources.OFFICIAL_URLS["annotations"]
    )
    assert counted(builder)["kept"] == {"pose": 2, "seg": 3, "things": 3}[config]


def test_zips_are_downloaded_and_extracted(tmp_path, monkeypatch):
    """TFDS's own download manager on three small zips from a local server."""
    folders = write_official(tmp_path / "official")
    for name, folder in folders.items():
        shutil.make_archive(str(tmp_path / "served" / name), "zip", folder)
    handler = functools.partial(QuietHandler, directory=tmp_path / "served")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        for name in folders:
            monkeypatch.setitem(sources.OFFICIAL_URLS, name, f"http://127.0.0.1:{server.server_port}/{name}.zip")
        builder = Builder(config="pose", data_dir=tmp_path / "prepared")
        builder.download_and_prepare(download_dir=tmp_path / "downloads")
        server.shutdown()
    assert counted(builder) == PLAIN["pose"] == counted(builder, "val")


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


def test_urls_are_recorded():
    assert set(Builder.url_infos) == set(sources.OFFICIAL_URLS.values())


def test_no_download_when_the_users_path_is_wrong(tmp_path):
    (tmp_path / "empty").mkdir()
    for path, words in (
        (tmp_path / "absent", "no such file or folder"),
        (tmp_path / "empty", "neither the lab's archive"),
    ):
        for given in (as_data_source, as_manual_dir):
            init, prepare = given(path, None)
            with (
                mock.patch.object(tfds.download.DownloadManager, "download_and_extract", side_effect=AssertionError),
                pytest.raises(FileNotFoundError, match=words),
            ):
                Builder(config="pose", data_dir=tmp_path / "prepared", **init).download_and_prepare(**prepare)


def test_another_source_is_not_answered_with_the_prepared_one(tmp_path):
    first, second = write_folder(tmp_path / "first"), write_folder(tmp_path / "second")
    prepared(tmp_path, "pose", data_source=first)
    prepared(tmp_path, "pose", data_source=first)
    prepared(tmp_path, "pose")
    with pytest.raises(ValueError, match="was prepared from .*first, not from .*second"):
        prepared(tmp_path, "pose", data_source=second)


# geometry


@pytest.mark.parametrize("seed", range(8))
def test_a_painted_joint_lands_where_its_keypoint_says(seed):
    """A bright square on black; its centre of mass in the crop against the keypoint, in pixels of the crop."""
    rng = np.random.default_rng(seed)
    side = rng.uniform(60, 1500)
    size = np.array([900, 700])
    point = rng.integers(60, size - 60)
    corner = point - side * rng.uniform(0.2, 0.8, 2)
    half = max(3, int(3 * side / 256))
    plane = np.zeros((*size[::-1], 3), np.uint8)
    plane[point[1] - half : point[1] + half, point[0] - half : point[0] + half] = 255
    crop = np.asarray(records.crop(Image.fromarray(plane), corner, side), np.float64)[..., 0]
    centres = np.arange(256) + 0.5
    found = np.array([crop.sum(0) @ centres, crop.sum(1) @ centres]) / crop.sum()
    keypoints = np.zeros((17, 3))
    keypoints[0] = [*point, 2]
    fractions = records.crop_joints(keypoints, corner, side, dict.fromkeys(records.COUNTS["pose"], 0))
    np.testing.assert_allclose(found, fractions[0, :2] * 256, atol=0.1)


def test_outside_of_the_picture_is_black():
    crop = np.asarray(records.crop(Image.new("RGB", (100, 100), "white"), np.array([50.0, -50.0]), 100.0))
    assert crop[:126].max() == 0 and crop[:, 130:].max() == 0 and crop[130:, :126].min() == 255


@pytest.mark.parametrize("corner", [(10.3, 20.7), (-60.2, -40.0), (120.0, 90.5)])
@pytest.mark.parametrize("side", [90.0, 130.7, 420.0])
def test_polygons_and_rle_give_the_same_crop_mask(corner, side):
    """Also against the polygon's own area inside the crop."""
    counts = {"bad_polygons": 0}
    rectangle = [60, 30, 150, 30, 150, 130, 60, 130]
    arguments = (np.array(corner), side, 256, (WIDTH, HEIGHT), "here", counts)
    filled = masks.crop_mask([rectangle], *arguments)
    sampled = masks.crop_mask(compressed(block(60, 30, 150, 130)), *arguments)
    width = min(150, corner[0] + side) - max(60, corner[0])
    height = min(130, corner[1] + side) - max(30, corner[1])
    expected = max(width, 0) * max(height, 0) * (256 / side) ** 2
    assert abs(filled.sum() - expected) <= 0.02 * expected + 300
    assert (filled != sampled).sum() <= 0.02 * expected + 300


# what is counted


def change(**fields):
    """An edit of the first person, in both tables."""

    def edit(persons, things):
        persons["annotations"][0].update(fields)
        things["annotations"][0].update(fields)

    return edit


def outside_crop(persons, _):
    persons["annotations"][0]["keypoints"][:6] = [1.0, 1.0, 2, 199.0, 5.0, 1]


def outside_picture(persons, _):
    box = [140, 30, 60, 100]
    persons["annotations"][0].update(bbox=box, keypoints=[205.0, 80.0, 2, *joints(box=box)[3:]])


def other_class(persons, _):
    persons["annotations"][0]["category_id"] = 18


# name -> (config, edit, counts that differ from the plain folder's)
COUNTED = {
    "joint outside the crop": ("pose", outside_crop, {"joints_outside_crop": 2}),
    "joint outside the picture": ("pose", outside_picture, {"joints_outside_picture": 1}),
    "other class": ("pose", other_class, {"kept": 1, "dropped_other_class": 1}),
    "box of no width": ("pose", change(bbox=[50, 30, 0, 100]), {"kept": 1, "dropped_bad_box": 1}),
    "box of negative height": ("pose", change(bbox=[50, 30, 60, -100]), {"kept": 1, "dropped_bad_box": 1}),
    "box with NaN": ("pose", change(bbox=[50, float("nan"), 60, 100]), {"kept": 1, "dropped_bad_box": 1}),
    "endless box": ("pose", change(bbox=[50, 30, 1e12, 100]), {"kept": 1, "dropped_bad_box": 1}),
    "box off the picture": ("pose", change(bbox=[500, 30, 60, 100]), {"kept": 1, "dropped_bad_box": 1}),
    "polygon of two points": ("pose", change(segmentation=[[1, 2, 3, 4]]), {"bad_polygons": 1, "without_mask": 2}),
    "one bad polygon of two": ("pose", change(segmentation=[[1, 2, 3, 4], POLYGON]), {"bad_polygons": 1}),
    "polygon of odd length": ("pose", change(segmentation=[[*POLYGON, 1]]), {"bad_polygons": 1, "without_mask": 2}),
    "polygon with NaN": (
        "pose",
        change(segmentation=[[float("nan"), *POLYGON[1:]]]),
        {"bad_polygons": 1, "without_mask": 2},
    ),
    "no segmentation": ("pose", change(segmentation=None), {"without_mask": 2}),
    "segmentation as a string": ("pose", change(segmentation=json.dumps([POLYGON])), {}),
    "empty segmentation as a string": ("pose", change(segmentation="[]"), {"without_mask": 2}),
    "uncompressed RLE": ("pose", change(segmentation=uncompressed(block(60, 40, 100, 120))), {}),
    "compressed RLE": ("pose", change(segmentation=compressed(block(60, 40, 100, 120))), {}),
    "picture with a person without mask": (
        "seg",
        change(segmentation=[]),
        {"kept": 2, "dropped_without_mask": 1, "crowd_regions": 0},
    ),
    "picture with a bad polygon alone": (
        "things",
        change(segmentation=[[1, 2]]),
        {"kept": 2, "dropped_without_mask": 1, "bad_polygons": 1, "crowd_regions": 0},
    ),
}
PLAIN = {
    "pose": {
        "kept": 2,
        "dropped_crowd": 1,
        "dropped_few_joints": 1,
        "dropped_small": 1,
        "unused_pictures": 2,
        "without_mask": 1,
    },
    "seg": {"kept": 3, "without_objects": 1, "crowd_regions": 1},
    "things": {"kept": 3, "without_objects": 1, "crowd_regions": 1},
}


@pytest.mark.parametrize("name", COUNTED)
def test_oddities_are_counted(tmp_path, name):
    config, edit, difference = COUNTED[name]
    source = sources.find_source(write_folder(tmp_path / "coco", edit))
    counts = dict.fromkeys(records.COUNTS[config], 0)
    found = dict(records.generate(source, config, "train", counts))
    expected = {key: value for key, value in {**PLAIN[config], **difference}.items() if value}
    got = {key: value for key, value in counts.items() if value}
    assert got == expected and len(found) == expected["kept"]
    if "RLE" in name or name == "segmentation as a string":
        np.testing.assert_allclose(found[101]["mask"].sum(), 40 * 80 * (256 / 125) ** 2, rtol=0.02)


def test_joints_outside_of_the_crop_lose_their_label(tmp_path):
    first = examples(
        prepared(tmp_path, "pose", data_source=write_folder(tmp_path / "coco", outside_crop)), key="ann_id"
    )[0]
    assert not first["keypoints"][:2].any() and (first["keypoints"][2:, 2] > 0).all()


@pytest.mark.parametrize("mode", ["L", "CMYK", "RGBA", "P"])
def test_pictures_of_other_modes(tmp_path, mode):
    """Grey, CMYK, and PNG files under a JPEG's name come out as the RGB picture they show."""
    root = write_folder(tmp_path / "coco")
    path = root / "images" / f"{1:012d}.jpg"
    shown = photo(1).convert("L").convert("RGB") if mode == "L" else photo(1)
    shown.convert(mode).save(
        path, "JPEG" if mode in ("L", "CMYK") else "PNG", **({"quality": 95} if mode in ("L", "CMYK") else {})
    )
    builder = prepared(tmp_path, "seg", data_source=root)
    assert counted(builder)["converted_pictures"] == 1
    np.testing.assert_allclose(
        examples(builder)[0]["image"].astype(float).mean((0, 1)), np.asarray(shown).mean((0, 1)), atol=4
    )


# what is refused


def repeat_annotation(persons, _):
    persons["annotations"].append(dict(persons["annotations"][0]))


def repeat_image(persons, _):
    persons["images"].append(dict(persons["images"][0]))


def lost_image(persons, _):
    persons["annotations"][0]["image_id"] = 999


def wrong_category_name(_, things):
    things["categories"][1]["name"] = "cat"


def wrong_size(persons, _):
    persons["images"][0]["width"] += 1


def no_keypoints(persons, _):
    del persons["annotations"][0]["keypoints"]


def only_crowds(persons, _):
    for row in persons["annotations"]:
        row["iscrowd"] = 1


def cut_json(root):
    path = root / "annotations" / "person_keypoints_train.json"
    path.write_bytes(path.read_bytes()[:500])


def no_table(root):
    (root / "annotations" / "person_keypoints_val.json").unlink()


def list_for_table(root):
    (root / "annotations" / "person_keypoints_train.json").write_text("[]")


def cut_picture(root):
    path = root / "images" / f"{1:012d}.jpg"
    path.write_bytes(path.read_bytes()[:900])


def no_picture(root):
    (root / "images" / f"{1:012d}.jpg").unlink()


def not_a_picture(root):
    (root / "images" / f"{1:012d}.jpg").write_bytes(b"<html>not found</html>")


SHORT = {"size": [HEIGHT, WIDTH], "counts": [5, 5]}
OTHER = {"size": [WIDTH, HEIGHT], "counts": [WIDTH * HEIGHT]}
LONG = {"size": [HEIGHT, WIDTH], "counts": compressed(np.zeros((HEIGHT, 3 * WIDTH), np.uint8))["counts"]}
BINARY = {"size": [HEIGHT, WIDTH], "counts": "ÿ"}
PICTURE = f"{1:012d}.jpg"

# name -> (config, edit of the tables, damage of the files, words of the message)
REFUSED = {
    "annotation id twice": (
        "pose",
        repeat_annotation,
        None,
        ["person_keypoints_train.json", "annotation id 101", "twice"],
    ),
    "image id twice": ("pose", repeat_image, None, ["person_keypoints_train.json", "image id 1 ", "twice"]),
    "image not listed": ("pose", lost_image, None, ["person_keypoints_train.json", "annotation 101", "image 999"]),
    "no keypoints": ("pose", no_keypoints, None, ["annotation 101", "no 'keypoints'"]),
    "too few numbers": ("pose", change(keypoints=[1, 2, 2]), None, ["annotation 101", "'keypoints'", "51 numbers"]),
    "joint that is no number": (
        "pose",
        change(keypoints=[float("nan"), *joints()[1:]]),
        None,
        ["annotation 101", "finite"],
    ),
    "visibility of 3": ("pose", change(keypoints=[1, 1, 3, *joints()[3:]]), None, ["annotation 101", "v = 0, 1 or 2"]),
    "box of three numbers": ("pose", change(bbox=[1, 2, 3]), None, ["annotation 101", "'bbox'", "4 numbers"]),
    "box of words": ("pose", change(bbox="1 2 3 4"), None, ["annotation 101", "'bbox'"]),
    "area of words": ("pose", change(area="large"), None, ["annotation 101", "'area'"]),
    "segmentation of words": (
        "pose",
        change(segmentation="none"),
        None,
        ["annotation 101", "neither polygons nor RLE"],
    ),
    "polygon of words": ("pose", change(segmentation=[["a", "b"]]), None, ["annotation 101", "polygon"]),
    "flat polygon": ("pose", change(segmentation=POLYGON), None, ["annotation 101", "polygon"]),
    "RLE that is short": ("pose", change(segmentation=SHORT), None, ["annotation 101", "does not fill"]),
    "RLE that is long": ("pose", change(segmentation=LONG), None, ["annotation 101", "does not fill"]),
    "RLE of another size": ("pose", change(segmentation=OTHER), None, ["annotation 101", "[200, 160]"]),
    "RLE of odd signs": ("pose", change(segmentation=BINARY), None, ["annotation 101", "RLE"]),
    "RLE without counts": (
        "pose",
        change(segmentation={"size": [HEIGHT, WIDTH]}),
        None,
        ["annotation 101", "without counts"],
    ),
    "picture of another size": ("pose", wrong_size, None, ["image 1:", PICTURE, "200x160", "201x160"]),
    "unknown category": (
        "things",
        change(category_id=12),
        None,
        ["instances_train.json", "annotation 106", "category 12"],
    ),
    "wrong category name": ("things", wrong_category_name, None, ["instances_train.json", "category 18", "'cat'"]),
    "cut JSON": ("pose", None, cut_json, ["person_keypoints_train.json", "not a whole JSON file"]),
    "JSON that is no table": (
        "pose",
        None,
        list_for_table,
        ["person_keypoints_train.json", "not a COCO annotation file"],
    ),
    "no JSON": ("pose", None, no_table, ["'val'", "person_keypoints_val.json", "person_keypoints_val2017.json"]),
    "cut JPEG": ("pose", None, cut_picture, ["image 1:", PICTURE, "cannot be read"]),
    "cut JPEG, seg": ("seg", None, cut_picture, ["image 1:", PICTURE, "cannot be read"]),
    "no JPEG": ("seg", None, no_picture, ["image 1:", PICTURE, "missing"]),
    "not a JPEG": ("things", None, not_a_picture, ["image 1:", PICTURE, "cannot be read"]),
    "nothing left": (
        "pose",
        only_crowds,
        None,
        ["person_keypoints_train.json", "no example is left", "dropped_crowd 5"],
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_broken_files_are_refused_in_one_line(tmp_path, name):
    config, edit, damage, words = REFUSED[name]
    root = write_folder(tmp_path / "coco", edit)
    if damage:
        damage(root)
    builder = Builder(config=config, data_dir=tmp_path / "prepared", data_source=root)
    with pytest.raises((ValueError, FileNotFoundError)) as caught:
        builder.download_and_prepare()
    message = str(caught.value)
    assert "\n" not in message and " at 0x" not in message
    assert all(word in message for word in words), message
    assert not builder.data_path.exists() and not list((tmp_path / "prepared").rglob("*.tfrecord*"))


def test_broken_zip_files_are_refused_in_one_line(tmp_path):
    archive = zip_archive(write_archive(tmp_path / "lab"), tmp_path / "coco_subset.zip")
    whole = archive.read_bytes()
    garbled = bytearray(whole)
    place = whole.index(b"train_256/00000.jpg") + 400
    garbled[place : place + 200] = bytes(200)
    for content, words in (
        (whole[: len(whole) // 2], "not a readable zip file"),
        (bytes(garbled), "00000.jpg.* cannot be read"),
    ):
        archive.write_bytes(content)
        with pytest.raises(ValueError, match=words) as caught:
            prepared(tmp_path, "pose", data_source=archive)
        assert "\n" not in str(caught.value)


def test_crop_of_another_size_is_refused(tmp_path):
    crops = {split: [(photo(0, (128, 128)), joints(), [])] for split in sources.SPLITS}
    with pytest.raises(ValueError, match="00000.jpg: picture is 128x128, its annotations are for 256x256"):
        prepared(tmp_path, "pose", data_source=write_archive(tmp_path / "lab", crops))


# half-prepared and re-loaded data


def test_what_failed_half_way_does_not_look_whole_and_can_be_repeated(tmp_path):
    """The train split is written before the val split fails."""
    root = write_folder(tmp_path / "coco")
    picture = root / "images" / f"{11:012d}.jpg"
    whole = picture.read_bytes()
    picture.write_bytes(whole[:500])
    builder = Builder(config="seg", data_dir=tmp_path / "prepared", data_source=root)
    with pytest.raises(ValueError, match="image 11"):
        builder.download_and_prepare()
    assert not builder.is_prepared() and not Builder(config="seg", data_dir=tmp_path / "prepared").is_prepared()
    assert not list((tmp_path / "prepared").rglob("*1.0.0*"))
    picture.write_bytes(whole)
    builder.download_and_prepare()
    assert counted(builder) == PLAIN["seg"] == counted(builder, "val")


def test_a_killed_preparation_does_not_look_whole(tmp_path):
    """A process that dies in the val split, without a chance to clean up, leaves TFDS's incomplete folder alone."""
    root = write_folder(tmp_path / "coco")
    code = (
        "import os, sys\n"
        "from kzoo.datasets.coco_subset import coco_subset_dataset_builder as module\n"
        "generate = module.records.generate\n"
        "module.records.generate = lambda *args: os._exit(9) if args[2] == 'val' else generate(*args)\n"
        "module.Builder(config='seg', data_dir=sys.argv[1], data_source=sys.argv[2]).download_and_prepare()\n"
    )
    run = subprocess.run([sys.executable, "-c", code, tmp_path / "prepared", root], check=False, capture_output=True)
    assert run.returncode == 9, run.stderr
    assert list((tmp_path / "prepared").rglob("*incomplete*")), "the process died too early for this test"
    builder = Builder(config="seg", data_dir=tmp_path / "prepared", data_source=root)
    assert not builder.is_prepared()
    builder.download_and_prepare()
    assert counted(builder) == PLAIN["seg"]


def test_counts_are_printed(tmp_path, capsys):
    prepared(tmp_path, "seg", data_source=write_folder(tmp_path / "coco"))
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("coco_subset/seg")]
    line = "kept 3, without_objects 1, crowd_regions 1"
    assert lines == [f"coco_subset/seg train: {line}", f"coco_subset/seg val: {line}"]


def test_metadata_in_a_new_process(tmp_path):
    root = write_folder(tmp_path / "coco")
    builder = prepared(tmp_path, "pose", data_source=root)
    imports = "import json, sys, tensorflow_datasets as tfds"
    code = f"{imports}; print(json.dumps(tfds.builder_from_directory(sys.argv[1]).info.metadata))"
    run = subprocess.run([sys.executable, "-c", code, builder.data_dir], check=True, capture_output=True, text=True)
    metadata = json.loads(run.stdout.splitlines()[-1])
    assert (
        metadata
        == dict(builder.info.metadata)
        == dict(Builder(config="pose", data_dir=tmp_path / "prepared").info.metadata)
    )
    assert metadata["classes"] == ["background", "person"] and metadata["flip_classes"] == []
    assert metadata["joints"][:2] == ["nose", "left_eye"] and len(metadata["joints"]) == 17
    assert metadata["flip_joints"] == [[number, number + 1] for number in range(1, 17, 2)]
    swapped = [name.replace("left", "right") for name in metadata["joints"]]
    assert all(swapped[left] == metadata["joints"][right] for left, right in metadata["flip_joints"])
    assert metadata["source"] == "folder" and metadata["source_path"] == str(root)
    assert set(metadata["counts"]) == {"train", "val"} and metadata["counts"]["train"]["dropped_crowd"] == 1


def test_by_name_and_pickled(tmp_path):
    """What `tfds.load` and multi-process readers do."""
    root = write_folder(tmp_path / "coco")
    builder = tfds.builder("coco_subset/seg", data_dir=tmp_path / "prepared", data_source=root)
    copy = pickle.loads(pickle.dumps(builder))
    copy.download_and_prepare()
    assert counted(copy) == PLAIN["seg"] and len(examples(pickle.loads(pickle.dumps(copy)))) == 3


def test_limited_number_of_examples(tmp_path):
    builder = Builder(config="pose", data_dir=tmp_path / "prepared", data_source=write_folder(tmp_path / "coco"))
    builder.download_and_prepare(download_config=tfds.download.DownloadConfig(max_examples_per_split=1))
    assert counted(builder)["kept"] == builder.info.splits["train"].num_examples == 1


# real pictures


@real_data
def test_archive_of_real_crops(tmp_path):
    """Crops of a COCO folder, laid out as the lab's archive, come back as the folder's own examples."""
    source = sources.find_source(os.environ["KZOO_COCO"])
    crops, wanted = {}, {}
    for split in sources.SPLITS:
        rows = records.generate(source, "pose", split, dict.fromkeys(records.COUNTS["pose"], 0))
        wanted[split] = [example for _, (_, example) in zip(range(20), rows, strict=False)]
        crops[split] = [
            (Image.open(io.BytesIO(row["image"])), (row["keypoints"] * [256, 256, 1]).ravel().tolist(), [])
            for row in wanted[split]
        ]
    builder = prepared(
        tmp_path, "pose", data_source=zip_archive(write_archive(tmp_path, crops), tmp_path / "coco_subset.zip")
    )
    for split in sources.SPLITS:
        for got, want in zip(examples(builder, split, "ann_id"), wanted[split], strict=True):
            np.testing.assert_allclose(got["keypoints"], want["keypoints"], atol=1e-6)
            shown = np.asarray(Image.open(io.BytesIO(want["image"])), float)
            assert abs(got["image"] - shown).mean() < 4


@real_data
@pytest.mark.parametrize("config", CONFIGS)
def test_real_folder(config):
    """Every example of the val split can be made."""
    counts = dict.fromkeys(records.COUNTS[config], 0)
    source = sources.find_source(os.environ["KZOO_COCO"])
    assert sum(1 for _ in records.generate(source, config, "val", counts)) == counts["kept"]
