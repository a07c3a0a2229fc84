"""From a task's table to what Keras takes: the network, and the arguments of compile."""

import inspect

import keras

from kzoo import UserError, cli
from kzoo.data import statistics
from kzoo.tasks import Task
from kzoo.training import loss_keywords

ENCODER_FLAGS = ("encoder", "encoder_weights")


def hyperparameters_of(function) -> list[str]:
    """Names of the keywords of a model function."""
    return [name for name, p in inspect.signature(function).parameters.items() if p.kind is p.KEYWORD_ONLY]


NETWORK_FLAGS = (*ENCODER_FLAGS, "init", "norm", "bias", "dropout")


def network_options(flag: dict, colours: statistics.ColourStatistics | None = None, fitted: dict | None = None) -> dict:
    """The keywords of the network among a run's flags, and what was fitted on its training split: `colours` for
    --normalise, and `fitted` keywords."""
    chosen = {name: flag[name] for name in NETWORK_FLAGS if flag.get(name) is not None}
    if flag.get("normalise"):
        chosen["scaling"] = statistics.scaling(colours, flag["normalise"])
    return {**chosen, **(fitted or {}), **cli.assignments(flag.get("set"), "set")}


def build(task: Task, arch: str, size: int | tuple[int, ...], num_outputs: int, **hyperparameters) -> keras.Model:
    """The network of one architecture for pictures of `size`: (height, width) or the side of a square, of clips
    (frames, height, width); a keyword it does not know is the user's mistake."""
    function = cli.pick(task.archs, arch, "arch")
    allowed = hyperparameters_of(function)
    for name in hyperparameters:
        if name not in allowed:
            raise UserError(f"{arch} has no hyperparameter {name!r}; allowed: {', '.join(allowed)}")
    try:
        return function((size, size, 3) if isinstance(size, int) else (*size, 3), num_outputs, **hyperparameters)
    except UserError:
        raise
    except Exception as error:  # whatever it is, it comes from the keywords that the user gave
        told = {name: getattr(value, "name", value) for name, value in hyperparameters.items()}  # networks by name
        raise UserError(f"{arch} cannot be built with size={size}, {told}: {first_line(error)}") from error


def first_line(error: Exception) -> str:
    """Of what an error says; of one that says nothing its kind."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def units_of(task: Task, model: keras.Model) -> int:
    """How many joints, classes or clusters a network answers."""
    main = task.main_of(model.output_names)
    return model.output[main].shape[task.answers.explained[main].axis]


def compile_arguments(
    task: Task, model: keras.Model, num_outputs: int, *, loss: str | None, loss_options: dict, weights: dict
) -> dict:
    """`loss`, `loss_weights` and `metrics` of `model.compile` from the task's rows; outputs of weight 0 are left
    alone."""
    rows = {name: task.outputs[name] for name in model.output_names}
    for name in weights:
        if name not in rows:
            raise UserError(f"--loss_weights names {name!r}, which this arch does not emit; it emits {', '.join(rows)}")
        if not loss_keywords.is_number(weights[name]):
            raise UserError(f"--loss_weights={name}={weights[name]} must be a number of 0 or more")
    weights = {
        name: float(weights.get(name, 0.0 if row.trained_by in rows else row.weight)) for name, row in rows.items()
    }
    main = task.main_of(rows)
    leader = rows[main].trained_by if rows[main].trained_by in rows else main
    for name, row in rows.items():
        if weights[name] > 0 and not row.losses:
            raise UserError(f"--loss_weights={name}={weights[name]:g}: this output is for pictures and has no loss")
    trained = {name: row for name, row in rows.items() if weights[name] > 0}
    if leader not in trained:
        raise UserError(f"the weight of {leader} must be above 0, got {weights[leader]}")
    factory = next(iter(rows[leader].losses.values())) if loss is None else cli.pick(rows[leader].losses, loss, "loss")
    try:  # outputs with the same losses as the main one, earlier stacks for instance, get the same loss
        chosen = {}
        for name, row in trained.items():
            following = {keyword: weights[output] for keyword, output in row.follows.items() if output in trained}
            own = factory if row.losses is task.outputs[leader].losses else next(iter(row.losses.values()))
            chosen[name] = own(**(loss_options if own is factory else following))
            if own is factory:
                loss_keywords.check(chosen[name], loss_options, num_outputs)
    except (TypeError, ValueError) as error:
        raise UserError(f"--loss_set: {error}") from error
    scored = {name: row for name, row in rows.items() if row.metrics and (name in trained or row.trained_by in trained)}
    return {
        "loss": chosen,
        "loss_weights": {name: weights[name] for name in trained},
        "metrics": {name: [make(num_outputs) for make in row.metrics] for name, row in scored.items()},
    }


def reads(model: keras.Model) -> tuple[str, ...]:
    """The features of a data set that a network's inputs are named after."""
    return tuple(tensor.name for tensor in model.inputs)
