"""Export: the network rebuilt in float32 with the trained weights, in a form that serves elsewhere, checked against `predict`."""

import dataclasses
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from kzoo import UserError, files

TOLERANCE = 1e-4  # largest difference to `predict` that an export may have, relative to the output's range where that is above 1


def _checked(write: Callable, run: Callable, model: keras.Model, path, example) -> float:
    """Write an export to a temporary name, compare its answers with the network's, and keep it if they agree.

    Args:
        write: path -> None; run: (path, example) -> {output name: array}.
    """
    if keras.backend.backend() != "tensorflow":
        raise UserError(f"export needs KERAS_BACKEND=tensorflow, got {keras.backend.backend()!r}")
    expected = model.predict_on_batch(example)
    with files.replacing(path) as temporary:
        write(temporary)
        served = run(temporary, example)
        worst = max(float(np.abs(served[name] - value).max() / max(1.0, np.abs(value).max())) for name, value in expected.items())
        if not worst <= TOLERANCE:
            raise UserError(f"the export's outputs differ from predict by {worst:.2e}, allowed {TOLERANCE}; nothing was written to {path}")
    return worst


def export_saved_model(model: keras.Model, path, example) -> float:
    """Write a SavedModel, whose `serve` signature takes what the network takes, and check it.

    Args:
        model: float32 network.
        path: folder to write; replaced when it exists.
        example: inputs to check the export on, (B, H, W, 3) uint8 for instance, or {input name: array} of several.
    Returns:
        largest difference between the loaded SavedModel's outputs and `model.predict`'s.
    Raises:
        UserError: not the TensorFlow backend, a full disk, or outputs that differ.
    """

    def run(folder, inputs):
        loaded = tf.saved_model.load(folder)  # kept: its functions do not outlive it
        return {name: value.numpy() for name, value in loaded.serve(keras.tree.map_structure(tf.constant, inputs)).items()}

    return _checked(lambda folder: model.export(folder, format="tf_saved_model", verbose=False), run, model, path, example)


def _needed(package: str):
    try:
        return __import__(package, fromlist=["*"])
    except ImportError as error:
        raise UserError(f"this export needs {package}: pip install 'kzoo[export]'") from error


def _in_order(model: keras.Model, outputs) -> dict:
    """{output name: array} of outputs in the order of a flattened dictionary, that of its sorted keys."""
    return dict(zip(sorted(model.output_names), outputs, strict=True))


def export_onnx(model: keras.Model, path, example) -> float:
    """Write an ONNX file and check it with ONNX Runtime on a CPU. Arguments, result and errors as of `export_saved_model`."""
    _needed("tf2onnx")
    runtime = _needed("onnxruntime")

    def run(file, inputs):
        session = runtime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
        named = inputs if isinstance(inputs, dict) else {session.get_inputs()[0].name: inputs}
        return _in_order(model, session.run(None, named))

    return _checked(lambda file: model.export(file, format="onnx", verbose=False), run, model, path, example)


def export_litert(model: keras.Model, path, example) -> float:
    """Write a LiteRT (.tflite) file of built-in operations and check it, an example at a time. As `export_saved_model`."""
    interpreter = _needed("ai_edge_litert.interpreter")

    def run(file, inputs):
        runner = interpreter.Interpreter(model_path=str(file)).get_signature_runner()
        named = inputs if isinstance(inputs, dict) else dict.fromkeys(runner.get_input_details(), inputs)
        count = len(next(iter(named.values())))
        answers = [runner(**{name: values[i : i + 1] for name, values in named.items()}) for i in range(count)]
        return {name: np.concatenate([answer[name] for answer in answers]) for name in answers[0]}

    return _checked(lambda file: model.export(file, format="litert", verbose=False), run, model, path, example)


@dataclasses.dataclass(frozen=True)
class Export:
    """A form to export to."""

    file: str  # name in the run folder
    write: Callable
    portable: bool = False  # knows few operations: networks are rebuilt with `portable=True` where they take it


EXPORTS = {  # --export -> what it writes
    "saved_model": Export("saved_model", export_saved_model),
    "onnx": Export("model.onnx", export_onnx, portable=True),
    "litert": Export("model.tflite", export_litert, portable=True),
}
