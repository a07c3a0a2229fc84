"""Parts of a data set by name, in TFDS's words: train, train[:100], train[10%:]+val, all."""

import re

import tensorflow_datasets as tfds

from kzoo import UserError, cli

# what TFDS raises for a split that it does not know, or cannot read as one
_REFUSED = (ValueError, KeyError, AssertionError, NotImplementedError, IndexError, TypeError, OverflowError)


def parts(builder: tfds.core.DatasetBuilder, split: str) -> list[tuple[str, int, int]]:
    """(name of a split, first example, end) of each part, in the order that they are read; empty ones are left out.

    Raises:
        UserError: unknown, or empty.
    """
    known = builder.info.splits
    allowed = f"allowed: {', '.join(known)}, slices like train[:100], and sums like train+val"
    try:
        absolute = tfds.core.ReadInstruction.from_spec(split).to_absolute(known)
        found = [(part.splitname, *_bounds(part, known[part.splitname].num_examples)) for part in absolute]
    except _REFUSED as error:
        raise UserError(f"unknown split {split!r}; {allowed}{cli.meant(split, known)}") from error
    found = [(name, start, stop) for name, start, stop in found if stop > start]
    if not found:
        raise UserError(f"split {split!r} is empty; {allowed}")
    return found


def _bounds(part, size: int) -> tuple[int, int]:
    start = part.from_ or 0
    return start, min(size, size if part.to is None else part.to)


def size_of(builder: tfds.core.DatasetBuilder, split: str) -> int:
    """Number of examples of a split, of slices and sums too."""
    return sum(stop - start for _, start, stop in parts(builder, split))


def readable(builder: tfds.core.DatasetBuilder, split: str) -> str:
    """The same split in words that TFDS can read: it knows `all` but does not read it."""
    if not re.search(r"\ball\b", split):
        return split
    return _text(parts(builder, split))


def first(builder: tfds.core.DatasetBuilder, split: str, wanted: int) -> str:
    """Of a whole split, or a sum, as many examples as wanted; a slice stays what it is."""
    found = parts(builder, split)
    if sum(stop - start for _, start, stop in found) <= wanted or (len(found) == 1 and "[" in split):
        return split
    taken = []
    for name, start, stop in found:
        stop = min(stop, start + wanted)
        wanted -= stop - start
        if stop > start:
            taken.append((name, start, stop))
    return _text(taken)


def _text(found: list[tuple[str, int, int]]) -> str:
    return "+".join(f"{name}[{start or ''}:{stop}]" for name, start, stop in found)


def shared(builder: tfds.core.DatasetBuilder, split: str, other: str) -> int:
    """Number of examples of a split that another holds too."""
    theirs = parts(builder, other)
    own = set()
    for name, start, stop in parts(builder, split):
        own |= {(name, place) for place in range(start, stop)}
    return sum(any(one == name and start <= place < stop for name, start, stop in theirs) for one, place in own)


def bytes_of_record(builder: tfds.core.DatasetBuilder, split: str) -> float:
    """What a record of a split takes on average."""
    total = count = 0
    for name, start, stop in parts(builder, split):
        whole = builder.info.splits[name]
        total += (stop - start) * whole.num_bytes / whole.num_examples
        count += stop - start
    return total / count
