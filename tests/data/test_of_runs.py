"""The data of a run are found again by their records: moved along, named otherwise, or said to be missing."""

import os
import pathlib
import shutil

import pytest
import run_folders
import tensorflow_datasets as tfds

from kzoo import UserError
from kzoo.data import builders, fingerprints, places
from kzoo.runs import Run

DIGITS = builders.builder_class("digits")


@pytest.fixture(autouse=True)
def few(monkeypatch, tmp_path):
    monkeypatch.setattr(DIGITS, "SIZES", {"train": 20, "val": 10})
    monkeypatch.setattr(tfds.core.constants, "DATA_DIR", str(tmp_path / "default"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def project(tmp_path):
    """A folder with data and a run, whose data_dir is absolute."""
    builders.prepare("digits", str(tmp_path / "project/tfds") if (tmp_path / "project").mkdir() else "project/tfds")
    write_run(tmp_path / "project", str(tmp_path / "project/tfds"))
    return tmp_path / "project"


def write_run(project, stored):
    """A run in project/runs/me, of the data in project/tfds, whose flags call these `stored`."""
    config = run_folders.configuration("cluster", "dec", data="digits", data_dir=project / "tfds", size="8")
    config.flags["data_dir"] = stored
    Run.create(project / "runs/me", config)


def there():
    """All that lies in the working directory, but for notes about it."""
    return [path for path in pathlib.Path().rglob("*") if path.name != fingerprints.KEPT]


def refused(run, *words, **where) -> str:
    before = sorted(there())
    with pytest.raises(UserError) as caught:
        run.builder(**where)
    message = str(caught.value)
    assert "\n" not in message and all(word in message for word in words), message
    assert sorted(there()) == before, "nothing was made"
    return message


def test_where_it_was(project):
    assert Run.open(project / "runs/me").builder().data_dir == str(project / "tfds/digits/1.0.0")


@pytest.mark.parametrize("stored", ["project/tfds", "tfds", "./tfds", "../tfds", "C:\\Users\\me\\project\\tfds"])
def test_a_run_and_its_data_that_moved_together(stored, project, tmp_path, monkeypatch):
    """Relative paths of older runs count from the working directory, then from the folders above the run."""
    write_run(project, stored)
    (tmp_path / "elsewhere").mkdir()
    shutil.move(project, tmp_path / "elsewhere/project")
    monkeypatch.chdir(tmp_path / "elsewhere")
    found = Run.open("project/runs/me").builder()
    assert found.data_dir == str(tmp_path / "elsewhere/project/tfds/digits/1.0.0")
    assert sorted(os.listdir(tmp_path)) == ["elsewhere"], "no folder was made"


def test_the_default_folder_where_it_holds_the_same(project, tmp_path):
    (tmp_path / "default").mkdir()
    shutil.move(project / "tfds/digits", tmp_path / "default/digits")
    assert Run.open(project / "runs/me").builder().data_dir == str(tmp_path / "default/digits/1.0.0")


@pytest.mark.parametrize(
    "stored", ["C:\\Users\\me\\tensorflow_datasets", "/no/such/place", "gone", "../gone", "\\\\s\\d"]
)
def test_what_is_missing_is_said_and_nothing_is_drawn(stored, project):
    write_run(project, stored)
    shutil.rmtree(project / "tfds")
    told = refused(Run.open(project / "runs/me"), "digits/1.0.0", stored, "not there", "data_dir=")
    assert "data_source" not in told, "eval.py has no such flag"


def test_a_folder_that_the_user_names(project, tmp_path):
    run = Run.open(project / "runs/me")
    refused(run, "no folder at data_dir=", "digits/1.0.0", data_dir=str(tmp_path / "mistyped"))
    (tmp_path / "empty").mkdir()
    assert run.builder(str(tmp_path / "empty")).data_dir == str(tmp_path / "empty/digits/1.0.0"), "drawn again there"
    assert run.builder("empty") is run.builder(str(tmp_path / "empty")), "once, however it is written"


def test_the_default_folder_of_a_run_that_named_none(tmp_path, monkeypatch):
    builders.prepare("digits")
    config = run_folders.configuration("cluster", "dec", data="digits", data_dir=tmp_path / "default", size="8")
    config.flags["data_dir"] = None
    run = Run.create(tmp_path / "me", config)
    shutil.rmtree(tmp_path / "default/digits")
    assert run.builder().data_dir == str(tmp_path / "default/digits/1.0.0"), "drawn again, the same"
    monkeypatch.setattr(DIGITS, "SIZES", {"train": 12, "val": 10})
    shutil.rmtree(tmp_path / "default/digits")
    with pytest.raises(UserError, match="the run saw digits/1.0.0 .*20.* holds .*12"):
        Run.open(tmp_path / "me").builder()


def test_other_records_are_refused(project, monkeypatch):
    def other(self, start, size):
        for key, example in plain(self, start, size):
            yield key, {**example, "label": 0}

    plain = DIGITS._generate_examples
    monkeypatch.setattr(DIGITS, "_generate_examples", other)
    builders.prepare("digits", str(project / "tfds"), refresh=True)
    told = refused(Run.open(project / "runs/me"), "the run saw digits/1.0.0 (fingerprint", "other records")
    assert Run.open(project / "runs/me").config.dataset.fingerprint in told


def test_data_of_another_version(project, monkeypatch):
    run = Run.open(project / "runs/me")
    shutil.rmtree(project / "tfds/digits")
    monkeypatch.setattr(DIGITS, "VERSION", type(DIGITS.VERSION)("2.0.0"))
    refused(run, "saw digits/1.0.0", "digits/2.0.0", data_dir=str(project / "tfds"))


@pytest.mark.parametrize("path", [None, "", "~/a", "a", "/a/../b", "gs://bucket/a"])
def test_absolute_paths(path, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    expected = {"~/a": "/home/me/a", "a": str(tmp_path / "a"), "/a/../b": "/b", "gs://bucket/a": "gs://bucket/a"}
    assert places.absolute(path) == expected.get(path)
    assert places.absolute_source("official") == "official"
