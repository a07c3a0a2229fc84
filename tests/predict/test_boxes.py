"""--boxes: never another picture than the one that is named, and every entry that met none is told."""

import json
import pathlib
import unicodedata

import pytest

from kzoo import UserError
from kzoo.predict import boxes, listing

BOX = {"bbox": [10, 10, 50, 90]}


def read(tmp_path, content, encoding="utf-8"):
    path = tmp_path / "boxes.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding=encoding)
    return boxes.read_boxes(path)


def matched(tmp_path, rows, *paths, root="in") -> tuple[dict, list]:
    """{picture: how many boxes}, and why the others are of none."""
    files = [listing.Found(pathlib.Path(path), pathlib.Path(root)) for path in paths]
    found = boxes.match(read(tmp_path, [{**BOX, **row} for row in rows]).entries, files)
    return {paths[place]: len(of) for place, of in found.boxes.items()}, [
        f"{entry}: {why}" for entry, why in found.lost
    ]


NFC, NFD = (unicodedata.normalize(form, "é.jpg") for form in ("NFC", "NFD"))
ONE = [  # name in the boxes, the picture, others
    ({"file_name": "1.jpg"}, "in/1.jpg", ["in/2.jpg"]),
    ({"file_name": "in/1.jpg"}, "in/1.jpg", ["in/a/1.jpg"]),
    ({"file_name": "./1.jpg"}, "in/1.jpg", ["in/a/1.jpg"]),
    ({"file_name": "cam2/1.jpg"}, "in/cam2/1.jpg", ["in/cam1/1.jpg", "in/1.jpg"]),
    ({"file_name": "cam2\\1.jpg"}, "in/cam2/1.jpg", ["in/cam1/1.jpg"]),
    ({"file_name": "C:\\photos\\cam2\\1.jpg"}, "in/cam2/1.jpg", ["in/cam1/1.jpg"]),
    ({"file_name": "/home/ann/cam2/1.jpg"}, "/data/cam2/1.jpg", ["/data/cam1/1.jpg"]),
    ({"file_name": "/data/cam2/1.jpg"}, "/data/cam2/1.jpg", ["/data/x/cam2/1.jpg"]),
    ({"file_name": "cam1\\1.jpg"}, "in/1.jpg", []),
    ({"file_name": "cam1\\1.jpg"}, "in/cam1\\1.jpg", ["in/1.jpg"]),
    ({"file_name": NFC}, f"in/{NFD}", []),
    ({"file_name": NFD}, f"in/{NFC}", []),
    ({"file_name": NFD}, f"in/{NFD}", [f"in/{NFC}"]),
    ({"file_name": "my photo (1).jpg"}, "in/my photo (1).jpg", ["in/my photo.jpg"]),
    ({"file_name": "J%FC.jpg"}, "in/J\udcfc.jpg", []),
    ({"file_name": "J\udcfc.jpg"}, "in/J\udcfc.jpg", []),
    ({"file_name": "img"}, "in/img.jpg", []),
    ({"image_id": 42}, "in/COCO_val2014_000000000042.jpg", ["in/COCO_val2014_000000000043.jpg"]),
    ({"image_id": "42"}, "in/000042.jpg", ["in/a_42.jpg"]),
    ({"image_id": "000042"}, "in/42.png", []),
    ({"image_id": 42.0}, "in/frame_0042.jpg", ["in/frame_0043.jpg"]),
    ({"file_name": "42"}, "in/000042.jpg", []),
    ({"file_name": "COCO_val2014_000000000042.jpg", "image_id": 42}, "in/42.jpg", []),
    ({"image_id": "img_b"}, "in/img_b.jpg", ["in/img_a.jpg"]),
]


@pytest.mark.parametrize(
    ("name", "picture", "told"),
    [("cam2/1.jpg", "in/1.jpg", True), ("1.jpg", "in/1.jpg", False), ("/x/in/1.jpg", "in/1.jpg", False)],
)
def test_a_name_whose_folder_was_not_found_is_told(name, picture, told, tmp_path):
    entries = read(tmp_path, [{**BOX, "file_name": name}]).entries
    found = boxes.match(entries, [listing.Found(pathlib.Path(picture), pathlib.Path("in"))])
    assert found.notes == [f"1 boxes are found by the name alone, without its folder: {name} is {picture}"] * told


