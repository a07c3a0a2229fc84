"""A run folder has one owner: `Run` reads and writes every file in it, and nobody else knows what these are called.

run = Run.open("runs/me")
run.flags, run.names, run.history        # what it is
run.predict("me.jpg")                    # decoded answers in the picture's own pixels
model = run.model()                      # the best network, float32

Opening a run and reading its history starts no framework: sweeps and reports look at many.
"""

import contextlib
import csv
import dataclasses
import functools
import hashlib
import io
import itertools
import os
import pathlib
import shutil
import tempfile
import time
import warnings

from kzoo import UserError, cli, files
from kzoo.training import records, report_files
from kzoo.training.configuration import Configuration

CONFIGURATION, HISTORY, MODEL, REPORT = "run.json", "history.csv", "model.keras", "report.json"
REPORT_TEXT, CARD, FIGURES = "report.md", "README.md", "pictures"
REPORTS = "reports"  # folder of those of other conditions: <condition>.json and .md, and their pictures in <condition>/
CALIBRATION = "calibration.json"
TENSORBOARD, EXPLANATIONS, EXPORTS = "tensorboard", "explanations", "exports.json"
LR_RANGE = ("lr_range.json", "lr_range.png")
CURVES, LOSS_WEIGHTS = "curves.png", "loss_weights.png"  # drawn after every epoch
STATE, PRETRAINED = "last.weights.h5", "pretraining.weights.h5"  # to continue from: of a training, of its first phase
ROUNDS, CLUSTERING = "rounds.npz", "clustering.json"  # of clustering: what each round found; baselines and the end
PARTS = ("pose_run", "features")  # keywords of networks that are networks of other runs, and the names of their copies
PATHS = ("data_dir", "data_source", "encoder_weights")  # flags that may name files or folders
MADE = "kzoo_made"  # attribute of a state: how many epochs or rounds it has seen


@dataclasses.dataclass(frozen=True)
class State:
    """A file with weights and optimizer of a compiled network."""

    path: pathlib.Path

    @property
    def exists(self) -> bool:
        return self.path.exists()

    def save(self, model, made: int | None = None):
        """made: how many epochs, or rounds, it has seen; kept in the file, so that neither can be without the other."""
        import h5py

        with files.replacing(self.path) as temporary:
            model.save_weights(temporary)
            if made is not None:
                with h5py.File(temporary, "a") as file:
                    file.attrs[MADE] = made

    def made(self) -> int | None:
        """How many epochs, or rounds, it has seen; None where it does not tell, as those of version 0.1.

        Raises:
            UserError: it cannot be read.
        """
        import h5py

        try:
            with h5py.File(self.path) as file:
                value = file.attrs.get(MADE)
                return None if value is None else int(value)
        except Exception as error:  # HDF5 has one of its own for each kind of damage
            raise UserError(f"cannot resume from {self.path}: {_first_line(error)}") from error

    def load(self, model) -> int | None:
        """Into a compiled network whose optimizer is built; gives `made`.

        Raises:
            UserError: it does not fit, or cannot be read.
        """
        made = self.made()
        try:
            with warnings.catch_warnings():  # Keras leaves an optimizer that does not fit as it is, and only warns
                warnings.filterwarnings("error", message="Skipping variable loading")
                model.load_weights(self.path)
        except Exception as error:  # HDF5 and Keras have one of their own for each kind of damage
            raise UserError(f"cannot resume from {self.path}: {_first_line(error)}") from error
        return made


