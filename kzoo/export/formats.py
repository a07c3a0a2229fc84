"""Export: the network rebuilt in float32 with the trained weights, in a form that serves elsewhere, checked in that
form's own runtime."""

import dataclasses
import os
import pathlib
import re
import statistics
import time
from collections.abc import Callable, Mapping

import keras
import numpy as np
import tensorflow as tf

from kzoo import UserError, files, runs
from kzoo.export import serving
from kzoo.nn.upsampling import MaxSwitches
from kzoo.tasks import Task
from kzoo.training.networks import hyperparameters_of

# largest difference to `predict` that an export may have, relative to the output's range where that is above 1
TOLERANCE = 1e-4
# Answers that jump where two cells or classes are as high but for the last bit: the share of their numbers that may
# differ by more.
JUMPING = {"coords": 0.01, "classes": 0.01, "cluster": 0.01}
RAW = "raw_"  # what names of outputs as they are begin with
# Of those too, in networks with switches: where two pixels of a window are as high, that of a max-unpooling moves all
# that lies above it.
RAW_SHARE = 0.1
WARM_UPS, CALLS, SECONDS = 3, 30, 2.0  # of a timing: calls before it, calls at most, seconds at most
BATCH = 8  # examples at once


@dataclasses.dataclass(frozen=True)
class Export:
    """A form to export to."""

    file: str  # name in the run folder
    write: Callable  # (model, path) writes the file or folder
    open: Callable  # path -> function of the inputs, a batch, -> {output name: array}
    portable: bool = False  # knows few operations: networks are rebuilt with `portable=True` where they take it
    any_size: bool = True  # its runtime takes pictures of any height and width
    batch: int = BATCH  # examples that are answered at once


def threads() -> int:
    """Threads that each runtime computes with: those of TensorFlow's single operations."""
    chosen = tf.config.threading.get_intra_op_parallelism_threads() or int(
        os.environ.get("TF_NUM_INTRAOP_THREADS") or 0
    )
    return chosen or os.cpu_count()


def _needed(package: str):
    try:
        return __import__(package, fromlist=["*"])
    except ImportError as error:
        raise UserError(f"this export needs {package}: pip install 'kzoo[export]'") from error


def _by_name(inputs, names) -> dict:
    return inputs if isinstance(inputs, dict) else dict.fromkeys(names, inputs)


def _write_saved_model(model, path):
    model.export(path, format="tf_saved_model", verbose=False)


def _open_saved_model(path) -> Callable:
    loaded = tf.saved_model.load(path)  # kept by the function: its own functions do not outlive it
    return lambda inputs: {
        name: x.numpy() for name, x in loaded.serve(keras.tree.map_structure(tf.constant, inputs)).items()
    }


def _write_onnx(model, path):
    _needed("tf2onnx")
    _needed("onnxruntime")
    # Keras refuses ONNX for a model that "has never called".
    model(
        keras.tree.map_structure(lambda x: np.zeros([side or 32 for side in x.shape], x.dtype), model.input),
        training=False,
    )
    model.export(path, format="onnx", verbose=False)


