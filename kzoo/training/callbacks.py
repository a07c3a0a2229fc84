"""What `model.fit` calls: scores of the training set, the history's columns, the progress bar, the run folder."""

import math
import sys
import time

import keras
import numpy as np
from tqdm.auto import tqdm

from kzoo import UserError
from kzoo.figures import base as figures
from kzoo.figures import loc as loc_figures
from kzoo.nn.layers import LearnedWeights
from kzoo.training import interruption, networks
from kzoo.training.optimization import averaged

ADVICE = "lower --lr or use --precision=float32"


class TrainScore(keras.callbacks.Callback):
    """Scores a fixed part of the training set without augmentation, so that both curves of the figure mean the same
    thing: with the moving averages of the weights where there are any, as the validation does."""

    def __init__(self, data, prefix: str = "train_"):
        super().__init__()
        self.data, self.prefix = data, prefix

    def on_epoch_end(self, epoch, logs=None):
        with averaged(self.model):
            scores = self.model.evaluate(self.data, verbose=0, return_dict=True)
        logs.update({self.prefix + name: value for name, value in scores.items()})


class PlainNames(keras.callbacks.Callback):
    """Takes the outputs' names, which Keras adds where there are several, from their metrics: one set of columns for
    all runs.

    Args:
        main: the output that is scored; where another one has the same metric, it keeps its name.
        metrics: of `compile`, by output.
    """

    def __init__(self, main: str, metrics: dict):
        super().__init__()
        self.names = [
            (output, metric.name)
            for output in sorted(metrics, key=lambda output: output != main)
            for metric in metrics[output]
        ]

    def on_epoch_end(self, epoch, logs=None):
        for prefix in ("", "train_", "val_"):
            for output, metric in self.names:
                if f"{prefix}{output}_{metric}" in logs and prefix + metric not in logs:
                    logs[prefix + metric] = logs.pop(f"{prefix}{output}_{metric}")


class LossWeights(keras.callbacks.Callback):
    """Writes the weights that a loss learns (`kzoo.nn.layers.LearnedWeights`) to the history: columns weight_<term>.

    Args:
        terms: names of the numbers in each such layer, by the layer's name.
    """

    def __init__(self, terms: dict[str, tuple[str, ...]]):
        super().__init__()
        self.terms = terms

    def on_epoch_end(self, epoch, logs=None):
        with averaged(self.model):
            layers = [layer for layer in self.model.layers if isinstance(layer, LearnedWeights)]
            learned = {layer.name: keras.ops.convert_to_numpy(layer.learned) for layer in layers}
        for layer, numbers in learned.items():
            logs.update(
                {f"weight_{term}": float(number) for term, number in zip(self.terms[layer], numbers, strict=True)}
            )


class Progress(keras.callbacks.Callback):
    """One bar for the whole run: images, images/s, time left, latest scores; one line for each finished epoch."""

    def __init__(self, steps: int, batch_size: int, epochs: int, first: int, shown: tuple[str, ...]):
        super().__init__()
        self.steps, self.batch_size, self.epochs, self.first, self.shown = steps, batch_size, epochs, first, shown
        self.bar = None

    def on_train_begin(self, logs=None):
        total = self.epochs * self.steps * self.batch_size
        self.bar = tqdm(
            total=total,
            initial=self.first * self.steps * self.batch_size,
            unit="img",
            dynamic_ncols=True,
            mininterval=1.0,
        )

    def on_epoch_begin(self, epoch, logs=None):
        self.began = time.time()
        self.bar.set_description(f"epoch {epoch + 1}/{self.epochs}")

    def on_train_batch_end(self, batch, logs=None):
        self.bar.update(self.batch_size)
        self.trained = time.time()

    def on_epoch_end(self, epoch, logs=None):
        logs["seconds"] = time.time() - self.began  # with both evaluations
        logs["images_per_second"] = self.steps * self.batch_size / (self.trained - self.began)
        scores = "  ".join(f"{name} {logs[name]:.4g}" for name in self.shown if name in logs)
        self.bar.write(f"epoch {epoch + 1}/{self.epochs}  {scores}  {logs['images_per_second']:.1f} img/s")

    def on_train_end(self, logs=None):
        self.close()

    def close(self):
        """The bar's line ends, also where the training was stopped: what is said next stands in a line of its own."""
        if self.bar is not None:
            self.bar.close()


