"""Where USPS lies: libsvm's files of 256 grey values a digit.

A broken source is refused by one line that names the file: ValueError, or FileNotFoundError where something is missing.
"""

import dataclasses
import pathlib

import numpy as np

from kzoo import files
from kzoo.datasets.usps import HOMEPAGE

FILES = {"train": "usps", "val": "usps.t"}  # split -> file, packed (.bz2) or not
PACKED = ".bz2"
CLASSES = tuple(map(str, range(10)))
SIDE = 16  # pixels


@dataclasses.dataclass(frozen=True)
class Source:
    """One place that digits are read from.

    Attributes:
      path: the user's path.
      files: by split.
    """

    path: str
    files: dict[str, pathlib.Path]


def find_source(path) -> Source:
    """The two files at `path`, or in a folder right in it."""
    path = files.user_path(path).resolve()
    expected = " and ".join(f"{name}{PACKED}" for name in FILES.values())
    if not path.is_dir():
        raise FileNotFoundError(f"{path}: no such folder; expected one that holds {expected} of {HOMEPAGE}")
    for root in (path, *sorted(folder for folder in path.iterdir() if folder.is_dir())):
        found = {split: _present(root / name) for split, name in FILES.items()}
        missing = [f"{FILES[split]}{PACKED}" for split, file in found.items() if file is None]
        if not missing:
            return Source(str(path), found)
        if len(missing) < len(FILES):
            raise FileNotFoundError(f"{root}: {missing[0]} is missing; get it from {HOMEPAGE}")
    raise FileNotFoundError(f"{path}: not USPS: {expected} are not in it; get them from {HOMEPAGE}")


def read_file(path: pathlib.Path) -> tuple[np.ndarray, np.ndarray]:
    """Digits and classes of a file.

    Returns:
      images (N, 16, 16, 1) uint8, -1 of the file as 0 and 1 as 255, and labels (N,) int64, 0 to 9.
    """
    values, labels = _parsed(path)
    if not len(labels):
        raise ValueError(f"{path}: holds no digit")
    if values.shape[1] != SIDE**2:
        raise ValueError(f"{path}: {values.shape[1]} features; expected {SIDE**2} pixels of {SIDE}x{SIDE}")
    wrong = np.flatnonzero(~np.isin(labels, np.arange(1, 11)))
    if wrong.size:
        raise ValueError(f"{path}: digit {wrong[0] + 1} has label {labels[wrong[0]]:g}; allowed: 1 to 10, for 0 to 9")
    values = values.toarray()
    row, column = next(zip(*np.nonzero(~(np.abs(values) <= 1)), strict=True), (None, None))  # NaN too
    if row is not None:
        raise ValueError(
            f"{path}: digit {row + 1} has value {values[row, column]:g} in feature {column + 1}; allowed: -1 to 1"
        )
    images = np.rint((values + 1) * 127.5).astype(np.uint8).reshape(-1, SIDE, SIDE, 1)
    return images, labels.astype(np.int64) - 1


def _present(path):
    """The file, packed or not; None where there is neither."""
    return next((file for file in (path.with_name(path.name + PACKED), path) if file.is_file()), None)


def _parsed(path):
    """Sparse values (N, highest feature) and labels (N,) of the file; features that a line leaves out are 0."""
    from sklearn.datasets import load_svmlight_file  # a second that only preparing the set costs

    try:
        return load_svmlight_file(str(path), zero_based=False)
    except (OSError, ValueError, EOFError) as error:
        raise ValueError(
            f"{path}: not a readable file of libsvm's format ({' '.join(str(error).split())[:200]})"
        ) from error
