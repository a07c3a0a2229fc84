"""What stands in a COCO folder's records, names and archives: accepted, counted, or refused by one line."""

import collections
import io
import json
import os
import pathlib
import resource
import tarfile
import tracemalloc
import unicodedata
import zipfile

import mutations
import numpy as np
import pytest
from mutations import HEIGHT, WIDTH
from PIL import Image
from pycocotools import mask as coco_mask

from kzoo.datasets import pictures
from kzoo.datasets.coco_subset import classes, masks, records, sources

POLYGON = [10.0, 5.0, 70.0, 5.0, 70.0, 75.0, 10.0, 75.0]


def folder_of(path, edit=None, raw=None):
    """A COCO folder of `mutations.table`, edited in the training split; `raw` edits the text of its JSON."""
    for file in mutations.write_folder(path):
        content = mutations.table()
        if edit:
            edit(content)
        text = json.dumps(content)
        file.write_text(raw(text) if raw else text)
    return path


def read(path, config="seg", split="train"):
    """Examples by key, and what was counted."""
    counts = dict.fromkeys(records.COUNTS[config], 0)
    examples = dict(records.generate(sources.find_source(path), config, split, counts))
    return examples, {name: value for name, value in counts.items() if value}


def image(**fields):
    return lambda table: table["images"][0].update(fields)


def row(**fields):
    return lambda table: table["annotations"][0].update(fields)


def category(**fields):
    return lambda table: table["categories"][0].update(fields)


def top(**fields):
    return lambda table: table.update(fields)


def without(name, what):
    return lambda table: [record.pop(name, None) for record in table[what]] and None


# fields that are refused


def big_ids(table):
    table["images"][0]["id"] += 2**100
    for record in table["annotations"]:
        record["image_id"] += 2**100 * (record["image_id"] == 1)


def twice(table):
    record = table["images"][0]
    table["images"].append({**record, "id": 999, "file_name": "./" + record["file_name"]})


def deep(depth):
    value = []
    for _ in range(depth):
        value = [value]
    return value