@pytest.mark.parametrize(("row", "mine", "others"), ONE)
def test_a_box_finds_its_picture(row, mine, others, tmp_path):
    for paths in ([mine, *others], [*others, mine]):
        assert matched(tmp_path, [row], *paths) == ({mine: 1}, [])


NONE = [  # names in the boxes, pictures, how many find one, why the others do not
    ([{"file_name": "2.jpg"}], ["in/1.jpg"], 0, "entry 0 (2.jpg): no such picture is among the 1"),
    ([{"file_name": "1.jpg"}], ["a/1.jpg", "b/1.jpg"], 0, "it may be a/1.jpg or b/1.jpg"),
    ([{"file_name": "c/1.jpg"}], ["a/1.jpg", "b/1.jpg"], 0, "it may be a/1.jpg or b/1.jpg"),
    ([{"file_name": "cam1/1.jpg"}, {"file_name": "cam2/1.jpg"}], ["in/1.jpg"], 0, "has its name, but not its folder"),
    ([{"file_name": "cam1/1.jpg"}, {"file_name": "cam2/1.jpg"}], ["cam1/1.jpg"], 1, "has its name, but not its folder"),
    ([{"file_name": "1.jpg"}, {"file_name": "cam2/1.jpg"}], ["in/1.jpg"], 1, "has its name, but not its folder"),
    ([{"image_id": 7}], ["in/a_7.jpg", "in/b_7.jpg"], 0, "it may be in/a_7.jpg or in/b_7.jpg"),
    ([{"image_id": 7}], ["in/7_a.jpg", "in/17.jpg"], 0, "entry 0 (image_id 7): no such picture"),
    ([{"file_name": "b.jpg", "image_id": 7}], ["in/7.jpg"], 0, "entry 0 (b.jpg): no such picture"),
    ([{"image_id": 2**130}], ["in/7.jpg"], 0, "no such picture"),
    ([{"image_id": -7}], ["in/7.jpg"], 0, "no such picture"),
]


@pytest.mark.parametrize(("rows", "paths", "count", "why"), NONE)
def test_never_another_picture(rows, paths, count, why, tmp_path):
    found, lost = matched(tmp_path, rows, *paths)
    assert sum(found.values()) == count and len(lost) == len(rows) - count and why in lost[-1]


def test_cocos_own_files(tmp_path):
    """Annotations tell the names of categories and of pictures; results tell the numbers."""
    annotations = {
        "images": [{"id": 5, "file_name": "x/a.jpg"}, {"id": 6, "file_name": "x/b.jpg"}],
        "categories": [{"id": 3, "name": "Person"}, {"id": 4, "name": "dog"}],
        "annotations": [
            {"image_id": 5, "category_id": 3, **BOX},
            {"image_id": 6, "category_id": 4, **BOX},
            {"image_id": 6, "category_id": 3, "iscrowd": 1, **BOX},
        ],
    }
    found = read(tmp_path, annotations)
    assert [(entry.name, entry.number) for entry in found.entries] == [("x/a.jpg", 5)]
    assert "1 of 3 boxes are of no person (dog)" in found.notes[0] and "1 boxes are of crowds" in found.notes[1]
    places = [
        listing.Found(pathlib.Path("x/b.jpg"), pathlib.Path("x")),
        listing.Found(pathlib.Path("x/a.jpg"), pathlib.Path("x")),
    ]
    met = boxes.match(found.entries, places)
    assert list(met.boxes) == [1] and met.numbers == {1: 5}


CATEGORIES = [  # category_id of the entries, how many are persons, the note
    ([1, 1], 2, None),
    ([None, 1, 3], 2, "1 of 3 boxes are of no person (3)"),
    ([0, 0], 2, "category_id 0 is the only one, and is taken as person"),
    ([0, 1], 1, "1 of 2 boxes are of no person (0)"),
    (["1", 1.0], 2, None),
    (["Person", 1], 2, None),
    (["person", "dog", " Person "], 2, "1 of 3 boxes are of no person (dog)"),
]


