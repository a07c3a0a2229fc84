"""However kzoo.predict ends, what was finished is kept and nothing half-written is left: signals, full disks, faults;
names of files, what is left out."""

import csv
import errno
import json
import os
import pathlib
import resource
import shutil
import signal
import subprocess
import sys
import time

import cv2
import numpy as np
import pytest
import run_folders

from kzoo import UserError, files
from kzoo.predict import answering, writers

NAMES = ["background", "thing"]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """task -> folder of an untrained run."""
    folder = tmp_path_factory.mktemp("runs")
    how = {
        "seg": ("unet", {"widths": (4,), "names": NAMES, "size": "32"}),
        "pose": ("regression", {"size": "32"}),
        "cluster": ("dec", {"size": "8", "data": "digits"}),
    }
    return lambda task: _made(folder / task, task, *how[task])


def _made(folder, task, arch, how):
    if not folder.exists():
        run_folders.make(folder, task, arch, **how)
    return folder


def picture(number: int):
    image = np.random.default_rng(number).integers(0, 256, (24, 32, 3)).astype("uint8")
    return cv2.imencode(".png", image)[1].tobytes()


def pictures(folder, count: int) -> pathlib.Path:
    folder.mkdir()
    for number in range(count):
        (folder / f"{number:04d}.png").write_bytes(picture(number))
    return folder


def rows(path) -> list[dict]:
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def check_whole(out, count: int):
    """The answers for `count` pictures, each with all that belongs to it, and nothing else."""
    found = rows(out / "masks.csv")
    masks = {pathlib.PurePosixPath(row["mask"]).name for row in found}
    assert len(found) == len(masks) == count
    for name in ("masks", "overlays"):
        assert {path.name for path in (out / name).iterdir()} == masks
    for path in (out / "masks").iterdir():
        assert cv2.imread(str(path)) is not None
    assert len(json.loads((out / "classes.json").read_text())) == len(NAMES)
    assert not list(out.rglob(".*"))


def failing(monkeypatch, after: int, error):
    """The writer's overlays fail half-way from the picture after `after` others."""
    show, calls = writers.Writer._show, []

    def shown(self, canvas, of):
        calls.append(of)
        if len(calls) > after:
            self._picture("overlays", of).write_bytes(b"half")
            raise error
        show(self, canvas, of)

    monkeypatch.setattr(writers.Writer, "_show", shown)


FULL = OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("error", [FULL, OSError(errno.EDQUOT, "x"), ZeroDivisionError("a fault"), MemoryError()])
def test_what_was_finished_survives(error, runs, tmp_path, monkeypatch):
    folder, out = pictures(tmp_path / "in", 7), tmp_path / "out"
    failing(monkeypatch, 3, error)
    kind, message = type(error), None
    if isinstance(error, OSError):
        kind, message = UserError, f"the disk is full: 3 of 7 pictures are in {out}$"
    with pytest.raises(kind, match=message):
        answering.predict(runs("seg"), images=[folder], out=out, batch_size=2)
    check_whole(out, 3)


@pytest.mark.parametrize("error", [FULL, KeyboardInterrupt(), ZeroDivisionError()])
def test_where_nothing_was_finished_nothing_is_left(error, runs, tmp_path, monkeypatch):
    folder, out = pictures(tmp_path / "in", 2), tmp_path / "a" / "out"
    failing(monkeypatch, 0, error)
    with pytest.raises((UserError, KeyboardInterrupt, ZeroDivisionError)):
        answering.predict(runs("seg"), images=[folder], out=out)
    assert os.listdir(tmp_path) == ["in"]


