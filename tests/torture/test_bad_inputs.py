"""Two hundred bad calls: flags of the programs with values that no one can mean, drawn by a seed. Each is one line."""

import importlib
import random
import re

import pytest
import running
from absl import flags

pytestmark = pytest.mark.slow
SEED, CALLS = 17, 200
NUMBERS = ["nan", "inf", "-inf", "1e999", "-1", "abc", "", "1,5", "²", "1e", "9" * 420, "1e400"]
NAMES = ["nothing", "Unet", "se g", "", "ünet", "$x$", "a" * 300, "../seg", "-1", "None"]
PATHS = ["~nobody_of_that_name/x", "/proc/none/x", "a\0b", "/dev/null/x", "x" * 300]
SIZES = ["²", "0", "-64", "64x", "64x64x64", "x", "1e3", "9" * 400, "64,64", "nan"]
ASSIGNMENTS = ["=1", "width", "=", "no_such_keyword=3", "width=" + "+".join(["1"] * 10_000), "width=" + "(" * 500]
ENUMERATED = ["task", "arch", "dataset", "encoder", "optimizer", "schedule", "init", "loss", "decoder", "tta", "split"]
LOCATED = ["data_dir", "data_source", "out", "run", "images", "image", "video", "boxes", "encoder_weights"]
ASSIGNED = ["set", "loss_set", "loss_weights"]
PROGRAMS = {"train": "kzoo.programs.train.__main__", "eval": "kzoo.programs.eval", "predict": "kzoo.predict.__main__"}


def defined(module) -> list:
    """The flags that a program defines."""
    before = set(flags.FLAGS)
    module.define_flags()
    names = sorted(set(flags.FLAGS) - before)
    found = [flags.FLAGS[name] for name in names]
    for name in names:
        delattr(flags.FLAGS, name)
    return found


def values_for(flag) -> list[str]:
    """What this flag cannot mean."""
    if flag.name in ("size", "tile"):
        return SIZES
    if flag.name in ASSIGNED:
        return ASSIGNMENTS
    if flag.name in LOCATED:
        return PATHS
    kind = flag.flag_type()
    if kind in ("float", "int"):
        return NUMBERS
    if kind == "bool":
        return ["maybe", "2", "nan"]
    return NAMES if "enum" in kind or flag.name in ENUMERATED else []


def calls() -> list[tuple[str, str]]:
    """(program, --flag=value), a seeded choice of all of them."""
    every = []
    for program, name in PROGRAMS.items():
        for flag in defined(importlib.import_module(name)):
            every += [(program, f"--{flag.name}={value}") for value in values_for(flag)]
    return random.Random(SEED).sample(every, CALLS)


@pytest.mark.parametrize("program", PROGRAMS)
def test_each_is_one_line(capsys, monkeypatch, people_dir, tmp_path, program):
    monkeypatch.chdir(tmp_path)
    module = importlib.import_module(PROGRAMS[program])
    wrong = []
    for name, bad in calls():
        if name != program:
            continue
        given = ["--task=seg", "--arch=fcn", f"--data_dir={people_dir}"] if program == "train" else []
        code, _, err = running.run_module(module, capsys, monkeypatch, *given, bad)
        lines = [line for line in err.splitlines() if re.match(rf"{program}(\.py)?: ", line)]
        if code != 2 or len(lines) != 1 or "Traceback" in err or len(lines[0]) > 1000:
            wrong.append((bad[:80], code, err[-300:]))
    assert not wrong, "\n".join(map(str, wrong))
    assert not list(tmp_path.iterdir()), "a mistake leaves nothing behind"
