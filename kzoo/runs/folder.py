"""A run folder has one owner: every file in it is read and written here, and nobody else knows what these are called.

Opening a run and reading its history starts no framework: sweeps and reports look at many.
"""

import csv
import functools
import hashlib
import io
import os
import pathlib
import shutil
from typing import Self

from kzoo import UserError, cli, files
from kzoo.runs import records, report_files
from kzoo.runs.file_names import (
    CALIBRATION,
    CARD,
    CLUSTERING,
    CONFIGURATION,
    CURVES,
    EXPLANATIONS,
    EXPORTS,
    FIGURES,
    HISTORY,
    LOSS_WEIGHTS,
    LR_RANGE,
    MODEL,
    PARTS,
    PRETRAINED,
    REPORT,
    REPORT_TEXT,
    REPORTS,
    ROUNDS,
    STATE,
    TENSORBOARD,
)
from kzoo.runs.flag_paths import WORDS
from kzoo.runs.parts import paths_of
from kzoo.runs.state import State
from kzoo.training.configuration import Configuration


class Folder:
    """The files of a run: what it is, what training and scoring leave. `Run` adds its network and its answers.

    Attributes:
        folder: its path; config: what `run.json` holds, see `Configuration`.
    """

    def __init__(self, folder, config: Configuration):
        """Nothing is read or written; see `open` and `create`."""
        self.folder, self.config = pathlib.Path(folder), config
        self._begun = False  # whether this process wrote its run.json

    @classmethod
    def open(cls, folder) -> Self:
        """The run of a folder; one that is open already is handed back.

        Raises:
            UserError: there is no such folder, or it holds no run.
        """
        if isinstance(folder, cls):
            return folder
        if not isinstance(folder, str | os.PathLike):
            raise UserError(f"a run is opened by the path of its folder, got {folder!r}")
        folder = files.user_path(folder)
        if not os.path.isdir(folder):
            raise UserError(f"no run folder at {files.printable(folder)}")
        path = folder / CONFIGURATION
        if not os.path.lexists(path):
            raise UserError(f"no run in {files.printable(folder)}: it holds no {CONFIGURATION}")
        return cls(folder, Configuration.from_json(records.json_of(path), path))

    @classmethod
    def create(cls, folder, config: Configuration) -> Self:
        """A run whose `run.json` is written; one that is continued gets the new one in place of the old."""
        run = cls(folder, config)
        run.save_config()
        return run

    def save_config(self):
        """Write `run.json`: from here on the folder is a run."""
        files.write_json(self.folder / CONFIGURATION, self.config.to_json())
        self._begun = True

    @staticmethod
    def exists(folder) -> bool:
        """Whether a folder holds a run."""
        return os.path.exists(files.user_path(folder) / CONFIGURATION)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self.folder)!r})"

    # What it is

    @property
    def name(self) -> str:
        return self.folder.absolute().name

    @property
    def flags(self) -> dict:
        """Of train.py, resolved."""
        return self.config.flags

    def _flag(self, name: str):
        """One that every run has."""
        if name not in self.flags:
            raise UserError(f"{self.folder / CONFIGURATION} is not that of a run: its flags lack {name}")
        return self.flags[name]

    @property
    def names(self) -> list[str]:
        """Of the units of the scored output's last axis: joints, classes, parts of a camera pose."""
        return self.config.names

    @property
    def arch(self) -> str:
        return self._flag("arch")

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width) of the pictures that the network was trained on."""
        return cli.shape_of(self._flag("size"))

    @property
    def val_split(self) -> str:
        return self.flags.get("val_split") or "val"

    @functools.cached_property
    def task(self):
        """Its row of `kzoo.tasks.TASKS`."""
        from kzoo.tasks import TASKS  # loads Keras, as all imports inside functions of this file

        task = cli.pick(TASKS, self._flag("task"), "task")
        cli.pick(task.archs, self.arch, "arch")
        return task

    def located(self, path: str | None) -> str | None:
        """Where something lies that `run.json` names: relative paths, of version 0.1, count from the working directory,
        or else from the run folder or one above it."""
        if not path or path in WORDS or pathlib.Path(path).is_absolute():
            return path
        own = self.folder.absolute()
        places = [pathlib.Path.cwd(), own, *own.parents]
        return next((str(place / path) for place in places if (place / path).exists()), path)

    # What its training leaves

    @property
    def history(self) -> list[dict]:
        """Rows of `history.csv`: [{"epoch": 1, "loss": 0.1, …}], none before the first epoch has ended."""
        return read_history(self.folder)

    def rows_of(self, *columns: str) -> list[dict]:
        """`history`, of which each row has these columns.

        Raises:
            UserError: they lack one.
        """
        rows = self.history
        missing = [column for column in columns if rows and column not in rows[0]]
        if missing:
            raise UserError(f"{self.folder / HISTORY} is not that of such a run: it lacks the column {missing[0]}")
        return rows

    def check_folder(self):
        """Raises UserError where the folder has gone meanwhile: nothing is written that would look like a whole run."""
        if self._begun and not Folder.exists(self.folder):
            raise UserError(f"the run folder {self.folder} was removed while the training ran: it ends here")

    def write_history(self, rows: list[dict]):
        text = io.StringIO()
        writer = csv.DictWriter(text, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
        files.write_text(self.folder / HISTORY, text.getvalue())

    @property
    def has_model(self) -> bool:
        return (self.folder / MODEL).exists()

    def save_model(self, model):
        """The best network so far, without its optimizer, whose state `state` has; it tells what it is, see
        `metadata`."""
        import keras

        from kzoo.inference import metadata

        ends = (model.inputs, model.outputs) if isinstance(model, keras.Sequential) else (model.input, model.output)
        plain = keras.Model(*ends, name=model.name)  # not compiled
        with files.replacing(self.folder / MODEL) as temporary:
            plain.save(temporary)
            metadata.write(temporary, self.metadata)

    @property
    def metadata(self) -> dict:
        """What each file with its network tells, see `kzoo.metadata_of`."""
        from kzoo import __version__

        classes = self.config.dataset.metadata.get("classes")
        if self.task.answers.named:
            named = {"unit": self.task.names, "names": list(self.names)}
        else:  # classes of the pixels, beside a pose
            named = {"classes": list(classes)} if classes else {}
        return {
            "kzoo": __version__,
            "task": self._flag("task"),
            "arch": self.arch,
            **named,
            "dataset": self.config.dataset.name,
            "input": {"height": self.shape[0], "width": self.shape[1], "colours": "RGB", "values": "uint8, 0..255"},
        }

    @property
    def state(self) -> State:
        """What a training continues from."""
        return State(self.folder / STATE)

    def epochs_made(self) -> int:
        """How many whole epochs --resume finds: those of the state, else of the history."""
        made = self.state.made() if self.state.exists else 0
        return len(self.history) if made is None else made

    @property
    def pretraining(self) -> State:
        """What the first phase of a training continues from."""
        return State(self.folder / PRETRAINED)

    @property
    def tensorboard(self) -> pathlib.Path:
        """Folder of TensorBoard's logs."""
        return self.folder / TENSORBOARD

    def save_curves(self, figure):
        """Loss and score over the epochs."""
        _save_figure(figure, self.folder / CURVES)

    def save_loss_weights(self, figure):
        """The weights that a loss learns, over the epochs."""
        _save_figure(figure, self.folder / LOSS_WEIGHTS)

    def save_lr_range(self, found: dict, figure) -> pathlib.Path:
        """What --find_lr measured; the path of the figure."""
        numbers, picture = (self.folder / name for name in LR_RANGE)
        files.write_json(numbers, {"flags": self.flags, **found})
        _save_figure(figure, picture)
        return picture

    # What clustering leaves besides

    @property
    def clustering(self) -> dict | None:
        """{"stopped": why it ended, "baselines": scores of what was there before}; None of other runs."""
        path = self.folder / CLUSTERING
        return records.clustering(path) if path.exists() else None

    def write_clustering(self, **entries):
        """Replace entries of `clustering`."""
        files.write_json(self.folder / CLUSTERING, {**(self.clustering or {}), **entries})

    @property
    def rounds(self) -> dict | None:
        """{name: array} of what the rounds found, see `kzoo.training.cluster_state`; None where there were none."""
        path = self.folder / ROUNDS
        return records.rounds(path) if path.exists() else None

    def write_rounds(self, **arrays):
        import numpy as np

        with files.replacing(self.folder / ROUNDS) as temporary, open(temporary, "wb") as file:
            np.savez_compressed(file, **arrays)

    # What scoring leaves

    @property
    def network(self) -> str:
        """Which network its model file holds, "" where there is none: scores of an earlier one are not this one's."""
        path = self.folder / MODEL
        if not path.exists():
            return ""
        found = path.stat()
        return _digest(path.absolute(), found.st_mtime_ns, found.st_size)

    @property
    def condition(self) -> str:
        """What the condition of the training's own report is called."""
        return report_files.split_name(self.val_split)

    @property
    def report(self) -> dict | None:
        """The training's own report; None where the run was not scored yet.

        Raises:
            UserError: its file is damaged.
        """
        path = self.folder / REPORT
        return records.report(path) if path.exists() else None

    @property
    def reports(self) -> dict[str, dict]:
        """{condition: report} of all that it was scored under, the training's own first."""
        own = self.report
        found = {report_files.condition_of(own, self.flags): own} if own else {}
        for path in sorted((self.folder / REPORTS).glob("*.json")):
            if not path.name.startswith("."):  # being written
                found[path.stem] = records.report(path)
        return found

    def save_report(self, result: dict, text: str, *, condition: str | None = None, out=None):
        """A report as JSON and as text.

        Args:
            condition: its name among `reports`, None for the training's own; out: a folder in place of the run's.
        """
        folder = pathlib.Path(out or self.folder)
        names = (REPORT, REPORT_TEXT)
        if condition and not out:
            folder = folder / REPORTS
            names = (f"{condition}.json", f"{condition}.md")
        for name, write, content in zip(names, (files.write_json, files.write_text), (result, text), strict=True):
            write(folder / name, content)

    def save_card(self, card: str, out=None):
        """The model card, here or in the folder `out`."""
        files.write_text(pathlib.Path(out or self.folder) / CARD, card)

    def set_report_aside(self, condition: str):
        """What stands in the place of the training's own report becomes that of `condition`, with its pictures."""
        folder = self.folder / REPORTS
        folder.mkdir(exist_ok=True)
        moves = {FIGURES: condition, REPORT_TEXT: f"{condition}.md", REPORT: f"{condition}.json"}
        for name, place in moves.items():
            if (self.folder / name).exists() and not (folder / place).exists():
                os.replace(self.folder / name, folder / place)

    def save_figures(self, figures: dict, *, condition: str | None = None, out=None):
        """{file name: figure or animation} beside the report of a condition, see `save_report`."""
        folder = pathlib.Path(out or self.folder) / FIGURES
        if condition and not out:
            folder = self.folder / REPORTS / condition
        for name, figure in figures.items():
            _save_figure(figure, folder / name)

    @staticmethod
    def check_out(out):
        """Before anything slow: a folder for a report that is neither a run nor holds a README of something else.

        Raises:
            UserError: what is there would be lost.
        """
        out = pathlib.Path(out)
        if Folder.exists(out):
            raise UserError(f"--out={out} is a run folder, whose own report would be lost; give another folder")
        if (out / CARD).exists() and not (out / REPORT).exists():
            raise UserError(f"--out={out} holds a {CARD} that is not of a score and would be lost; give another folder")

    @property
    def calibration(self) -> dict:
        """{test-time augmentation: `kzoo.metrics.calibration.Calibration`} of the scores of the network as it is now.

        Raises:
            UserError: its file is damaged.
        """
        from kzoo.metrics.calibration import Calibration

        path = self.folder / CALIBRATION
        if not path.exists():
            return {}
        tables = files.read_json(path)
        if not isinstance(tables, dict):
            raise UserError(f"{path} holds no table from scores to shares")
        found = {tta: Calibration.from_json(table, path) for tta, table in tables.items()}
        current = self.network
        return {tta: table for tta, table in found.items() if table.network == current}

    def save_calibration(self, tta: str, table):
        """Add a table to `calibration`, or replace the one of this augmentation."""
        tables = {**self.calibration, tta: table}
        files.write_json(self.folder / CALIBRATION, {name: one.to_json() for name, one in tables.items()})

    @property
    def drawn(self) -> list[pathlib.Path]:
        """The pictures that lie here: curves, then what was drawn of examples and scores."""
        found = [self.folder / CURVES, self.folder / LOSS_WEIGHTS, *sorted((self.folder / FIGURES).glob("*.png"))]
        return [path for path in found if path.is_file()]

    def explanation_folder(self, name: str) -> pathlib.Path:
        """Where `kzoo.explain` writes what it found out about an output."""
        return self.folder / EXPLANATIONS / name

    def export_path(self, file: str) -> pathlib.Path:
        """Where an export goes, by the file name of its form."""
        return self.folder / file

    @property
    def exports(self) -> dict[str, dict]:
        """{form: what `exports.json` tells of it} of the exports that are there."""
        path = self.folder / EXPORTS
        known = records.exports(path) if path.exists() else {}
        return {form: row for form, row in known.items() if (self.folder / row["file"]).exists()}

    def save_exports(self, rows: dict[str, dict], names: list[str] | None):
        """Add to `exports`; names: of the units, where the exports answer with their numbers."""
        named = {"names": names} if names else {}
        files.write_json(
            self.folder / EXPORTS, {"task": self.flags["task"], **named, "forms": {**self.exports, **rows}}
        )

    # The runs that its network contains

    def keep_networks(self, options: dict):
        """Copy the runs that the network contains into this folder: it can then be rebuilt whatever becomes of them.

        Args:
            options: keywords of the network, as the flags give them: paths of run folders.
        """
        for part, source in paths_of(options).items():
            kept = self.folder / part
            if pathlib.Path(source) == kept:
                continue
            with files.replacing(kept) as temporary:
                temporary.mkdir()
                for name in (CONFIGURATION, MODEL, *PARTS):
                    original = pathlib.Path(source) / name
                    if original.is_dir():
                        shutil.copytree(original, temporary / name)
                    elif original.exists():
                        shutil.copy(original, temporary / name)

    def own_options(self) -> dict:
        """Keywords of the network that is continued, in place of the flags': what this folder holds is not asked for
        again, neither other runs nor the file of the encoder's weights, once there is a state with all of them."""
        encoder = {"encoder_weights": "none"} if self.state.exists and self.flags.get("encoder") else {}
        return {**encoder, **self.kept_networks()}

    def kept_networks(self) -> dict[str, str]:
        """{keyword: path} of the copies that `keep_networks` made."""
        return {part: str(self.folder / part) for part in PARTS if (self.folder / part).exists()}


def read_history(folder) -> list[dict]:
    """Rows of the `history.csv` of a run folder, see `Run.history`; of a folder whose run is about to begin none."""
    path = pathlib.Path(folder) / HISTORY
    return records.history(path) if path.exists() else []


@functools.lru_cache(maxsize=64)
def _digest(path: pathlib.Path, changed: int, size: int) -> str:
    """Of a file that is read again when it was changed."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:12]


def _save_figure(figure, path):
    from kzoo.figures import base

    base.save(figure, path)
