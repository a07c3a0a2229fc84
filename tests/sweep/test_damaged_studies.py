"""Files of a study are input too: whatever is in them, a line says what is wrong, and nothing finished is lost."""

import errno
import json
import os
import pathlib
import shutil

import numpy as np
import pytest
import stand_in

pytest.importorskip("optuna")

from kzoo import UserError, files
from kzoo.sweep import journal, parameters, studies, study_rows, study_table, study_trials
from kzoo.sweep.sweep import show, sweep

VALUES = (None, True, 7, -1, 1e400, "x", "", "..", [], [1], {}, {"a": 1})


@pytest.fixture(scope="module")
def pristine(tmp_path_factory):
    """A study of two trials."""
    folder = tmp_path_factory.mktemp("studies")
    with pytest.MonkeyPatch.context() as patch:
        stand_in.use(patch, pause=0.05)
        patch.setattr(parameters, "aim", lambda *_: ("miou", "max"))
        sweep("s", ["--arch=a,b"], out=folder)
    return folder


@pytest.fixture
def study(pristine, tmp_path, monkeypatch):
    """A copy of it."""
    stand_in.use(monkeypatch, pause=0.05)
    monkeypatch.setattr(parameters, "aim", lambda *_: ("miou", "max"))
    return pathlib.Path(shutil.copytree(pristine, tmp_path / "studies"))


def is_told(call) -> bool:
    """Whether a call fails, then in one line."""
    try:
        call()
    except UserError as error:
        assert "\n" not in str(error) and len(str(error)) < 600, error
        return True
    return False


def again(folder) -> dict:
    return sweep("s", ["--arch=a,b"], out=folder)


def test_a_cut_last_line_costs_nothing(study):
    path = study / "journal.log"
    whole = path.read_bytes()
    before = again(study)
    for length in (1, 20, len(whole.splitlines()[-1])):
        path.write_bytes(whole + whole.splitlines()[-1][:length])
        assert again(study) == before
        path.write_bytes(whole + whole.splitlines()[-1][:length])
        more = studies.load(studies.Place.of("s", study, None))
        more.set_user_attr("note", 1)  # the next line does not become a part of it
        assert show("s", out=study) == before and journal.damage(path) is None


def test_a_full_disk_leaves_the_journal_whole(study, monkeypatch):
    path = study / "journal.log"
    before = path.read_bytes()
    opened = studies.load(studies.Place.of("s", study, None))

    def full(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(UserError, match="could not write .*journal.log: the disk is full"):
            opened.set_user_attr("note", 1)
    assert path.read_bytes() == before
    opened.set_user_attr("note", 1)
    assert len(path.read_bytes()) > len(before)


@pytest.mark.parametrize("seed", range(40))
def test_damaged_journals(study, seed):
    """Noise, lines that are gone or changed, other types."""
    rng = np.random.default_rng(seed)
    path = study / "journal.log"
    lines = path.read_bytes().splitlines(keepends=True)
    at = int(rng.integers(len(lines)))
    if seed % 4 == 0:
        lines[at] = rng.bytes(50).replace(b"\n", b"") + b"\n"
    elif seed % 4 == 1:
        del lines[at]
    else:
        step = json.loads(lines[at])
        name = str(rng.choice(sorted(step)))
        if seed % 4 == 2:
            del step[name]
        else:
            step[name] = VALUES[rng.integers(len(VALUES))]
        lines[at] = json.dumps(step).encode() + b"\n"
    path.write_bytes(b"".join(lines))
    is_told(lambda: show("s", out=study))
    is_told(lambda: study_rows.of_study(study / "s"))
    assert len(list((study / "s").glob("*/run.json"))) == 2, "the runs are whole"


def test_which_line_is_damaged(study):
    path = study / "journal.log"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:2], b"\xff\xfe\n", *lines[3:]]))
    with pytest.raises(UserError, match="line 3 is no step of a study; the runs in .* are whole"):
        again(study)


@pytest.mark.parametrize(
    "content", [b"", b"\xff", b"[]", b"{", b"null", b'{"folder": 3}', b'{"other": "a"}', b"[" * 9999]
)
def test_damaged_identities(content, study):
    (study / "s" / studies.IDENTITY).write_bytes(content)
    assert is_told(lambda: again(study))


@pytest.mark.parametrize("name", ["study", "score", "direction", "trials", "state", "folder", "error", "trial"])
@pytest.mark.parametrize("value", [7, [7], "gone"])
def test_damaged_tables(name, value, study):
    (study / "journal.log").unlink()
    path = study / "s" / study_table.TABLE
    table = json.loads(path.read_text())
    for place in (table, table["trials"][0]):
        if name in place:
            place[name] = value
            if value == "gone":
                del place[name]
    files.write_json(path, table)
    told = is_told(lambda: study_rows.of_study(study / "s"))
    assert told or name in ("trial", "error", "folder", "score", "study", "state")


@pytest.mark.parametrize(
    "value", [*VALUES[1:], {"host": 1, "pid": 2, "birth": "3"}, {"host": "a", "pid": "2", "birth": "3"}]
)
def test_damaged_owners(value, tmp_path):
    path = tmp_path / study_trials.OWNER
    path.write_text(json.dumps(value))
    with pytest.raises(UserError, match=r"owner.json does not tell who is at work there; if nobody is, take it away"):
        study_trials.take(tmp_path)
    train = {**study_trials.me(), "train": value}
    if value is not None:
        with pytest.raises(UserError):
            study_trials.check_owner(train, "here")


def test_a_training_of_another_user_is_not_waited_for(monkeypatch):
    def refuses(*_):
        raise PermissionError

    monkeypatch.setattr(os, "kill", refuses)
    me = study_trials.me()
    with pytest.raises(UserError, match="is another user's"):
        study_trials.end_orphan({**me, "train": [me["pid"], me["birth"]]})


@pytest.mark.parametrize("content", ["", "[]", '{"seconds": "a", "open": false}', '{"seconds": 3}', '{"open": 1}', "{"])
def test_a_damaged_cost_is_not_known(content, tmp_path):
    launched = study_trials.LaunchedFolder(tmp_path)
    launched.cost.write_text(content)
    assert launched.seconds is None
    with launched.counted():
        pass
    assert launched.seconds is None
    files.write_json(launched.cost, {"seconds": 2.5, "open": False})
    assert launched.seconds == 2.5


def test_an_unwritable_place_is_told_first(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="could not write to"):
        sweep("s", ["--arch=fcn,unet"], out=tmp_path / "file")
