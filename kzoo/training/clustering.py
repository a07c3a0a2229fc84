"""Training of `--task=cluster`: an auto-encoder, k-means on its codes, then rounds of predict -> target -> fit (Xie et
al. 2016, §3).

Everything before the layer "signal" is fixed: its values are computed once and kept in memory, as are codes and
assignments.
"""

import contextlib
import dataclasses
import time

import keras
import numpy as np
import scipy.special
from tqdm.auto import tqdm

from kzoo import UserError, cli
from kzoo.losses import cluster as cluster_losses
from kzoo.metrics import cluster_scores
from kzoo.training import interruption, optimization
from kzoo.training.callbacks import are_finite
from kzoo.training.cluster_state import Pretraining, State, history_row

COLLAPSED = "collapsed"  # how the reason of such an end begins
NUMBERS = 2**22  # of the signals, at most in one batch of prediction
COLLAPSE = 0.5  # share of the first perplexity of the clusters below which they have collapsed


@dataclasses.dataclass(frozen=True)
class Plan:
    """How both phases are trained.

    epochs, lr, schedule, warmup (epochs), milestones (epochs): of the auto-encoder; rounds at most, update_interval:
    steps of each; cluster_lr: their rate; tol: share of the labels, once fewer change in a round it ends; batch_size,
    optimizer, weight_decay, seed: of both.
    """

    epochs: int
    rounds: int
    update_interval: int
    tol: float
    batch_size: int
    lr: float
    cluster_lr: float
    optimizer: str = "adam"
    schedule: str = "constant"
    warmup: float = 0.0
    milestones: tuple = ()
    weight_decay: float = 0.0
    seed: int = 0


class Batches(keras.utils.PyDataset):
    """Batches from step `first` on, in an order that depends on (seed, epoch) alone; whole batches only, or one of all
    examples."""

    def __init__(self, signals, targets: dict, batch_size: int, *, seed: int, first: int, steps: int):
        super().__init__()
        self.signals, self.targets, self.seed, self.first, self.steps = signals, targets, seed, first, steps
        self.batch_size = min(batch_size, len(signals))
        self.order = (-1, None)

    def __len__(self):
        return self.steps

    def __getitem__(self, index):
        epoch, at = divmod(self.first + index, steps_of(len(self.signals), self.batch_size))
        if self.order[0] != epoch:
            self.order = epoch, np.random.default_rng((self.seed, epoch)).permutation(len(self.signals))
        chosen = self.order[1][at * self.batch_size : (at + 1) * self.batch_size]
        return self.signals[chosen], {name: values[chosen] for name, values in self.targets.items()}

    def on_epoch_end(self):
        self.first += self.steps


