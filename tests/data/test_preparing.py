"""Preparing: whole or not at all, by one process at a time, one line where it fails, and no trace in random numbers."""

import errno
import os
import pathlib
import random
import shutil
import subprocess
import sys
import time

import numpy as np
import pytest

from kzoo import UserError
from kzoo.data import builders, locks, preparing

DIGITS = builders.builder_class("digits")


@pytest.fixture(autouse=True)
def few(monkeypatch):
    monkeypatch.setattr(DIGITS, "SIZES", {"train": 20, "val": 10})


def names(folder):
    """What is in a folder, but for TFDS's own one of downloads."""
    return sorted(path.name for path in pathlib.Path(folder).iterdir() if path.name != "downloads")


# mistakes and faults


def full_disk():
    error = RuntimeError("ResourceExhaustedError while writing")  # as TFDS and TensorFlow wrap it
    error.__cause__ = OSError(errno.ENOSPC, "No space left on device")
    return error


FAULTS = {
    "full disk, wrapped": (full_disk(), "no space is left"),
    "full disk": (OSError(errno.ENOSPC, "No space left on device"), "no space is left"),
    "quota": (OSError(errno.EDQUOT, "Disk quota exceeded"), "no space is left"),
    "full disk, as text": (RuntimeError("a; No space left on device\n[Op:x]"), "no space is left"),
    "no rights": (PermissionError(errno.EACCES, "Permission denied", "x"), "Permission denied"),
    "type": (TypeError("int() argument must be\na string"), "TypeError: int() argument must be a string"),
    "key": (KeyError("annotations"), "KeyError: 'annotations'"),
    "depth": (RecursionError("maximum recursion depth exceeded"), "RecursionError"),
    "memory": (MemoryError(), "MemoryError"),
    "text": (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"), "invalid start byte"),
    "value": (ValueError("a picture is damaged"), "a picture is damaged"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_every_fault_is_one_line_and_leaves_nothing(name, tmp_path, monkeypatch):
    error, words = FAULTS[name]

    def broken(self, start, size):
        yield from [(0, next(self_examples(self, start, size))[1])]
        raise error

    self_examples = DIGITS._generate_examples
    monkeypatch.setattr(DIGITS, "_generate_examples", broken)
    with pytest.raises(UserError) as caught:
        builders.prepare("digits", str(tmp_path))
    message = str(caught.value)
    assert words in message and "digits could not be prepared" in message and "\n" not in message
    assert names(tmp_path) == [], "nothing looks prepared, nothing half is left"
    monkeypatch.setattr(DIGITS, "_generate_examples", self_examples)
    assert builders.prepare("digits", str(tmp_path)).info.splits["train"].num_examples == 20


def test_a_stop_passes_through_and_leaves_nothing(tmp_path, monkeypatch):
    def stopped(self, start, size):
        raise KeyboardInterrupt
        yield

    monkeypatch.setattr(DIGITS, "_generate_examples", stopped)
    with pytest.raises(KeyboardInterrupt):
        builders.prepare("digits", str(tmp_path))
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    ("folder", "words"),
    [
        ("no/such/place", "which is not there"),
        ("file", "must be a folder"),
        pytest.param("C:\\Users\\me\\data", "Windows", marks=pytest.mark.skipif(os.name == "nt", reason="theirs")),
        pytest.param("\\\\server\\data", "Windows", marks=pytest.mark.skipif(os.name == "nt", reason="theirs")),
    ],
)
def test_a_mistyped_folder_starts_nothing(folder, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=words):
        builders.prepare("people", folder)
    assert names(tmp_path) == ["file"]


# paths


def test_home_and_relative_folders_are_made_absolute(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    first = builders.prepare("digits", "~/tfds")
    monkeypatch.chdir("/")
    assert (
        pathlib.Path(first.data_dir) == tmp_path / "tfds/digits/1.0.0"
        and len(list(first.as_dataset(split="val"))) == 10
    )
    assert names(tmp_path) == ["tfds"]


def test_a_folder_with_any_name(tmp_path):
    folder = tmp_path / "a [1] {b} ü*? 'c'"
    builder = builders.prepare("digits", str(folder))
    assert len(list(builder.as_dataset(split="train"))) == 20 and builders.fingerprint(builder)
    again = builders.prepare("digits", str(folder), refresh=True)
    assert builders.fingerprint(again) == builders.fingerprint(builder)
    assert names(folder / "digits") == ["1.0.0"]


# lines


def test_what_is_said(tmp_path, capfd):
    builders.prepare("digits", str(tmp_path))
    out = capfd.readouterr().out
    assert out.splitlines() == [f"digits: packing scikit-learn's, once, into {tmp_path}"]
    builders.prepare("digits", str(tmp_path))
    assert capfd.readouterr().out == ""


# random numbers


@pytest.mark.parametrize("there", [True, False])
def test_random_numbers_go_on_as_if_nothing_had_been_drawn(there, tmp_path):
    if there:
        builders.prepare("digits", str(tmp_path))
    random.seed(3), np.random.seed(3)
    expected = random.random(), np.random.rand()
    random.seed(3), np.random.seed(3)
    builders.prepare("digits", str(tmp_path))
    assert (random.random(), np.random.rand()) == expected


def test_inside_they_are_the_systems():
    drawn = []
    for _ in range(2):
        random.seed(0)
        with preparing.own_randomness():
            drawn.append(random.random())
    assert drawn[0] != drawn[1]


# again


def test_refreshed_data_take_the_place_of_the_old(tmp_path, monkeypatch):
    old = builders.describe(builders.prepare("digits", str(tmp_path)))
    monkeypatch.setattr(DIGITS, "SIZES", {"train": 12, "val": 10})
    assert builders.describe(builders.prepare("digits", str(tmp_path))) == old, "prepared once"
    new = builders.describe(builders.prepare("digits", str(tmp_path), refresh=True))
    assert new.splits == {"train": 12, "val": 10} and new.fingerprint != old.fingerprint
    assert names(tmp_path / "digits") == ["1.0.0"]


def test_old_data_stay_where_a_refresh_fails(tmp_path, monkeypatch):
    old = builders.describe(builders.prepare("digits", str(tmp_path)))
    with monkeypatch.context() as patch:
        patch.setattr(DIGITS, "_generate_examples", lambda *_: 1 / 0)
        with pytest.raises(UserError):
            builders.prepare("digits", str(tmp_path), refresh=True)
    assert builders.describe(builders.prepare("digits", str(tmp_path))) == old
    assert names(tmp_path / "digits") == ["1.0.0"]


@pytest.mark.parametrize("moment", ["before", "between", "after"])
def test_a_refresh_killed_at_any_moment_leaves_the_old_or_the_new(moment, tmp_path):
    old = builders.prepare("digits", str(tmp_path))
    place, before = pathlib.Path(old.data_dir), builders.fingerprint(old)
    staging = place.with_name(f"{preparing.STAGING}{place.name}")
    aside = place.with_name(f"{preparing.ASIDE}{place.name}")
    if moment == "before":
        shutil.copytree(place, staging / "digits/incomplete.ABCDEF_1.0.0")
    elif moment == "between":
        place.rename(aside)
    else:
        shutil.copytree(place, aside)
    assert builders.fingerprint(builders.prepare("digits", str(tmp_path))) == before
    assert names(tmp_path / "digits") == ["1.0.0"]


def test_what_the_dead_left_is_swept(tmp_path):
    left = tmp_path / "digits/incomplete.ABCDEF_1.0.0"
    left.mkdir(parents=True)
    (left / "half").write_text("half")
    builders.prepare("digits", str(tmp_path))
    assert names(tmp_path / "digits") == ["1.0.0"]
    left.mkdir()
    builders.prepare("digits", str(tmp_path))
    assert names(tmp_path / "digits") == ["1.0.0"]


# several processes

PREPARE = """
import random, sys, time
from kzoo.data import builders
make = builders.builder_class("digits")
plain = make._generate_examples
def slow(self, start, size):
    for example in plain(self, start, size):
        time.sleep(0.02)
        yield example
make._generate_examples, make.SIZES = slow, {"train": 60, "val": 20}
random.seed(int(sys.argv[2]))
print("size", builders.size_of(builders.prepare("digits", sys.argv[1]), "train"))
"""


@pytest.mark.parametrize("seeds", [(0, 0), (0, 1)])
def test_two_at_once_end_well(seeds, tmp_path):
    started = [
        subprocess.Popen(
            [sys.executable, "-c", PREPARE, str(tmp_path), str(seed)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for seed in seeds
    ]
    ended = [process.communicate(timeout=120) for process in started]
    assert [process.returncode for process in started] == [0, 0], ended
    outs = [out for out, _ in ended]
    assert all("size 60" in out for out in outs) and sum("once, into" in out for out in outs) == 1, "one prepares"
    assert names(tmp_path / "digits") == ["1.0.0"]


def test_a_killed_process_is_not_waited_for(tmp_path):
    process = subprocess.Popen([sys.executable, "-c", PREPARE, str(tmp_path), "0"], stdout=subprocess.PIPE, text=True)
    assert "once, into" in process.stdout.readline()
    deadline = time.time() + 60
    while not list(tmp_path.rglob("incomplete.*")) and time.time() < deadline:
        time.sleep(0.02)
    process.kill()
    process.communicate()
    assert list(tmp_path.rglob("incomplete.*")), "killed too early for this test"
    assert builders.size_of(builders.prepare("digits", str(tmp_path)), "train") == 20
    assert names(tmp_path / "digits") == ["1.0.0"]


HOLD = """
import sys, time
from kzoo.data import locks
with locks.alone(sys.argv[1], print):
    print("in", flush=True)
    time.sleep(1)
"""


def test_one_is_inside_at_a_time(tmp_path):
    path = tmp_path / "lock"
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "in\n"
    waited = []
    with locks.alone(path, lambda: waited.append(process.poll())) as alone:
        assert alone and waited == [None] and process.wait(5) == 0
    assert not path.exists()


@pytest.mark.skipif(os.name == "nt", reason="POSIX")
@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_file_systems_without_locks_let_everybody_in(number, tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(locks.fcntl, "flock", refuse)
    with locks.alone(tmp_path / "lock", pytest.fail) as alone:
        assert not alone
    fresh = tmp_path / "digits/incomplete.ABCDEF_1.0.0"
    fresh.mkdir(parents=True)
    assert builders.prepare("digits", str(tmp_path)).is_prepared()
    assert fresh.exists(), "it may be another's who is at work"
