"""What a clustering run keeps on disk: history, curves, weights, and what each round found."""

import math
import time

import keras
import numpy as np
from tqdm.auto import tqdm

from kzoo import UserError
from kzoo.figures import embeddings

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
        self.written = time.time()

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
        self.run.pretraining.load(self.network)
        epochs = self._times(steps)
        self.rows = [row for row in self.run.history if row["epoch"] <= epochs and row["round"] == 0]
        return epochs

    def load_rounds(self, steps: int) -> int:
        """The second phase's network, optimizer, history and rounds; how many rounds of `steps` steps have been
        made."""
        self.run.state.load(self.network)
        number = self._times(steps)
        self.rows = [row for row in self.run.history if row["round"] <= number]
        arrays = self.run.rounds
        self.assigned = list(arrays["assigned"][:number])
        codes = {int(name[5:]): values for name, values in arrays.items() if name.startswith("codes")}
        self.codes = {made: values for made, values in codes.items() if made < number}
        return number

    def _times(self, steps: int) -> int:
        """Rounded up: float16 leaves out steps whose gradient overflows."""
        return math.ceil(int(keras.ops.convert_to_numpy(self.network.optimizer.iterations)) / steps)

    def write(self, kept, *, now: bool = False):
        """kept: `run.pretraining` or `run.state`, where the network and its optimizer go."""
        if not now and time.time() - self.written < PAUSE:
            return
        self.run.write_history(self.rows)
        clusters = self.model.get_layer("clusters").clusters
        self.run.save_curves(embeddings.cluster_curves(self.rows, tol=self.tol, clusters=clusters))
        if self.assigned:
            codes = {f"codes{number}": codes for number, codes in self.codes.items()}
            assigned = np.stack(self.assigned).astype("uint16")
            self.run.write_rounds(assigned=assigned, labels=self.labels[:SHOWN], **codes)
        self.run.save_model(self.model)
        kept.save(self.network)
        self.written = time.time()


class Pretraining(keras.callbacks.Callback):
    """The first phase's progress bar, history and state."""

    def __init__(self, state: State, first: int, epochs: int):
        super().__init__()
        self.state, self.first, self.epochs = state, first, epochs

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
            raise UserError(
                f"the loss became {loss} in epoch {epoch + 1}; lower --lr. The last good state is kept in "
                f"{self.state.run.folder}"
            )
        self.state.rows.append(history_row(epoch + 1, 0, seconds=time.time() - self.began, reconstruction=loss))
        self.bar.update()
        self.bar.set_postfix(reconstruction=f"{loss:.4g}")
        self.state.write(self.state.run.pretraining)

    def on_train_end(self, logs=None):
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
