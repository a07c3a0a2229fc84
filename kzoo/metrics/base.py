"""What the streaming metrics share: state is sums and counts."""

import keras
from keras import ops

import kzoo.nn.conventions  # noqa: F401


def register(cls):
    return keras.saving.register_keras_serializable("kzoo")(cls)


def ratio(part, whole):
    """part / whole, NaN where whole is 0."""
    return ops.where(whole > 0, part / ops.maximum(whole, 1e-12), float("nan"))
