"""One training in a folder at a time, and what dead ones leave."""

import os
import subprocess
import sys

import pytest
from running import ROOT

from kzoo import UserError, runs
from kzoo.data import locks
from kzoo.runs import beginning, occupation

HOLDS = """
import sys, time
from kzoo.runs import occupation
with occupation.occupied(sys.argv[1]):
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def another(tmp_path):
    """A process that trains in the folder."""
    process = subprocess.Popen([sys.executable, "-c", HOLDS, tmp_path], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()


def test_the_second_one_is_refused_until_the_first_has_died(another, tmp_path):
    for _ in range(2):
        with (
            pytest.raises(UserError, match=f"{tmp_path} is in use: process {another.pid} trains there"),
            occupation.occupied(tmp_path),
        ):
            pass
    another.kill()  # -9: nothing of it tidies up
    another.wait()
    with occupation.occupied(tmp_path):
        pass
    assert not list(tmp_path.iterdir()), "the lock leaves no file"


def test_within_one_process(tmp_path):
    with occupation.occupied(tmp_path), pytest.raises(UserError, match="is in use"), occupation.occupied(tmp_path):
        pass
    with occupation.occupied(tmp_path):
        pass


def test_file_systems_without_locks(tmp_path, monkeypatch):
    def fails(*_):
        raise OSError(95, "not supported")

    monkeypatch.setattr(locks.fcntl, "flock", fails)
    with occupation.occupied(tmp_path), occupation.occupied(tmp_path):
        pass


def test_what_dead_processes_left_is_swept(tmp_path):
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    left = [tmp_path / f".writing-{ended.pid}-model.keras", tmp_path / f".writing-{ended.pid}-folder"]
    left[0].write_bytes(b"half")
    left[1].mkdir()
    (left[1] / "a").touch()
    kept = [tmp_path / f".writing-{os.getppid()}-model.keras", tmp_path / ".writing-mine", tmp_path / "model.keras"]
    for path in kept:
        path.touch()
    with occupation.occupied(tmp_path):
        assert sorted(tmp_path.iterdir()) == sorted(kept)


FLAGS = {"task": "seg", "arch": "unet", "dataset": "people/pictures"}


def test_default_names_of_one_second_differ(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(beginning.time, "strftime", lambda *_: "20250101-000000")
    folders = []
    for _ in range(3):
        folders.append(runs.free_folder(None, FLAGS))
    assert [str(folder) for folder in folders] == [
        "runs/seg-unet-people-pictures-20250101-000000",
        "runs/seg-unet-people-pictures-20250101-000000-2",
        "runs/seg-unet-people-pictures-20250101-000000-3",
    ]


def test_a_new_run_holds_its_folder_and_leaves_none_that_is_empty(tmp_path):
    with runs.begun(tmp_path / "me", FLAGS) as folder, pytest.raises(UserError, match="is in use"):
        assert folder == tmp_path / "me"
        with runs.begun(folder, FLAGS):
            pass
    assert not (tmp_path / "me").exists()
    with runs.begun(tmp_path / "me", FLAGS) as folder:
        (folder / "run.json").touch()
    with pytest.raises(UserError, match="already holds a run"), runs.begun(folder, FLAGS):
        pass
    assert (folder / "run.json").exists()
