"""Running train.py, eval.py and kzoo.report inside the test's process: importing TensorFlow once is what makes it
fast."""

import importlib
import pathlib
import sys

import keras
import pytest
from absl import flags

from kzoo import cli

ROOT = pathlib.Path(__file__).parents[1]


def run(capsys, monkeypatch, script: str, *arguments) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of `python <script> <arguments>`, train.py or eval.py."""
    module = importlib.import_module(cli.PROGRAMS[pathlib.Path(script).stem])
    return _called(capsys, monkeypatch, [script, *arguments], module.define_flags, module.main)


def run_module(module, capsys, monkeypatch, *arguments) -> tuple[int, str, str]:
    """The same of `python -m <module> <arguments>`; of an imported module that defines its flags in a function."""
    return _called(capsys, monkeypatch, [module.__file__, *arguments], module.define_flags, module.main)


def _called(capsys, monkeypatch, command: list, define, main) -> tuple[int, str, str]:
    """Flags and dtype policy are afterwards as before."""
    before, policy = set(flags.FLAGS), keras.config.dtype_policy()
    monkeypatch.setattr(sys, "argv", list(map(str, command)))
    try:
        define()
        code = 0
        try:
            cli.run(main)
        except SystemExit as stop:
            code = stop.code
    finally:
        for name in set(flags.FLAGS) - before:
            delattr(flags.FLAGS, name)
        flags.FLAGS.unparse_flags()
        keras.config.set_dtype_policy(policy)
    out = capsys.readouterr()
    return code, out.out, out.err


def one_line(err: str) -> str:
    """The single line a user's mistake is told in; fails where there is a traceback or none or more than one."""
    lines = [line for line in err.splitlines() if line.startswith(("train.py:", "eval.py:"))]
    if "Traceback" in err or len(lines) != 1:
        pytest.fail(f"expected one clear line, got:\n{err}")
    return lines[0]
