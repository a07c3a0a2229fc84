"""Blocks as functions, and the few true layers."""

import keras
from keras import layers

from kzoo import geometry

BATCH_NORM_MOMENTUM = 0.9  # Keras's 0.99 lags behind short runs: validation then looks broken while training looks fine


def conv_bn_relu(x, filters: int, kernel: int = 3, *, strides: int = 1, init: str = "he_normal", name: str):
    """Convolution without bias, BatchNorm, ReLU: (B, H, W, K) -> (B, H / strides, W / strides, filters)."""
    x = layers.Conv2D(filters, kernel, strides=strides, padding="same", use_bias=False, kernel_initializer=init, name=f"{name}_conv")(x)
    x = layers.BatchNormalization(momentum=BATCH_NORM_MOMENTUM, name=f"{name}_bn")(x)
    return layers.ReLU(name=f"{name}_relu")(x)


def deconv_bn_relu(x, filters: int, *, init: str = "he_normal", name: str):
    """Transposed convolution 4x4 stride 2 (Xiao et al. 2018, §2), BatchNorm, ReLU: doubles height and width."""
    x = layers.Conv2DTranspose(filters, 4, strides=2, padding="same", use_bias=False, kernel_initializer=init, name=f"{name}_deconv")(x)
    x = layers.BatchNormalization(momentum=BATCH_NORM_MOMENTUM, name=f"{name}_bn")(x)
    return layers.ReLU(name=f"{name}_relu")(x)


def upward_path(features, widths, *, skips: bool, init: str = "he_normal"):
    """The decoder of the lab course: one transposed convolution per step, optionally joined by the encoder's map of that size.

    With `skips=False` nothing but the deepest map is used, and nothing else changes but the concatenation: U-Net and the plain
    encoder-decoder differ by exactly that.

    Args:
        features: five encoder maps at strides 2, 4, 8, 16, 32.
        widths: filters of each step; len(widths) steps end at stride 32 / 2**len(widths).
    Returns:
        (B, h, w, widths[-1]).
    """
    x = features[-1]
    for step, width in enumerate(widths, start=1):
        x = deconv_bn_relu(x, width, init=init, name=f"up{step}")
        if skips and step < len(features):
            x = layers.Concatenate(name=f"up{step}_skip")([x, features[-1 - step]])
        x = conv_bn_relu(x, width, init=init, name=f"up{step}_merge")
    return x


@keras.saving.register_keras_serializable("kzoo")
class SoftArgmax(layers.Layer):
    """Heat-map logits -> expected position, in float32 whatever the policy.

    Args:
        temperature: the logits are divided by it before the softmax; small is sharp.

    Call: (B, h, w, J) logits -> (B, J, 2) float32, x and y as fractions of the picture.

    Reference: Sun et al., Integral Human Pose Regression, ECCV 2018, eq. 2.
    """

    def __init__(self, temperature: float = 1.0, **kwargs):
        super().__init__(**{**kwargs, "dtype": "float32"})
        self.temperature = temperature

    def call(self, logits):
        return geometry.expected_position(geometry.spatial_softmax(logits / self.temperature))

    def get_config(self):
        return {**super().get_config(), "temperature": self.temperature}


def upsample_to(x, size: tuple[int, int], *, name: str):
    """Bilinear resize to (height, width) in float32."""
    if tuple(x.shape[1:3]) == tuple(size):
        return x
    return layers.Resizing(*size, interpolation="bilinear", dtype="float32", name=name)(x)


def head(x, filters: int, *, init: str = "glorot_uniform", name: str):
    """Final 1x1 convolution with bias, float32, no activation."""
    return layers.Conv2D(filters, 1, kernel_initializer=init, dtype="float32", name=name)(x)
