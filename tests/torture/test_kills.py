"""Programs are killed, asked to end, or meet a full disk: nothing finished is lost, nothing half-written looks whole.

Twenty kills, ten SIGTERM, three full disks; all at moments that a seed draws.
"""

import csv
import json
import pathlib
import random
import signal
import subprocess
import zipfile

import forked
import h5py
import numpy as np
import pytest
from PIL import Image

pytestmark = pytest.mark.slow
SEED = 17
TIMES = ("seconds", "images_per_second")
TRAINED = {  # flags of runs of some epochs
    "seg": ["--task=seg", "--arch=fcn", "--size=64", "--epochs=4"],
    "pose": ["--task=pose", "--arch=softargmax", "--size=64", "--epochs=4"],
}
SHARED = [
    "--encoder=small",
    "--encoder_weights=none",
    "--batch_size=8",
    "--train_split=train[:32]",
    "--val_split=val[:16]",
]
KILLS, STOPS = 20, 10


@pytest.fixture(scope="module")
def server():
    return forked.context()


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("torture")


@pytest.fixture(scope="module")
def whole(server, place, people_dir):
    """{name: (folder of a run that nobody disturbed, how long it took in seconds)}."""
    import time

    runs = {}
    for name in TRAINED:
        began = time.monotonic()
        code, printed = train(server, place, people_dir, name, place / f"whole-{name}").ended()
        assert code == 0, printed
        runs[name] = (place / f"whole-{name}", time.monotonic() - began)
    return runs


def train(server, place, data_dir, name, out) -> forked.Program:
    """Begins a run, or goes on with the one in `out`."""
    if (out / "run.json").exists():
        return forked.Program(server, place, "kzoo.train", "--resume", f"--out={out}")
    flags = [*TRAINED[name], *SHARED, f"--data_dir={data_dir}", f"--out={out}"]
    return forked.Program(server, place, "kzoo.train", *flags)


def history(folder) -> list[dict]:
    """Rows of history.csv without times."""
    path = folder / "history.csv"
    if not path.exists():
        return []
    with open(path, newline="") as file:
        return [{key: value for key, value in row.items() if key not in TIMES} for row in csv.DictReader(file)]


def check_whole_files(folder):
    """Whatever has its final name can be read to its end."""
    for path in folder.rglob("*"):
        if path.is_dir() or any(part.startswith(".") for part in path.relative_to(folder).parts):
            continue
        if path.suffix == ".json":
            json.loads(path.read_text())
        elif path.suffix == ".keras":
            assert zipfile.ZipFile(path).testzip() is None
        elif path.suffix == ".h5":
            with h5py.File(path) as file:
                file.visit(lambda name: None)
        elif path.suffix == ".png":
            Image.open(path).load()


def check_equal(folder, other):
    """Two runs ended in the same numbers, to the last bit."""
    assert history(folder) == history(other)
    with h5py.File(folder / "last.weights.h5") as one, h5py.File(other / "last.weights.h5") as two:
        names = []
        one.visititems(lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None)
        assert names
        for name in names:
            np.testing.assert_array_equal(one[name][()], two[name][()], err_msg=name)


def disturbed(server, place, data_dir, name, out, whole, number: int, times: int, draw) -> list:
    """A run that is sent a signal `times` times, at moments drawn from the time that it takes: (exit code, printed)."""
    ends = []
    while len(ends) < times:
        finished = history(out)
        program = train(server, place, data_dir, name, out)
        program.wait(draw.uniform(0.05, 0.9) * whole[name][1])
        program.signal(number)
        ends.append(program.ended())
        check_whole_files(out)
        assert history(out)[: len(finished)] == finished[: len(history(out))]
        assert len(history(out)) >= len(finished), "a finished epoch is lost"
    return ends


