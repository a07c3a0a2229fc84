"""Paths in the flags of a run mean the same from everywhere; words that are no paths stay words."""

import pytest

from kzoo import UserError, runs


def test_words_are_no_paths_though_folders_are_called_so(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("imagenet", "none", "official", "labels"):
        (tmp_path / name).mkdir()
    given = {"encoder_weights": "imagenet", "data_source": "official", "data_dir": "tfds", "set": ["features=labels"]}
    expected = {
        "encoder_weights": "imagenet",
        "data_source": "official",
        "data_dir": str(tmp_path / "tfds"),
        "set": [f"features={tmp_path / 'labels'}"],
    }
    assert runs.absolute_paths(given) == expected
    assert runs.absolute_paths({"data_source": "labels"})["data_source"] == str(tmp_path / "labels")


def test_a_folder_of_windows_is_none_here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="a folder of Windows"):
        runs.absolute_paths({"data_dir": "C:\\Users\\me\\data"})
