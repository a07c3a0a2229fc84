"""kzoo.files: nothing half-written looks whole, whatever stops it."""

import errno
import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest
import run_folders
import running

from kzoo import UserError, files

DEAD = 2**22 + 1  # above the largest process number of Linux


def entries(folder) -> list[str]:
    return sorted(os.listdir(folder))


def python(text: str, *arguments, **environment) -> subprocess.CompletedProcess:
    command = [sys.executable, "-X", "utf8=0", "-c", text, *map(str, arguments)]
    return subprocess.run(command, check=False, capture_output=True, timeout=60, env={**os.environ, **environment})


# One file or folder


@pytest.mark.parametrize("old", [None, "file", "folder"])
def test_a_folder_takes_the_place_of_whatever_is_there(old, tmp_path, monkeypatch):
    for number, exchanged in enumerate((files._exchanged, lambda *_: False)):
        monkeypatch.setattr(files, "_exchanged", exchanged)
        target = tmp_path / f"model{number}"
        if old == "file":
            target.write_text("old")
        elif old == "folder":
            (target / "below").mkdir(parents=True)
        with files.replacing(target) as temporary:
            temporary.mkdir()
            (temporary / "new").write_text("new")
        assert entries(target) == ["new"]
    assert entries(tmp_path) == ["model0", "model1"]


@pytest.mark.parametrize("name", ["a" * 249 + ".keras", "é" * 124 + ".keras", "x" * 243 + ".weights.h5"])
def test_the_longest_names_are_written(name, tmp_path):
    with files.replacing(tmp_path / name) as temporary:
        assert temporary.name.endswith(name[-10:])
        temporary.write_text("x")
    assert entries(tmp_path) == [name]


def test_text_is_utf8_in_any_locale(tmp_path):
    text = r"import sys; from kzoo import files; _, new, old = sys.argv; files.write_text(new, '\xe9\udcfc\n')"
    text += "; files.read_json(old)"
    (tmp_path / "read.json").write_text('"é"', encoding="utf-8")
    ended = python(text, tmp_path / "a", tmp_path / "read.json", LC_ALL="C", PYTHONCOERCECLOCALE="0")
    assert ended.returncode == 0, ended.stderr
    assert (tmp_path / "a").read_bytes() == "é\\udcfc\n".encode()


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_json_of_windows_is_read(encoding, tmp_path):
    (tmp_path / "a.json").write_text('["é"]', encoding=encoding)
    assert files.read_json(tmp_path / "a.json") == ["é"]


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe\xfd", b"[" * 100_000, b"[1" + b"0" * 5000 + b"]"])
def test_what_is_no_json_is_one_line(content, tmp_path):
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(UserError, match="a.json is not valid JSON: .+"):
        files.read_json(tmp_path / "a.json")


# Places that cannot be written


def refusing(tmp_path) -> list[pathlib.Path]:
    (tmp_path / "file").write_text("x")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "nothing").symlink_to("nowhere/at/all")
    return [tmp_path / name for name in ("file/out", "loop/out", "nothing", "n" * 300)] + [pathlib.Path("/proc/out")]


def test_unwritable_places_are_one_line_and_the_reason_is_not_hidden(tmp_path):
    for place in refusing(tmp_path):
        before = entries(tmp_path)
        with pytest.raises(UserError, match="could not write .*out|could not write") as caught:
            files.write_text(place / "a.txt", "x")
        assert ".writing" not in str(caught.value) and "\n" not in str(caught.value)
        with pytest.raises(UserError, match="could not write to"):
            files.check_writable(place)
        assert entries(tmp_path) == before


def test_a_clean_up_that_fails_hides_nothing(tmp_path, monkeypatch):
    def refused(*_, **__):
        raise OSError(errno.EROFS, "Read-only file system")

    with pytest.raises(ZeroDivisionError), files.replacing(tmp_path / "a") as temporary:
        temporary.write_text("x")
        monkeypatch.setattr(pathlib.Path, "unlink", refused)
        raise ZeroDivisionError


