"""What a value that was read from a file must be: small checks with words for people, put together to tables."""

import math
from collections.abc import Callable

from kzoo import UserError

LARGEST = 2**53  # whole numbers up to here are the same as floats


class Check:
    """A condition on a value of JSON.

    Args:
        words: what the value must be; holds: whether it is.
    """

    def __init__(self, words: str, holds: Callable):
        self.words, self.holds = words, holds

    def __or__(self, other: "Check") -> "Check":
        return Check(f"{self.words} or {other.words}", lambda value: self.holds(value) or other.holds(value))


def whole(least: int = 0, most: int = LARGEST) -> Check:
    """Integers of a range; True is none."""
    bounds = f" from {least:,} to {most:,}" if most < LARGEST else f" of {least} or more"
    return Check(f"a whole number{bounds}", lambda value: type(value) is int and least <= value <= most)


def list_of(item: Check, most: int | None = None) -> Check:
    return Check(
        f"a list of which each is {item.words}",
        lambda value: (
            isinstance(value, list | tuple)
            and (most is None or len(value) <= most)
            and all(item.holds(one) for one in value)
        ),
    )


def table_of(item: Check) -> Check:
    return Check(
        f"an object of which each value is {item.words}",
        lambda value: isinstance(value, dict) and all(item.holds(one) for one in value.values()),
    )


NOTHING = Check("null", lambda value: value is None)
TEXT = Check("text", lambda value: isinstance(value, str) and "\0" not in value)
FLAG = Check("true or false", lambda value: isinstance(value, bool))
NUMBER = Check(
    "a finite number",
    lambda value: (type(value) is int and abs(value) <= LARGEST) or (isinstance(value, float) and math.isfinite(value)),
)
ANY_NUMBER = NUMBER | Check("a number", lambda value: isinstance(value, float))  # NaN and infinity too
OBJECT = Check("an object", lambda value: isinstance(value, dict))
TEXTS = list_of(TEXT)
PAIR = Check("a pair of whole numbers", lambda value: list_of(whole(0, 10**6)).holds(value) and len(value) == 2)
PAIRS = list_of(PAIR)


def require(path, value: dict, table: dict[str, Check], *, kind: str, within: str = "", needed=()):
    """Every entry of a table that is there is what it must be; others are left alone.

    Args:
        path: of the file that is read, and kind: what it should be, for the message; within: where in it this stands;
        needed: entries that must be there.
    Raises:
        UserError: the first that is not.
    """
    for name in needed:
        if name not in value:
            raise UserError(f"{path} is not that of {kind}: {within}{name} is missing")
    for name, check in table.items():
        if name in value and not check.holds(value[name]):
            raise UserError(
                f"{path} is not that of {kind}: {within}{name} must be {check.words}, got {short(value[name])}"
            )


def short(value, most: int = 60) -> str:
    """A value for a message, cut where it is long."""
    text = repr(value)
    return text if len(text) <= most else f"{text[:most]}…"
