"""Readers of the files that a run's folder holds beside `run.json`: each checks what it reads, and says in a line what
is wrong. Nothing that is read here runs code. Light: no framework is loaded."""

import csv
import io
import json
import pathlib
import re
import zipfile

from kzoo import UserError
from kzoo.training import validation
from kzoo.training.validation import ANY_NUMBER, FLAG, NOTHING, NUMBER, OBJECT, TEXT, TEXTS, list_of, table_of, whole

LARGEST = 2**28  # bytes of a text file
UNPACKED = 2**31  # bytes of arrays
SCORE = ANY_NUMBER | NOTHING
CONFUSION = list_of(list_of(NUMBER))
SCORES = validation.Check(
    "an object of scores", lambda value: isinstance(value, dict) and bool(value) and table_of(SCORE).holds(value)
)
EXPORT = {  # what is told of each export
    **dict.fromkeys(("mib", "ms", "value", "predict", "predict_ms", "examples", "threads"), SCORE),
    **dict.fromkeys(("file", "score", "decoder"), TEXT | NOTHING),
    "difference": table_of(SCORE),
}
EXPORTED = validation.Check(
    f"an object of exports, each with {', '.join(EXPORT)}",
    lambda value: (
        isinstance(value, dict)
        and all(
            isinstance(row, dict) and all(name in row and check.holds(row[name]) for name, check in EXPORT.items())
            for row in value.values()
        )
    ),
)
REPORT = {  # entries of reports that others read
    "scores": SCORES,
    "tables": table_of(table_of(SCORE | TEXT)),
    "notes": TEXTS,
    **dict.fromkeys(("run", "dataset", "fingerprint", "split", "tta", "condition", "network"), TEXT | NOTHING),
    **dict.fromkeys(("decoder", "boxes", "retrieval"), TEXT | NOTHING),
    "stopped": TEXT | FLAG | NOTHING,
    **dict.fromkeys(("flags", "failures"), OBJECT),
    **dict.fromkeys(("parameters", "examples"), whole()),
    "crop": TEXT | whole(1),
    "tile": TEXT | whole(1) | NOTHING,
    "overlap": whole() | NOTHING,
    **dict.fromkeys(("baselines", "decoders", "gains"), table_of(SCORES) | NOTHING),
    "export": EXPORTED | NOTHING,
    "export_failed": table_of(TEXT) | NOTHING,
    "seconds": NUMBER | NOTHING,
    "confusion": CONFUSION,
    "class_names": TEXTS,
}
NEEDED_OF_A_REPORT = ("scores",)
CLUSTERING = {"stopped": TEXT, "baselines": table_of(table_of(SCORE))}
EXPORTS = {"task": TEXT, "names": TEXTS, "forms": table_of(OBJECT)}
PLAIN_NAME = validation.Check(
    "the name of a file in the run folder",
    lambda value: isinstance(value, str) and re.fullmatch(r"[\w.-]+", value) is not None and value.strip(".") != "",
)


def text_of(path) -> str:
    """The content of a text file.

    Raises:
        UserError: there is none, it is no plain file, not UTF-8, or far too large.
    """
    path = pathlib.Path(path)
    try:
        if path.exists() and not path.is_file():
            raise UserError(f"{path} is no plain file")
        if path.stat().st_size > LARGEST:
            raise UserError(f"{path} is larger than {LARGEST >> 20} MiB: no run writes such a file")
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is damaged: it is not UTF-8 text") from error


def json_of(path):
    """The content of a file of JSON.

    Raises:
        UserError: it cannot be read, or is not JSON.
    """
    try:
        return json.loads(text_of(path))
    except ValueError as error:
        raise UserError(f"{path} is not valid JSON: {error}") from error
    except RecursionError as error:
        raise UserError(f"{path} is not valid JSON: it is nested too deep") from error


def object_of(path, table: dict, *, kind: str, needed=()) -> dict:
    """A JSON object whose entries are what the table says, see `validation.require`."""
    value = json_of(path)
    if not isinstance(value, dict):
        raise UserError(f"{path} is not that of {kind}: it must hold an object, got {validation.short(value)}")
    validation.require(path, value, table, kind=kind, needed=needed)
    return value