def test_check_writable_makes_nothing(tmp_path):
    files.check_writable(tmp_path / "a" / "b")
    assert not entries(tmp_path)
    files.check_writable(tmp_path)


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        OSError(errno.EDQUOT, "Disk quota exceeded"),
        OSError("21364 requested and 0 written"),
        RuntimeError("Unable to flush file (errno = 28, error message = 'No space left on device')"),
        ValueError("NO_SUCH_THING; No space left on device"),
    ],
)
def test_a_full_disk_is_called_so(error, tmp_path):
    (tmp_path / "a").write_text("old")
    with pytest.raises(UserError, match="^could not write .*/a: the disk is full$"), files.replacing(tmp_path / "a"):
        raise error
    with pytest.raises(UserError, match="the disk is full$"), files.replacing(tmp_path / "a"):
        try:
            raise error
        except Exception as cause:  # exports tell of it in their own words
            raise UserError("this form cannot hold the network") from cause
    assert (tmp_path / "a").read_text() == "old" and entries(tmp_path) == ["a"]


def test_other_errors_stay_what_they_are(tmp_path):
    for error in (UserError("mine"), ValueError("yours")):
        with pytest.raises(type(error), match=str(error)), files.replacing(tmp_path / "a"):
            raise error


# Signals


@pytest.mark.parametrize("number", files.ENDING)
def test_a_signal_waits_for_the_rename_and_the_clean_up(number, tmp_path, monkeypatch):
    class Heard(KeyboardInterrupt):
        pass

    def heard(*_):
        raise Heard

    before = signal.signal(number, heard)
    put, remove = files._put, files._remove
    monkeypatch.setattr(files, "_put", lambda *a: (os.kill(os.getpid(), number), put(*a)))
    monkeypatch.setattr(files, "_remove", lambda *a: (os.kill(os.getpid(), number), remove(*a))[1])
    try:
        with pytest.raises(Heard):
            files.write_text(tmp_path / "a", "new")
    finally:
        signal.signal(number, before)
    assert not [name for name in entries(tmp_path) if name.startswith(".")]


# What was killed


def test_what_dead_processes_left_is_swept(tmp_path):
    left = [f".writing-{DEAD}-a.keras", f".writing-{DEAD}@{files._machine()}-b\n", f".writing-{10**30}-c"]
    left += [f".writing-{os.getpid()}-d"]  # of an earlier process of this number
    kept = [f".writing-{os.getppid()}-a", f".writing-{DEAD}@0123abcd-young", ".writing", ".writing-x-y", "writing-1-a"]
    for name in left + kept:
        (tmp_path / name).write_text("x")
    (tmp_path / f".writing-{DEAD}-folder" / "below").mkdir(parents=True)
    old = tmp_path / f".writing-{DEAD}@0123abcd-old"
    old.write_text("x")
    os.utime(old, (0, 0))
    files.sweep(tmp_path)
    assert entries(tmp_path) == sorted(kept)
    files.sweep(tmp_path / "nowhere")


def test_every_writer_sweeps_its_folder(tmp_path):
    (tmp_path / f".writing-{DEAD}-a").write_text("x")
    files.write_text(tmp_path / "new", "x")
    assert entries(tmp_path) == ["new"]


KILLED = """
import os, pathlib, sys
from kzoo import files
folder, last = pathlib.Path(sys.argv[1]), int(sys.argv[2])
calls = 0
def counted(function):
    def called(*arguments, **keywords):
        global calls
        calls += 1
        if calls > last:
            os._exit(9)
        return function(*arguments, **keywords)
    return called
for name in ("rename", "replace", "mkdir", "unlink", "rmdir"):
    setattr(os, name, counted(getattr(os, name)))
if sys.argv[3] == "exchange":
    files._exchanged = lambda *_: False
    with files.replacing(folder / "model") as temporary:
        temporary.mkdir()
        (temporary / "new").write_text("new")
else:
    with files.temporary_for(folder / "model") as model, files.temporary_for(folder / "table") as table:
        model.mkdir()
        (model / "new").write_text("new")
        table.write_text("new")
        files.swap(folder, {"model": model, "table": table}, gone=("model", "table", "other"))
"""