def test_overwrite_that_is_stopped_keeps_the_old_and_the_new(runs, tmp_path, monkeypatch):
    folder, out = pictures(tmp_path / "in", 5), tmp_path / "out"
    answering.predict(runs("seg"), images=[folder], out=out)
    (out / "mine.txt").write_text("kept")
    with monkeypatch.context() as patch:
        failing(patch, 2, FULL)
        with pytest.raises(UserError, match=f"2 of 5 pictures are in {out}/stopped"):
            answering.predict(runs("seg"), images=[folder], out=out, overwrite=True)
    check_whole(out / "stopped", 2)
    assert len(rows(out / "masks.csv")) == len(list((out / "overlays").iterdir())) == 5
    with pytest.raises(UserError, match="holds results already .*stopped"):
        answering.predict(runs("seg"), images=[folder], out=out)
    answering.predict(runs("seg"), images=[folder / "0001.png"], out=out, overwrite=True)
    check_whole(out, 1)
    assert (out / "mine.txt").exists() and not (out / "stopped").exists()


def test_the_table_of_persons_is_whole_on_a_full_disk(runs, tmp_path, monkeypatch):
    """Nothing is taken as written before it is: rows are cut at the end of the last whole one."""
    folder, out = pictures(tmp_path / "in", 4), tmp_path / "out"
    resource_limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    append = writers.Writer._append

    def limited(self, text):
        if self.written == 2:  # a row has some 400 bytes: half of it can still be written
            resource.setrlimit(resource.RLIMIT_FSIZE, (self.end + 100, resource_limit[1]))
        append(self, text)

    monkeypatch.setattr(writers.Writer, "_append", limited)
    try:
        with pytest.raises(UserError, match="2 of 4 pictures are in"):
            answering.predict(runs("pose"), images=[folder], out=out, batch_size=1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, resource_limit)
    assert len(json.loads((out / "keypoints.json").read_text())) == 2 and len(os.listdir(out / "overlays")) == 2


def test_names_that_are_hard(runs, tmp_path, monkeypatch):
    """One name loses nothing of the others, tables are UTF-8 and find the files that were written."""
    folder = tmp_path / "in"
    folder.mkdir()
    names = [
        "a.png",
        "=1+1.png",
        "-b.png",
        "@c.png",
        'q"u,o\nte.png',
        "$x$.png",
        "😀.png",
        "n" * 251 + ".png",
        "m" * 255,
    ]
    for number, name in enumerate([*map(os.fsencode, names), b"J\xfcrgen.png"]):
        (folder / os.fsdecode(name)).write_bytes(picture(number))
    monkeypatch.chdir(folder)
    for task in ("seg", "cluster", "pose"):
        out = tmp_path / task
        assert answering.predict(runs(task), images=["*"], out=out) == (len(names) + 1, 0)
        if task == "pose":
            found = [row["file_name"] for row in json.loads((out / "keypoints.json").read_text())]
            assert sorted(found) == sorted([*names, "J%FCrgen.png"])
            continue
        (table,) = out.glob("*.csv")
        found = [row["file"] for row in rows(table)]
        assert sorted(found) == sorted(["./" * (name[0] in "=-@") + name for name in names] + ["J%FCrgen.png"])
    assert all((tmp_path / "seg" / row["mask"]).exists() for row in rows(tmp_path / "seg" / "masks.csv"))


def test_text_of_a_table_is_no_formula():
    text = writers.Writer._csv([("+a.png", "=cmd()", "-0.5", -0.25, "@x", "plain", "+1e-3", "-inf")])
    assert text == "./+a.png,'=cmd(),-0.5,-0.25,'@x,plain,+1e-3,-inf\n"


def test_what_is_left_out_is_named_and_counted(runs, tmp_path, capsys):
    folder = pictures(tmp_path / "in", 2)
    (folder / "c.HEIC").write_bytes(b"\0\0\0\x18ftypheic" + bytes(100))
    (folder / "d.mov").write_bytes(bytes(100))
    (folder / "lost.jpg").symlink_to("nowhere")
    (folder / "note.txt").write_text("x")
    os.mkfifo(folder / "pipe")
    (folder / "below").mkdir()
    assert answering.predict(runs("seg"), images=[folder], out=tmp_path / "out") == (2, 4)
    told = capsys.readouterr()
    assert told.out == f"2 of 6 pictures are in {tmp_path / 'out'}; 4 left out\n"
    lines = told.err.splitlines()
    for name, why in (
        ("c.HEIC", ""),
        ("d.mov", "it is a video"),
        ("lost.jpg", "it is a link to nothing"),
        ("pipe", "it is no regular"),
    ):
        assert sum(f"{folder / name} is left out: {why}" in line and line[-1] != " " for line in lines) == 1
    assert lines[0] == f"predict: 1 folder in {folder} not looked into: '{folder}/**/*.jpg'" and len(lines) == 5


