"""Values of flags: what is allowed, what was received, what may have been meant."""

import ast
import difflib
import math
import re
import warnings
from collections.abc import Iterable, Mapping

from absl import flags

from kzoo import UserError, files

flags.disclaim_key_flags()  # those defined here are their callers'

LARGEST_SIDE = 8192  # pixels of --size
LARGEST_BATCH = 65_536
LARGEST_COUNT = 1_000_000  # epochs, rounds, steps, pictures, and numbers of --set
LARGEST_PICTURE = 2**40  # pixels of --max_pixels
LARGEST_SEED = 2**32 - 1  # that NumPy takes
LONGEST = 4000  # letters of a value of --set
SHOWN = 80  # letters of a long value that a message repeats


def meant(name, known: Iterable) -> str:
    """ "; did you mean unet?" where one of the known names is close, else ""."""
    names = {str(one).casefold(): str(one) for one in known}
    close = difflib.get_close_matches(str(name).casefold(), names, 1)
    return f"; did you mean {names[close[0]]}?" if close else ""


def pick(table: Mapping, key: str, flag: str):
    """table[key], or one line that names what is allowed."""
    check_name(table, key, flag)
    return table[key]


def check_name(known: Iterable, name: str, flag: str):
    """Raises UserError, one line that names what is allowed, for a name that is not among the known."""
    if not isinstance(name, str) or name not in known:
        raise UserError(f"unknown --{flag}={name!r}; allowed: {', '.join(map(str, known))}{meant(name, known)}")


def brief(text: str) -> str:
    """A message without the middle of words that no line holds."""
    return re.sub(rf"\S{{{3 * SHOWN},}}", lambda word: f"{word[0][:SHOWN]}… ({len(word[0])} letters)", text)


# Numbers


def whole(text: str) -> int | None:
    """A number of at most nine plain digits; None for all else."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else None


def check_finite(values: flags.FlagValues):
    """Bounds do not hold back nan, nor all of them inf. Raises UserError for a flag that has one."""
    for name in values:
        value = values[name].value
        for number in value if isinstance(value, list) else [value]:
            if isinstance(number, float) and not math.isfinite(number):
                raise UserError(f"--{name}={number} must be a finite number")


def check_numbers(value, argument: str):
    """Raises UserError for nan, inf, and whole numbers beyond LARGEST_COUNT, those in tuples and dictionaries too."""
    if isinstance(value, dict):
        value = [*value, *value.values()]
    if isinstance(value, list | tuple | set | frozenset):
        for one in value:
            check_numbers(one, argument)
    elif isinstance(value, float) and not math.isfinite(value):
        raise UserError(f"{argument}: {value} must be a finite number")
    elif isinstance(value, int) and abs(value) > LARGEST_COUNT:
        raise UserError(f"{argument}: whole numbers are at most {LARGEST_COUNT}")


def shape_of(size) -> tuple[int, int]:
    """Height and width of --size: 128, "128" or "192x256" (height x width) in pixels."""
    sides = [whole(side) for side in str(size).lower().split("x")]
    if len(sides) > 2 or not all(sides):
        raise UserError(f"--size={size!r} must be a number of pixels or <height>x<width>, for instance 192x256")
    if max(sides) > LARGEST_SIDE:
        raise UserError(f"--size={size!r} must be at most {LARGEST_SIDE} pixels a side")
    return sides[0], sides[-1]


def sides_of(shape) -> tuple[int, int]:
    """Height and width of a keyword `shape`: (192, 256), 128, "128" or "192x256"."""
    if isinstance(shape, tuple | list):
        if len(shape) != 2 or not all(isinstance(side, int) and side > 0 for side in shape):
            raise UserError(f"a shape must be (height, width) in pixels, got {shape!r}")
        return tuple(shape)
    return shape_of(shape)


# Paths


class PathParser(flags.ArgumentParser):
    """Of flags that name a file, a folder, or something in place of one (imagenet, official)."""

    syntactic_help = "a path; ~ is the home folder"

    def parse(self, argument: str) -> str:
        try:
            return files.expanded(argument)
        except UserError as error:
            raise ValueError(str(error)) from error

    def flag_type(self) -> str:
        return "path"


def DEFINE_path(name: str, default: str | None, help: str, flag_values=flags.FLAGS, **options):
    """As `flags.DEFINE_string`, of a path."""
    flags.DEFINE(PathParser(), name, default, help, flag_values=flag_values, **options)


def DEFINE_multi_path(name: str, default, help: str, flag_values=flags.FLAGS, **options):
    """As `flags.DEFINE_multi_string`, of paths."""
    flags.DEFINE_multi(
        PathParser(), flags.ArgumentSerializer(), name, default, help, flag_values=flag_values, **options
    )


def DEFINE_max_pixels(name: str, default=None, flag_values=flags.FLAGS):
    """Of programs that read the user's pictures; None leaves the limit of `kzoo.datasets.pictures`."""
    flags.DEFINE_integer(
        name,
        default,
        "larger pictures are refused by their header (default: 180 million)",
        lower_bound=1,
        upper_bound=LARGEST_PICTURE,
        flag_values=flag_values,
    )


# Assignments


def assignments(items, flag: str) -> dict:
    """["width=32", "skips=True"] -> {"width": 32, "skips": True}; what is no Python literal stays a string."""
    result = {}
    for item in items or ():
        key, equals, text = item.partition("=")
        if not equals or not key:
            raise UserError(f"--{flag}={item!r} must read --{flag}=<name>=<value>")
        argument = f"--{flag}={key}={text}"
        value = literal(text, argument)
        check_numbers(value, argument)
        result[key] = files.expanded(value) if isinstance(value, str) and value.startswith("~") else value
    return result


def literal(text: str, argument: str):
    """A Python literal, or the text itself. Raises UserError for one that is too long or too deep to be read."""
    if len(text) > LONGEST:
        raise UserError(f"{argument[:SHOWN]}…: a value has at most {LONGEST} letters, this one has {len(text)}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Python's, of what looks like a slip
            return ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError):
        return text
    except (MemoryError, RecursionError) as error:
        raise UserError(f"{argument[:SHOWN]}…: this value has too many parts") from error
