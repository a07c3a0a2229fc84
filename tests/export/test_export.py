"""Exports: nothing wrong is kept, each form in its own runtime, beside kzoo.predict; the matrix of all
architectures."""

import dataclasses
import errno
import functools
import json
import os
import shutil
import signal
import sys

import cv2
import keras
import numpy as np
import pytest
import tensorflow as tf
from running import run, run_module
from zoo import check_export

import kzoo
from kzoo import UserError, cli, tasks
from kzoo.data import builders
from kzoo.evaluation import report
from kzoo.export import exporting, formats, matrix, matrix_document
from kzoo.models.conv_lstm import conv_lstm
from kzoo.programs import export_matrix
from kzoo.runs import Run
from kzoo.training import catalogue
from kzoo.training import networks as training_networks
from kzoo.training.configuration import Configuration

FRAMES = np.random.default_rng(0).integers(0, 256, (2, 4, 16, 16, 3), dtype="uint8")


@pytest.fixture(scope="module")
def networks():
    """conv_lstm as published and portable, with the same weights."""
    plain, portable = (
        conv_lstm(FRAMES.shape[1:], 17, filters=4, units=8, portable=portable) for portable in (False, True)
    )
    portable.set_weights(plain.get_weights())
    return plain, portable


@pytest.mark.parametrize(("form", "package"), [("onnx", "onnxruntime"), ("litert", "ai_edge_litert")])
def test_portable_conv_lstm_exports(form, package, networks, tmp_path, capfd):
    pytest.importorskip(package)
    path = tmp_path / formats.EXPORTS[form].file
    check_export(form, networks[1], path, FRAMES, tolerance=1e-5)
    assert path.stat().st_size > 1000
    formats.EXPORTS[form].open(path)
    assert "INFO" not in capfd.readouterr().err


def test_litert_has_no_3d_pooling_or_loops_of_its_own(networks, tmp_path):
    """Why `portable` exists: as published, the file needs TensorFlow's Flex operations, which LiteRT alone does not
    have."""
    pytest.importorskip("ai_edge_litert")
    with pytest.raises(UserError, match="litert cannot hold this network: .*Flex.*Select TensorFlow op"):
        formats.written("litert", networks[0], tmp_path / "model.tflite", FRAMES, {})
    assert not list(tmp_path.iterdir())


OUTPUT = np.linspace(0, 1, 1000, dtype="float32")
SPOILT = {  # name of an answer, what it becomes, whether it may
    "exact": ("score", lambda x: x, True),
    "rounding": ("score", lambda x: x + 1e-6, True),
    "off": ("score", lambda x: x + 1e-3, False),
    "one number off": ("score", lambda x: np.where(np.arange(1000) == 7, x + 0.1, x), False),
    "one joint jumps": ("coords", lambda x: np.where(np.arange(1000) == 7, x + 0.1, x), True),
    "many joints jump": ("coords", lambda x: np.where(np.arange(1000) < 20, x + 0.1, x), False),
    "one joint is no number": ("coords", lambda x: np.where(np.arange(1000) == 7, np.nan, x), False),
    "a raw map is off": ("raw_heatmaps", lambda x: np.where(np.arange(1000) < 60, 0.0, x + 0.1), False),
    "not a number": ("score", lambda x: np.where(np.arange(1000) == 7, np.nan, x), False),
}


@pytest.mark.parametrize("case", SPOILT)
def test_what_counts_as_equal(case):
    name, change, allowed = SPOILT[case]
    try:
        formats.check({name: OUTPUT}, {name: change(OUTPUT)})
        assert allowed
    except UserError as error:
        assert not allowed and f"the export's {name} differ from predict" in str(error)


def test_classes_may_differ_in_one_of_a_hundred():
    classes = np.zeros((1, 100, 100), "uint8")
    for count, allowed in ((50, True), (200, False)):
        other = classes.copy()
        other[0].flat[:count] = 1
        assert formats.difference(classes, other) == pytest.approx(count / 1e4)
        if allowed:
            formats.check({"classes": classes}, {"classes": other})
        else:
            with pytest.raises(UserError, match="2.0% of them"):
                formats.check({"classes": classes}, {"classes": other})


