"""The reports of a run: what the condition is called that one was made under.

A run folder keeps one report for each condition. The training's own, of its validation split at its size without any
augmentation, is called as that split ("val"); others say what differs: "val-flip", "test-192x256".
"""

import hashlib
import re

from kzoo import UserError, cli

ALL_DECODERS = "all_decoders"  # in names: --decoder=all
LONGEST = 100  # letters of a name


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