REFUSED = {  # name -> (edit, words)
    "width null": (image(width=None), ["image 1", "'width' = None"]),
    "width text": (image(width="96"), ["image 1", "'width' = '96'"]),
    "width a truth": (image(width=True), ["image 1", "'width' = True"]),
    "height 0": (image(height=0), ["image 1", "'height' = 0"]),
    "height half a pixel": (image(height=80.5), ["image 1", "'height' = 80.5"]),
    "width endless": (image(width=float("inf")), ["image 1", "'width' = inf"]),
    "width of another picture": (image(width=10**9), ["image 1", "96x80", "1000000000x80"]),
    "no file_name": (without("file_name", "images"), ["image 1", "no 'file_name'"]),
    "file_name null": (image(file_name=None), ["image 1", "'file_name' = None"]),
    "file_name a number": (image(file_name=1), ["image 1", "'file_name' = 1"]),
    "file_name blank": (image(file_name="  "), ["image 1", "'file_name'"]),
    "image id null": (image(id=None), ["image without an integer id", "None"]),
    "image id text": (image(id="1"), ["image without an integer id", "'1'"]),
    "image id a truth": (image(id=True), ["image without an integer id", "True"]),
    "image id a float": (image(id=1.0), ["image without an integer id", "1.0"]),
    "ids of 101 bits": (big_ids, ["image without an integer id", "64 bits"]),
    "image no record": (lambda table: table["images"].append(7), ["image that is no record: 7"]),
    "annotation id of 65 bits": (row(id=2**64), ["annotation without an integer id", "64 bits"]),
    "image_id a list": (row(image_id=[1]), ["annotation 10", "'image_id' = [1]"]),
    "iscrowd text": (row(iscrowd="0"), ["annotation 10", "'iscrowd' = '0'", "0 or 1"]),
    "iscrowd null": (row(iscrowd=None), ["annotation 10", "'iscrowd' = None"]),
    "iscrowd 2": (row(iscrowd=2), ["annotation 10", "'iscrowd' = 2"]),
    "iscrowd a list": (row(iscrowd=[0]), ["annotation 10", "'iscrowd' = [0]"]),
    "category_id text": (row(category_id="1"), ["annotation 10", "'category_id' = '1'"]),
    "category_id a list": (row(category_id=[]), ["annotation 10", "'category_id' = []"]),
    "bbox of text": (row(bbox=["1", "2", "3", "4"]), ["annotation 10", "'bbox'", "4 numbers"]),
    "bbox null": (row(bbox=None), ["annotation 10", "'bbox' = None"]),
    "bbox of lists": (row(bbox=[[1], [2], [3], [4]]), ["annotation 10", "'bbox'"]),
    "bbox of large integers": (row(bbox=[10**300, 0, 1, 1]), ["annotation 10", "'bbox'"]),
    "area text": (row(area="9"), ["annotation 10", "'area' = '9'"]),
    "area null": (row(area=None), ["annotation 10", "'area' = None"]),
    "area NaN": (row(area=float("nan")), ["annotation 10", "'area' = nan"]),
    "area below 0": (row(area=-1), ["annotation 10", "'area' = -1"]),
    "polygon of text": (row(segmentation=[["1"] * 6]), ["annotation 10", "polygon"]),
    "polygon of truths": (row(segmentation=[[True] * 6]), ["annotation 10", "polygon"]),
    "polygon of large integers": (row(segmentation=[[10**400, 1, 2, 3, 4, 5]]), ["annotation 10", "polygon"]),
    "polygon nested": (row(segmentation=[[[1, 2], [3, 4], [5, 6]]]), ["annotation 10", "polygon"]),
    "polygon nested deeply": (row(segmentation=deep(700)), ["annotation 10", "polygon"]),
    "RLE of another size": (row(segmentation={"size": [9, 9], "counts": [81]}), ["annotation 10", "[9, 9]"]),
    "RLE of a huge size": (row(segmentation={"size": [10**9] * 2, "counts": [10**18]}), ["annotation 10", "RLE"]),
    "RLE of no size": (row(segmentation={"counts": [7680]}), ["annotation 10", "RLE mask of [height, width] None"]),
    "RLE counts null": (row(segmentation={"size": [HEIGHT, WIDTH], "counts": None}), ["without counts"]),
    "RLE counts of text": (row(segmentation={"size": [HEIGHT, WIDTH], "counts": ["7680"]}), ["does not fill"]),
    "RLE counts below 0": (row(segmentation={"size": [HEIGHT, WIDTH], "counts": [-1, 7681]}), ["does not fill"]),
    "compressed RLE of garbage": (row(segmentation={"size": [HEIGHT, WIDTH], "counts": "~~\x01"}), ["does not fill"]),
    "compressed RLE, cut": (row(segmentation={"size": [HEIGHT, WIDTH], "counts": "PXo"}), ["does not fill"]),
    "compressed RLE, endless": (row(segmentation={"size": [HEIGHT, WIDTH], "counts": "o" * 99}), ["does not fill"]),
    "segmentation a word": (row(segmentation="none"), ["neither polygons nor RLE: 'none'"]),
    "RLE counts too many": (row(segmentation={"size": [HEIGHT, WIDTH], "counts": [0, 7681]}), ["[0, 7681]", "of 7680"]),
    "a picture listed twice": (twice, ["images 1 and 999 are both called", "listed once"]),
    "categories null": (top(categories=None), ["'categories' = None"]),
    "categories a record": (top(categories={"1": "person"}), ["'categories'", "a list"]),
    "category without id": (category(id=None), ["category without an integer id"]),
    "annotations null": (top(annotations=None), ["the lists 'images' and 'annotations'"]),
    "no images": (lambda table: table.pop("images"), ["the lists 'images' and 'annotations'"]),
}
REFUSED_IN_POSE = {
    "keypoints null": (row(keypoints=None), ["annotation 10", "'keypoints' = None"]),
    "keypoints of text": (row(keypoints=["1"] * 51), ["annotation 10", "51 numbers"]),
    "keypoints far away": (row(keypoints=[1e12, 1, 2, *[9, 9, 2] * 16]), ["annotation 10", "keypoints"]),
    "keypoints too few": (row(keypoints=[1, 1, 2] * 16), ["annotation 10", "51 numbers"]),
    "keypoints of a visibility of 3": (row(keypoints=[1, 2, 3, *[9, 9, 2] * 16]), ["joint 0 is 1, 2, 3", "0, 1 or 2"]),
    "no bbox": (without("bbox", "annotations"), ["annotation 10", "no 'bbox'"]),
    "person of another number": (category(id=2), ["its categories are 2 'person'", "1 'person'"]),
}


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("config", ["pose", "seg"])
def test_fields_are_refused_in_one_line(tmp_path, name, config):
    edit, words = REFUSED[name]
    refused(folder_of(tmp_path / "coco", edit), config, ["person_keypoints_train" * (config == "pose"), *words])