def test_an_export_that_answers_otherwise_is_not_kept(networks, tmp_path, monkeypatch):
    target = tmp_path / "model.x"
    target.write_text("earlier")
    form = formats.Export(
        "model.x", lambda model, path: path.write_text("x"), lambda path: networks[0].predict_on_batch
    )
    monkeypatch.setitem(formats.EXPORTS, "x", form)
    expected = networks[0].predict_on_batch(FRAMES)
    with pytest.raises(UserError, match="differ from predict"):
        formats.written("x", networks[0], target, FRAMES, {"joints": expected["joints"] + 1e-3})
    assert [path.read_text() for path in tmp_path.iterdir()] == ["earlier"]
    row, found = formats.written("x", networks[0], target, FRAMES, expected)
    assert (
        row["difference"] == {"joints": 0} and row["mib"] == 1 / 2**20 and row["ms"] > 0 and target.read_text() == "x"
    )
    np.testing.assert_array_equal(found["joints"], expected["joints"])


def test_another_backend_is_one_line(networks, tmp_path, monkeypatch):
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    with pytest.raises(UserError, match="KERAS_BACKEND=tensorflow"):
        formats.written("onnx", networks[0], tmp_path / "model.onnx", FRAMES, {})


@pytest.fixture(scope="module")
def pose_run(people_dir, tmp_path_factory):
    """A run of a network for joints with random weights."""
    builder, folder = builders.prepare("people", people_dir), tmp_path_factory.mktemp("runs") / "pose"
    flag = {"task": "pose", "arch": "heatmap", "dataset": "people", "data_dir": people_dir, "size": 64}
    flag |= {"encoder": "small", "encoder_weights": "none", "init": "he_normal", "set": ["width=8"], "seed": 0}
    keras.utils.set_random_seed(0)
    names = list(builder.info.metadata["joints"])
    model = training_networks.build(tasks.POSE, "heatmap", 64, len(names), **training_networks.network_options(flag))
    run = Run.create(folder, Configuration(flag, names, builders.describe(builder), model.count_params()))
    run.save_model(model)
    return run


def examples_of(run: Run, count: int) -> tuple:
    """Inputs, labels and extras of the first examples of its validation split."""
    inputs, truth, extras = next(run.data(f"val[:{count}]", batch_size=count).as_numpy_iterator())
    return inputs, truth["label"], extras


