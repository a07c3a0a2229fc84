"""Thousands of damaged pictures, annotation files and archives, by a seed: each is read, or refused in one line."""

import multiprocessing

import mutations
import pytest

pytestmark = pytest.mark.slow
SEED = 17
DAMAGED = {  # what -> (maker, reader, how many)
    "pictures": (mutations.pictures, mutations.read_picture, 3000),
    "tables": (mutations.tables, mutations.read_folder, 1000),
    "zips": (mutations.zips, mutations.read_folder, 300),
}


def read_all(what: str, folder: str):
    """In a process of its own, which such a file could kill."""
    make, read, count = DAMAGED[what]
    refused = 0
    for description, path in make(folder, SEED, count):
        try:
            refused += read(path) is not None
        except BaseException as error:
            raise AssertionError(f"{what}: {description}: {error!r}") from error
    assert 0 < refused, "nothing was refused: is anything damaged?"


@pytest.mark.parametrize("what", DAMAGED)
def test_whatever_is_damaged_is_read_or_refused_in_a_line(what, tmp_path):
    (tmp_path / "in").mkdir()
    process = multiprocessing.get_context("spawn").Process(target=read_all, args=(what, str(tmp_path / "in")))
    process.start()
    process.join()
    assert process.exitcode == 0
    assert [path.name for path in tmp_path.iterdir()] == ["in"], "nothing is written outside"