@pytest.mark.parametrize("name", REFUSED_IN_POSE)
def test_persons_are_refused_in_one_line(tmp_path, name):
    refused(folder_of(tmp_path / "coco", REFUSED_IN_POSE[name][0]), "pose", REFUSED_IN_POSE[name][1])


def refused(path, config, words):
    with pytest.raises((ValueError, FileNotFoundError)) as caught:
        read(path, config)
    message = mutations.one_line(caught.value)
    assert all(word in message for word in words), message


TEXTS = {  # name -> (edit of the JSON's text, words)
    "cut": (lambda text: text[:300], "not a whole JSON file"),
    "nested": (lambda text: "[" * 100_000, "nested too deeply"),
    "nested in a record": (lambda text: text.replace("[10.0, 5.0,", "[" * 100_000, 1), "nested too deeply"),
    "number of 5,000 digits": (lambda text: text.replace("4200.0", "9" * 5000, 1), "not a whole JSON file"),
    "a name twice": (lambda text: text.replace('"iscrowd": 0', '"iscrowd": 0, "iscrowd": 1', 1), "'iscrowd' stands"),
    "a value": (lambda text: "7", "not a COCO annotation file"),
    "empty": (lambda text: "", "not a whole JSON file"),
}


@pytest.mark.parametrize("name", TEXTS)
def test_texts_are_refused_in_one_line(tmp_path, name):
    raw, words = TEXTS[name]
    refused(folder_of(tmp_path / "coco", raw=raw), "seg", ["_train.json", words])


# fields that are accepted


ACCEPTED = {
    "no crowd": lambda table: table["annotations"][0].pop("iscrowd") and None,
    "no area": without("area", "annotations"),
    "no sizes": lambda table: [record.pop(side) for record in table["images"] for side in ("width", "height")] and None,
    "no categories": lambda table: table.pop("categories") and None,
    "no names of joints": lambda table: table["categories"][0].pop("keypoints") and None,
    "info null": top(info=None, licenses=None),
    "sizes as floats": image(width=float(WIDTH), height=float(HEIGHT)),
    "iscrowd a truth": row(iscrowd=False),
    "names of another spelling": category(
        name="Person", keypoints=[name.replace("_", " ").title() for name in classes.JOINTS]
    ),
}


@pytest.mark.parametrize("name", ACCEPTED)
@pytest.mark.parametrize("config", ["pose", "seg"])
def test_missing_and_harmless_fields_change_nothing(tmp_path, name, config):
    plain, _ = read(folder_of(tmp_path / "plain"), config)
    examples, _ = read(folder_of(tmp_path / "coco", ACCEPTED[name]), config)
    assert list(examples) == list(plain)
    for key, example in examples.items():
        for field in set(example) - {"area"}:
            np.testing.assert_array_equal(example[field], plain[key][field])


def test_endless_boxes_do_not_need_the_pictures_size(tmp_path):
    """Where the record tells no size the picture's own counts, before memory is asked for."""

    def edit(table):
        ACCEPTED["no sizes"](table)
        table["annotations"][0]["bbox"] = [0, 0, 1e12, 1e12]

    _, counts = read(folder_of(tmp_path / "coco", edit), "pose")
    assert counts["dropped_bad_box"] == 1


# polygons


FAR = {
    "unsigned -1": 4294967295,
    "failed division": 1e12,
    "1e7": 1e7,
    "below": -1e9,
    "larger than all": 1e308,
    "five pictures away": 5 * WIDTH,
}


@pytest.mark.parametrize("name", FAR)
@pytest.mark.parametrize("config", ["pose", "seg"])
def test_far_polygons_are_counted(tmp_path, name, config):
    far = [*POLYGON[:2], FAR[name], 5.0, FAR[name], *POLYGON[5:]]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    path = folder_of(tmp_path / "coco", row(segmentation=[far, POLYGON]))
    examples, counts = read(path, config)
    plain, _ = read(folder_of(tmp_path / "plain"), config)
    assert counts["bad_polygons"] == 1 and len(examples) == len(plain)
    for key in examples:
        np.testing.assert_array_equal(examples[key]["mask"], plain[key]["mask"])
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # kB


