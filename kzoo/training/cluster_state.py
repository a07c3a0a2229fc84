"""What a clustering run keeps on disk: history, curves, weights, and what each round found."""

import math
import sys
import time

import keras
import numpy as np
from tqdm.auto import tqdm

from kzoo import UserError
from kzoo.figures import embeddings
from kzoo.training import interruption, networks
from kzoo.training.callbacks import are_finite

SHOWN = 1000  # examples whose codes are kept for the pictures
STAGES = 16  # rounds whose codes are kept
PAUSE = 10.0  # seconds between two states on disk
COLUMNS = ("reconstruction", "kl", "label_change", "acc", "nmi", "ari", "silhouette", "perplexity")


class State:
    """A run folder's state of both phases, written at most every `PAUSE` seconds, each file whole or not at all.

    The order matters for a run that is killed: history and rounds come before the weights, and on resuming they are cut
    to these.
    """

    def __init__(self, run, model: keras.Model, network: keras.Model, labels, tol: float):
        self.run, self.model, self.network = run, model, network
        self.labels, self.tol = labels, tol
        self.rows: list[dict] = []
        self.assigned: list[np.ndarray] = []  # the cluster of each example, after 0, 1, 2 … rounds
        self.codes: dict[int, np.ndarray] = {}  # of SHOWN examples, after some rounds
        self.written = -PAUSE  # when a state was written; the first one at once
        self.kept = 0  # rows of the history that the state on disk has seen

    def keep(self, row: dict, assigned, codes):
        """What was found after another round."""
        number = len(self.assigned)
        self.rows.append(row)
        self.assigned.append(assigned)
        self.codes[number] = codes[:SHOWN].astype("float32")
        if len(self.codes) > STAGES:
            kept = sorted(self.codes)
            self.codes = {number: self.codes[number] for number in {*kept[::2], kept[-1]}}

    def forget_codes(self, number: int):
        """Those after so many rounds, as their network is not kept."""
        self.codes.pop(number, None)

    def load_pretraining(self, steps: int) -> int:
        """The first phase's network, optimizer and history; how many epochs of `steps` steps have been made."""
        if not self.run.pretraining.exists:
            return 0
        epochs = self._made(self.run.pretraining.load(self.network), steps)
        rows = self.run.rows_of("round", *COLUMNS)
        self.rows = [row for row in rows if row["epoch"] <= epochs and row["round"] == 0]
        self._check(len(self.rows) == epochs)
        self.kept = len(self.rows)
        return epochs

    def load_rounds(self, steps: int) -> int:
        """The second phase's network, optimizer, history and rounds; how many rounds of `steps` steps have been
        made."""
        number = self._made(self.run.state.load(self.network), steps)
        self.rows = [row for row in self.run.rows_of("round", *COLUMNS) if row["round"] <= number]
        arrays = self.run.rounds
        self._check(sum(row["round"] > 0 for row in self.rows) == number)
        self._check(number == 0 or (arrays is not None and len(arrays["assigned"]) >= number))
        if arrays is not None:
            self._check(arrays["assigned"].shape[1] == len(self.labels))
            self.assigned = list(arrays["assigned"][:number])
            codes = {int(name[5:]): values for name, values in arrays.items() if name.startswith("codes")}
            self.codes = {made: values for made, values in codes.items() if made < number}
        self.kept = len(self.rows)
        return number

    def _made(self, told: int | None, steps: int) -> int:
        """How many epochs or rounds a state has seen; where it does not tell, as of version 0.1, from its steps,
        rounded up: float16 leaves out steps whose gradient overflows."""
        if told is not None:
            return told
        return math.ceil(int(keras.ops.convert_to_numpy(self.network.optimizer.iterations)) / steps)

    def _check(self, fits: bool):
        if not fits:
            raise UserError(
                f"cannot resume {self.run.folder}: its history, its rounds and its state do not fit each other; one of "
                "them is of another run, or of other data"
            )

    def write(self, kept, *, made: int, now: bool = False):
        """kept: `run.pretraining` or `run.state`, where the network and its optimizer go; made: epochs or rounds."""
        if not now and time.monotonic() - self.written < PAUSE:
            return
        self.run.check_folder()
        with interruption.deferred():
            self.run.write_history(self.rows)
            if self.assigned:
                codes = {f"codes{number}": codes for number, codes in self.codes.items()}
                assigned = np.stack(self.assigned).astype("uint16")
                self.run.write_rounds(assigned=assigned, labels=self.labels[:SHOWN], **codes)
            self.run.save_model(self.model)
            kept.save(self.network, made)
            self.kept = len(self.rows)
        self.written = time.monotonic()
        self._draw()

    def _draw(self):
        """Pictures are no reason to end a training, where Matplotlib cannot be used."""
        try:
            clusters = self.model.get_layer("clusters").clusters
            self.run.save_curves(embeddings.cluster_curves(self.rows, tol=self.tol, clusters=clusters))
        except UserError:
            raise
        except Exception as error:
            tqdm.write(f"the curves could not be drawn: {networks.first_line(error)}", file=sys.stderr)

    @property
    def told(self) -> str:
        """For people: what is kept of a training that fails."""
        if not self.kept:
            return "No state was kept before"
        return f"The last good state is kept in {self.run.folder}"


class Pretraining(keras.callbacks.Callback):
    """The first phase's progress bar, history and state."""

    def __init__(self, state: State, first: int, epochs: int):
        super().__init__()
        self.state, self.first, self.epochs = state, first, epochs
        self.bar = None

    def on_train_begin(self, logs=None):
        self.bar = tqdm(
            total=self.epochs,
            initial=self.first,
            desc="auto-encoder",
            unit="epoch",
            dynamic_ncols=True,
            mininterval=1.0,
        )

    def on_epoch_begin(self, epoch, logs=None):
        self.began = time.time()

    def on_epoch_end(self, epoch, logs=None):
        loss = float(logs["loss"])
        if not np.isfinite(loss):
            raise UserError(f"the loss became {loss} in epoch {epoch + 1}; lower --lr. {self.state.told}")
        if not are_finite(self.model):
            raise UserError(f"weights became nan or infinite in epoch {epoch + 1}; lower --lr. {self.state.told}")
        self.state.rows.append(history_row(epoch + 1, 0, seconds=time.time() - self.began, reconstruction=loss))
        self.bar.update()
        self.bar.set_postfix(reconstruction=f"{loss:.4g}")
        self.state.write(self.state.run.pretraining, made=epoch + 1)

    def on_train_end(self, logs=None):
        self.close()

    def close(self):
        """The bar's line ends, also where the training was stopped."""
        if self.bar is not None:
            self.bar.close()


def history_row(epoch: int, number: int, *, seconds: float, **values) -> dict:
    """A row of the history: the epoch, counted on through the rounds; the round about to begin, 0 while the
    auto-encoder learns; NaN for what was not measured."""
    return {
        "epoch": epoch,
        "round": number,
        "seconds": seconds,
        **{name: float(values.get(name, np.nan)) for name in COLUMNS},
    }
