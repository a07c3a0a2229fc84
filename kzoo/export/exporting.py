"""Export of a run: its network in float32 with pre- and post-processing inside, in forms that serve elsewhere, each
compared with `predict` in its own runtime."""

import dataclasses

import keras
import numpy as np

from kzoo import UserError, cli, files
from kzoo.evaluation import costs
from kzoo.export import axes, formats, serving
from kzoo.inference import predictors
from kzoo.runs import Run
from kzoo.tasks import Task
from kzoo.training import environment

LOGITS = {  # outputs that are no probabilities, and what makes them so
    "logits": "before any softmax over the classes",
    "disc_logits": "before any sigmoid",
    "latent_heatmaps": "logits before the softmax over the cells of a map",
}


@dataclasses.dataclass(frozen=True)
class Reference:
    """What a network answers to examples without any export: what its exports are held against.

    inputs: (N, …) or {input name: (N, …)}; decoder: see `serving.served`; raw: outputs that exports also give as they
    are; answers: decoded, {name: (N, …)}; expected: these, and the raw outputs as raw_<name>.
    """

    task: Task
    inputs: np.ndarray | dict
    decoder: str | None
    raw: tuple[str, ...]
    answers: dict
    expected: dict


def reference_of(task: Task, model: keras.Model, inputs, decoder: str | None, *, raw: bool) -> Reference:
    """By `predict_on_batch`; raw: whether exports give the outputs as they are, those not for training alone."""
    outputs = formats.run_in_batches(model.predict_on_batch, inputs, formats.BATCH)
    answers = decoded(task, outputs, decoder)
    names = tuple(name for name in outputs if raw and task.outputs[name].served)
    expected = answers | {f"{formats.RAW}{name}": outputs[name] for name in names}
    return Reference(task, inputs, decoder, names, answers, expected)


def write_served(
    form: str, network: keras.Model, path, reference: Reference, about: dict | None = None
) -> tuple[keras.Model, dict, dict]:
    """Write a network with pre- and post-processing inside, see `formats.written`, whose errors it has.

    Args:
        about: what the file tells of itself besides the decoder and what goes in and comes out.
    Returns:
        what was written, what was measured of it, and what it answers.
    """
    with environment.float32():
        served = serving.served(
            network, reference.task, reference.decoder, any_size=formats.EXPORTS[form].any_size, raw=reference.raw
        )
    told = {**(about or {}), **described(served, reference.task), "axes": axes.of(served)}
    if reference.decoder:
        told["decoder"] = reference.decoder
    measured, answers = formats.written(
        form, served, path, reference.inputs, reference.expected, as_predictions, told=told
    )
    return served, measured, answers


def export(
    run: Run, forms, *, shape: tuple[int, int] | None = None, decoder: str | None = None, examples, raw: bool = False
) -> tuple[dict, dict]:
    """Export the network of a run in several forms and tell how each one does in its own runtime; see `formats.written`
    for what is kept.

    Args:
        forms: keys of `formats.EXPORTS`; shape: (height, width) of the network's input, None: as it was trained;
        decoder: see `predictors.decoders_of`.
        examples: first ones of a split: inputs (N, …), labels (N, …), extras {name: (N, …)}.
        raw: the artefacts also give the network's outputs as they are, logits and heat maps, as raw_<name>; not those
        for training alone.
    Returns:
        {form: what it is, size, latency, differences, score}, and {form: a line on why it was not written}.
    """
    formats.check_backend()
    files.check_writable(run.folder)
    inputs, labels, extras = examples
    task = run.task
    shape = shape or run.shape
    model = run.model_at(shape)
    decoder, *_ = predictors.decoders_of(model, decoder)

    # Without an export
    reference = reference_of(task, model, inputs, decoder, raw=raw)
    score, value = _score(task, labels, reference.answers, extras, run.names)
    own = formats.milliseconds(lambda some: decoded(task, model.predict_on_batch(some), decoder), inputs)
    common = {"decoder": decoder, "examples": len(labels), "threads": costs.threads(), "predict_ms": own}
    common |= {"score": score, "predict": value}

    # Each form; one that fails costs the others nothing
    rows, failed = {}, {}
    for form in forms:
        row = formats.EXPORTS[form]
        try:
            network = run.portable_model(shape) if row.portable else model
            about = {**run.metadata, "input": {**run.metadata["input"], "height": shape[0], "width": shape[1]}}
            served, measured, answers = write_served(form, network, run.export_path(row.file), reference, about)
        except UserError as error:
            if isinstance(error.__cause__, OSError):  # a full disk is not the form's fault
                raise
            failed[form] = str(error)
            continue
        _, value = _score(task, labels, answers, extras, run.names)
        rows[form] = {"file": row.file, **common, **measured, "value": value, **described(served, task)}
        run.save_exports({form: rows[form]}, run.names if task.answers.named else None)  # known if the next one stops
    return rows, failed


def check(run: Run, forms, size: str | None) -> tuple[int, int] | None:
    """(height, width) of the network that is exported, None for the size it was trained at.

    Args:
        forms: as of `export`; size: that pictures are scored at, 128 or 192x256, None for the run's.
    Raises:
        UserError: an unknown form, another backend than TensorFlow, or a size that no network has.
    """
    for form in forms:
        cli.pick(formats.EXPORTS, form, "export")
    formats.check_backend()
    if not size:
        return None
    shape = cli.shape_of(size)
    if run.task.input.dense and predictors.rounded(shape) != shape:
        stride = predictors.STRIDE
        raise UserError(f"--export={','.join(forms)} needs a --size of multiples of {stride}, got {size}")
    return shape


def decoded(task: Task, outputs: dict, decoder: str | None) -> dict:
    """A network's outputs as what `task.evaluator.score` takes, as a predictor makes them without test-time
    augmentation."""
    names = serving.needed(task, outputs, decoder)
    activated = {name: task.outputs[name].activate(outputs[name]) for name in names}
    return task.evaluator.decode(activated, **({"decoder": decoder} if decoder else {}))


def as_predictions(answers: dict) -> dict:
    """A served network's answers as what `task.evaluator.score` takes: joints have one confidence, the mean of
    theirs."""
    if "coords" not in answers:
        return answers
    if "score" not in answers:
        return {**answers, "confidence": np.ones(len(answers["coords"]), "float32")}
    return {**answers, "confidence": answers["score"].mean(axis=-1)}


def described(model: keras.Model, task: Task) -> dict:
    """{"inputs", "outputs"}: {name: type, shape and meaning} of what an artefact of the network takes and gives.

    Args:
        task: its `answers.meanings` say what answers are.
    """

    def text(tensor):
        return f"{tensor.dtype} ({', '.join('any' if side is None else str(side) for side in tensor.shape)})"

    inputs = {tensor.name: text(tensor) for tensor in model.inputs}
    outputs = {}
    for name, tensor in model.output.items():
        meaning = raw_meaning(name) if name.startswith(formats.RAW) else task.answers.meanings.get(name)
        outputs[name] = f"{text(tensor)}: {meaning}" if meaning else text(tensor)
    return {"inputs": inputs, "outputs": outputs}


def raw_meaning(name: str) -> str:
    """Of an output as it is: whether it is a logit."""
    output = name.removeprefix(formats.RAW)
    kind = LOGITS.get(output)
    return f"the network's {output} as they are, {kind}" if kind else f"the network's {output} as they are"


def _score(task: Task, labels, predictions: dict, extras: dict, names) -> tuple[str, float]:
    """The task's first score and its name."""
    return next(iter(task.evaluator.score(labels, predictions, extras, names)["scores"].items()))