def test_a_place_without_pictures_is_told_before_a_framework_starts(runs, tmp_path):
    """A program that is told of mistakes at once ends before TensorFlow is there."""
    run, code = runs("seg"), "import sys; sys.modules['tensorflow'] = None; from kzoo import cli; cli.console()"
    (tmp_path / "a.jpg").touch()
    for images, out, message in (
        ("nowhere", "out", "predict: --images=nowhere: no picture is there"),
        ("a.jpg", "a.jpg", "predict: --out=a.jpg is a file; give a folder"),
    ):
        arguments = ["predict", f"--run={run}", f"--images={images}", f"--out={out}"]
        command = [sys.executable, "-c", code, *arguments]
        ended = subprocess.run(command, check=False, capture_output=True, text=True, cwd=tmp_path)
        assert ended.returncode == 2 and ended.stderr.startswith(message), ended.stderr


def test_boxes_that_met_no_picture_are_told(runs, tmp_path, capsys):
    folder = pictures(tmp_path / "in", 3)
    listed = [{"image_id": number, "bbox": [2, 2, 20, 20]} for number in (0, 0, 1, 7, 8, 9, 10, 11)]
    listed.append({"image_id": 1, "bbox": [900, 900, 20, 20]})
    files.write_json(tmp_path / "boxes.json", listed)
    found = answering.predict(runs("pose"), images=[folder], boxes=tmp_path / "boxes.json", out=tmp_path / "out")
    told = capsys.readouterr()
    assert found == (3, 6) and told.out.endswith("; 1 without a box; 6 left out\n")
    lines = [line for line in told.err.splitlines() if "no calibration" not in line]
    assert len(lines) == 5 and "entry 3 (image_id 7) is left out: no such picture" in lines[0]
    assert "2 more entries are of no picture" in lines[3] and "does not lie on the picture" in lines[4]
    ids = [row["image_id"] for row in json.loads((tmp_path / "out" / "keypoints.json").read_text())]
    assert ids == [0, 0, 1]


def test_frames_that_a_video_announces_and_lacks(runs, tmp_path, capsys):
    path = tmp_path / "walk.avi"
    video = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 10, (96, 64))
    for number in range(20):
        video.write(np.random.default_rng(number).integers(0, 256, (64, 96, 3)).astype("uint8"))
    video.release()
    cut = tmp_path / os.fsdecode(b"c\xfct.avi")
    cut.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10])
    assert answering.predict(runs("pose"), video=path, out=tmp_path / "out") == (20, 0)
    written, left_out = answering.predict(runs("pose"), video=cut, out=tmp_path / "cut")
    assert 0 < written < 20 and left_out == 20 - written
    assert f"announces 20 frames, and {written} can be read" in capsys.readouterr().err


def test_a_video_on_a_full_disk_can_be_closed(runs, tmp_path, monkeypatch):
    """OpenCV does not tell when the disk is full: it is asked before each frame."""
    video = cv2.VideoWriter(str(tmp_path / "walk.avi"), cv2.VideoWriter_fourcc(*"MJPG"), 10, (96, 64))
    for number in range(9):
        video.write(np.full((64, 96, 3), 20 * number, "uint8"))
    video.release()
    usage, asked = shutil.disk_usage, []

    def left(folder):
        asked.append(folder)
        return usage(folder)._replace(free=0 if len(asked) > 5 else 2**30)

    monkeypatch.setattr(writers.shutil, "disk_usage", left)
    out = tmp_path / "out"
    with pytest.raises(UserError, match="the disk is full: 5 of 9 frames are in"):
        answering.predict(runs("pose"), video=tmp_path / "walk.avi", out=out)
    assert len(json.loads((out / "keypoints.json").read_text())) == 5
    assert cv2.VideoCapture(str(out / "annotated.mp4")).get(cv2.CAP_PROP_FRAME_COUNT) == 5


