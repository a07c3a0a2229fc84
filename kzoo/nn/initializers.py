"""Initialisers that Keras lacks."""

import math

import keras
import numpy as np
from keras import ops


@keras.saving.register_keras_serializable("kzoo")
class MultiBranch(keras.initializers.Initializer):
    """Gaussian weights for ReLU networks whose layers branch and join: Var[w] = 4 / (C_i n_i + C_o n_o).

    With ReLU, the variance of the activations is kept where C_i n_i Var[w] / 2 = 1, that of the gradients where
    C_o n_o Var[w] / 2 = 1; this lies between the two, as Glorot's does for plain networks. With one branch and
    n_i = n_o it is He's 2 / n.

    Args:
        inputs: C_i, how many branches are summed to make the layer's input.
        outputs: C_o, how many branches read the layer's input, so that their gradients are summed.
        seed: int for the same numbers at every call; None draws anew from Keras's global generator
            (`keras.utils.set_random_seed`).

    Call: shape (..., K_in, K_out) of a dense or convolution kernel -> weights. n_i and n_o are the fans of one branch:
    the product of all axes but the last, and of all but the last but one.

    Reference: Yang et al., Learning Feature Pyramids for Human Pose Estimation, ICCV 2017, §4.1.
    """

    def __init__(self, inputs: int = 1, outputs: int = 1, seed: int | None = None):
        if inputs < 1 or outputs < 1:
            raise ValueError(f"branch counts must be 1 or more, got inputs={inputs}, outputs={outputs}")
        self.inputs = inputs
        self.outputs = outputs
        self.seed = seed

    def __call__(self, shape, dtype=None):
        *window, fan_in, fan_out = shape
        area = math.prod(window)
        variance = 4 / (area * (self.inputs * fan_in + self.outputs * fan_out))
        return keras.random.normal(shape, stddev=math.sqrt(variance), dtype=dtype, seed=self.seed)

    def get_config(self):
        return {"inputs": self.inputs, "outputs": self.outputs, "seed": self.seed}


@keras.saving.register_keras_serializable("kzoo")
class Bilinear(keras.initializers.Initializer):
    """Kernel with which a transposed convolution interpolates bilinearly, every channel by itself.

    Along an axis of k taps, f = (k + 1) // 2 and c = f - 1 where k is odd, f - 1/2 where it is even: tap i has the
    weight 1 - |i - c| / f. With kernel 2s, stride s and "same" padding it is resizing by s between half-pixel centres,
    with zeros beyond the border.

    Call: shape (k_h, k_w, K_out, K_in) of `keras.layers.Conv2DTranspose`, K_out = K_in -> weights, 0 between different
    channels.

    Reference: Long et al., Fully Convolutional Networks for Semantic Segmentation, CVPR 2015, §3.3 and §4.3.
    """

    def __call__(self, shape, dtype=None):
        if len(shape) != 4 or shape[2] != shape[3]:
            raise ValueError(
                f"a bilinear kernel is (height, width, K, K), as many channels out as in; got the shape {tuple(shape)}"
            )
        rows, columns = (_tent(taps) for taps in shape[:2])
        kernel = rows[:, None, None, None] * columns[:, None, None] * np.eye(shape[2])
        return ops.convert_to_tensor(kernel, dtype=dtype or keras.config.floatx())

    def get_config(self):
        return {}


def _tent(taps: int) -> np.ndarray:
    half = (taps + 1) // 2
    centre = half - 1 if taps % 2 else half - 0.5
    return 1 - np.abs(np.arange(taps) - centre) / half
