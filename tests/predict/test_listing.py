"""Which pictures are meant: nothing in a folder is passed over in silence."""

import os
import pathlib

import pytest

from kzoo import UserError
from kzoo.predict import listing

HEIC = b"\0\0\0\x18ftypheic" + bytes(100)


def fill(folder: pathlib.Path, **contents) -> pathlib.Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    return folder


def names(*patterns) -> list[str]:
    return [found.path.name for found in listing.find_pictures(patterns).files]


PICTURES = ["a.JPG", "b.jfif", "c.HEIC", "d.avif", "e", "f.xyz", "g.MOV", "h.svg", "i.jpg"]
NOTES = [
    "t.txt",
    "t.json",
    "Thumbs.db",
    "desktop.ini",
    ".DS_Store",
    "._a.jpg",
    "README",
    "x.cfg",
    "IMG.AAE",
    "latin.txt",
]


def test_what_may_be_a_picture_is_taken_and_notes_are_not(tmp_path):
    contents = {name: HEIC for name in PICTURES} | {"i.jpg": b"text"} | {name: b"text \xc3\xa9" for name in NOTES}
    contents |= {"Thumbs.db": b"\xd0\xcf\0", "utf16": "text".encode("utf-16"), "latin.txt": b"caf\xe9", "empty": b""}
    folder = fill(tmp_path / "in", **contents)
    assert names(folder) == PICTURES
    assert names(f"{folder}/*") == PICTURES
    assert names(folder / "t.txt") == ["t.txt"], "what is named is taken"


def test_what_is_no_file_is_taken_too_and_named_later(tmp_path):
    folder = fill(tmp_path / "in")
    os.mkfifo(folder / "pipe")
    (folder / "lost.jpg").symlink_to("nowhere.jpg")
    assert names(folder) == ["lost.jpg", "pipe"]


def test_folders_in_a_folder_are_told(tmp_path):
    fill(tmp_path / "in" / "below", **{"b.jpg": HEIC})
    with pytest.raises(UserError, match="no picture is there; .*1 folder in .*/in not looked into: '.*/in/.*/.*.jpg'"):
        listing.find_pictures([tmp_path / "in"])
    folder = fill(tmp_path / "in", **{"a.jpg": HEIC})
    fill(tmp_path / "in" / "more")
    for pattern in (folder, f"{folder}/*"):
        found = listing.find_pictures([pattern])
        assert [each.path.name for each in found.files] == ["a.jpg"]
        assert found.notes == [f"2 folders in {folder} not looked into: '{folder}/**/*.jpg'"]
    found = listing.find_pictures([f"{folder}/**/*.jpg"])
    assert [each.path.name for each in found.files] == ["a.jpg", "b.jpg"] and not found.notes
    assert {each.root for each in found.files} == {folder}


def test_signs_of_globs_in_names(tmp_path):
    folder = fill(tmp_path / "in[1] ?", **{"a[1].jpg": HEIC, "a1.jpg": HEIC, "b c.jpg": HEIC, "*.jpg": HEIC})
    fill(tmp_path / "in1 x", **{"other.jpg": HEIC})
    assert names(folder / "a[1].jpg") == ["a[1].jpg"]
    assert names(folder) == names(f"{folder}/*.jpg") == ["*.jpg", "a1.jpg", "a[1].jpg", "b c.jpg"]
    assert names(f"{folder}/b*") == ["b c.jpg"]


def test_each_file_once_in_the_order_of_its_numbers(tmp_path, monkeypatch):
    fill(tmp_path / "in", **{f"frame_{i}.jpg": HEIC for i in (10, 9, 1)})
    monkeypatch.chdir(tmp_path)
    assert names("in", "./in", tmp_path / "in", "in/*.jpg") == ["frame_1.jpg", "frame_9.jpg", "frame_10.jpg"]
    monkeypatch.setenv("HOME", str(tmp_path))
    assert [str(found.path) for found in listing.find_pictures(["~/in/*1*"]).files][0] == f"{tmp_path}/in/frame_1.jpg"


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("nowhere", "images=nowhere: no picture is there"),
        ("~nobody-of-that-name/a", "no home folder"),
        ("", "images= is empty"),
        ("a\nb\udcfc", r"images=a\\nb%FC: no picture"),
    ],
)
def test_mistakes(pattern, message):
    with pytest.raises(UserError, match=message):
        listing.find_pictures([pattern])


def test_what_is_written_has_names_of_its_own():
    paths = [
        "x/a.jpg",
        "y/a.jpg",
        "y/A.png",
        "a_2.jpg",
        "é.jpg",
        "e\u0301.jpg",
        "J\udcfc.jpg",
        "n" * 255,
        "ü" * 125 + ".jpg",
    ]
    stems = [stem for _, stem, _ in listing.named(map(pathlib.Path, paths), {})]
    assert stems[:4] == ["a", "a_2", "A_3", "a_2_2"] and stems[5] == "e\u0301_2" and stems[6] == "J%FC"
    assert max(len(f"{stem}_10.png".encode()) for stem in stems) <= 255
    assert len({stem.casefold() for stem in stems}) == len(stems)


def test_numbers_of_pictures():
    paths = [
        "a.jpg",
        "x/000042.jpg",
        "y/42.jpg",
        "COCO_val2014_000000000007.jpg",
        "9.jpg",
        "1" * 200 + ".jpg",
        "²³.jpg",
    ]
    numbers = [number for _, _, number in listing.named(map(pathlib.Path, paths), {})]
    assert numbers == [1, 42, 2, 7, 9, 3, 4]
    numbers = [number for _, _, number in listing.named(map(pathlib.Path, paths), {0: 42, 1: 5, 4: 42})]
    assert numbers[:2] == [42, 5] and len(set(numbers)) == len(numbers)