class Run:
    """A run folder.

    Attributes:
        folder: its path; config: what `run.json` holds, see `Configuration`.
    """

    def __init__(self, folder, config: Configuration):
        """Nothing is read or written; see `open` and `create`."""
        self.folder, self.config = pathlib.Path(folder), config
        self._networks = {}  # (height, width) -> network, see `model_at`
        self._builders = {}  # (data_dir, data_source) -> builder
        self._begun = False  # whether this process wrote its run.json

    @classmethod
    def open(cls, folder) -> "Run":
        """The run of a folder; one that is open already is handed back.

        Raises:
            UserError: there is no such folder, or it holds no run.
        """
        if isinstance(folder, cls):
            return folder
        if not isinstance(folder, str | os.PathLike):
            raise UserError(f"a run is opened by the path of its folder, got {folder!r}")
        folder = files.user_path(folder)
        if not folder.is_dir():
            raise UserError(f"no run folder at {folder}")
        path = folder / CONFIGURATION
        return cls(folder, Configuration.from_json(records.json_of(path), path))

    @classmethod
    def create(cls, folder, config: Configuration) -> "Run":
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
        return (files.user_path(folder) / CONFIGURATION).exists()

    def __repr__(self) -> str:
        return f"Run({str(self.folder)!r})"

    def __getstate__(self) -> dict:
        """Networks and builders are made anew where a run is unpickled."""
        return {"folder": self.folder, "config": self.config, "_networks": {}, "_builders": {}, "_begun": self._begun}

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
        if not path or pathlib.Path(path).is_absolute():
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
        if self._begun and not Run.exists(self.folder):
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
    def state(self) -> "State":
        """What a training continues from."""
        return State(self.folder / STATE)

    def epochs_made(self) -> int:
        """How many whole epochs --resume finds: those of the state, else of the history."""
        made = self.state.made() if self.state.exists else 0
        return len(self.history) if made is None else made

    @property
    def pretraining(self) -> "State":
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
        if Run.exists(out):
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

    # Its network

    def keep_networks(self, options: dict):
        """Copy the runs that the network contains into this folder: it can then be rebuilt whatever becomes of them.

        Args:
            options: keywords of the network, as the flags give them: paths of run folders.
        """
        for part, source in _paths(options).items():
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

    def model(self, shape: tuple[int, int] | None = None, **hyperparameters):
        """The best network, rebuilt in float32 whatever precision it was trained in, not compiled.

        Args:
            shape: (height, width) of its input; None: as it was trained. Networks without convolutions alone are tied
            to their size.
            hyperparameters: in place of the run's, such that leave the weights what they are.
        Returns:
            keras.Model.
        Raises:
            UserError: its model is missing or unreadable, or it cannot take pictures of `shape`.
        """
        import keras

        from kzoo.training import environment, model_file, networks

        path = self.folder / MODEL
        if not path.exists():
            raise UserError(f"{self.folder} holds no {MODEL}: {self._why_no_model()}")
        model_file.check(path)
        shape = None if shape is None else cli.sides_of(shape)
        fresh = self.flags if self.flags.get("encoder") is None else {**self.flags, "encoder_weights": "none"}
        colours = self._colours() if self.config.colours else None
        options = networks.network_options(fresh, colours, self.config.fitted)
        size = (*self.config.frames, *(shape or self.shape))
        options = with_networks({**options, **self.kept_networks(), **hyperparameters}, size)
        with environment.float32():
            model = networks.build(self.task, self.arch, size, len(self.names), **options)
            try:
                weights = keras.saving.load_model(path, compile=False).get_weights()
            except Exception as error:  # Keras has one of its own for each kind of damage
                raise UserError(f"cannot load {path}: {_first_line(error)}") from error
        try:
            model.set_weights(weights)
        except (ValueError, TypeError) as error:
            reason = _first_line(error)
            if shape:
                reason = f"{self.arch} is tied to the size it was trained at, {self.flags['size']}"
            raise UserError(f"the weights of {path} do not fit: {reason}") from error
        return model

    def _why_no_model(self) -> str:
        if self.history:
            return "no epoch of the run gave finite numbers"
        return "the run stopped before its first epoch ended"

    def model_at(self, shape: tuple[int, int]):
        """`model` for pictures of a shape, made once and kept with the run."""
        if shape not in self._networks:
            self._networks[shape] = self.model(None if shape == self.shape else shape)
        return self._networks[shape]

    def portable_model(self, shape: tuple[int, int] | None = None):
        """`model` of operations that every runtime has, where its architecture knows how to do without others."""
        from kzoo.training import networks

        shape = shape or self.shape
        if "portable" in networks.hyperparameters_of(self.task.archs[self.arch]):
            return self.model(shape, portable=True)
        return self.model_at(shape)

    @functools.cached_property
    def reads(self) -> tuple[str, ...]:
        """The features of a data set that its network reads."""
        from kzoo.training import networks

        return self.config.reads or networks.reads(self.model_at(self.shape))  # runs of 0.1 do not tell

    # Its data

    def builder(self, data_dir: str | None = None, data_source: str | None = None):
        """The data set that it was trained on, prepared.

        Args:
            data_dir: of prepared data sets; None: the run's, which is followed where run and data have moved together;
            data_source: raw data, where it is to be prepared again.
        Raises:
            UserError: it is not there, or its records are not those that the run saw.
        """
        from kzoo.data import of_runs, places

        key = (places.absolute(data_dir), places.absolute_source(data_source))
        if key not in self._builders:
            stored = None if data_dir else self.flags.get("data_dir")
            self._builders[key] = of_runs.builder(
                self.config.dataset, self._flag("dataset"), self.folder, stored, data_dir=key[0], data_source=key[1]
            )
        return self._builders[key]

    def data(
        self,
        split: str | None = None,
        *,
        shape: tuple[int, int] | None = None,
        reads: tuple[str, ...] | None = None,
        batch_size: int = 32,
        data_dir: str | None = None,
    ):
        """A split in order: tf.data.Dataset of batches (what a network reads, {"label": (B, …)}, {extra: (B, …)}).

        It is what scoring reads. `model.fit` takes (inputs, {output: label}): map a batch to it first.

        Args:
            split: of its data set, slices allowed; None: the one it was validated on.
            shape: (height, width) of the pictures; None: as it was trained.
            reads: features of the data set; None: those that the network reads.
            data_dir: see `builder`.
        """
        from kzoo.data import pipeline

        task = self.task
        return pipeline.in_order(
            self.builder(data_dir),
            split or self.val_split,
            cli.sides_of(shape or self.shape),
            label=task.outputs[task.main[0]].label,
            extras=task.evaluator.extras,
            reads=reads or self.reads,
            batch_size=batch_size,
        )

    # Its answers

    def predictor(
        self,
        *,
        tta: str = "none",
        decoder: str | None = None,
        shape: tuple[int, int] | None = None,
        tile: tuple[int, int] | None = None,
        overlap: int | None = None,
        data_dir: str | None = None,
    ):
        """What answers a batch of what its network reads, see `kzoo.inference.predictors`.

        Args:
            tta: test-time augmentation, of `predictors.MIRRORED_TTA` or `tta.TTA`; decoder: see
            `predictors.decoders_of`; shape: (height, width) of the pictures, by default the run's; tile: (height,
            width) of tiles that the answers are put together from, and their overlap in pixels (default: see
            `predictors.overlap_of`); data_dir: see `builder`, read only where colours of the training split are needed.
        """
        from kzoo.inference import predictors

        task = self.task
        shape = cli.sides_of(shape or self.shape)
        tile = None if tile is None else cli.sides_of(tile)
        if tile and not task.input.dense:
            raise UserError(f"tile is for networks that answer each pixel, not for {self.flags['task']}")
        if overlap is not None and not tile:
            raise UserError(f"overlap={overlap} is of tiles: give tile=<their size> too")
        metadata = {f"flip_{task.names}": (), **self.config.dataset.metadata, task.names: self.names}
        mirrored = list(itertools.chain.from_iterable(metadata[f"flip_{task.names}"]))
        if any(unit >= len(self.names) for unit in mirrored) or len(set(mirrored)) < len(mirrored):
            pairs = f"{len(self.names)} {task.names} cannot be mirrored by pairs of {sorted(mirrored)}"
            raise UserError(f"{self.folder / CONFIGURATION} is not that of a run: {pairs}")
        if not task.input.dense:
            model = self.model_at(shape)
            decoders = predictors.decoders_of(model, decoder)
            tables = self.calibration if task.evaluator.right else {}
            calibrated = tables.get(tta) or tables.get("none")
            return predictors.Mirrored(task, model, metadata, tta=tta, decoders=decoders, calibrated=calibrated)
        if tile and tile != predictors.rounded(tile):
            raise UserError(f"the sides of tiles must be multiples of {predictors.STRIDE}, got {tile[0]}x{tile[1]}")
        predictors.decoders_of(self.model_at(tile or predictors.rounded(shape)), decoder)  # there are none: says why
        if tile and overlap is None:
            overlap = predictors.overlap_of(tile)
        network_at = predictors.sized(task, self.model_at, tile=tile, overlap=overlap or 0, classes=len(self.names))
        shifts = self._colour_shifts(data_dir) if tta in ("color_pca", "all") else ()
        return predictors.Dense(task, network_at, metadata, shape, mode=tta, shifts=shifts)

    def _colours(self):
        """`kzoo.data.statistics.ColourStatistics` of the training split."""
        from kzoo.data import statistics

        try:
            return statistics.ColourStatistics(**self.config.colours)
        except (TypeError, ValueError) as error:
            reason = _first_line(error)
            raise UserError(f"{self.folder / CONFIGURATION} is not that of a run: colours: {reason}") from error

    def _colour_shifts(self, data_dir):
        from kzoo.data import pipeline, statistics
        from kzoo.inference import predictors

        if self.config.colours:
            colours = self._colours()
        else:
            pictures = pipeline.pictures(self.builder(data_dir), self.flags["train_split"])
            colours = statistics.fit_colours(image for image, _ in pictures)
        return statistics.colour_pca_variants(colours, predictors.COLOUR_VARIANTS)

    @cli.in_keywords
    def predict(self, pictures, *, tta: str = "none", decoder: str | None = None, min_score: float | None = None):
        """Answers for the user's own pictures, in their own pixels.

        Args:
            pictures: a path, an image (H, W, 3) uint8 RGB, or a list of these; networks that read clips or windows take
            a list as consecutive frames. Networks of pose expect one person that fills the picture.
            tta, decoder: see `predictor`; min_score: of a joint that counts as found, 0 to 1, for "found".
        Returns:
            of one picture {name: array}, of a list a list.
            pose: "keypoints" (J, 2), x and y in pixels from the outer corner of the first one, "scores" (J,), the
            probability that each is right where the run has a `calibration`, else heights of peaks, their mean
            "confidence", and with min_score "found" (J,) bool; seg: "classes" (H, W) uint8; pose3d: "joints" (J, 3) in
            metres; loc: "position" (3,) in metres, "rotation" (4,) w, x, y, z, and "classes" of networks that segment
            too; cluster: "assignment" (K,) and "code" (d,).
        Raises:
            UserError: a file that is no picture, or a network that reads something else.
        """
        from kzoo.inference import answers

        several = isinstance(pictures, list | tuple)
        asked = list(pictures) if several else [pictures]
        found = answers.of_pictures(self, asked, tta=tta, decoder=decoder, min_score=min_score)
        return found if several else found[0]


