"""Sources that change after they were prepared are noticed: labels corrected in place, pictures added."""

import os
import pathlib
import shutil
import time

import pytest
from coco_folder import write_coco

from kzoo import UserError
from kzoo.data import builders
from kzoo.datasets import source_state, sourced

SET = "coco_subset/pose"


@pytest.fixture
def coco(tmp_path):
    """A source, and the data_dir that it is prepared in."""
    write_coco(tmp_path / "coco")
    builders.prepare(SET, str(tmp_path / "tfds"), str(tmp_path / "coco"))
    return tmp_path


def prepare(place, **options):
    return builders.prepare(SET, str(place / "tfds"), str(place / "coco"), **options)


def keep_times(folder):
    """Every file of a folder gets another time, and keeps its content."""
    for path in folder.rglob("*"):
        os.utime(path, ns=(10**18, 10**18))


def replace_picture(place):
    """By one of the same size in bytes."""
    path = place / "coco/images/001.jpg"
    content = bytearray(path.read_bytes())
    content[-40] ^= 1
    path.write_bytes(content)


def as_if_nothing_happened(place):
    """Labels are corrected; the file keeps size and time, as some tools of synchronisation leave it."""
    path = place / "coco/annotations/person_keypoints_train.json"
    before = path.stat()
    write_coco(place / "coco", shift=7)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    for picture in (place / "coco/images").iterdir():
        os.utime(picture, ns=(10**18, 10**18))


