"""What `train.py` hands to Keras: model, compile arguments, and the callbacks that score and keep the run folder."""

import csv
import inspect
import io
import math
import os
import pathlib
import platform
import subprocess
import time
from importlib import metadata

import keras
from tqdm.auto import tqdm

from kzoo import UserError, cli, figures, files, statistics
from kzoo.optimization import averaged
from kzoo.tasks import Task

ENCODER_FLAGS = ("encoder", "encoder_weights")


def hyperparameters_of(function) -> list[str]:
    """Names of the keywords of a model function."""
    return [name for name, p in inspect.signature(function).parameters.items() if p.kind is p.KEYWORD_ONLY]


NETWORK_FLAGS = (*ENCODER_FLAGS, "init", "norm", "bias", "dropout")


def network_options(flag: dict, colours: statistics.ColourStatistics | None = None, bounds: dict | None = None) -> dict:
    """The keywords of the network among a run's flags, and what was fitted on its training split: `colours` for --normalise, `bounds` of
    the joints (`kzoo.statistics.fit_bounds`) for networks that take them."""
    chosen = {name: flag[name] for name in NETWORK_FLAGS if flag.get(name) is not None}
    if flag.get("normalise"):
        chosen["scaling"] = statistics.scaling(colours, flag["normalise"])
    return {**chosen, **(bounds or {}), **cli.assignments(flag["set"], "set")}


def build(task: Task, arch: str, size: int | tuple[int, ...], num_outputs: int, **hyperparameters) -> keras.Model:
    """The network of one architecture for pictures of `size`: (height, width) or the side of a square, of clips (frames, height, width); a
    keyword it does not know is the user's mistake."""
    function = cli.pick(task.archs, arch, "arch")
    allowed = hyperparameters_of(function)
    for name in hyperparameters:
        if name not in allowed:
            raise UserError(f"{arch} has no hyperparameter {name!r}; allowed in --set: {', '.join(allowed)}")
    try:
        return function((size, size, 3) if isinstance(size, int) else (*size, 3), num_outputs, **hyperparameters)
    except (ValueError, TypeError) as error:
        raise UserError(f"{arch} cannot be built with size={size}, {hyperparameters}: {str(error).splitlines()[0]}") from error


def compile_arguments(task: Task, model: keras.Model, num_outputs: int, *, loss: str | None, loss_options: dict, weights: dict) -> dict:
    """`loss`, `loss_weights` and `metrics` of `model.compile` from the task's rows; outputs of weight 0 are left alone."""
    rows = {name: task.outputs[name] for name in model.output_names}
    for name in weights:
        if name not in rows:
            raise UserError(f"--loss_weights names {name!r}, which this arch does not emit; it emits {', '.join(rows)}")
    weights = {name: float(weights.get(name, row.weight)) for name, row in rows.items()}
    main = task.main_of(rows)
    for name, row in rows.items():
        if weights[name] > 0 and not row.losses:
            raise UserError(f"--loss_weights={name}={weights[name]:g}: this output is for pictures and has no loss")
    rows = {name: row for name, row in rows.items() if weights[name] > 0}
    if main not in rows:
        raise UserError(f"the weight of {main} must be above 0, got {weights[main]}")
    factory = next(iter(rows[main].losses.values())) if loss is None else cli.pick(rows[main].losses, loss, "loss")
    try:  # outputs with the same losses as the main one, earlier stacks for instance, get the same loss
        chosen = {
            name: factory(**loss_options) if row.losses is task.outputs[main].losses else next(iter(row.losses.values()))()
            for name, row in rows.items()
        }
    except (TypeError, ValueError) as error:
        raise UserError(f"--loss_set: {error}") from error
    return {
        "loss": chosen,
        "loss_weights": {name: weights[name] for name in rows},
        "metrics": {name: [make(num_outputs) for make in row.metrics] for name, row in rows.items() if row.metrics},
    }


class TrainScore(keras.callbacks.Callback):
    """Scores a fixed part of the training set without augmentation, so that both curves of the figure mean the same thing: with the moving
    averages of the weights where there are any, as the validation does."""

    def __init__(self, data, prefix: str = "train_"):
        super().__init__()
        self.data, self.prefix = data, prefix

    def on_epoch_end(self, epoch, logs=None):
        with averaged(self.model):
            scores = self.model.evaluate(self.data, verbose=0, return_dict=True)
        logs.update({self.prefix + name: value for name, value in scores.items()})


class PlainNames(keras.callbacks.Callback):
    """Takes the main output's name, which Keras adds where there are several outputs, from its metrics: one set of columns for all runs."""

    def __init__(self, main: str):
        super().__init__()
        self.main = main

    def on_epoch_end(self, epoch, logs=None):
        for prefix in ("", "train_", "val_"):
            own = f"{prefix}{self.main}_"
            for name in [name for name in logs if name.startswith(own) and not name.endswith("_loss")]:
                logs[prefix + name.removeprefix(own)] = logs.pop(name)


class Progress(keras.callbacks.Callback):
    """One bar for the whole run: images, images/s, time left, latest scores; one line for each finished epoch."""

    def __init__(self, steps: int, batch_size: int, epochs: int, first: int, shown: tuple[str, ...]):
        super().__init__()
        self.steps, self.batch_size, self.epochs, self.first, self.shown = steps, batch_size, epochs, first, shown

    def on_train_begin(self, logs=None):
        total = self.epochs * self.steps * self.batch_size
        self.bar = tqdm(total=total, initial=self.first * self.steps * self.batch_size, unit="img", dynamic_ncols=True, mininterval=1.0)

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
        self.bar.close()