def _open_onnx(path) -> Callable:
    runtime = _needed("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads()
    session = runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    names, outputs = ([x.name for x in some] for some in (session.get_inputs(), session.get_outputs()))
    return lambda inputs: dict(zip(outputs, session.run(outputs, _by_name(inputs, names)), strict=True))


def _write_litert(model, path):
    _needed("ai_edge_litert.interpreter")
    model.export(path, format="litert", verbose=False)


def _open_litert(path) -> Callable:
    """Of LiteRT's own operations: those of TensorFlow that it can be given besides ("Flex") are not in its package."""
    interpreter = _needed("ai_edge_litert.interpreter").Interpreter(model_path=str(path), num_threads=threads())
    runner = interpreter.get_signature_runner()
    return lambda inputs: runner(**_by_name(inputs, runner.get_input_details()))


EXPORTS = {  # --export -> what it writes
    "saved_model": Export("saved_model", _write_saved_model, _open_saved_model),
    "onnx": Export("model.onnx", _write_onnx, _open_onnx, portable=True),
    "litert": Export("model.tflite", _write_litert, _open_litert, portable=True, any_size=False, batch=1),
}


def upstream(error: Exception, path) -> str:
    """What a converter or runtime says of the file at `path`, in one line: the operations that it lacks first."""
    text = " ".join(str(error).replace(str(path), "the file").split())
    lacking = dict.fromkeys(re.findall(r"\bFlex\w+", text))
    return f"{type(error).__name__}: {''.join(f'{name}: ' for name in lacking)}{text}"[:300]


def run_in_batches(run: Callable, inputs, size: int) -> dict:
    """{output name: (N, …)} of inputs (N, …) or {input name: (N, …)}, by a function of `size` of them at a time."""
    count = len(keras.tree.flatten(inputs)[0])
    answers = [
        run(keras.tree.map_structure(lambda x, at=at: x[at : at + size], inputs)) for at in range(0, count, size)
    ]
    return {name: np.concatenate([answer[name] for answer in answers]) for name in answers[0]}


def milliseconds(run: Callable, inputs) -> float:
    """Median time of a call for the first of the inputs, after warm-up."""
    first = keras.tree.map_structure(lambda x: x[:1], inputs)
    times, started = [], time.perf_counter()
    while len(times) < WARM_UPS + CALLS and (len(times) <= WARM_UPS or time.perf_counter() - started < SECONDS):
        before = time.perf_counter()
        run(first)
        times.append(1000 * (time.perf_counter() - before))
    return statistics.median(times[WARM_UPS:])


def _distance(expected, found) -> np.ndarray:
    return np.abs(np.asarray(found, "float64") - np.asarray(expected, "float64"))


def difference(expected, found) -> float:
    """Largest difference of two arrays, or of whole numbers the share of them that differ."""
    if np.issubdtype(np.asarray(expected).dtype, np.integer):
        return float((np.asarray(expected) != found).mean())
    return float(_distance(expected, found).max())


def _relative(expected, found) -> np.ndarray:
    return _distance(expected, found) / max(1.0, float(np.abs(expected).max()))


def raw_share(model: keras.Model) -> float:
    """The share of a network's outputs as they are that may jump: none without max-unpooling."""
    return RAW_SHARE if any(isinstance(layer, MaxSwitches) for layer in model._flatten_layers()) else 0.0


def check(expected: dict, found: dict, share: float = 0.0):
    """Raises UserError where answers differ from what was expected by more than TOLERANCE, JUMPING ones in more than
    their share, those of RAW in more than `share`; and wherever a number has become none."""
    for name, value in expected.items():
        off = ~(_relative(value, found[name]) <= TOLERANCE)
        lost = np.isfinite(value) & ~np.isfinite(found[name])
        if lost.any() or off.mean() > JUMPING.get(name, share if name.startswith(RAW) else 0.0):
            raise UserError(
                f"the export's {name} differ from predict by {difference(value, found[name]):.2e}, {off.mean():.1%} of them by more than "
                f"the {TOLERANCE} that is allowed"
            )


def check_backend():
    """Raises UserError on another backend than TensorFlow."""
    if keras.backend.backend() != "tensorflow":
        raise UserError(f"export needs KERAS_BACKEND=tensorflow, got {keras.backend.backend()!r}")


def written(form: str, model: keras.Model, path, inputs, expected: dict, answers: Callable = dict) -> tuple[dict, dict]:
    """Write a network in one form, open it in that form's runtime, and keep it if it answers as expected.

    Args:
        form: key of EXPORTS; model: float32 network; path: file or folder to write, replaced when it exists.
        inputs: (N, …) as the network takes them, or {input name: (N, …)} of several; expected: {name: (N, …)}.
        answers: of the artefact's outputs {name: (N, …)} what is compared with `expected`.
    Returns:
        {"difference": {name: see `difference`}, "mib": size on disk, "ms": see `milliseconds`}, and all that `answers`
        gave.
    Raises:
        UserError: not the TensorFlow backend, a package that is missing, a full disk, a network that the form cannot
            hold, answers that differ. What stood at `path` before then stands there still.
    """
    check_backend()
    row = EXPORTS[form]
    with files.replacing(path) as temporary:
        try:
            row.write(model, temporary)
            run = row.open(temporary)
            found = answers(run_in_batches(run, inputs, row.batch))
        except (UserError, OSError):
            raise
        except Exception as error:  # whatever a converter may raise
            raise UserError(f"{form} cannot hold this network: {upstream(error, temporary)}") from error
        check(expected, found, raw_share(model))
        parts = [part for part in temporary.rglob("*") if part.is_file()] if temporary.is_dir() else [temporary]
        mib = sum(part.stat().st_size for part in parts) / 2**20
        return {
            "difference": {n: difference(x, found[n]) for n, x in expected.items()},
            "mib": mib,
            "ms": milliseconds(run, inputs),
        }, found


def export_saved_model(model: keras.Model, path, example) -> float:
    """Write a SavedModel of a network as it is, checked on `example`; see `written`, whose errors it has.

    Returns:
        largest difference between the loaded SavedModel's outputs and the network's, relative where these are above 1.
    """
    return _as_it_is("saved_model", model, path, example)


def export_onnx(model: keras.Model, path, example) -> float:
    """Write an ONNX file of a network as it is. As `export_saved_model`."""
    return _as_it_is("onnx", model, path, example)


def export_litert(model: keras.Model, path, example) -> float:
    """Write a LiteRT (.tflite) file of a network as it is. As `export_saved_model`."""
    return _as_it_is("litert", model, path, example)


def _as_it_is(form: str, model, path, example) -> float:
    expected = {name: np.asarray(value) for name, value in model.predict_on_batch(example).items()}
    _, found = written(form, model, path, example, expected)
    return max(float(_relative(value, found[name]).max()) for name, value in expected.items())


def decoded(task: Task, outputs: dict, decoder: str | None) -> dict:
    """A network's outputs as what `task.evaluator.score` takes, as `kzoo.inference` makes them without test-time
    augmentation."""
    names = serving.needed(task, outputs, decoder)
    return task.evaluator.decode(
        {name: task.outputs[name].activate(outputs[name]) for name in names},
        **({"decoder": decoder} if decoder else {}),
    )


def as_predictions(answers: dict) -> dict:
    """A served network's answers as what `task.evaluator.score` takes: joints have one confidence, the mean of
    theirs."""
    if "coords" not in answers:
        return answers
    return {
        **answers,
        "confidence": answers["score"].mean(axis=-1)
        if "score" in answers
        else np.ones(len(answers["coords"]), "float32"),
    }


def export_run(
    folder, forms, model: keras.Model, shape, decoder: str | None, examples, *, raw: bool = False
) -> tuple[dict, dict]:
    """Export the network of a run in several forms and tell how each one does in its own runtime; see `written` for
    what is kept.

    Args:
        folder: run folder, which the artefacts are written to, and `exports.json` about them; forms: keys of EXPORTS;
        model: its network, of `runs.load_model`; shape: as there; decoder: see `serving.served`.
        examples: first ones of a split: inputs (N, …), labels (N, …), extras {name: (N, …)}.
        raw: the artefacts also give the network's outputs as they are, logits and heat maps, as raw_<name>; not those
        for training alone.
    Returns:
        {form: what it is, size, latency, differences, score}, and {form: a line on why it was not written}.
    """
    check_backend()
    folder, (inputs, labels, extras) = pathlib.Path(folder), examples
    run = runs.describe(folder)
    task = runs.task_of(run)
    outputs = run_in_batches(model.predict_on_batch, inputs, BATCH)
    decoded_by_predict = decoded(task, outputs, decoder)
    beside = tuple(name for name in outputs if raw and task.outputs[name].served)
    expected = decoded_by_predict | {f"{RAW}{name}": outputs[name] for name in beside}
    score, value = _score(task, labels, decoded_by_predict, extras, run["names"])
    own = milliseconds(lambda some: decoded(task, model.predict_on_batch(some), decoder), inputs)
    common = {
        "decoder": decoder,
        "examples": len(labels),
        "threads": threads(),
        "predict_ms": own,
        "score": score,
        "predict": value,
    }
    rows, failed = {}, {}
    for form in forms:
        path = folder / EXPORTS[form].file
        try:
            network = model
            if EXPORTS[form].portable and "portable" in hyperparameters_of(task.archs[run["flags"]["arch"]]):
                network = runs.load_model(folder, shape, portable=True)
            with runs.float32():
                network = serving.served(network, task, decoder, any_size=EXPORTS[form].any_size, raw=beside)
            measured, found = written(form, network, path, inputs, expected, as_predictions)
        except UserError as error:
            failed[form] = str(error)
            continue
        _, value = _score(task, labels, found, extras, run["names"])
        rows[form] = {
            "file": path.name,
            **common,
            **measured,
            "value": value,
            **described(network, task.answers.meanings),
        }
    about = folder / "exports.json"
    known = files.read_json(about)["forms"] if about.exists() else {}
    known = {form: row for form, row in known.items() if (folder / row["file"]).exists()}
    names = {"names": run["names"]} if task.answers.named else {}
    files.write_json(about, {"task": run["flags"]["task"], **names, "forms": {**known, **rows}})
    return rows, failed


def described(model: keras.Model, meanings: Mapping[str, str]) -> dict:
    """{"inputs", "outputs"}: {name: type, shape and meaning} of what an artefact of the network takes and gives.

    Args:
        meanings: the task's `answers.meanings`.
    """

    def text(tensor):
        return f"{tensor.dtype} ({', '.join('any' if side is None else str(side) for side in tensor.shape)})"

    inputs = {tensor.name: text(tensor) for tensor in model.inputs}
    outputs = {name: ": ".join(filter(None, (text(x), meanings.get(name)))) for name, x in model.output.items()}
    return {"inputs": inputs, "outputs": outputs}


def _score(task: Task, labels, predictions: dict, extras: dict, names) -> tuple[str, float]:
    """The task's first score and its name."""
    return next(iter(task.evaluator.score(labels, predictions, extras, names)["scores"].items()))
