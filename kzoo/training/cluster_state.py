"""What a clustering run keeps on disk: history, curves, weights, and what each round found."""

import math
import pathlib
import time

import keras
import numpy as np
from tqdm.auto import tqdm

from kzoo import UserError, files
from kzoo.figures import base as figures
from kzoo.figures import embeddings
from kzoo.training.callbacks import read_history, write_history

PRETRAINED, LAST = "pretraining.weights.h5", "last.weights.h5"  # states of the first phase and of the second
ROUNDS = "rounds.npz"  # assignments and codes after the rounds
RESULT = "clustering.json"  # why training stopped, and the baselines
SHOWN = 1000  # examples whose codes are kept for the pictures
STAGES = 16  # rounds whose codes are kept
PAUSE = 10.0  # seconds between two states on disk
COLUMNS = ("reconstruction", "kl", "label_change", "acc", "nmi", "ari", "silhouette", "perplexity")


class State:
    """A run folder's state of both phases, written at most every `PAUSE` seconds, each file whole or not at all.

    The order matters for a run that is killed: history and rounds come before the weights, and on resuming they are cut
    to these.
    """

    def __init__(self, folder, model: keras.Model, network: keras.Model, labels, tol: float):
        self.folder, self.model, self.network, self.labels, self.tol = pathlib.Path(folder), model, network, labels, tol
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

    def load(self, name: str, steps: int) -> int:
        """The compiled network's weights and optimizer, and what belongs to them; how many times `steps` steps have
        been made."""
        path = self.folder / name
        if not path.exists():
            return 0
        try:
            self.network.load_weights(path)
        except (OSError, ValueError, KeyError) as error:
            raise UserError(f"cannot resume from {path}: {str(error).splitlines()[0]}") from error
        # rounded up: float16 leaves out steps whose gradient overflows
        made = math.ceil(int(keras.ops.convert_to_numpy(self.network.optimizer.iterations)) / steps)
        rows = read_history(self.folder)
        if name == PRETRAINED:
            self.rows = [row for row in rows if row["epoch"] <= made and row["round"] == 0]
            return made
        self.rows = [row for row in rows if row["round"] <= made]
        with np.load(self.folder / ROUNDS) as found:
            self.assigned = list(found["assigned"][:made])
            self.codes = {
                int(key[5:]): found[key] for key in found.files if key.startswith("codes") and int(key[5:]) < made
            }
        return made

    def write(self, name: str, *, now: bool = False):
        if not now and time.time() - self.written < PAUSE:
            return
        write_history(self.folder, self.rows)
        figures.save(
            embeddings.cluster_curves(self.rows, tol=self.tol, clusters=self.model.get_layer("clusters").clusters),
            self.folder / "curves.png",
        )
        if self.assigned:
            with files.replacing(self.folder / ROUNDS) as temporary, open(temporary, "wb") as file:
                codes = {f"codes{number}": codes for number, codes in self.codes.items()}
                np.savez_compressed(
                    file, assigned=np.stack(self.assigned).astype("uint16"), labels=self.labels[:SHOWN], **codes
                )
        self.write_model()
        with files.replacing(self.folder / name) as temporary:
            self.network.save_weights(temporary)
        self.written = time.time()

    def write_model(self):
        with files.replacing(self.folder / "model.keras") as temporary:
            self.model.save(temporary)


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
                f"the loss became {loss} in epoch {epoch + 1}; lower --lr. The last good state is kept in {self.state.folder}"
            )
        self.state.rows.append(history_row(epoch + 1, 0, seconds=time.time() - self.began, reconstruction=loss))
        self.bar.update()
        self.bar.set_postfix(reconstruction=f"{loss:.4g}")
        self.state.write(PRETRAINED)

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