class RunFolder(keras.callbacks.Callback):
    """Keeps `history.csv`, `curves.png`, the best model and the last state after every epoch, each written whole or not at all.

    The order matters for a run that is killed: the history's row comes before the state, and on resuming the history is cut to the state.
    The best model holds the moving averages of the weights where there are any, the state the weights and their averages.
    """

    def __init__(self, folder, *, score: str, mode: str, steps: int):
        super().__init__()
        self.folder, self.score, self.mode, self.steps = pathlib.Path(folder), score, mode, steps
        self.rows: list[dict] = []

    @property
    def state(self) -> pathlib.Path:
        return self.folder / "last.weights.h5"

    def restore(self, model) -> int:
        """Load the last state into a compiled model. Returns the number of finished epochs."""
        if not self.state.exists():
            return 0
        if not model.optimizer.built:  # that of float16 would make its variables twice, and then not find them
            model.optimizer.build(model.trainable_variables)
        try:
            model.load_weights(self.state)
        except (OSError, ValueError, KeyError) as error:
            raise UserError(f"cannot resume from {self.state}: {str(error).splitlines()[0]}") from error
        # rounded up: float16 leaves out steps whose gradient overflows
        epochs = math.ceil(int(keras.ops.convert_to_numpy(model.optimizer.iterations)) / self.steps)
        self.rows = read_history(self.folder)[:epochs]
        return epochs

    def interrupted(self, model):
        """After Ctrl-C: what finished epochs left is kept; before the first one ended, the weights as they are."""
        if not (self.folder / "model.keras").exists():
            with files.replacing(self.folder / "model.keras") as temporary:
                model.save(temporary)
        print(f"stopped after {len(self.rows)} whole epochs; continue with --resume --out={self.folder}")

    def best(self) -> dict | None:
        """The row of the best epoch so far."""
        rows = [row for row in self.rows if not math.isnan(row[self.score])]
        return (min if self.mode == "min" else max)(rows, key=lambda row: row[self.score], default=None)

    def on_epoch_end(self, epoch, logs=None):
        if math.isnan(logs["loss"]) or math.isinf(logs["loss"]):
            raise UserError(
                f"the loss became {logs['loss']} in epoch {epoch + 1}; lower --lr or use --precision=float32. "
                f"The last good state is kept in {self.folder}"
            )
        self.rows.append({"epoch": epoch + 1, **{name: float(value) for name, value in logs.items()}})
        write_history(self.folder, self.rows)
        if self.best() is self.rows[-1] or not (self.folder / "model.keras").exists():
            with averaged(self.model), files.replacing(self.folder / "model.keras") as temporary:
                self.model.save(temporary)
        with files.replacing(self.state) as temporary:
            self.model.save_weights(temporary)
        figures.save(figures.curves({self.folder.name: self.rows}, self.score.removeprefix("val_")), self.folder / "curves.png")


def write_history(folder, rows: list[dict]):
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    files.write_text(pathlib.Path(folder) / "history.csv", text.getvalue())


def read_history(folder) -> list[dict]:
    """Rows of `history.csv`: [{"epoch": 1, "loss": 0.1, …}]."""
    path = pathlib.Path(folder) / "history.csv"
    if not path.exists():
        return []
    with open(path, newline="") as file:
        return [{key: int(value) if key == "epoch" else float(value) for key, value in row.items()} for row in csv.DictReader(file)]


def on_accelerator() -> bool:
    """True when Keras's backend computes on something other than a CPU."""
    return any("cpu" not in device.lower() for device in keras.distribution.list_devices())


def precision(choice: str, accelerator: bool) -> str:
    """Name of the dtype policy; "auto" is float32 on a CPU and mixed_bfloat16 elsewhere."""
    return choice if choice != "auto" else "mixed_bfloat16" if accelerator else "float32"


def jit(choice: str, accelerator: bool):
    """`jit_compile` of `model.compile`: XLA is slower than TensorFlow's own kernels on a CPU, and JAX cannot do without it."""
    if choice != "auto":
        return choice == "on"
    return "auto" if accelerator or keras.backend.backend() != "tensorflow" else False


def train_sample(split: str, size: int, wanted: int) -> str:
    """The split to score the training set on each epoch: as many examples as the validation set has."""
    return split if "[" in split or size <= wanted else f"{split}[:{wanted}]"


def provenance(model: keras.Model) -> dict:
    """What a reader must know to trust and repeat a run: versions, machine, commit, size of the network."""
    packages = ("kzoo", "keras", "tensorflow", "tensorflow-datasets", "numpy")
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--abbrev=12"], cwd=pathlib.Path(__file__).parent, capture_output=True, text=True
    )
    return {
        "parameters": model.count_params(),
        "trainable_parameters": sum(math.prod(v.shape) for v in model.trainable_variables),
        "versions": {"python": platform.python_version(), "backend": keras.backend.backend(), **{p: metadata.version(p) for p in packages}},
        "device": f"{', '.join(keras.distribution.list_devices())}; {os.cpu_count()} CPU cores, {platform.machine()}",
        "commit": commit.stdout.strip() or None,
        "started": time.strftime("%Y-%m-%dT%H:%M:%S"),
    }
