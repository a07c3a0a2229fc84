"""Paths in the flags of a run."""

import os

from kzoo import cli
from kzoo.data import places
from kzoo.datasets.about import OFFICIAL
from kzoo.runs.parts import paths_of

PATHS = ("data_dir", "data_source", "encoder_weights")  # flags that may name files or folders
WORDS = (OFFICIAL, "imagenet", "none")  # of these flags, and no paths though a folder here may be called so


def absolute_paths(given: dict) -> dict:
    """Flags whose paths mean the same from everywhere; what is not there stays as it was typed, for messages.

    Args:
        given: flags by name.
    """
    result = dict(given)
    for name in PATHS:
        if given.get(name):
            result[name] = _absolute(given[name], always=name == "data_dir")
    parts = paths_of(cli.assignments(given.get("set"), "set"))
    result["set"] = [item for item in given.get("set") or () if item.partition("=")[0] not in parts]
    result["set"] += [f"{part}={_absolute(path)}" for part, path in parts.items()]
    return result


def _absolute(path: str, always: bool = False) -> str:
    if path in WORDS:
        return path
    found = places.absolute(path)
    return found if always or os.path.exists(found) else path


def path_in(assignments, keyword: str) -> str | None:
    """The path of a run folder in --set=<keyword>=<path>, None where there is none."""
    value = cli.assignments(assignments, "set").get(keyword)
    return value if isinstance(value, str) and value else None
