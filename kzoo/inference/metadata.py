"""What a file with a network tells of itself: task, names of joints or classes, what goes in.

It lies in the file, so it goes where the file goes: in `model.keras` in the archive's metadata.json, in ONNX as
metadata_props, in LiteRT as an entry of the model's metadata, beside a SavedModel in its folder assets.extra.
"""

import dataclasses
import json
import os
import pathlib
import zipfile
from collections.abc import Callable

from kzoo import UserError

NAME = "kzoo"  # of LiteRT's entry, and in Keras's metadata
FILE, KERAS_FILE = "kzoo.json", "metadata.json"  # in assets.extra; in Keras's archive
ALIGNMENT = 16  # bytes: where LiteRT expects the numbers of a tensor


@dataclasses.dataclass(frozen=True)
class Form:
    """How a form of file holds metadata."""

    write: Callable  # (path, metadata)
    read: Callable  # path -> metadata


def _write_keras(path, metadata: dict):
    """Into the archive's own metadata.json: for a member that it does not know, Keras would unpack all of them."""
    rewritten = pathlib.Path(f"{path}.rewritten")
    try:
        with zipfile.ZipFile(path) as old, zipfile.ZipFile(rewritten, "w") as new:
            for member in old.infolist():
                content = old.read(member)
                if member.filename == KERAS_FILE:
                    content = json.dumps({**json.loads(content), NAME: metadata}, indent=1)
                new.writestr(member, content)
        os.replace(rewritten, path)
    finally:
        rewritten.unlink(missing_ok=True)


def _read_keras(path) -> dict:
    with zipfile.ZipFile(path) as archive:
        return json.loads(archive.read(KERAS_FILE))[NAME]


def _write_saved_model(path, metadata: dict):
    folder = pathlib.Path(path) / "assets.extra"  # TensorFlow's name for what users add
    folder.mkdir(exist_ok=True)
    (folder / FILE).write_text(json.dumps(metadata, indent=1))


def _read_saved_model(path) -> dict:
    return json.loads((pathlib.Path(path) / "assets.extra" / FILE).read_text())


def _write_onnx(path, metadata: dict):
    """A property each; what is no text is JSON."""
    import onnx

    model = onnx.load(path)
    texts = {key: value if isinstance(value, str) else json.dumps(value) for key, value in metadata.items()}
    onnx.helper.set_model_props(model, texts)
    onnx.save(model, path)


def _read_onnx(path) -> dict:
    import onnx

    texts = {row.key: row.value for row in onnx.load(path).metadata_props}
    return {key: json.loads(text) if text[:1] in ("{", "[") else text for key, text in texts.items()}


def _write_litert(path, metadata: dict):
    import flatbuffers
    import numpy as np
    from ai_edge_litert import schema_py_generated as schema

    class Builder(flatbuffers.Builder):
        """Numbers of tensors stay aligned as LiteRT wrote them."""

        def CreateNumpyVector(self, x):  # noqa: N802
            self.Prep(ALIGNMENT, x.nbytes)
            return super().CreateNumpyVector(x)

    path = pathlib.Path(path)
    model = schema.ModelT.InitFromPackedBuf(path.read_bytes())
    text = np.frombuffer(json.dumps(metadata).encode(), "uint8")
    entry = schema.MetadataT(NAME, len(model.buffers))
    model.buffers = [*model.buffers, schema.BufferT(text)]
    model.metadata = [*(model.metadata or ()), entry]
    builder = Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    path.write_bytes(builder.Output())


def _read_litert(path) -> dict:
    from ai_edge_litert import schema_py_generated as schema

    model = schema.Model.GetRootAs(pathlib.Path(path).read_bytes())
    entries = (model.Metadata(number) for number in range(model.MetadataLength()))
    entry = next(entry for entry in entries if entry.Name() == NAME.encode())
    return json.loads(model.Buffers(entry.Buffer()).DataAsNumpy().tobytes())


FORMS = {  # ending of the path -> form
    ".keras": Form(_write_keras, _read_keras),
    ".onnx": Form(_write_onnx, _read_onnx),
    ".tflite": Form(_write_litert, _read_litert),
    "": Form(_write_saved_model, _read_saved_model),
}


def write(path, metadata: dict):
    """Into a file that is there, or a SavedModel's folder."""
    FORMS[pathlib.Path(path).suffix].write(path, metadata)


def metadata_of(path) -> dict:
    """What a network's file tells of itself, whatever machine it is on.

    Args:
        path: of a `model.keras` of a run, or of one of its exports: `model.onnx`, `model.tflite`, `saved_model`.
    Returns:
        {"task", "arch", "names": of joints or classes in the order of the answers, "input", "dataset", "kzoo": version
        …}; of exports also "decoder", "inputs" and "outputs" with their meaning, and "axes".
    Raises:
        UserError: no such file, none of these, or one that tells nothing, as those of kzoo 0.1.
    """
    path = pathlib.Path(path)
    suffix = "" if path.is_dir() else path.suffix
    if not path.exists():
        raise UserError(f"no file at {path}")
    if suffix not in FORMS or (path.is_file() and not suffix):
        raise UserError(f"{path} is no network's file; allowed: a SavedModel, {', '.join(filter(None, FORMS))}")
    try:
        found = FORMS[suffix].read(path)
    except ImportError as error:
        raise UserError(f"reading {path.name} needs {error.name}, see docs/export.md") from error
    except Exception as error:  # whatever a parser says of bytes that are not its own
        raise UserError(f"{path} holds no metadata of kzoo, or is damaged") from error
    if not found:
        raise UserError(f"{path} holds no metadata of kzoo")
    return found
