"""The reports of a run: what their files must hold, and what the condition is called that one was made under.

A run folder keeps one report for each condition. The training's own, of its validation split at its size without any
augmentation, is called as that split ("val"); others say what differs: "val-flip", "test-192x256".
"""

import hashlib
import numbers
import re

from kzoo import UserError, cli

ALL_DECODERS = "all_decoders"  # in names: --decoder=all
LONGEST = 100  # letters of a name


def _is_number(value) -> bool:
    return value is None or (isinstance(value, numbers.Real) and not isinstance(value, bool))


def _is_text(value) -> bool:
    return value is None or isinstance(value, str)


def _is_numbers(value) -> bool:
    return isinstance(value, dict) and all(map(_is_number, value.values()))


def _is_tables(value) -> bool:
    return isinstance(value, dict) and all(map(_is_numbers, value.values()))


EXPORT = {  # what is told of each export
    **dict.fromkeys(("mib", "ms", "value", "predict", "predict_ms", "examples", "threads"), _is_number),
    **dict.fromkeys(("file", "score", "decoder"), _is_text),
    "difference": _is_numbers,
}


def _is_export(value) -> bool:
    return isinstance(value, dict) and all(name in value and kind(value[name]) for name, kind in EXPORT.items())


KINDS = {  # what is asked of an entry, in words
    "an object of numbers": _is_numbers,
    "an object of objects of numbers": _is_tables,
    "an object of exports": lambda value: isinstance(value, dict) and all(map(_is_export, value.values())),
    "an object of scores": lambda value: _is_numbers(value) and bool(value),
    "an object of objects of scores": lambda value: _is_tables(value) and all(value.values()),
    "an object of texts": lambda value: isinstance(value, dict) and all(map(_is_text, value.values())),
    "an object": lambda value: isinstance(value, dict),
    "a list": lambda value: isinstance(value, list),
    "a list of texts": lambda value: isinstance(value, list) and all(isinstance(item, str) for item in value),
    "a number": _is_number,
    "text": _is_text,
    "a size": lambda value: _is_text(value) or (isinstance(value, int) and not isinstance(value, bool)),
}
ENTRIES = {
    "scores": "an object of scores",
    "tables": "an object of objects of numbers",
    "baselines": "an object of objects of scores",
    "decoders": "an object of objects of scores",
    "gains": "an object of objects of scores",
    "export": "an object of exports",
    "export_failed": "an object of texts",
    "flags": "an object",
    "failures": "an object",
    "confusion": "a list",
    "notes": "a list of texts",
    "crop": "a size",
    "tile": "a size",
    **dict.fromkeys(("examples", "parameters", "overlap", "seconds"), "a number"),
    **dict.fromkeys(
        ("run", "dataset", "fingerprint", "split", "tta", "decoder", "boxes", "retrieval", "stopped"), "text"
    ),
    **dict.fromkeys(("condition", "network"), "text"),
}


def checked(value, path) -> dict:
    """The content of the report file at `path`; tables and notes that it lacks are empty.

    Raises:
        UserError: it is not that of a report.
    """
    if not isinstance(value, dict) or "scores" not in value:
        raise UserError(f"{path} is not a report of a run: it must hold an object with scores")
    for name, kind in ENTRIES.items():
        if name in value and not KINDS[kind](value[name]):
            raise UserError(f"{path} is not a report of a run: {name} must be {kind}, got {str(value[name])[:60]!r}")
    return {**value, "tables": value.get("tables", {}), "notes": value.get("notes", [])}


def size_text(size):
    """A size in pixels as it is always told: 64 of a square, 64x96 otherwise; what is none stays as it is."""
    try:
        height, width = cli.shape_of(size)
    except UserError:
        return size
    text = str(height) if height == width else f"{height}x{width}"
    return size if str(size) == text else text


def split_name(split: str) -> str:
    """A split as a part of a file name: val[:9] is val_to_9, val[9:] val_from_9, val[10%:20%] val_10pct_to_20pct."""
    text = re.sub(r"\[([^:\]]*):([^\]]*)\]", _slice_words, split).replace("%", "pct").replace("+", "_and_")
    return re.sub(r"[^A-Za-z0-9_]+", "_", text).strip("_")[:LONGEST] or "split"


def _slice_words(match) -> str:
    first, last = (text.strip().replace("-", "minus_") for text in match.groups())
    if not last:
        return f"_from_{first or 0}"
    return f"_{first}_to_{last}" if first else f"_to_{last}"


def name_of(report: dict, flags: dict, *, fingerprint: str | None = None, decoder: str | None = None) -> str:
    """What the condition of a report is called: safe as the name of a file.

    Args:
        report: its content; flags: of the run; fingerprint: of the run's data; decoder: the network's default.
    """
    parts = [split_name(report.get("split") or "val")]
    crop, tile = size_text(report.get("crop")), size_text(report.get("tile"))
    if crop is not None and str(crop) != str(size_text(flags.get("size"))):
        parts.append(str(crop))
    if tile is not None:
        parts += [f"tile{tile}", f"overlap{report.get('overlap')}"]
    if report.get("tta") not in (None, "none"):
        parts.append(report["tta"])
    if report.get("decoders"):
        parts.append(ALL_DECODERS)
    elif report.get("decoder") not in (None, decoder):
        parts.append(report["decoder"])
    if fingerprint and report.get("fingerprint") not in (None, fingerprint):
        parts.append(f"data_{report['fingerprint'][:8]}")
    return re.sub(r"[^\w.-]+", "_", "-".join(parts), flags=re.ASCII)


def condition_of(report: dict, flags: dict) -> str:
    """The name that a report has; those of older versions do not say it, and their decoder counts as the default."""
    return report.get("condition") or name_of(report, flags, decoder=report.get("decoder"))


def identity(report: dict) -> tuple:
    """What makes two reports of one run those of one condition."""
    names = ("split", "tta", "decoder", "overlap", "fingerprint", "boxes")
    sizes = tuple(str(size_text(report.get(name))) for name in ("crop", "tile"))
    return (*(report.get(name) for name in names), *sizes, bool(report.get("decoders")))


def unique(name: str, report: dict, reports: dict[str, dict]) -> str:
    """`name`, or with a few letters added where another condition has it (or one that differs in capitals)."""
    for other, content in reports.items():
        if other.lower() == name.lower() and (other != name or identity(content) != identity(report)):
            return f"{name}-{hashlib.sha256(repr(identity(report)).encode()).hexdigest()[:6]}"
    return name