def steps_of(examples: int, batch_size: int) -> int:
    """Whole batches of one epoch; at least 1, which then is smaller."""
    return max(1, examples // batch_size)


def halves(model: keras.Model) -> tuple[keras.Model, keras.Model]:
    """What a network does before the layer "signal", and from there on; they share its weights."""
    signal = model.get_layer("signal")
    return keras.Model(model.inputs, signal.input), keras.Model(signal.output, model.output)


def signals(model: keras.Model, batches, examples: int) -> tuple[np.ndarray, np.ndarray]:
    """(N, …) float32 values of the layer "signal", whose scale is set by them, and (N,) labels, -1 where there are
    none.

    Args:
        batches: dataset of (what the network reads, {"label": (B,)}, …).
    """
    before, _ = halves(model)
    found, labels = [], []
    with tqdm(total=examples, unit="img", desc="signals", dynamic_ncols=True) as bar:
        for inputs, truth, *_ in batches.as_numpy_iterator():
            found.append(np.asarray(before.predict_on_batch(inputs), "float32"))
            labels.append(truth["label"])
            bar.update(len(labels[-1]))
    raw = np.concatenate(found)
    rms = float(np.sqrt(np.mean([np.mean(np.square(one, dtype="float64")) for one in raw])))
    if not rms > 0:
        raise UserError("all examples are black, or their embeddings are 0: there is nothing to cluster")
    model.get_layer("signal").rms.assign(rms)
    return raw / np.float32(rms), np.concatenate(labels)


class Training:
    """One run's training, see `train`."""

    def __init__(
        self, model: keras.Model, values, labels, *, plan: Plan, compiled: dict, run, resume: bool, jit_compile
    ):
        self.model, self.values, self.labels = model, values, labels
        self.plan, self.compiled, self.jit_compile = plan, compiled, jit_compile
        _, self.network = halves(model)
        self.clusters = model.get_layer("clusters").clusters
        self.steps = steps_of(len(values), plan.batch_size)
        self.run, self.resume = run, resume
        self.state = State(run, model, self.network, labels, plan.tol)

    def _compile(self, optimizer, *, loss: dict, loss_weights=None):
        """Layers that no loss depends on are frozen: DEC's decoder in the second phase, the centres in the first."""
        graph = keras.Model(self.network.inputs, {name: self.network.output[name] for name in loss})
        for layer in self.network.layers:
            layer.trainable = layer in graph.layers
        self.network.compile(optimizer, jit_compile=self.jit_compile, loss=loss, loss_weights=loss_weights)
        self.network.optimizer.build(self.network.trainable_variables)

    def _batches(self, targets: dict, **where) -> Batches:
        unused = np.zeros(len(self.values), "float32")  # Keras wants something for each output, with a loss or without
        targets = {name: targets.get(name, unused) for name in self.network.output_names}
        return Batches(self.values, targets, self.plan.batch_size, seed=self.plan.seed, **where)

    def pretrain(self):
        """The auto-encoder, without clusters."""
        epochs = self.plan.epochs
        self._compile(optimizers(self.plan, self.steps)[0], loss={"reconstruction": cluster_losses.ReconstructionMSE()})
        first = self.state.load_pretraining(self.steps) if self.resume else 0
        if first < epochs:
            data = self._batches({"reconstruction": self.values}, first=first * self.steps, steps=self.steps)
            with contextlib.closing(Pretraining(self.state, first, epochs)) as called:
                self.network.fit(data, epochs=epochs, initial_epoch=first, shuffle=False, verbose=0, callbacks=[called])
            self.state.write(self.run.pretraining, made=epochs, now=True)

    def _predict(self) -> tuple[np.ndarray, np.ndarray, float]:
        """Assignments (N, K), codes (N, d), and the mean squared error of the reconstructions, of which a batch is held
        at a time."""
        size = int(np.clip(NUMBERS // self.values[0].size, 1, 1024))
        found, squares = [], 0.0
        for start in range(0, len(self.values), size):
            batch = self.values[start : start + size]
            answers = {name: np.asarray(value) for name, value in self.network.predict_on_batch(batch).items()}
            squares += np.square(answers["reconstruction"] - batch).sum(dtype="float64")
            found.append((answers["assignment"], answers["code"]))
        assignment, codes = (np.concatenate(parts) for parts in zip(*found, strict=True))
        return assignment, codes, squares / self.values.size

    def place_centres(self) -> dict:
        """k-means on the codes gives the centres; the scores of both baselines."""
        print("k-means on the signals and on the codes", flush=True)
        (_, codes, _), flat, clusters = self._predict(), self.values.reshape(len(self.values), -1), self.clusters
        plain, _ = cluster_scores.kmeans(flat, clusters, self.plan.seed)
        found, centres = cluster_scores.kmeans(codes, clusters, self.plan.seed)
        self.model.get_layer("clusters").centres.assign(centres)
        inputs = "embeddings" if any(isinstance(layer, keras.Model) for layer in self.model.layers) else "pixels"
        return {
            f"k-means on {inputs}": cluster_scores.cluster_scores(self.labels, plain, flat, clusters),
            "k-means on auto-encoder codes": cluster_scores.cluster_scores(self.labels, found, codes, clusters),
        }

    def _measure(self, number: int, seconds: float) -> tuple[dict, np.ndarray]:
        """The history's row after `number` rounds, and the next target distribution."""
        assignment, codes, mse = self._predict()
        assigned, before = assignment.argmax(axis=1), self.state.assigned[-1:]
        target = cluster_scores.target_distribution(assignment).astype("float32")
        values = {
            **cluster_scores.cluster_scores(self.labels, assigned, codes, self.clusters),
            "reconstruction": mse,
            "kl": np.mean(scipy.special.rel_entr(target, assignment).sum(axis=1)),
            "label_change": np.mean(assigned != before[0]) if before else np.nan,
        }
        row = history_row(self.plan.epochs + number, number + 1, seconds=seconds, **values)
        if not (np.isfinite([row["kl"], row["reconstruction"]]).all() and are_finite(self.network)):
            raise UserError(f"round {number} gave no numbers; lower --cluster_lr. {self.state.told}")
        self.state.keep(row, assigned, codes)
        return row, target

    def rounds(self, number: int) -> str:
        """predict -> target -> fit, after `number` rounds; why it ended."""
        limit, tol, interval = self.plan.rounds, self.plan.tol, self.plan.update_interval
        seconds = 0.0
        healthy = self.network.get_weights()
        with tqdm(
            total=limit, initial=number, desc="clustering", unit="round", dynamic_ncols=True, mininterval=1.0
        ) as bar:
            while True:
                row, target = self._measure(number, seconds)
                bar.set_postfix(
                    {name: f"{row[name]:.3f}" for name in ("acc", "label_change") if np.isfinite(row[name])}
                )
                first = next(row["perplexity"] for row in self.state.rows if row["round"] == 1)
                if row["perplexity"] < COLLAPSE * first:
                    self.network.set_weights(healthy)
                    self.state.forget_codes(number)
                    self.state.write(self.run.state, made=number, now=True)
                    return (
                        f"{COLLAPSED} in round {number}: clusters worth {row['perplexity']:.1f} of equal size, "
                        f"{first:.1f} at first; "
                        "the weights of the round before are kept. Lower --cluster_lr or raise "
                        "--loss_weights=reconstruction=<number>"
                    )
                settled = row["label_change"] < tol
                self.state.write(self.run.state, made=number, now=settled or number in (0, limit))
                changed = (
                    f"{row['label_change']:.2%} of the labels changed in round {number}"
                    if number
                    else "no label could change"
                )
                if settled:
                    return f"{changed}, less than --tol={tol:g}"
                if number >= limit:
                    return f"all {limit} rounds were made, {changed}"
                healthy, began = self.network.get_weights(), time.time()
                data = self._batches(
                    {"reconstruction": self.values, "assignment": target}, first=number * interval, steps=interval
                )
                self.network.fit(data, epochs=1, shuffle=False, verbose=0)
                number, seconds = number + 1, time.time() - began
                bar.update()

    def train(self) -> str:
        """Both phases; why it ended."""
        continued = self.resume and self.run.state.exists
        before = self.run.clustering if continued else None
        if before and before["stopped"].startswith(COLLAPSED):
            return before["stopped"]  # its flags would collapse again
        if not continued:
            self.pretrain()
        self._compile(optimizers(self.plan, self.steps)[1], **self.compiled)
        number = 0
        if continued:
            number = self.state.load_rounds(self.plan.update_interval)
        else:
            self.run.write_clustering(stopped="not yet", baselines=self.place_centres())
        reason = self.rounds(number)
        self.run.write_clustering(stopped=reason)
        return reason

    def stopped(self) -> str:
        """For people: what a training that was asked to end leaves on disk, a few seconds old at most."""
        phases = (("round", self.run.state, self.plan.rounds), ("epoch", self.run.pretraining, self.plan.epochs))
        more = f"continue with {cli.command('train', '--resume', f'--out={self.run.folder}')}"
        for what, state, of in phases:
            made = state.made() if state.exists else None
            if made is None:
                continue
            if what == "round":
                self.run.write_clustering(stopped="stopped by hand")
            return f"stopped after {made} whole {what}{'s' * (made != 1)} of {of}; {more}"
        return f"stopped before the first state was written; {more}"


def optimizers(plan: Plan, steps: int) -> tuple:
    """Of both phases."""
    common = {"steps": steps, "epochs": plan.epochs, "milestones": plan.milestones, "weight_decay": plan.weight_decay}
    first = optimization.optimizer(plan.optimizer, plan.schedule, lr=plan.lr, warmup=plan.warmup, **common)
    second = optimization.optimizer(plan.optimizer, "constant", lr=plan.cluster_lr, warmup=0, **common)
    return first, second


def check(model: keras.Model, examples: int, plan: Plan, continued=None):
    """What could not be trained is told before anything is written.

    Args:
        continued: the `Run` that goes on, None for a new one.
    Raises:
        UserError: more clusters than examples, or a plan that does not fit.
    """
    if plan.schedule == "plateau":
        raise UserError("--schedule=plateau waits for a score on other examples, which --task=cluster has none of")
    clusters = model.get_layer("clusters").clusters
    if clusters > examples:
        raise UserError(f"{clusters} clusters of {examples} examples: there must be more examples than clusters")
    optimizers(plan, steps_of(examples, plan.batch_size))
    if continued is None or not continued.state.exists:
        return
    rows = continued.rows_of("round")
    trained = sum(row["round"] == 0 for row in rows)
    made = max((row["round"] for row in rows), default=0) - 1  # after the last row another round may begin
    if plan.epochs != trained:
        raise UserError(
            f"--epochs={plan.epochs}: the auto-encoder's {trained} epochs are over; --rounds can be extended"
        )
    if plan.rounds < made:
        raise UserError(
            f"nothing to do: {continued.folder} has {made} rounds already, got --rounds={plan.rounds}; --rounds=<more> "
            "goes on"
        )


def train(
    model: keras.Model,
    batches,
    examples: int,
    *,
    plan: Plan,
    compiled: dict,
    run,
    resume: bool = False,
    jit_compile=False,
) -> str:
    """Both phases.

    Args:
        model: of `kzoo.models`, with layers "signal" and "clusters"; batches: of the `examples` to cluster, see
        `signals`; plan: of both phases, see `check`; compiled: loss and loss_weights of the second phase;
        run: `kzoo.runs.Run`, which keeps history, network and states; resume: go on from its states; jit_compile: of
        `compile`.
    Returns:
        why it ended.
    Raises:
        UserError: an answer is not finite.
    """
    values, labels = signals(model, batches, examples)
    training = Training(
        model, values, labels, plan=plan, compiled=compiled, run=run, resume=resume, jit_compile=jit_compile
    )
    with interruption.told(training.stopped):
        return training.train()