def test_a_folder_where_another_process_writes(runs, tmp_path):
    folder, out = pictures(tmp_path / "in", 1), tmp_path / "out"
    out.mkdir()
    (out / f".writing-{os.getppid()}-masks.csv").write_text("x")
    with pytest.raises(UserError, match="another process is writing to it"):
        answering.predict(runs("seg"), images=[folder], out=out)


# Real processes


def started(run, folder, out, *arguments, **how) -> subprocess.Popen:
    command = [sys.executable, "-m", "kzoo.predict", f"--run={run}", f"--images={folder}", f"--out={out}", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **how)


def wait_for(process, out, count: int):
    while len(list(out.glob(".writing-*-overlays/*"))) < count:
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.02)


@pytest.mark.slow
@pytest.mark.parametrize("number", files.ENDING, ids=lambda number: number.name)
def test_signals(number, runs, tmp_path):
    folder, out = pictures(tmp_path / "in", 600), tmp_path / "out"
    process = started(runs("seg"), folder, out, "--batch_size=4")
    wait_for(process, out, 20)
    process.send_signal(number)
    _, err = process.communicate()
    assert process.returncode == 128 + number
    count = len(rows(out / "masks.csv"))
    assert err.splitlines()[-1] == f"predict: stopped: {count} of 600 pictures are in {out}" and count >= 20
    assert sum("stopped" in line for line in err.splitlines()) == 1
    check_whole(out, count)


@pytest.mark.slow
def test_two_signals_and_a_kill(runs, tmp_path):
    folder, out = pictures(tmp_path / "in", 600), tmp_path / "out"
    process = started(runs("seg"), folder, out, "--batch_size=64")
    wait_for(process, out, 64)
    process.send_signal(signal.SIGTERM)
    process.send_signal(signal.SIGINT)
    process.communicate()
    assert process.returncode in (130, 143)
    check_whole(out, len(rows(out / "masks.csv")))

    before = sorted(path.relative_to(out) for path in out.rglob("*"))
    process = started(runs("seg"), folder, out, "--batch_size=4", "--overwrite")
    wait_for(process, out, 20)
    process.kill()
    process.communicate()
    after = sorted(path.relative_to(out) for path in out.rglob("*") if ".writing-" not in str(path))
    assert after == before and list(out.glob(".writing-*"))
    process = started(runs("seg"), folder / "0000.png", out, "--overwrite")
    assert process.communicate()[0].startswith("1 of 1 pictures") and not process.returncode
    check_whole(out, 1)


@pytest.mark.slow
def test_a_disk_that_is_full(runs, tmp_path):
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=600k", "tmpfs", small], check=False, capture_output=True
    )
    if mounted.returncode:
        pytest.skip("may not mount")
    try:
        process = started(runs("seg"), pictures(tmp_path / "in", 300), small / "out")
        _, err = process.communicate()
        count = len(rows(small / "out" / "masks.csv"))
        line = f"predict: could not write {small}/out: the disk is full: {count} of 300 pictures are in {small}/out"
        assert process.returncode == 2 and err.splitlines()[-1] == line and 10 < count < 300
        check_whole(small / "out", count)
    finally:
        subprocess.run(["umount", small], check=True)


@pytest.mark.slow
def test_any_locale(runs, tmp_path):
    folder = tmp_path / "é"
    folder.mkdir()
    (folder / "ü.png").write_bytes(picture(0))
    (folder / os.fsdecode(b"J\xfc.png")).write_bytes(picture(1))
    out = tmp_path / "ö"
    environment = {**os.environ, "LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    process = started(runs("seg"), folder, out, env=environment)
    told, err = process.communicate()
    assert process.returncode == 0, err
    assert [row["mask"] for row in rows(out / "masks.csv")] == ["masks/J%FC.png", "masks/ü.png"]
    assert {path.name for path in (out / "masks").iterdir()} == {"J%FC.png", "ü.png"}
