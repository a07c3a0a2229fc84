"""How weights are updated: optimizers, learning-rate schedules, L2 penalty, moving averages of the weights."""

import contextlib

import keras
import numpy as np

from kzoo import UserError, cli


@keras.saving.register_keras_serializable("kzoo")
class WarmUp(keras.optimizers.schedules.LearningRateSchedule):
    """Linear warm-up over the first `steps` steps of any schedule (Goyal et al. 2017, §2.2)."""

    def __init__(self, schedule, steps: int):
        self.schedule, self.steps = schedule, steps

    def __call__(self, step):
        ramp = keras.ops.minimum(1.0, (keras.ops.cast(step, "float32") + 1.0) / self.steps)
        return ramp * self.schedule(step)

    def get_config(self):
        return {"schedule": keras.saving.serialize_keras_object(self.schedule), "steps": self.steps}

    @classmethod
    def from_config(cls, config):
        return cls(keras.saving.deserialize_keras_object(config["schedule"]), config["steps"])


def _constant(lr, steps, total, milestones):
    return keras.optimizers.schedules.PiecewiseConstantDecay([max(total, 1)], [lr, lr])


def _step(lr, steps, total, milestones):
    if not milestones:
        raise UserError(
            "--schedule=step needs --milestones=<epoch>,<epoch>: the epochs after which the rate falls to a tenth"
        )
    try:
        milestones = sorted(int(m) for m in milestones)
    except ValueError as error:
        raise UserError(f"--milestones must be whole epochs, got {','.join(milestones)}") from error
    return keras.optimizers.schedules.PiecewiseConstantDecay(
        [m * steps for m in milestones], [lr / 10**k for k in range(len(milestones) + 1)]
    )


def _cosine(lr, steps, total, milestones):
    return keras.optimizers.schedules.CosineDecay(lr, max(total, 1), alpha=0.001)


def _poly(lr, steps, total, milestones):
    """lr * (1 - i / N)^0.9 (Chen et al., Rethinking Atrous Convolution, 2017, §4.1)."""
    return keras.optimizers.schedules.PolynomialDecay(lr, max(total, 1), end_learning_rate=0.0, power=0.9)


def _plateau(lr, steps, total, milestones):
    return lr  # a plain number, which the callback `Plateau` changes


SCHEDULES = {"constant": _constant, "step": _step, "cosine": _cosine, "poly": _poly, "plateau": _plateau}
OPTIMIZERS = {
    "adam": keras.optimizers.AdamW,  # with weight_decay=0 it is Adam
    "sgd": lambda lr, **options: keras.optimizers.SGD(lr, momentum=0.9, nesterov=True, **options),
    "rmsprop": lambda lr, **options: keras.optimizers.RMSprop(lr, rho=0.99, **options),
}


def optimizer(
    name: str,
    schedule: str,
    *,
    lr: float,
    steps: int,
    epochs: int,
    warmup: float,
    milestones,
    weight_decay: float,
    ema: float | None = None,
) -> keras.optimizers.Optimizer:
    """Optimizer with its schedule. Biases and normalisation are not decayed.

    Args:
        name: key of `OPTIMIZERS`; schedule: key of `SCHEDULES`; "plateau" takes a callback too, see `Plateau`.
        lr: peak learning rate; steps: batches an epoch; epochs: of the whole run; warmup and milestones: in epochs.
        weight_decay: decoupled, so multiplied by the learning rate alone (Loshchilov and Hutter 2019); the classic one
        is `add_l2`.
        ema: momentum of the moving average of the weights, in [0, 1); None or 0: none is kept. It is used by
        `averaged`.
    """
    rate = cli.pick(SCHEDULES, schedule, "schedule")(lr, steps, steps * epochs, milestones)
    if warmup and isinstance(rate, keras.optimizers.schedules.LearningRateSchedule):
        rate = WarmUp(rate, max(1, round(warmup * steps)))
    if ema is not None and not 0 <= ema < 1:
        raise UserError(f"--ema must lie in [0, 1), for instance 0.999; got {ema:g}")
    average = {"use_ema": True, "ema_momentum": ema} if ema else {}
    result = cli.pick(OPTIMIZERS, name, "optimizer")(rate, weight_decay=weight_decay, **average)
    result.exclude_from_weight_decay(var_names=["bias", "gamma", "beta", "weights"])
    return result


