"""What the programs share: flags in, one clear line and exit code 2 for a user's mistake."""

import ast
import functools
import os
import pathlib
import re
import runpy
import signal
import sys
import threading
from collections.abc import Callable, Mapping

from absl import app, flags, logging

from kzoo import UserError

PROGRAMS = {  # `kzoo <name>` and `python -m kzoo.<name>` -> module
    "train": "kzoo.programs.train",
    "eval": "kzoo.programs.eval",
    "predict": "kzoo.predict.__main__",
    "explain": "kzoo.explain.__main__",
    "report": "kzoo.programs.report",
    "sweep": "kzoo.sweep.__main__",
    "lab": "kzoo.lab.__main__",
    "costs": "kzoo.programs.costs",
    "list": "kzoo.programs.list",
    "convert": "kzoo.programs.convert",
    "export_matrix": "kzoo.programs.export_matrix",
}


def run(main: Callable, *, positional: bool = False):
    """Parse the flags and run `main()`, or `main(arguments)` if `positional`. Exit code 0, 2 for a user's mistake, 128
    and its number for a signal: 130 for Ctrl-C, 143 for SIGTERM."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    logging.set_verbosity(logging.ERROR)
    end_with_the_reader()
    hear_signals()
    if "helpshort" not in flags.FLAGS:
        app.define_help_flags()  # --help, --helpshort
    try:
        arguments = flags.FLAGS(sys.argv)[1:]
        if arguments and not positional:
            raise UserError(
                f"unexpected argument {arguments[0]!r}; every option is a flag, --name=value (see --helpshort)"
            )
        main(*[arguments] * positional)
    except SystemExit:
        if any(argument.lstrip("-").startswith("help") for argument in sys.argv[1:]):
            sys.exit(0)  # absl ends with 1 after it has shown the flags
        raise
    except (flags.Error, UserError) as error:
        print(f"{program()}: {in_flags(' '.join(str(error).split()))}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt as stop:
        print(f"{program()}: {str(stop) or 'stopped'}", file=sys.stderr)
        sys.exit(128 + getattr(stop, "number", signal.SIGINT))


def end_with_the_reader():
    """`kzoo | head -3` ends quietly."""
    if hasattr(signal, "SIGPIPE"):
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)


def in_flags(text: str) -> str:
    """For users of programs: what the library calls size=96 is --size=96 where there is such a flag."""
    return re.sub(r"(?<![\w/.'\"-])([a-z_]+)(?==)", lambda m: "--" * (m[1] in flags.FLAGS) + m[1], text)


def in_keywords(function: Callable) -> Callable:
    """For functions that notebooks call: what a mistake calls --size for users of programs is size there."""

    @functools.wraps(function)
    def called(*arguments, **keywords):
        try:
            return function(*arguments, **keywords)
        except UserError as error:
            raise UserError(re.sub(r"(?<![\w/.-])--(?=[a-z])", "", str(error))) from None

    return called


def console():
    """The console script: `kzoo train --task=…` is `python -m kzoo.train --task=…`; `kzoo` alone lists the programs."""
    end_with_the_reader()
    name, *arguments = sys.argv[1:] or ["--help"]
    if name in ("--help", "--helpshort", "help"):
        print("kzoo <program> <flags>; kzoo <program> --helpshort tells its flags\n")
        print("\n".join(f"  {program:14} {_first_line(module)}" for program, module in PROGRAMS.items()))
        return
    if name == "--version":
        from importlib import metadata

        print(f"kzoo {metadata.version('kzoo')}")
        return
    if name not in PROGRAMS:
        print(f"kzoo: unknown program {name!r}; allowed: {', '.join(PROGRAMS)}", file=sys.stderr)
        sys.exit(2)
    sys.argv[1:] = arguments
    runpy.run_module(PROGRAMS[name], run_name="__main__", alter_sys=True)


def _first_line(module: str) -> str:
    """Of the docstring of a module, which is not imported."""
    path = pathlib.Path(__file__).parents[1].joinpath(*module.split(".")).with_suffix(".py")
    return ast.get_docstring(ast.parse(path.read_text())).partition("\n\n")[0].replace("\n", " ")


def program() -> str:
    """What messages call the program that was started: train.py, and of kzoo/predict/__main__.py predict."""
    path = pathlib.Path(sys.argv[0])
    return path.parent.name if path.name == "__main__.py" else path.name


def assignments(items, flag: str) -> dict:
    """["width=32", "skips=True"] -> {"width": 32, "skips": True}; what is no Python literal stays a string."""
    result = {}
    for item in items or ():
        key, equals, value = item.partition("=")
        if not equals or not key:
            raise UserError(f"--{flag}={item!r} must read --{flag}=<name>=<value>")
        try:
            result[key] = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            result[key] = value
    return result


def shape_of(size) -> tuple[int, int]:
    """Height and width of --size: 128, "128" or "192x256" (height x width) in pixels."""
    sides = str(size).lower().split("x")
    if len(sides) > 2 or not all(side.isdigit() and int(side) > 0 for side in sides):
        raise UserError(f"--size={size!r} must be a number of pixels or <height>x<width>, for instance 192x256")
    return int(sides[0]), int(sides[-1])


def sides_of(shape) -> tuple[int, int]:
    """Height and width of a keyword `shape`: (192, 256), 128, "128" or "192x256"."""
    if isinstance(shape, tuple | list):
        if len(shape) != 2 or not all(isinstance(side, int) and side > 0 for side in shape):
            raise UserError(f"a shape must be (height, width) in pixels, got {shape!r}")
        return tuple(shape)
    return shape_of(shape)


def pick(table: Mapping, key: str, flag: str):
    """table[key], or one line that names what is allowed."""
    if not isinstance(key, str) or key not in table:
        raise UserError(f"unknown --{flag}={key!r}; allowed: {', '.join(map(str, table))}")
    return table[key]


class Stopped(KeyboardInterrupt):
    """A signal that asks the program to end: Ctrl-C, SIGTERM of schedulers, SIGHUP of a terminal that goes.

    number: the signal's.
    """

    def __init__(self, number: int):
        super().__init__()
        self.number = number


def hear_signals(heard: Callable | None = None):
    """Ctrl-C counts also where a shell has started this in the background, and an end by a scheduler is as orderly.

    Args:
        heard: called with (number, frame); by default `Stopped` is raised.
    """

    def stop(number, _):
        raise Stopped(number)

    if threading.current_thread() is not threading.main_thread():
        return  # only there signals are heard
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        if number is None or (name == "SIGHUP" and signal.getsignal(number) == signal.SIG_IGN):
            continue  # Windows has no SIGHUP, and nohup asks for it not to count
        signal.signal(number, heard or stop)
