"""Every way to start a program: kzoo <name>, python -m kzoo.<name>, python train.py and eval.py."""

import pathlib
import re
import subprocess
import sys

import pytest

from kzoo import cli
from kzoo.nn import decoding

ROOT = pathlib.Path(__file__).parents[2]
CONSOLE = [sys.executable, "-c", "from kzoo.cli import console; console()"]


def started(command, folder) -> subprocess.CompletedProcess:
    return subprocess.run(list(map(str, command)), check=False, capture_output=True, text=True, cwd=folder)


@pytest.mark.parametrize("arguments", [[], ["--help"], ["help"]])
def test_alone_it_lists_the_programs(arguments, tmp_path):
    ended = started([*CONSOLE, *arguments], tmp_path)
    assert ended.returncode == 0 and not ended.stderr
    lines = [line.split(maxsplit=1) for line in ended.stdout.splitlines() if line.startswith("  ")]
    assert [line[0] for line in lines] == list(cli.PROGRAMS) and all(len(line[1]) > 20 for line in lines)


def test_its_version(tmp_path):
    ended = started([*CONSOLE, "--version"], tmp_path)
    assert ended.returncode == 0 and ended.stdout.startswith("kzoo ")


def test_an_unknown_program_is_one_line(tmp_path):
    ended = started([*CONSOLE, "trian"], tmp_path)
    assert ended.returncode == 2 and not ended.stdout
    allowed = f"allowed: {', '.join(cli.PROGRAMS)}; did you mean train?"
    assert ended.stderr.splitlines() == [f"kzoo: unknown program 'trian'; {allowed}"]


def test_the_package_itself_lists_them_too(tmp_path):
    ended = started([sys.executable, "-m", "kzoo"], tmp_path)
    assert ended.returncode == 0 and ended.stdout == started(CONSOLE, tmp_path).stdout


@pytest.mark.parametrize("name", cli.PROGRAMS)
def test_every_program_starts_anywhere(name, tmp_path):
    ended = started([sys.executable, "-m", f"kzoo.{name}", "--helpshort"], tmp_path)
    assert ended.returncode == 0 and "Traceback" not in ended.stderr, ended.stderr
    assert len(ended.stdout.splitlines()) > 3
    through_console = started([*CONSOLE, name, "--helpshort"], tmp_path)
    assert through_console.returncode == 0 and flags_of(through_console) == flags_of(ended)


@pytest.mark.parametrize(("script", "flag"), [("train.py", "--arch"), ("eval.py", "--run")])
def test_scripts_of_the_checkout_start_theirs(script, flag, tmp_path):
    ended = started([sys.executable, ROOT / script, "--helpshort"], tmp_path)
    assert ended.returncode == 0 and flag in flags_of(ended), ended.stderr
    name = script.partition(".")[0]
    assert flags_of(ended) == flags_of(started([sys.executable, "-m", f"kzoo.{name}", "--helpshort"], tmp_path))
    wrong = started([sys.executable, ROOT / script, "--no_such_flag"], tmp_path)
    assert wrong.returncode == 2 and len(wrong.stderr.splitlines()) == 1 and "no_such_flag" in wrong.stderr


def test_help_names_every_decoder(tmp_path):
    ended = started([sys.executable, "-m", "kzoo.eval", "--helpshort"], tmp_path)
    told = " ".join(ended.stdout.split()).partition("--decoder:")[2].partition(" --")[0]
    assert set(decoding.DECODERS) <= set(re.findall(r"\w+", told))


def flags_of(ended: subprocess.CompletedProcess) -> list[str]:
    """Of what --helpshort printed."""
    words = [line.split(":")[0].strip() for line in ended.stdout.splitlines()]
    return [word for word in words if word.startswith("--")]