class RunFolder(keras.callbacks.Callback):
    """Keeps history, curves, the best network and the last state of a run after every epoch, each written whole or not
    at all.

    The order matters for a run that is killed: the history's row comes before the state, and on resuming the history is
    cut to the state. The best network holds the moving averages of the weights where there are any, the state the
    weights and their averages. An epoch that gave numbers that are not finite is never the best one.

    Args:
        run: `kzoo.runs.Run`; steps: of an epoch.
    """

    def __init__(self, run, *, steps: int):
        super().__init__()
        self.run, self.steps = run, steps
        self.score, self.mode = run.config.score, run.config.mode
        self.rows: list[dict] = []
        self.drawn = True  # False once curves could not be drawn

    def restore(self, model) -> int:
        """Load the last state into a compiled model. Returns the number of finished epochs."""
        if not self.run.state.exists:
            made = len(self.run.history)
            if made > 1:  # one row alone: it was killed before its first state was written
                raise UserError(
                    f"cannot resume {self.run.folder}: its state, last.weights.h5, is gone, its history has {made} "
                    "epochs; the network of the best one is still there for eval.py, and to train again give another "
                    "--out"
                )
            return 0
        if not model.optimizer.built:  # that of float16 would make its variables twice, and then not find them
            model.optimizer.build(model.trainable_variables)
        epochs = self.run.state.load(model)
        if epochs is None:  # of version 0.1; rounded up: float16 leaves out steps whose gradient overflows
            epochs = math.ceil(int(keras.ops.convert_to_numpy(model.optimizer.iterations)) / self.steps)
        rows = self.run.rows_of(self.score)
        if epochs < 1 or [row["epoch"] for row in rows[:epochs]] != list(range(1, epochs + 1)):
            raise UserError(
                f"cannot resume {self.run.folder}: its state is of epoch {epochs}, and its history of "
                f"{len(rows)} epochs; one of them is of another run"
            )
        self.rows = rows[:epochs]
        self._check_network(model)
        return epochs

    def _check_network(self, model):
        """The network of the best epoch must be there: of those to come only a better one is kept. Where the best one
        is the last, its state has it."""
        best = self.best()
        if best is None or self.run.has_model:
            return
        if best is not self.rows[-1]:
            raise UserError(
                f"cannot resume {self.run.folder}: model.keras, the network of its best epoch {best['epoch']}, is "
                f"gone, and its state is of epoch {len(self.rows)}; begin a new run"
            )
        with averaged(model):
            self.run.save_model(model)

    def best(self) -> dict | None:
        """The row of the best epoch so far."""
        rows = [row for row in self.rows if not self._not_finite(row)]
        return (min if self.mode == "min" else max)(rows, key=lambda row: row[self.score], default=None)

    def _not_finite(self, row: dict) -> str | None:
        """What of an epoch's validation is no finite number; None where all is well."""
        bad = [name for name in (self.score, "val_loss") if not math.isfinite(row.get(name, 0.0))]
        return f"{bad[0]} is {row[bad[0]]}" if bad else None

    def on_epoch_end(self, epoch, logs=None):
        if not math.isfinite(logs["loss"]):
            raise UserError(f"the loss became {logs['loss']} in epoch {epoch + 1}; {ADVICE}. {self.kept()}")
        with averaged(self.model):
            if not are_finite(self.model):
                raise UserError(f"weights became nan or infinite in epoch {epoch + 1}; {ADVICE}. {self.kept()}")
        self.run.check_folder()
        row = {"epoch": epoch + 1, **{name: float(value) for name, value in logs.items()}}
        with interruption.deferred():
            self._keep(row)
        reason = self._not_finite(row)
        if reason:
            tqdm.write(f"epoch {epoch + 1}: {reason}, it cannot be the best one", file=sys.stderr)
        self._draw()

    def _keep(self, row: dict):
        rows = [*self.rows, row]
        self.run.write_history(rows)
        before, self.rows = self.rows, rows
        try:
            if self.best() is row:
                with averaged(self.model):
                    self.run.save_model(self.model)
            self.run.state.save(self.model, row["epoch"])
        except BaseException:
            self.rows = before  # what `kept` tells of
            raise

    def kept(self) -> str:
        """For people: what a training that fails leaves."""
        if not self.rows:
            return "No epoch was finished before: no network is kept"
        return f"The state of epoch {len(self.rows)} is kept in {self.run.folder}"

    def check_best(self):
        """Raises UserError where no epoch at all can be the best one: no network was kept."""
        if self.rows and self.best() is None:
            raise UserError(
                f"no epoch of {len(self.rows)} gave finite numbers ({self._not_finite(self.rows[-1])} at the end): no "
                f"network is kept in {self.run.folder}; {ADVICE}"
            )

    def _draw(self):
        """Pictures are no reason to end a training, where Matplotlib cannot be used."""
        try:
            self._save_figures()
        except UserError:
            raise
        except Exception as error:
            if self.drawn:
                tqdm.write(f"the curves could not be drawn: {networks.first_line(error)}", file=sys.stderr)
            self.drawn = False

    def _save_figures(self):
        self.run.save_curves(figures.curves({self.run.name: self.rows}, self.score.removeprefix("val_")))
        weights = {name: name.removeprefix("weight_") for name in self.rows[-1] if name.startswith("weight_")}
        if weights:
            self.run.save_loss_weights(loc_figures.weights_curves(self.rows, weights))


def are_finite(model: keras.Model) -> bool:
    """Whether each weight of a network is a finite number."""
    return all(np.isfinite(keras.ops.convert_to_numpy(weight)).all() for weight in model.weights)