@pytest.mark.parametrize("name, seed", [(name, seed) for name in TRAINED for seed in range(2)])
def test_killed_trainings_end_as_undisturbed_ones(server, place, people_dir, whole, name, seed):
    draw = random.Random(SEED + seed)
    out = place / f"killed-{name}-{seed}"
    for code, printed in disturbed(server, place, people_dir, name, out, whole, signal.SIGKILL, KILLS // 4, draw):
        assert code in (0, -signal.SIGKILL), printed
    code, printed = train(server, place, people_dir, name, out).ended()
    assert code == 0, printed
    check_equal(out, whole[name][0])
    assert not list(out.rglob(".writing-*"))


@pytest.mark.parametrize("name", TRAINED)
def test_stopped_trainings_say_so_and_go_on(server, place, people_dir, whole, name):
    draw = random.Random(SEED)
    out = place / f"stopped-{name}"
    for code, printed in disturbed(server, place, people_dir, name, out, whole, signal.SIGTERM, STOPS // 4, draw):
        assert code in (0, 128 + signal.SIGTERM), printed
        assert "Traceback" not in printed
        assert code == 0 or "stopped" in printed.splitlines()[-1], printed
        assert not list(out.rglob(".writing-*"))
    code, printed = train(server, place, people_dir, name, out).ended()
    assert code == 0, printed
    check_equal(out, whole[name][0])


def photographs(folder, count: int) -> pathlib.Path:
    folder.mkdir()
    pixels = np.random.default_rng(SEED).integers(0, 255, (count, 60, 80, 3), np.uint8)
    for number, picture in enumerate(pixels):
        Image.fromarray(picture).save(folder / f"{number:04d}.jpg")
    return folder


def answered(out) -> int:
    """Rows of the table, each of which has its mask and its overlay."""
    if not (out / "masks.csv").exists():
        return 0
    with open(out / "masks.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    for folder in ("masks", "overlays"):
        assert len(list((out / folder).glob("*.png"))) == len(rows)
    check_whole_files(out)
    return len(rows)


def test_stopped_programs_keep_what_they_finished(server, place, whole):
    run, _ = whole["seg"]
    images = photographs(place / "photographs", 300)
    draw = random.Random(SEED)
    for number in range(STOPS // 2 - 1):
        out = place / f"answers-{number}"
        flags = [f"--run={run}", f"--images={images}", f"--out={out}", "--batch_size=4"]
        program = forked.Program(server, place, "kzoo.predict", *flags)
        while not list(out.rglob("*.png")) and not program.wait(0.05):
            pass
        program.wait(draw.uniform(0, 2))
        program.signal(signal.SIGTERM)
        code, printed = program.ended()
        assert code in (0, 128 + signal.SIGTERM), printed
        assert answered(out) > 0, printed
        assert code == 0 or f"stopped: {answered(out)} of 300" in printed
        assert not list(out.rglob(".writing-*"))
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    for command in (["kzoo.eval", "--export=saved_model"], ["kzoo.explain", f"--image={images / '0000.jpg'}"]):
        program = forked.Program(server, place, *command, f"--run={run}")
        program.wait(draw.uniform(1, 3))
        program.signal(signal.SIGTERM)
        code, printed = program.ended()
        assert code in (0, 128 + signal.SIGTERM) and "Traceback" not in printed, printed
        assert not list(run.rglob(".writing-*"))
        if code:
            assert {path: path.read_bytes() for path in run.rglob("*") if path in before} == before


@pytest.fixture
def small_disk(tmp_path):
    """A folder on a file system of 3 MiB, where this user may mount one."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", folder], capture_output=True)
    if mounted.returncode:
        pytest.skip("no right to mount a file system")
    yield folder
    subprocess.run(["umount", folder], check=True)


@pytest.mark.parametrize("program", ["prepare", "train", "predict"])
def test_a_full_disk_is_one_line_and_loses_nothing(server, place, people_dir, whole, small_disk, program):
    run, _ = whole["seg"]
    out = small_disk / "out"
    commands = {
        "prepare": ["kzoo.train", *TRAINED["seg"], *SHARED, f"--data_dir={small_disk}", f"--out={place / 'none'}"],
        "train": ["kzoo.train", *TRAINED["seg"], *SHARED, f"--data_dir={people_dir}", f"--out={out}", "--epochs=60"],
        "predict": ["kzoo.predict", f"--run={run}", f"--images={photographs(place / 'more', 400)}", f"--out={out}"]
        if program == "predict"
        else [],
    }
    code, printed = forked.Program(server, place, *commands[program]).ended()
    assert code == 2 and "Traceback" not in printed, printed
    assert "full" in printed.splitlines()[-1] or "space" in printed.splitlines()[-1], printed
    check_whole_files(small_disk)
    assert not list(small_disk.rglob(".writing-*"))
    if program == "predict":
        assert answered(out) > 0
    if program == "train":
        assert not (out / "run.json").exists() or Image and check_whole_files(out) is None
