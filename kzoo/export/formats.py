"""The forms of export: how each is written, opened in its own runtime, and checked there."""

import dataclasses
import errno
import os
import re
import statistics
import time
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from kzoo import UserError, files
from kzoo.cli import frameworks
from kzoo.evaluation import costs
from kzoo.export import axes
from kzoo.inference import metadata
from kzoo.nn.upsampling import MaxSwitches

# Largest difference to `predict` that an export may have, relative to the output's range where that is above 1
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
FULL = ("No space left on device", "Disk quota exceeded", "File too large")  # what TensorFlow says of a full disk


@dataclasses.dataclass(frozen=True)
class Export:
    """A form to export to."""

    file: str  # name in the run folder
    write: Callable  # (model, path) writes the file or folder
    open: Callable  # path -> function of the inputs, a batch, -> {output name: array}
    portable: bool = False  # knows few operations: networks are rebuilt with `portable=True` where they take it
    any_size: bool = True  # its runtime takes pictures of any height and width
    batch: int = BATCH  # examples that are answered at once


def _needed(package: str):
    try:
        return __import__(package, fromlist=["*"])
    except ImportError as error:
        raise UserError(
            f"this export needs {package}: pip install {package.partition('.')[0].replace('_', '-')}"
        ) from error


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
    zeros = keras.tree.map_structure(lambda x: np.zeros([side or 32 for side in x.shape], x.dtype), model.input)
    model(zeros, training=False)
    model.export(path, format="onnx", verbose=False)
    axes.write_onnx(path, axes.of(model))


def _open_onnx(path) -> Callable:
    runtime = _needed("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = costs.threads()
    session = runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    inputs_of = [tensor.name for tensor in session.get_inputs()]
    outputs_of = [tensor.name for tensor in session.get_outputs()]
    return lambda inputs: dict(zip(outputs_of, session.run(outputs_of, _by_name(inputs, inputs_of)), strict=True))


def _write_litert(model, path):
    _needed("ai_edge_litert.interpreter")
    model.export(path, format="litert", verbose=False)


def _open_litert(path) -> Callable:
    """Of LiteRT's own operations: those of TensorFlow that it can be given besides ("Flex") are not in its package."""
    litert = _needed("ai_edge_litert.interpreter")
    with frameworks.quiet():  # it tells of its delegate
        interpreter = litert.Interpreter(model_path=str(path), num_threads=costs.threads())
        interpreter.allocate_tensors()
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


def differences(expected: dict, found: dict) -> dict[str, float]:
    """{name: `difference`} of all that was expected."""
    return {name: difference(value, found[name]) for name, value in expected.items()}


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
                f"the export's {name} differ from predict by {difference(value, found[name]):.2e}, {off.mean():.1%} of "
                f"them by more than the {TOLERANCE} that is allowed"
            )


def check_backend():
    """Raises UserError on another backend than TensorFlow."""
    if keras.backend.backend() != "tensorflow":
        raise UserError(f"export needs KERAS_BACKEND=tensorflow, got {keras.backend.backend()!r}")


def written(
    form: str, model: keras.Model, path, inputs, expected: dict, answers: Callable = dict, *, told: dict | None = None
) -> tuple[dict, dict]:
    """Write a network in one form, open it in that form's runtime, and keep it if it answers as expected.

    Args:
        form: key of EXPORTS; model: float32 network; path: file or folder to write, replaced when it exists.
        inputs: (N, …) as the network takes them, or {input name: (N, …)} of several; expected: {name: (N, …)}.
        answers: of the artefact's outputs {name: (N, …)} what is compared with `expected`; told: what the file tells of
        itself, see `kzoo.metadata_of`.
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
            if told:
                metadata.write(temporary, told)
            run = row.open(temporary)
            found = answers(run_in_batches(run, inputs, row.batch))
        except (UserError, OSError):
            raise
        except Exception as error:  # whatever a converter may raise
            if any(words in str(error) for words in FULL):
                raise OSError(errno.ENOSPC, f"{os.strerror(errno.ENOSPC)}: {upstream(error, temporary)}") from error
            raise UserError(f"{form} cannot hold this network: {upstream(error, temporary)}") from error
        check(expected, found, raw_share(model))
        measured = {"difference": differences(expected, found), "mib": _mib(temporary), "ms": milliseconds(run, inputs)}
    return measured, found


def _mib(path) -> float:
    parts = [part for part in path.rglob("*") if part.is_file()] if path.is_dir() else [path]
    return sum(part.stat().st_size for part in parts) / 2**20