@cli.in_keywords
def load(folder) -> Run:
    """`Run.open`, for notebooks: the run stays where it is when the working directory changes."""
    return Run.open(files.user_path(folder).absolute() if isinstance(folder, str | os.PathLike) else folder)


def path_in(assignments, keyword: str) -> str | None:
    """The path of a run folder in --set=<keyword>=<path>, None where there is none."""
    value = cli.assignments(assignments, "set").get(keyword)
    return value if isinstance(value, str) and value else None


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:300] if lines else type(error).__name__


def absolute_paths(given: dict) -> dict:
    """Flags whose paths mean the same from everywhere; what is not there stays as it was typed, for messages.

    Args:
        given: flags by name.
    """
    result = dict(given)
    for name in PATHS:
        if given.get(name):
            result[name] = _absolute(given[name], always=name == "data_dir")
    parts = _paths(cli.assignments(given.get("set"), "set"))
    result["set"] = [item for item in given.get("set") or () if item.partition("=")[0] not in parts]
    result["set"] += [f"{part}={_absolute(path)}" for part, path in parts.items()]
    return result


def _absolute(path: str, always: bool = False) -> str:
    if "://" in path:
        return path
    found = os.path.abspath(files.user_path(path))
    return found if always or os.path.exists(found) else path


@functools.lru_cache(maxsize=64)
def _digest(path: pathlib.Path, changed: int, size: int) -> str:
    """Of a file that is read again when it was changed."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:12]


def _save_figure(figure, path):
    from kzoo.figures import base

    base.save(figure, path)


def _paths(options: dict) -> dict[str, str]:
    """Keywords that name runs within a network."""
    return {part: options[part] for part in PARTS if isinstance(options.get(part), str) and options[part]}


def with_networks(options: dict, size: tuple[int, ...]) -> dict:
    """Keywords of a network in which paths of run folders have become the networks of these runs, frozen.

    Args:
        options: as the flags give them; size: ([frames,] height, width) of the network's input.
    Raises:
        UserError: no such run, one of another task, or its network is tied to another size than this.
    """
    made = {"pose_run": _joints_network, "features": _embedding_network}
    return {**options, **{part: made[part](Run.open(path), size) for part, path in _paths(options).items()}}


def _joints_network(run: Run, size):
    """See `kzoo.nn.lifting.pose_network`; it keeps the size that it was trained at."""
    from kzoo.nn import decoding, lifting

    if decoding.OWN not in run.task.outputs:  # not of 2-D pose
        raise UserError(f"pose_run must be a run of task=pose, got {run.folder}, a run of task={run.flags['task']}")
    return lifting.pose_network(run.model(), run.names)


def _embedding_network(run: Run, size):
    """See `kzoo.nn.embeddings.trunk`, at the size of the network around it."""
    from kzoo.nn import embeddings

    shape = tuple(size[-2:])
    network = run.model(None if shape == run.shape else shape)
    return embeddings.trunk(network, run.task.main_of(network.output_names))


def read_history(folder) -> list[dict]:
    """Rows of the `history.csv` of a run folder, see `Run.history`; of a folder whose run is about to begin none."""
    path = pathlib.Path(folder) / HISTORY
    return records.history(path) if path.exists() else []


@contextlib.contextmanager
def begun(out, flags: dict):
    """`free_folder`, in which no other training begins meanwhile; nothing is left of it where nothing was written."""
    from kzoo.training import occupation

    folder = free_folder(out, flags)
    try:
        with occupation.occupied(folder):
            free_folder(folder, flags)  # another one may have begun and ended since
            yield folder
    finally:
        with contextlib.suppress(OSError):
            folder.rmdir()  # only if it is empty


@contextlib.contextmanager
def continued(folder):
    """While a run is continued, no other training is let into its folder."""
    from kzoo.training import occupation

    with occupation.occupied(files.user_path(folder)):
        yield


def free_folder(out, flags: dict) -> pathlib.Path:
    """The folder of a new run, made and known to be writable.

    Args:
        out: path, or None for one in runs/ named after the flags and the time; flags: of the run.
    Raises:
        UserError: it holds a run already, or cannot be written.
    """
    folder = files.user_path(out) if out else None
    if folder and Run.exists(folder):
        raise UserError(f"{folder} already holds a run; give another --out, or --resume to continue it")
    try:  # hours of training should not end at a folder that cannot be written
        if folder:
            folder.mkdir(parents=True, exist_ok=True)
        else:
            folder = _new_folder(flags)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise UserError(f"could not write to the run folder {folder or 'runs/'}: {error.strerror}") from error
    return folder


def _new_folder(flags: dict) -> pathlib.Path:
    """One that was not there before, whoever else begins a run in the same second."""
    stamp = time.strftime("%Y%m%d-%H%M%S")
    name = f"{flags['task']}-{flags['arch']}-{flags['dataset'].replace('/', '-')}-{stamp}"
    for number in itertools.count(1):
        folder = pathlib.Path("runs", name if number == 1 else f"{name}-{number}")
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            continue
        return folder
