"""ONNX and LiteRT: what `portable=True` is for, and that nothing wrong is kept."""

import keras
import numpy as np
import pytest

from kzoo import UserError, export
from kzoo.models.conv_lstm import conv_lstm

FRAMES = np.random.default_rng(0).integers(0, 256, (2, 4, 16, 16, 3), dtype="uint8")


@pytest.fixture(scope="module")
def networks():
    """conv_lstm as published and portable, with the same weights."""
    plain, portable = (conv_lstm(FRAMES.shape[1:], 17, filters=4, units=8, portable=portable) for portable in (False, True))
    portable.set_weights(plain.get_weights())
    return plain, portable


@pytest.mark.parametrize(("name", "package"), [("onnx", "onnxruntime"), ("litert", "ai_edge_litert")])
def test_portable_conv_lstm_exports(name, package, networks, tmp_path):
    pytest.importorskip(package)
    target = tmp_path / export.EXPORTS[name].file
    assert export.EXPORTS[name].write(networks[1], target, FRAMES) <= 1e-5
    assert target.stat().st_size > 1000


def test_litert_has_no_3d_pooling_or_loops_of_its_own(networks, tmp_path):
    """Why `portable` exists: as published, the file needs TensorFlow's Flex operations, which LiteRT alone does not have."""
    pytest.importorskip("ai_edge_litert")
    with pytest.raises(UserError, match="Select TensorFlow op"):
        export.export_litert(networks[0], tmp_path / "model.tflite", FRAMES)
    assert not list(tmp_path.iterdir())


def test_an_export_that_answers_otherwise_is_not_kept(networks, tmp_path):
    def other(path, inputs):
        return {"joints": networks[0].predict_on_batch(inputs)["joints"] + 1e-3}

    with pytest.raises(UserError, match="differ from predict"):
        export._checked(lambda path: path.write_text("x"), other, networks[0], tmp_path / "model.x", FRAMES)
    assert not list(tmp_path.iterdir())


def test_another_backend_is_one_line(networks, tmp_path, monkeypatch):
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    with pytest.raises(UserError, match="KERAS_BACKEND=tensorflow"):
        export.export_onnx(networks[0], tmp_path / "model.onnx", FRAMES)