def report(path) -> dict:
    """A report of a run; scores may be null where they could not be made, tables and notes that it lacks are empty."""
    value = object_of(path, REPORT, kind="a scored run", needed=NEEDED_OF_A_REPORT)
    return {**value, "tables": value.get("tables", {}), "notes": value.get("notes", [])}


def clustering(path) -> dict:
    """A `clustering.json`."""
    return object_of(path, CLUSTERING, kind="a clustering", needed=tuple(CLUSTERING))


def exports(path) -> dict[str, dict]:
    """{form: row} of an `exports.json`; a row's "file" lies in the folder itself."""
    forms = object_of(path, EXPORTS, kind="an exported run", needed=("forms",))["forms"]
    for form, row in forms.items():
        validation.require(
            path, row, {"file": PLAIN_NAME}, kind="an exported run", within=f"forms.{form}.", needed=("file",)
        )
    return forms


def history(path) -> list[dict]:
    """Rows of a `history.csv`: numbers by column, "epoch" a whole one that never falls."""
    rows = []
    text = text_of(path)
    if text and not text.endswith("\n"):  # half a number is one too
        raise UserError(f"{path} is damaged: its last line is cut, it must end with a line break")
    reader = csv.DictReader(io.StringIO(text, newline=""))
    try:
        columns = reader.fieldnames or []
        if "epoch" not in columns or len(set(columns)) < len(columns):
            raise UserError(f"{path} is damaged: its first line must name the columns, epoch among them")
        for number, row in enumerate(reader, start=1):
            rows.append(_row(row, number, path))
    except csv.Error as error:
        raise UserError(f"{path} is damaged: {error}") from error
    for number, (row, following) in enumerate(zip(rows, rows[1:], strict=False), start=2):
        if following["epoch"] < row["epoch"]:
            raise UserError(f"{path} is damaged: row {number} is of epoch {following['epoch']}, after {row['epoch']}")
    return rows


def _row(row: dict, number: int, path) -> dict:
    try:
        values = {name: int(value) if name == "epoch" else float(value) for name, value in row.items()}
    except (TypeError, ValueError) as error:
        raise UserError(f"{path} is damaged: row {number} is not of numbers alone") from error
    if not 1 <= values["epoch"] <= 10**9:
        raise UserError(f"{path} is damaged: row {number} is of epoch {values['epoch']}")
    if "round" in values:
        values["round"] = _whole(values["round"], number, path)
    return values


def _whole(value: float, number: int, path) -> int:
    if not value.is_integer() or not 0 <= value <= 10**9:
        raise UserError(f"{path} is damaged: row {number} is of round {value}")
    return int(value)


def rounds(path) -> dict:
    """{name: array} of a `rounds.npz`: "assigned" (R, N), "labels" (n,) and "codes<r>" (n, d), see
    `kzoo.training.cluster_state`."""
    import numpy as np

    try:
        with zipfile.ZipFile(path) as archive:
            if sum(member.file_size for member in archive.infolist()) > UNPACKED:
                raise UserError(f"{path} would unpack to more than {UNPACKED >> 30} GiB: no run writes such a file")
        with np.load(path, allow_pickle=False) as found:
            arrays = {name: found[name] for name in found.files}
    except UserError:
        raise
    except Exception as error:  # of the archive, of an array in it, or of a pickle, which is refused
        raise UserError(f"{path} is damaged: {' '.join(str(error).split())[:100]}") from error
    _check_rounds(arrays, path)
    return arrays


def _check_rounds(arrays: dict, path):
    """Names, ranks, types and lengths that fit each other."""
    import numpy as np

    for name in ("assigned", "labels"):
        if name not in arrays:
            raise UserError(f"{path} is not that of a clustering: {name} is missing")
    examples = len(arrays["labels"]) if arrays["labels"].ndim == 1 else -1
    for name, array in arrays.items():
        if name in ("assigned", "labels"):
            fits = array.ndim == (2 if name == "assigned" else 1) and np.issubdtype(array.dtype, np.integer)
            fits = fits and (name == "labels" or array.shape[1] >= examples)
        else:
            fits = re.fullmatch(r"codes\d{1,9}", name) and array.ndim == 2 and len(array) == examples
            fits = fits and np.issubdtype(array.dtype, np.floating)
        if not fits:
            raise UserError(f"{path} is not that of a clustering: {name} is {array.dtype} of shape {array.shape}")