@pytest.fixture(scope="module")
def exported(pose_run):
    """What `export` tells: two forms, the second one fails."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(formats.EXPORTS, "litert", formats.Export("model.tflite", _fails, None))
        forms = ("saved_model", "litert", "onnx")
        return exporting.export(pose_run, forms, decoder="udp", examples=examples_of(pose_run, 6), raw=True)


def test_a_form_that_fails_costs_the_others_nothing(pose_run, exported):
    rows, failed = exported
    assert list(rows) == ["saved_model", "onnx"]
    assert failed == {"litert": "litert cannot hold this network: ValueError: FlexFoo: no kernel for FlexFoo"}
    assert not list(pose_run.folder.glob("*.tflite")) and not list(pose_run.folder.glob(".writing*"))


def test_an_export_tells_what_it_is(pose_run, exported):
    rows, _ = exported
    about = json.loads((pose_run.folder / "exports.json").read_text())
    assert about["forms"] == rows == pose_run.exports and about["task"] == "pose" and about["names"][0] == "nose"
    for row in rows.values():
        assert row["decoder"] == "udp" and row["examples"] == 6 and row["score"] == "mpjpe" and row["threads"] >= 1
        assert set(row["difference"]) == {"coords", "confidence", "raw_heatmaps"}
        assert max(row["difference"].values()) < 1e-4
        assert abs(row["value"] - row["predict"]) < 1e-3 and row["mib"] > 0 and row["ms"] > 0 < row["predict_ms"]
        assert row["inputs"] == {"image": "uint8 (any, any, any, 3)"}
        assert "fractions of the picture" in row["outputs"]["coords"]
    table = report.export_table(*exported)
    assert "| onnx | model.onnx |" in table and "- no litert: litert cannot hold" in table


def test_an_export_carries_what_it_is(pose_run, exported):
    """Where the file goes, its names go: they are read from the file alone."""
    rows, _ = exported
    for row in rows.values():
        told = kzoo.metadata_of(pose_run.export_path(row["file"]))
        assert told["task"] == "pose" and told["arch"] == "heatmap" and told["names"] == pose_run.names
        assert told["decoder"] == "udp" and told["input"]["height"] == 64 and told["input"]["colours"] == "RGB"
        assert told["dataset"].startswith("people") and told["kzoo"] == kzoo.__version__
        assert told["inputs"] == row["inputs"] and told["outputs"] == row["outputs"]
        assert told["axes"]["coords"] == ["batch", "joint", "xy"]


def test_litert_carries_it_too(pose_run):
    """As an entry of its metadata; what the network computes stays the same."""
    pytest.importorskip("ai_edge_litert")
    rows, failed = exporting.export(pose_run, ("litert",), examples=examples_of(pose_run, 2))
    assert not failed and max(rows["litert"]["difference"].values()) < 1e-4
    path = pose_run.export_path("model.tflite")
    told = kzoo.metadata_of(path)
    path.unlink()
    assert told["names"] == pose_run.names and told["decoder"] == "dark"
    assert told["inputs"] == {"image": "uint8 (any, 64, 64, 3)"}


def test_axes_of_any_length_have_names(pose_run, exported):
    runtime = pytest.importorskip("onnxruntime")
    session = runtime.InferenceSession(pose_run.export_path("model.onnx"), providers=["CPUExecutionProvider"])
    assert session.get_inputs()[0].shape == ["batch", "height", "width", 3]
    shapes = {output.name: output.shape for output in session.get_outputs()}
    assert shapes["coords"] == ["batch", 17, 2] and shapes["raw_heatmaps"][0] == "batch"
    assert "left_wrist" in session.get_modelmeta().custom_metadata_map["names"]


def test_raw_outputs_say_whether_they_are_logits(pose_run, exported):
    rows, _ = exported
    assert rows["onnx"]["outputs"]["raw_heatmaps"].endswith("the network's heatmaps as they are")
    assert "before any softmax" in exporting.raw_meaning("raw_logits")
    for name in ("logits", "disc_logits", "latent_heatmaps"):
        assert any(name in task.outputs for task in tasks.TASKS.values()) and name in exporting.LOGITS
    activated = {name for task in tasks.TASKS.values() for name, row in task.outputs.items() if changes(row.activate)}
    assert activated == set(exporting.LOGITS), "what an activation changes is a logit"


def changes(activate) -> bool:
    x = np.array([[[[0.5, 2.0]]]], "float32")
    return not np.array_equal(activate(x), x)


def _full(model, path):
    path.write_text("half")
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _full_in_tensorflow(model, path):
    path.mkdir()
    (path / "variables").write_text("half")
    raise tf.errors.ResourceExhaustedError(None, None, f"{path}/variables; No space left on device")


def _stopped(model, path):
    path.write_text("half")
    raise cli.Stopped(signal.SIGTERM)


ENDS = {"a full disk": (_full, 2), "TensorFlow's": (_full_in_tensorflow, 2), "a signal": (_stopped, 143)}


@pytest.mark.parametrize("name", ENDS)
def test_an_export_that_ends_early_leaves_what_was_there(name, pose_run, tmp_path, capsys, monkeypatch):
    write, expected = ENDS[name]
    folder = tmp_path / "run"
    shutil.copytree(pose_run.folder, folder)
    (folder / "model.tflite").write_text("earlier")
    form = dataclasses.replace(formats.EXPORTS["litert"], write=write)
    monkeypatch.setitem(formats.EXPORTS, "litert", form)
    arguments = (f"--run={folder}", "--split=val[:4]", "--export=onnx,litert", "--export_examples=2")
    code, _, err = run(capsys, monkeypatch, "eval.py", *arguments)
    assert code == expected and "Traceback" not in err
    assert len([line for line in err.splitlines() if line.startswith("eval.py:")]) == 1
    assert (folder / "model.tflite").read_text() == "earlier" and not list(folder.glob(".writing*"))
    assert "onnx" in Run.open(folder).exports, "what was finished is known"


def test_exports_answer_as_predict(pose_run, exported):
    """Pictures of another size than the network's in, joints in fractions of them out."""
    rows, _ = exported
    pictures = [np.random.default_rng(seed).integers(0, 256, (90, 130, 3), dtype="uint8") for seed in range(2)]
    pictures = [cv2.blur(picture, (9, 9)) for picture in pictures]
    expected = pose_run.predict(pictures, decoder="udp")
    for form, row in rows.items():
        found = formats.EXPORTS[form].open(pose_run.export_path(row["file"]))(np.stack(pictures))
        for coords, score, answer in zip(found["coords"], found["score"], expected, strict=True):
            np.testing.assert_allclose(coords * (130, 90), answer["keypoints"], atol=0.02, err_msg=form)
            np.testing.assert_allclose(score, answer["scores"], atol=1e-3, err_msg=form)