def test_a_polygon_that_leaves_its_picture_a_little_is_painted():
    counts = {"bad_polygons": 0}
    mask = masks.whole_mask([[-50, -50, 150, -50, 150, 150, -50, 150]], (WIDTH, HEIGHT), "here", counts)
    assert mask.all() and not counts["bad_polygons"]


def in_order(rows, size, labels):
    """Crowds first, then objects from large to small: all masks are in memory."""
    layers = []
    for one in rows:
        mask = masks.whole_mask(one["segmentation"], size, "here", collections.Counter())
        crowd = bool(one["iscrowd"])
        layers.append((crowd, int(mask.sum()), mask, masks.IGNORE if crowd else labels[one["category_id"]]))
    canvas = np.zeros(size[::-1], np.uint8)
    for _, _, mask, value in sorted(layers, key=lambda layer: layer[:2], reverse=True):
        canvas[mask > 0] = value
    return canvas


@pytest.mark.parametrize("seed", range(20))
def test_painting_one_after_another_is_painting_in_order(seed):
    """Of equal areas the last one is on top."""
    rng = np.random.default_rng(seed)
    size, labels = (60, 40), {1: 1, 2: 2, 3: 3}
    objects = []
    for number in range(12):
        x, y = rng.integers(0, 30, 2)
        width, height = rng.choice([10, 20, 30], 2)
        corners = [x, y, x + width, y, x + width, y + height, x, y + height]
        polygon = {"segmentation": [[float(value) for value in corners]], "category_id": int(rng.integers(1, 4))}
        objects.append({**polygon, "id": number, "iscrowd": int(rng.random() < 0.2)})
    painted = masks.paint(objects, size, labels, "here", collections.Counter())
    np.testing.assert_array_equal(painted, in_order(objects, size, labels))
    assert painted.dtype == np.uint8


def test_many_objects_of_a_large_picture_fit_into_memory():
    size = (6000, 4000)
    corners = [0.0, 0.0, 6000.0, 0.0, 6000.0, 4000.0]
    objects = [{"segmentation": [corners], "category_id": 1, "id": number, "iscrowd": 0} for number in range(8)]
    tracemalloc.start()
    masks.paint(objects, size, {1: 1}, "here", collections.Counter())
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 10 * 24e6, "ten times the picture's pixels, however many objects"


def test_endless_outlines_are_counted():
    zigzag = np.stack([np.tile([0.0, 3000.0], 5000), np.arange(10000.0) % 2000], 1)
    counts = {"bad_polygons": 0}
    assert masks.whole_mask([zigzag.ravel().tolist()], (3000, 2000), "here", counts) is None
    assert counts["bad_polygons"] == 1


@pytest.mark.parametrize("seed", range(5))
def test_rle_as_pycocotools_reads_it(seed):
    rng = np.random.default_rng(seed)
    small = rng.random((9, 7)) < rng.random()
    mask = np.kron(small, np.ones((rng.integers(1, 90), rng.integers(1, 90)))).astype(np.uint8)
    rle = coco_mask.encode(np.asfortranarray(mask))
    size = mask.shape[::-1]
    written = {"size": list(mask.shape), "counts": rle["counts"].decode()}
    np.testing.assert_array_equal(masks.whole_mask(written, size, "here", {}), mask)


# classes and joints


POSETRACK = ["nose", "head_bottom", "head_top", "left_ear", "right_ear", *classes.JOINTS[5:]]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"keypoints": POSETRACK}, ["joint 1", "'head_bottom'", "'left_eye'", "allowed"]),
        ({"keypoints": POSETRACK, "name": "antelope"}, ["'antelope'", "'person'"]),
        ({"keypoints": list(classes.JOINTS[::-1])}, ["joint 0", "'right_ankle'", "'nose'"]),
        ({"keypoints": list(classes.JOINTS[:16])}, ["16 joints"]),
        ({"keypoints": [*classes.JOINTS, "neck"]}, ["18 joints"]),
        ({"keypoints": "nose"}, ["names of its joints"]),
        ({"keypoints": [None] * 17}, ["names of its joints"]),
        ({"name": None}, ["None", "'person'"]),
    ],
)
def test_another_skeleton_is_refused(tmp_path, fields, words):
    refused(folder_of(tmp_path / "coco", category(**fields)), "pose", words)