@pytest.mark.parametrize(("given", "count", "note"), CATEGORIES)
def test_which_category_is_a_person(given, count, note, tmp_path):
    rows = [{"image_id": 1, **BOX} | ({} if value is None else {"category_id": value}) for value in given]
    found = read(tmp_path, rows)
    assert len(found.entries) == count and (note is None) == (not found.notes) and (note or "") in "".join(found.notes)


def test_other_fields_tell_the_class_too(tmp_path):
    rows = [{"image_id": 1, **BOX, "category": "dog"}, {"image_id": 1, **BOX, "label": "person"}]
    found = read(tmp_path, rows)
    assert [entry.place for entry in found.entries] == [1] and "are of no person (dog)" in found.notes[0]


WRONG = [
    (
        [{**BOX, "image_id": 1, "category_id": 2}, {**BOX, "image_id": 1, "category_id": 0}],
        "category_id 0, 2; allowed: 1",
    ),
    ([{**BOX, "image_id": 1, "category_id": [1]}], r"entry 0 has category_id \[1\]"),
    (
        {"categories": [{"id": 1, "name": "cat"}], "annotations": [{**BOX, "image_id": 1, "category_id": 1}]},
        "cat; allowed",
    ),
    ({"boxes": []}, "must hold a list"),
    ([1], "must hold a list"),
    ("nonsense", "is not valid JSON"),
]
BAD = [
    {"bbox": [0, 0, 5, 5]},
    {"bbox": [0, 0, 5, 5], "image_id": None},
    {"bbox": [0, 0, 5, 5], "image_id": [1]},
    {"bbox": [0, 0, 5, 5], "image_id": True},
    {"bbox": [0, 0, 5, 5], "image_id": float("nan")},
    {"bbox": [0, 0, 5, 5], "image_id": 1.5},
    {"bbox": [0, 0, 5, 5], "file_name": ""},
    {"bbox": [0, 0, 5, 5], "file_name": ["a"]},
    {"bbox": [0, 0, 5], "image_id": 1},
    {"bbox": [[0], 0, 5, 5], "image_id": 1},
    {"bbox": ["0", 0, 5, 5], "image_id": 1},
    {"bbox": "0055", "image_id": 1},
    {"bbox": None, "image_id": 1},
    {"bbox": [0, 0, 5, -5], "image_id": 1},
    {"bbox": [0, 0, 5, float("inf")], "image_id": 1},
    {"bbox": [0, 0, 5, float("nan")], "image_id": 1},
    {"bbox": [0, 0, 5, 10**400], "image_id": 1},
    {"bbox": [0, 0, 5, 5], "image_id": 1, "score": None},
    {"bbox": [0, 0, 5, 5], "image_id": 1, "score": "0.5"},
    {"bbox": [0, 0, 5, 5], "image_id": 1, "score": float("nan")},
]
WRONG += [([{"image_id": 1, **BOX}, row], "entry 1 is .*it needs") for row in BAD]


@pytest.mark.parametrize(("content", "message"), WRONG)
def test_wrong_files_are_one_line(content, message, tmp_path):
    with pytest.raises(UserError, match=message) as caught:
        read(tmp_path, content)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 500


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_files_of_power_shell(encoding, tmp_path):
    assert read(tmp_path, [{"file_name": "é.jpg", **BOX}], encoding).entries[0].name == "é.jpg"


def test_frames_of_a_video(tmp_path):
    rows = [{"image_id": 0}, {"image_id": "3"}, {"file_name": "overlays/frame_000004.png"}, {"file_name": "walk.jpg"}]
    entries = read(tmp_path, [{**BOX, **row} for row in [*rows, {"image_id": 9}, {"image_id": -1}]]).entries
    found = boxes.match_frames(entries)
    assert {0, 3, 4} <= found.boxes.keys() and [str(entry) for entry, _ in found.lost] == ["entry 3 (walk.jpg)"]
    assert [entry.number for entry, _ in boxes.beyond(entries, 5)] == [9, -1]
