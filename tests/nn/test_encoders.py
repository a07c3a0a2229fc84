"""Encoders: strides, BatchNorm's momentum, input scaling. What dilation does to them is in test_seg_encoders.py."""

import keras
import numpy as np
import pytest
from zoo import SIZE

from kzoo.nn.encoders import ENCODERS

SLOW = (
    "resnet34_torch",
    "resnet50_torch",
    "resnet101_torch",
    "vgg16_torch",
)  # built from the same functions as others here


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow) if name in SLOW else name for name in ENCODERS]
)
def test_encoder_strides(name):
    """Five maps at strides 2 to 32, and BatchNorm that follows short runs."""
    from kzoo.nn.encoders import encode

    image = keras.Input((SIZE, SIZE, 3), dtype="uint8")
    maps = encode(image, name)
    assert [SIZE // x.shape[1] for x in maps] == [2, 4, 8, 16, 32]
    assert [SIZE // x.shape[2] for x in maps] == [2, 4, 8, 16, 32]
    norms = [layer for layer in keras.Model(image, maps).layers if isinstance(layer, keras.layers.BatchNormalization)]
    assert all(layer.momentum == 0.9 for layer in norms)


@pytest.mark.parametrize(
    ("name", "reference"),
    [
        ("resnet50", keras.applications.resnet50),
        ("vgg16", keras.applications.vgg16),
        ("mobilenetv2", keras.applications.mobilenet_v2),
    ],
)
def test_input_scaling_is_keras_applications_own(name, reference):
    image = keras.Input((32, 32, 3), dtype="uint8")
    scaled = keras.Model(image, ENCODERS[name].scale(image))
    pixels = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), dtype="uint8")
    np.testing.assert_allclose(
        scaled.predict_on_batch(pixels), reference.preprocess_input(pixels.astype("float32")), atol=1e-4
    )