# EXIF


def turned(path, orientation, sizes):
    """A folder whose pictures are stored turned; `sizes` of the JSON: "upright", "stored" or "none"."""
    folder_of(path)
    for file in (path / "images").iterdir():
        upright = Image.open(file).convert("RGB")
        stored = upright.transpose(pictures.STORED[orientation])
        exif = Image.Exif()
        exif[pictures.ORIENTATION] = orientation
        stored.save(file, quality=95, exif=exif)
    for file in (path / "annotations").iterdir():
        table = json.loads(file.read_text())
        for record in table["images"]:
            if sizes == "stored" and orientation > 4:
                record["width"], record["height"] = HEIGHT, WIDTH
            elif sizes == "none":
                del record["width"], record["height"]
        table["annotations"] = [r for r in table["annotations"] if isinstance(r["segmentation"], list)]
        file.write_text(json.dumps(table))
    return path


@pytest.mark.parametrize("orientation", range(2, 9))
@pytest.mark.parametrize("sizes", ["upright", "stored", "none"])
def test_pictures_are_turned_to_what_was_annotated(tmp_path, orientation, sizes):
    """Upright, as tools of annotation show it, unless only the stored picture has the size that the records tell."""
    path = turned(tmp_path / "coco", orientation, sizes)
    examples, counts = read(path)
    seen = np.asarray(Image.open(io.BytesIO(examples[1]["image"])), float)
    file = path / "images" / "1.jpg"
    as_stored = sizes == "stored" and orientation > 4
    wanted = np.asarray(Image.open(file)) if as_stored else pictures.read(file)
    assert seen.shape == wanted.shape and abs(seen - wanted).mean() < 12
    assert examples[1]["mask"].shape[:2] == wanted.shape[:2]
    kept = len(examples)
    told = {"not_turned_pictures": kept} if as_stored else {"turned_pictures": kept, "converted_pictures": kept}
    assert {name: counts.get(name) for name in told} == told


# names


def plain_green(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (WIDTH, HEIGHT), (0, 255, 0)).save(path)


def move(path, name, file, *, keep=False):
    """Picture 1 of a folder is called `name` by the records and lies at `file`."""
    path = folder_of(path, image(file_name=name))
    target = pathlib.Path(os.fsdecode(os.path.join(os.fsencode(path), os.fsencode(file))))
    target.parent.mkdir(parents=True, exist_ok=True)
    old = path / "images" / "1.jpg"
    target.write_bytes(old.read_bytes())
    if not keep and old != target:
        old.unlink()
    return path


def is_the_one(path, tmp_path) -> bool:
    """Whether the picture of image 1 is its own, not green."""
    plain = folder_of(tmp_path / "plain")
    return read(path)[0][1]["image"] == (plain / "images" / "1.jpg").read_bytes()


NAMES = {  # name in the records -> where the picture lies
    "flat": ("1.jpg", "images/1.jpg"),
    "in folders": ("cam1/day 2/1.jpg", "images/cam1/day 2/1.jpg"),
    "from the top": ("images/1.jpg", "images/1.jpg"),
    "with the split": ("train/1.jpg", "train/1.jpg"),
    "Windows": ("cam1\\1.jpg", "images/cam1/1.jpg"),
    "Windows, from the top": (".\\images\\1.jpg", "images/1.jpg"),
    "points": ("./cam1//./1.jpg", "images/cam1/1.jpg"),
    "blanks": (" a b .jpg", "images/ a b .jpg"),
    "letters": ("\u00fc/\u00e9.jpg", "images/\u00fc/\u00e9.jpg"),
    "composed, decomposed on disk": ("\u00fc/\u00e9.jpg", unicodedata.normalize("NFD", "images/\u00fc/\u00e9.jpg")),
    "decomposed, composed on disk": (unicodedata.normalize("NFD", "\u00e9.jpg"), "images/\u00e9.jpg"),
    "Latin bytes on disk": ("\u00e9.jpg", b"images/\xe9.jpg"),
    "bytes as Python writes them": ("\udce9.jpg", b"images/\xe9.jpg"),
    "in the split's folder": ("1.jpg", "train/1.jpg"),
    "in the split's folder of images": ("1.jpg", "images/train2017/1.jpg"),
}


