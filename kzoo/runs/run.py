"""What a run is for: its network, its data, its answers.

run = Run.open("runs/me")
run.flags, run.names, run.history        # what it is
run.predict("me.jpg")                    # decoded answers in the picture's own pixels
model = run.model()                      # the best network, float32
"""

import functools
import itertools
import os

from kzoo import UserError, cli, files
from kzoo.runs import model_file, parts
from kzoo.runs.file_names import CONFIGURATION, MODEL
from kzoo.runs.folder import Folder
from kzoo.runs.parts import paths_of
from kzoo.training.configuration import Configuration


class Run(Folder):
    """A run: its folder, see `Folder`, and what it is for: its network, its data, its answers."""

    def __init__(self, folder, config: Configuration):
        """Nothing is read or written; see `open` and `create`."""
        super().__init__(folder, config)
        self._networks = {}  # (height, width) -> network, see `model_at`
        self._builders = {}  # (data_dir, data_source) -> builder

    def __getstate__(self) -> dict:
        """Networks and builders are made anew where a run is unpickled."""
        return {"folder": self.folder, "config": self.config, "_networks": {}, "_builders": {}, "_begun": self._begun}

    # Its network

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

        from kzoo.training import environment, networks

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
                raise UserError(f"cannot load {path}: {files.first_line(error)}") from error
        try:
            model.set_weights(weights)
        except (ValueError, TypeError) as error:
            reason = files.first_line(error)
            if shape:
                reason = f"{self.arch} is tied to the size it was trained at, {self.flags['size']}"
            raise UserError(f"the weights of {path} do not fit: {reason}") from error
        return model

    def _why_no_model(self) -> str:
        if self.history:
            return "it was removed, or no epoch of the run gave finite numbers"
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
            reason = files.first_line(error)
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


def with_networks(options: dict, size: tuple[int, ...]) -> dict:
    """Keywords of a network in which paths of run folders have become the networks of these runs, frozen.

    Args:
        options: as the flags give them; size: ([frames,] height, width) of the network's input.
    Raises:
        UserError: no such run, one of another task, or its network is tied to another size than this.
    """
    return {**options, **{part: parts.MADE[part](Run.open(path), size) for part, path in paths_of(options).items()}}