@pytest.mark.parametrize("how", ["exchange", "swap"])
def test_killed_at_any_step_the_old_or_the_new_is_there(how, tmp_path):
    old = {"model": ["old"], "table": "old", "other": "old", "mine": "kept"}
    new = {"model": ["new"], "table": "new", "mine": "kept"} if how == "swap" else {**old, "model": ["new"]}
    seen = []
    for last in range(60):
        folder = tmp_path / str(last)
        (folder / "model").mkdir(parents=True)
        (folder / "model" / "old").write_text("old")
        for name in ("table", "other", "mine"):
            (folder / name).write_text(old[name])
        ended = python(KILLED, folder, last, how)
        files.sweep(folder)  # as the next program does
        found = {path.name: entries(path) if path.is_dir() else path.read_text() for path in folder.iterdir()}
        assert found in (old, new), (last, found)
        seen.append(found == new)
        if ended.returncode == 0:
            break
    assert ended.returncode == 0 and seen[-1] and not seen[0] and seen == sorted(seen)


def test_a_strange_plan_of_a_swap_touches_nothing_outside(tmp_path):
    (tmp_path / "precious").write_text("x")
    inside = tmp_path / "inside"
    inside.mkdir()
    plans = ["[]", "{", json.dumps({"new": {}, "gone": ["../precious"], "aside": "a"})]
    plans += [
        json.dumps({"new": {"..": "x"}, "gone": [], "aside": "a"}),
        json.dumps({"new": 3, "gone": [], "aside": 4}),
    ]
    for number, plan in enumerate(plans):
        (inside / f".swapping-{DEAD}-{number}").write_text(plan)
    files.sweep(inside)
    assert not entries(inside) and (tmp_path / "precious").exists()


def test_what_is_renamed_is_on_the_disk_first(tmp_path, monkeypatch):
    steps, fsync, replace = [], os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda fd: (steps.append("sync"), fsync(fd))[1])
    monkeypatch.setattr(os, "replace", lambda *a: (steps.append("rename"), replace(*a))[1])
    files.write_text(tmp_path / "a", "x")
    assert steps == ["sync", "rename", "sync"]

    def full(_):
        raise OSError(errno.EDQUOT, "Disk quota exceeded")

    monkeypatch.setattr(os, "fsync", full)  # NFS tells it only then
    with pytest.raises(UserError, match="the disk is full"):
        files.write_text(tmp_path / "a", "y")
    assert (tmp_path / "a").read_text() == "x" and entries(tmp_path) == ["a"]


# Programs whose writing is all by way of these functions


def stopped_while_writing(folder, name: str, *command) -> tuple[int, str]:
    """Exit code and standard error of a program that gets SIGTERM when it has begun to write what is called `name`."""
    process = subprocess.Popen([sys.executable, *map(str, command)], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL)
    until = time.monotonic() + 300
    while not list(folder.glob(f".writing-*-{name}")) and process.poll() is None and time.monotonic() < until:
        time.sleep(0.005)
    process.terminate()
    _, err = process.communicate()
    return process.returncode, err.decode()


@pytest.mark.slow
def test_a_signal_in_an_export_leaves_the_old_one(people_dir, tmp_path):
    run = run_folders.make(tmp_path / "me", "seg", "unet", data_dir=people_dir, widths=(4,), size="32")
    (run.folder / "saved_model").mkdir()
    (run.folder / "saved_model" / "old").write_text("old")
    before = entries(run.folder)
    command = (running.ROOT / "eval.py", f"--run={run.folder}", "--export=saved_model", f"--data_dir={people_dir}")
    code, err = stopped_while_writing(run.folder, "saved_model", *command)
    assert code == 128 + signal.SIGTERM, err
    assert "Traceback" not in err and err.splitlines()[-1].startswith("eval.py: stopped")
    assert entries(run.folder) == before and entries(run.folder / "saved_model") == ["old"]


@pytest.mark.slow
def test_a_signal_in_an_explanation_leaves_nothing_half(people_dir, tmp_path):
    run = run_folders.make(tmp_path / "me", "seg", "unet", data_dir=people_dir, widths=(4,), size="32")
    out = tmp_path / "out"
    out.mkdir()
    flags = (f"--run={run.folder}", "--example=0", "--method=saliency,filters", f"--out={out}")
    code, err = stopped_while_writing(out, "*", "-m", "kzoo.explain", *flags, f"--data_dir={people_dir}")
    assert code == 128 + signal.SIGTERM and "Traceback" not in err, err
    assert not [name for name in entries(out) if name.startswith(".")]
