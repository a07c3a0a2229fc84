"""What the programs share: flags in, one clear line and exit code 2 for a user's mistake."""

import ast
import errno
import functools
import locale
import os
import pathlib
import re
import runpy
import shlex
import signal
import sys
import threading
from collections.abc import Callable

from absl import app, flags, logging

from kzoo import UserError, files
from kzoo.cli import frameworks
from kzoo.cli.values import (
    LARGEST_BATCH,
    LARGEST_COUNT,
    LARGEST_SEED,
    DEFINE_max_pixels,
    DEFINE_multi_path,
    DEFINE_path,
    assignments,
    brief,
    check_finite,
    check_name,
    meant,
    pick,
    shape_of,
    sides_of,
    whole,
)

__all__ = [
    "LARGEST_BATCH",
    "LARGEST_COUNT",
    "LARGEST_SEED",
    "PROGRAMS",
    "DEFINE_max_pixels",
    "DEFINE_multi_path",
    "DEFINE_path",
    "Stopped",
    "assignments",
    "check_finite",
    "check_name",
    "meant",
    "pick",
    "shape_of",
    "sides_of",
    "whole",
]

PROGRAMS = {  # `kzoo <name>` and `python -m kzoo.<name>` -> module
    "train": "kzoo.programs.train.__main__",
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
SCRIPTS = ("train.py", "eval.py")  # in a checkout
REFUSED = {errno.ENAMETOOLONG, errno.ELOOP, errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EISDIR}


def run(main: Callable, *, positional: bool = False):
    """Parse the flags and run `main()`, or `main(arguments)` if `positional`. Exit code 0, 2 for a user's mistake or a
    full disk, 128 and its number for a signal: 130 for Ctrl-C, 143 for SIGTERM."""
    in_utf8()
    logging.set_verbosity(logging.ERROR)
    frameworks.only_own_warnings()
    if not (sys.stderr and sys.stderr.isatty()):
        os.environ.setdefault("TQDM_DISABLE", "1")  # bars are for terminals
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
        check_finite(flags.FLAGS)
        main(*[[files.expanded(argument) for argument in arguments]] * positional)
    except SystemExit:
        if any(argument.lstrip("-").startswith("help") for argument in sys.argv[1:]):
            sys.exit(0)  # absl ends with 1 after it has shown the flags
        raise
    except (flags.Error, UserError) as error:
        end_bars()
        print(f"{program()}: {told(error)}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt as stop:
        end_bars()
        print(f"{program()}: {str(stop) or 'stopped'}", file=sys.stderr)
        sys.exit(128 + getattr(stop, "number", signal.SIGINT))
    except Exception as error:  # a full disk or a path that the system refuses is nobody's bug, wherever it is noticed
        place = getattr(error, "filename", None)
        if files.is_full(error):
            line = f"could not write {files.printable(place)}: the disk is full" if place else "the disk is full"
        elif isinstance(error, OSError) and place and error.errno in REFUSED:
            line = f"cannot use {files.printable(place)}: {error.strerror}"
        else:
            raise
        end_bars()
        print(f"{program()}: {line}", file=sys.stderr)
        sys.exit(2)


def told(error: Exception) -> str:
    """A mistake in one line."""
    if isinstance(error, flags.UnrecognizedFlagError):
        known = [f"--{name}" for name in flags.FLAGS]
        hint = meant(f"--{error.flagname}", known) or "; --helpshort tells those that there are"
        return brief(f"unknown flag --{error.flagname}{hint}")
    line = in_flags(" ".join(str(error).split())).removeprefix("flag ")
    among = re.match(r"--\w+=(.*): value should be one of <(.*)>$", line)  # absl's, of an enumeration
    return brief(line + (meant(among[1], among[2].split("|")) if among else ""))


def in_utf8():
    """Start again where the locale (C, POSIX) would have files and messages in ASCII: they are UTF-8 everywhere."""
    if os.name != "posix" or sys.flags.utf8_mode or locale.getpreferredencoding(False).upper() in ("UTF-8", "UTF8"):
        return
    os.environ["PYTHONUTF8"] = "1"
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def end_bars():
    """A message begins on a line of its own."""
    tqdm = sys.modules.get("tqdm.auto")
    for bar in list(getattr(tqdm.tqdm, "_instances", ())) if tqdm else ():
        bar.close()


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
    in_utf8()
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
        allowed = f"allowed: {', '.join(PROGRAMS)}{meant(name, PROGRAMS)}"
        print(f"kzoo: unknown program {name!r}; {allowed}", file=sys.stderr)
        sys.exit(2)
    sys.argv[1:] = arguments
    runpy.run_module(PROGRAMS[name], run_name="__main__", alter_sys=True)


def _first_line(module: str) -> str:
    """Of the docstring of a module, which is not imported."""
    path = pathlib.Path(__file__).parents[2].joinpath(*module.split(".")).with_suffix(".py")
    return ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))).partition("\n\n")[0].replace("\n", " ")


def program() -> str:
    """What messages call the program that was started: train.py and eval.py, of kzoo/programs/list.py list, of
    kzoo/predict/__main__.py predict."""
    path = pathlib.Path(sys.argv[0])
    if path.name == "__main__.py":
        path = path.parent.with_suffix(".py")
    elif path.parent.name != "programs":
        return path.name
    return path.name if path.name in SCRIPTS else path.stem


def command(name: str, *arguments: str) -> str:
    """A line to type: a program in the way in which this one was started, and its arguments."""
    started = [pathlib.Path(word).name for word in sys.orig_argv[:2]]
    if "kzoo" in started or "kzoo.exe" in started:
        start = f"kzoo {name}"
    elif f"{name}.py" in SCRIPTS and started[-1] in SCRIPTS:
        start = f"python {pathlib.Path(sys.orig_argv[1]).with_name(name)}.py"
    else:
        start = f"python -m kzoo.{name}"
    return " ".join([start, *map(shlex.quote, arguments)])


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