CHANGES = {
    "joints corrected, size and time as before": as_if_nothing_happened,
    "joints corrected in place, file of the same size": lambda place: write_coco(place / "coco", shift=7),
    "pictures and labels added": lambda place: write_coco(place / "coco", count=5),
    "a picture added": lambda place: shutil.copy(place / "coco/images/001.jpg", place / "coco/images/new.jpg"),
    "a picture removed": lambda place: (place / "coco/images/102.jpg").unlink(),
    "a picture replaced": replace_picture,
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_source_is_noticed_and_refreshed(change, coco):
    before = builders.fingerprint(prepare(coco))
    time.sleep(0.02)  # the clock of a file system is coarse
    CHANGES[change](coco)
    with pytest.raises(
        UserError, match="was prepared from another state of .*coco: train.py --refresh prepares"
    ) as caught:
        prepare(coco)
    assert "\n" not in str(caught.value)
    without = builders.prepare(SET, str(coco / "tfds"))
    assert builders.fingerprint(without) == before, "who names no source has what is prepared"
    if change != "a picture removed":
        new = prepare(coco, refresh=True)
        assert (builders.fingerprint(new) != before) == ("picture " not in change)
        prepare(coco)


@pytest.mark.parametrize("content", ["{}", "[]", "null", "\0"])
def test_damaged_metadata_are_one_line(content, coco):
    place = coco / "tfds/coco_subset/pose/1.0.0"
    (place / "metadata.json").write_text(content)
    with pytest.raises(UserError, match="1.0.0 is damaged.*--refresh prepares it again") as caught:
        prepare(coco)
    assert "\n" not in str(caught.value)
    prepare(coco, refresh=True)
    prepare(coco)


def test_records_without_their_description(coco):
    (coco / "tfds/coco_subset/pose/1.0.0/dataset_info.json").unlink()
    with pytest.raises(UserError, match="is damaged, its dataset_info.json is gone: train.py --refresh prepares"):
        prepare(coco)
    prepare(coco, refresh=True)
    prepare(coco)


def test_records_that_were_changed_behind_their_times(coco):
    place = coco / "tfds/coco_subset/pose/1.0.0"
    builder = prepare(coco)
    before = builders.fingerprint(builder)
    record = place / "coco_subset-train.tfrecord-00000-of-00001"
    stat, content = record.stat(), bytearray(record.read_bytes())
    time.sleep(0.02)  # the clock of a file system is coarse
    content[5000] ^= 1
    record.write_bytes(content)
    os.utime(record, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    with pytest.raises(UserError, match="is damaged, remove it: .*corrupted record"):
        builders.fingerprint(builder)
    assert len(before) == 16


def test_records_of_another_split(coco):
    place = coco / "tfds/coco_subset/pose/1.0.0"
    write_coco(coco / "more", count=5)
    builders.prepare(SET, str(coco / "tfds2"), str(coco / "more"))
    name = "coco_subset-train.tfrecord-00000-of-00001"
    shutil.copy(coco / "tfds2/coco_subset/pose/1.0.0" / name, place / name)
    with pytest.raises(UserError, match="'train' holds 5 records, dataset_info.json says 3"):
        builders.fingerprint(prepare(coco))


@pytest.mark.parametrize("name", ["Thumbs.db", "desktop.ini"])
def test_what_file_managers_leave_is_no_change(name, coco):
    (coco / "coco/images" / name).write_text("x")
    prepare(coco)


def test_other_times_alone_are_no_change(coco, monkeypatch):
    keep_times(coco / "coco")
    before = builders.fingerprint(prepare(coco))
    monkeypatch.setattr(source_state, "contents_of", lambda *_: pytest.fail("read again"))
    assert builders.fingerprint(prepare(coco)) == before


@pytest.mark.parametrize(
    "path", ["coco/notes.txt", "coco/annotations/captions_train.json", "coco/images/.DS_Store", "coco/runs/me/run.json"]
)
def test_what_is_not_read_does_not_count(path, coco):
    (coco / path).parent.mkdir(parents=True, exist_ok=True)
    (coco / path).write_text("{}")
    prepare(coco)


def test_data_prepared_within_their_source(tmp_path):
    write_coco(tmp_path)
    for _ in range(2):
        builders.prepare(SET, str(tmp_path / "tfds"), str(tmp_path))


def test_another_source(coco):
    write_coco(coco / "other", shift=3)
    with pytest.raises(UserError, match="was prepared from .*coco, not from .*other") as caught:
        builders.prepare(SET, str(coco / "tfds"), str(coco / "other"))
    assert "--refresh" in str(caught.value)
    builder = builders.prepare(SET, str(coco / "tfds"), str(coco / "other"), refresh=True)
    assert builder.info.metadata["source_path"] == str(coco / "other")


def test_refresh_without_a_source_takes_the_one_it_came_from(coco):
    before = builders.fingerprint(prepare(coco))
    write_coco(coco / "coco", shift=7)
    new = builders.prepare(SET, str(coco / "tfds"), refresh=True)
    assert builders.fingerprint(new) != before
    shutil.rmtree(coco / "coco")
    with pytest.raises(UserError, match="which is not there; give --data_source"):
        builders.prepare(SET, str(coco / "tfds"), refresh=True)


@pytest.mark.parametrize("kept", [None, "", "[]", '{"files": []}'])
def test_data_of_older_versions_go_on_with_one_line(kept, coco, capsys):
    path = pathlib.Path(prepare(coco).data_dir) / sourced.STATE
    if kept is None:
        path.unlink()
    else:
        path.write_text(kept)
    capsys.readouterr()
    assert prepare(coco).is_prepared()
    out = capsys.readouterr().out.splitlines()
    assert len(out) == 1 and "unknown state" in out[0] and "--refresh" in out[0]


def test_home_in_the_path_of_a_source(coco, monkeypatch):
    monkeypatch.setenv("HOME", str(coco))
    monkeypatch.chdir("/")
    prepare(coco)
    builder = builders.prepare(SET, "~/tfds", "~/coco")
    assert builder.data_dir == str(coco / "tfds/coco_subset/pose/1.0.0")


def test_links_that_lead_back_and_links_to_nothing(coco):
    (coco / "coco/images/self").symlink_to(coco / "coco/images", target_is_directory=True)
    (coco / "coco/images/nothing").symlink_to(coco / "nowhere")
    files = source_state.files_of([coco / "coco/images"], coco / "coco")
    assert list(files) == [f"images/{key:03}.jpg" for key in (1, 2, 3, 101, 102, 103)]


def test_large_files_that_are_no_text_are_sampled(tmp_path, monkeypatch):
    monkeypatch.setattr(source_state, "WHOLE", 3000)
    monkeypatch.setattr(source_state, "SAMPLE", 100)
    for name, place, seen in (("a.zip", 3990, True), ("a.zip", 3000, False), ("a.json", 3000, True)):
        content = bytearray(4000)
        path = tmp_path / name
        path.write_bytes(content)
        before = source_state.contents_of(source_state.files_of([path], tmp_path), tmp_path)
        content[place] = 1
        path.write_bytes(content)
        after = source_state.contents_of(source_state.files_of([path], tmp_path), tmp_path)
        assert (before != after) == seen