def test_by_default_the_network_decides_on_decoder_and_size(pose_run):
    rows, failed = exporting.export(pose_run, ("saved_model",), examples=examples_of(pose_run, 2))
    assert not failed and rows["saved_model"]["decoder"] == "dark" and "raw_heatmaps" not in rows["saved_model"]
    assert set(rows["saved_model"]["difference"]) == {"coords", "confidence"}


def test_the_program_ends_with_1_where_a_form_fails(pose_run, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(formats.EXPORTS, "litert", formats.Export("model.tflite", _fails, None))
    arguments = (f"--run={pose_run.folder}", f"--out={tmp_path}", "--split=val[:8]", "--export=saved_model,litert")
    code, out, err = run(capsys, monkeypatch, "eval.py", *arguments, "--export_examples=6")
    lines = [line for line in err.splitlines() if line.startswith("eval.py:")]
    assert code == 1
    assert lines == ["eval.py: no litert: litert cannot hold this network: ValueError: FlexFoo: no kernel for FlexFoo"]
    result = json.loads((tmp_path / "report.json").read_text())
    assert list(result["export"]) == ["saved_model"] and "FlexFoo" in result["export_failed"]["litert"]
    assert "## Exports" in (tmp_path / "report.md").read_text() and "| saved_model | saved_model |" in out


def _fails(model, path):
    path.write_text("half")
    raise ValueError("no kernel for\nFlexFoo")


def test_mistakes_are_one_line(pose_run, tmp_path, capsys, monkeypatch):
    code, _, err = run(
        capsys, monkeypatch, "eval.py", f"--run={pose_run.folder}", f"--out={tmp_path}", "--export=onnx,tensorrt"
    )
    assert (
        code == 2
        and "unknown --export='tensorrt'; allowed: saved_model, onnx, litert" in err
        and not list(tmp_path.iterdir())
    )


def test_report_without_any_export():
    text = report.export_table({}, {"onnx": "no such operation"})
    assert text == "- no onnx: no such operation\n"


MADE_UP = """
import dataclasses, os, sys

if "--child=seg/dying" in sys.argv:
    print("something was wrong", file=sys.stderr, flush=True)
    os.abort()

import keras
from keras import layers
from kzoo import cli
from kzoo.nn.layers import named
from kzoo.programs import export_matrix
from kzoo.tasks import TASKS
from kzoo.training import catalogue


def network(inputs, x):
    return keras.Model(inputs, named({"logits": layers.Conv2D(7, 1)(x)}))


def lacking(input_shape, num_outputs, *, width=400):
    image = keras.Input(input_shape, dtype="uint8", name="image")
    x = keras.ops.reshape(layers.Conv2D(width, 1)(image / 255), (-1, 1, *input_shape[:2], width))
    return network(image, keras.ops.reshape(layers.MaxPooling3D((1, 1, 1))(x), (-1, *input_shape[:2], width)))


TASKS["seg"].archs["lacking"] = lacking
known = catalogue.tasks()
known["seg"] = dataclasses.replace(known["seg"], archs=("lacking",))
if __name__ == "__main__":
    export_matrix.define_flags()
    cli.run(export_matrix.main)
"""


def test_matrix_goes_on_where_a_converter_fails_or_dies(tmp_path, capsys, monkeypatch):
    """Two made-up architectures: LiteRT has no 3-D pooling, and a process that aborts takes nothing else with it."""
    script, out = tmp_path / "made_up.py", tmp_path / "matrix.md"
    script.write_text(MADE_UP)
    for name in ("lacking", "dying"):
        monkeypatch.setitem(tasks.TASKS["seg"].archs, name, None)
    listed = dataclasses.replace(catalogue.tasks()["seg"], archs=("dying", "lacking"))
    monkeypatch.setitem(catalogue.tasks(), "seg", listed)
    in_child = functools.partial(matrix.in_child, command=(sys.executable, str(script)))
    monkeypatch.setattr(matrix, "in_child", in_child)
    monkeypatch.setattr(matrix_document, "EXPLAINED", {"FlexMaxPool3D": "LiteRT pools in two dimensions."})
    out.write_text(f"# Exports\n\n{matrix_document.BEGIN}\nan earlier table\n{matrix_document.END}\n\nMore.\n")
    arguments = ("--task=seg", "--arch=dying,lacking", f"--out={out}")
    code, printed, err = run_module(export_matrix, capsys, monkeypatch, *arguments, "--formats=saved_model,litert")
    assert code == 0 and "2 networks, 3 failures" in printed, err
    results = json.loads(out.with_suffix(".json").read_text())["results"]
    assert list(results) == ["seg/lacking", "seg/dying"]
    row = results["seg/lacking"]["saved_model"]
    assert (
        max(row["difference"].values()) < 1e-4
        and set(row["difference"]) == {"classes", "raw_logits"}
        and row["other_size"]["classes"] < 0.01
    )
    assert "FlexMaxPool3D" in results["seg/lacking"]["litert"]["error"]
    died = {"error": "the process was ended by SIGABRT: something was wrong"}
    assert results["seg/dying"] == {"saved_model": died, "litert": died}
    text = out.read_text()
    assert text.startswith("# Exports\n\n") and text.endswith("\n\nMore.\n") and "an earlier table" not in text
    assert "| seg | dying | fails (2) | fails (3) |" in text and "Why: LiteRT pools in two dimensions." in text

    def again(*_):
        pytest.fail("measured twice")

    monkeypatch.setattr(matrix, "in_child", again)
    code, _, err = run_module(export_matrix, capsys, monkeypatch, *arguments, "--formats=litert")
    assert code == 0 and "| seg | dying | fails (2) | fails (3) |" in out.read_text(), err


def test_matrix_knows_a_network_that_takes_too_long(tmp_path):
    script = tmp_path / "sleep.py"
    script.write_text("import time\ntime.sleep(60)\n")
    found = matrix.in_child("seg", "unet", ["onnx"], 0.5, command=(sys.executable, str(script)))
    assert found == {"onnx": {"error": "the process took more than 0.5 s a form"}}


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--arch=vit",), "unknown --arch='vit'"),
        (("--task=depth",), "unknown --task='depth'; allowed: pose, seg"),
        (("--formats=coreml",), "unknown --formats='coreml'; allowed: saved_model, onnx, litert"),
    ],
)
def test_matrix_mistakes(flags, words, tmp_path, capsys, monkeypatch):
    code, _, err = run_module(export_matrix, capsys, monkeypatch, *flags, f"--out={tmp_path / 'matrix.md'}")
    assert code == 2 and words in err and not list(tmp_path.iterdir())


def test_matrix_does_not_replace_a_document_of_another_kind(tmp_path):
    out = tmp_path / "notes.md"
    out.write_text("my notes\n")
    with pytest.raises(UserError, match="has no line"):
        matrix_document.write(out, {"versions": {}, "results": {}, "date": "", "device": ""}, ["onnx"])
    assert out.read_text() == "my notes\n"