@pytest.mark.parametrize("name", NAMES)
def test_names_find_their_picture(tmp_path, name):
    path = move(tmp_path / "coco", *NAMES[name])
    assert is_the_one(path, tmp_path) and "found_without_folders" not in read(path)[1]


SHADOWED = {  # name in the records, where the picture lies, where another one of the same base name lies
    "folders": ("cam1/1.jpg", "images/cam1/1.jpg", ["images/1.jpg", "images/cam2/1.jpg", "train/1.jpg"]),
    "the split's folder": ("1.jpg", "train/1.jpg", ["images/1.jpg", "val/1.jpg"]),
    "the split's folder of images": ("1.jpg", "images/train/1.jpg", ["images/1.jpg"]),
    "decomposed": ("\u00e9.jpg", "images/\u00e9.jpg", [unicodedata.normalize("NFD", "images/\u00e9.jpg")]),
}


@pytest.mark.parametrize("name", SHADOWED)
def test_never_another_picture(tmp_path, name):
    called, file, others = SHADOWED[name]
    path = move(tmp_path / "coco", called, file)
    for other in others:
        plain_green(path / other)
    assert is_the_one(path, tmp_path)


def test_absolute_names(tmp_path):
    plain_green(tmp_path / "elsewhere" / "1.jpg")
    path = folder_of(tmp_path / "coco", image(file_name=str(tmp_path / "elsewhere" / "1.jpg")))
    shown = Image.open(io.BytesIO(read(path)[0][1]["image"]))
    assert np.asarray(shown)[..., 1].min() > 240


@pytest.mark.parametrize(
    "name", ["/home/me/coco/images/1.jpg", "C:\\data\\1.jpg", "train2017/1.jpg", "https://a/1.jpg"]
)
def test_folders_are_dropped_where_nothing_else_can_be_meant(tmp_path, name):
    path = folder_of(tmp_path / "coco", image(file_name=name))
    assert is_the_one(path, tmp_path) and read(path)[1]["found_without_folders"] == 1


def same_base(table):
    table["images"][0]["file_name"] = "cam1/1.jpg"
    table["images"][1]["file_name"] = "cam2/1.jpg"


REFUSED_NAMES = {
    "missing": (image(file_name="cam1/7.jpg"), ["image 1", "cam1/7.jpg", "missing"]),
    "out of the folder": (image(file_name="../../etc/x.jpg"), ["image 1", "'..'"]),
    "Windows, out of the folder": (image(file_name="a\\..\\..\\x.jpg"), ["image 1", "'..'"]),
    "only folders": (image(file_name="./"), ["image 1", "names no file"]),
    "a folder": (image(file_name="images"), ["image 1", "missing"]),
    "a NUL": (image(file_name="1.jpg\0"), ["image 1", "missing"]),
    "a line break": (image(file_name="1\n.jpg"), ["image 1", "1\\n.jpg", "missing"]),
    "half a letter": (image(file_name="\ud800.jpg"), ["image 1", "missing"]),
    "too long": (image(file_name="a" * 5000), ["image 1", "missing"]),
    "of two folders": (same_base, ["image 1", "cam1/1.jpg", "missing"]),
}


@pytest.mark.parametrize("name", REFUSED_NAMES)
def test_names_are_refused_in_one_line(tmp_path, name):
    edit, words = REFUSED_NAMES[name]
    path = folder_of(tmp_path / "coco", edit)
    with pytest.raises((ValueError, FileNotFoundError)) as caught:
        read(path)
    text = str(caught.value)
    text.encode()
    assert "\n" not in text and all(word in text for word in words), text[:500]


def test_the_same_base_name_in_two_splits(tmp_path):
    """cam1/1.jpg of train and cam2/1.jpg of val: a flat 1.jpg could be either."""
    path = folder_of(tmp_path / "coco", image(file_name="cam1/1.jpg"))
    for file in (path / "annotations").glob("*_val.json"):
        file.write_text(file.read_text().replace('"11.jpg"', '"cam2/1.jpg"'))
    refused(path, "seg", ["image 1", "cam1/1.jpg", "missing"])