def scaled_lr(lr: float, batch_size: int, base_batch: int) -> float:
    """Linear scaling rule: the learning rate for `batch_size`, where `lr` suits `base_batch` (Goyal et al. 2017,
    §2.1)."""
    return lr * batch_size / base_batch


def add_l2(model: keras.Model, factor: float):
    """Adds factor * (sum of squares of all trainable kernels) to the loss (Krogh and Hertz 1992).

    Call it before the first step; it belongs to training as the loss does, so a saved model comes back without it.
    Keras adds it to the validation's loss too.
    """
    for variable in model.trainable_variables:
        if "kernel" in variable.name:
            variable.regularizer = keras.regularizers.L2(factor)


def falls(scores, mode: str, patience: int, most: int = 3) -> int:
    """How many times a score has rested for `patience` epochs in a row, at most `most`.

    Args:
        scores: one number an epoch, oldest first; NaN is no improvement. mode: "min" or "max".
    """
    best, rested, count = np.inf if mode == "min" else -np.inf, 0, 0
    for score in scores:
        if score < best if mode == "min" else score > best:
            best, rested = score, 0
        else:
            rested += 1
        if rested == patience:
            rested, count = 0, count + 1
    return min(count, most)


class Plateau(keras.callbacks.Callback):
    """Divides the learning rate by 10 when the score has not improved for `patience` epochs, three times at most; warms
    up before.

    The rate follows from the rows of the run folder alone, so a resumed run goes on as an uninterrupted one would.

    Args:
        keeper: the run's `RunFolder`: its `rows`, `score`, `mode` and `steps`.
        lr: peak learning rate; warmup: in epochs. The optimizer must have been made with schedule "plateau".
    """

    def __init__(self, keeper, lr: float, *, patience: int = 5, warmup: float = 0.0):
        super().__init__()
        if patience < 1:
            raise UserError(f"--patience must be at least 1 epoch, got {patience}")
        self.keeper, self.lr, self.patience, self.warmup_steps = keeper, lr, patience, round(warmup * keeper.steps)

    def on_epoch_begin(self, epoch, logs=None):
        scores = [row[self.keeper.score] for row in self.keeper.rows]
        self.rate = self.lr / 10 ** falls(scores, self.keeper.mode, self.patience)
        self.first = epoch * self.keeper.steps
        self.model.optimizer.learning_rate = self.rate

    def on_train_batch_begin(self, batch, logs=None):
        step = self.first + batch
        if step < self.warmup_steps:
            self.model.optimizer.learning_rate = self.rate * (step + 1) / self.warmup_steps


@contextlib.contextmanager
def averaged(model: keras.Model):
    """Within it the model holds the moving averages of its weights; afterwards the weights themselves.

    Without averages (`ema` of `optimizer`) nothing changes. BatchNorm's means and variances, averages of their own,
    stay.
    """
    optimizer = getattr(model.optimizer, "inner_optimizer", model.optimizer)  # float16 wraps it for its loss scale
    if not optimizer.use_ema:
        yield
        return
    raw = [
        np.array(keras.ops.convert_to_numpy(variable)) for variable in model.trainable_variables
    ]  # a copy: PyTorch shares its memory
    optimizer.finalize_variable_values(model.trainable_variables)
    try:
        yield
    finally:
        for variable, value in zip(model.trainable_variables, raw, strict=True):
            variable.assign(value)


class WeightAverage(keras.callbacks.Callback):
    """Validates with the moving averages of the weights; between validations the model holds the weights themselves
    (Polyak and Juditsky 1992; Tarvainen and Valpola 2017). `TrainScore` and `RunFolder` do so on their own."""

    def on_test_begin(self, logs=None):
        self.swap = averaged(self.model)
        self.swap.__enter__()

    def on_test_end(self, logs=None):
        self.swap.__exit__(None, None, None)
