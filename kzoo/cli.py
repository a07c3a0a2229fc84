"""What the programs share: flags in, one clear line and exit code 2 for a user's mistake."""

import ast
import os
import pathlib
import signal
import sys
from collections.abc import Callable, Mapping

from absl import app, flags, logging

from kzoo import UserError


def run(main: Callable, *, positional: bool = False):
    """Parse the flags and run `main()`, or `main(arguments)` if `positional`. Exit code 0, 2 for a user's mistake, 130
    for Ctrl-C."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    logging.set_verbosity(logging.ERROR)
    if hasattr(signal, "SIGPIPE"):
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
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
        print(f"{program()}: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        sys.exit(130)


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


def pick(table: Mapping, key: str, flag: str):
    """table[key], or one line that names what is allowed."""
    if key not in table:
        raise UserError(f"unknown --{flag}={key!r}; allowed: {', '.join(map(str, table))}")
    return table[key]


def hear_signals():
    """Ctrl-C counts also where a shell has started this in the background, and an end by SIGTERM is as orderly."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