def test_two_pictures_of_one_rank_are_refused(tmp_path):
    path = folder_of(tmp_path / "coco")
    plain_green(path / "1.jpg")  # beside images/1.jpg
    refused(path, "seg", ["image 1", "two different pictures"])
    (path / "1.jpg").write_bytes((path / "images" / "1.jpg").read_bytes())
    assert is_the_one(path, tmp_path)


# archives


def packed(path, rename=lambda name: name, extra=()):
    """A COCO folder as a zip whose members are renamed."""
    folder = folder_of(path.with_suffix(""))
    with zipfile.ZipFile(path, "w") as target:
        for file in sorted(folder.rglob("*.*")):
            target.writestr(zipfile.ZipInfo(rename(file.relative_to(folder).as_posix())), file.read_bytes())
        for name, content in extra:
            target.writestr(name, content)
    return path


RENAMED = {
    "plain": lambda name: name,
    "top folder": lambda name: f"my data/{name}",
    "folders": lambda name: f"a/b/{name}",
    "points": lambda name: f"./{name}",
    "backslashes": lambda name: f"coco/{name}".replace("/", "\\"),
    "coco_subset": lambda name: f"coco_subset/{name}",
}


@pytest.mark.parametrize("name", RENAMED)
def test_archives(tmp_path, name):
    path = packed(tmp_path / "coco.zip", RENAMED[name], [("__MACOSX/annotations/._x", b""), ("../../evil.txt", b"no")])
    examples, _ = read(path)
    assert examples[1]["image"] == (tmp_path / "coco" / "images" / "1.jpg").read_bytes()
    assert {child.name for child in tmp_path.iterdir()} == {"coco", "coco.zip"}  # nothing is unpacked


def test_a_folder_in_the_folder(tmp_path):
    folder_of(tmp_path / "data" / "my coco")
    assert read(tmp_path / "data")[0]
    folder_of(tmp_path / "data" / "other coco")
    with pytest.raises(ValueError, match="several data sets: .*my coco, .*other coco"):
        sources.find_source(tmp_path / "data")


@pytest.mark.parametrize("form", ["NFD", "undeclared UTF-8"])
def test_names_in_archives_of_macos(tmp_path, form):
    """Decomposed, and UTF-8 without the flag that says so, which reads as code page 437."""
    path = move(tmp_path / "coco", "\u00e9.jpg", "images/\u00e9.jpg")
    name = unicodedata.normalize("NFD", "images/\u00e9.jpg")
    name = name if form == "NFD" else name.encode().decode("cp437")
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as target:
        for file in sorted(path.rglob("*.*")):
            place = file.relative_to(path).as_posix()
            target.write(file, place if place.isascii() else name)
    assert is_the_one(tmp_path / "a.zip", tmp_path)


def test_archives_that_are_refused_say_what_is_inside(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as target:
        target.writestr("holiday/1.jpg", b"")
        target.writestr("notes.txt", b"")
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as target:
        target.add(folder_of(tmp_path / "coco"), "coco")
    (tmp_path / "a.rar").write_bytes(b"Rar!")
    for name, words in {
        "a.zip": "neither .* nor a COCO folder .* found: holiday, notes.txt",
        "a.tar.gz": "not a readable zip file .a tar archive that begins with coco, coco/.*: unpack it",
        "a.rar": "not a readable zip file .it is damaged",
    }.items():
        with pytest.raises((ValueError, FileNotFoundError), match=words) as caught:
            sources.find_source(tmp_path / name)
        mutations.one_line(caught.value)


def test_a_member_that_is_there_twice(tmp_path):
    path = packed(tmp_path / "coco.zip", extra=[("./images/1.jpg", b"another")])
    with pytest.raises(ValueError, match="two different files 'images/1.jpg'"):
        sources.find_source(path)


# damaged at random


@pytest.mark.parametrize("seed", range(2))
def test_mutated_tables(tmp_path, seed):
    told = [mutations.read_folder(path) for _, path in mutations.tables(tmp_path / "coco", seed, 60)]
    assert any(told) and not all(told)


def test_mutated_zips(tmp_path):
    told = [mutations.read_folder(path) for _, path in mutations.zips(tmp_path, 0, 30)]
    assert any(told)
