"""What networks of deep clustering share: the signal that they reconstruct, the dense auto-encoder, the soft assignment
to clusters.

Everything behind the layer "signal" is the auto-encoder; behind its code stands the layer "clusters" with the centres.
"""

import keras
from keras import layers, ops

from kzoo.nn.embeddings import embedded
from kzoo.nn.layers import SoftAssignment, UnitPower, named


def signal_of(input_shape: tuple[int, ...], channels: int = 1, features: keras.Model | None = None) -> tuple:
    """What a network clusters, at unit power: pixels, or the embedding of another network, frozen inside this one.

    Args:
        input_shape: (H, W, 3) of a uint8 RGB picture; with `features` what that network reads.
        channels: 1 for the mean of red, green and blue, 3 for all of them; not used with `features`.
        features: network of `kzoo.nn.embeddings.trunk`; None for the pixels.
    Returns:
        the model's inputs, "image" where these are pixels; the output of the layer "signal", float32: (B, H, W,
        channels), pixels / 255 / rms, or (B, d), the embedding / rms.
    Raises:
        ValueError: `channels` is neither 1 nor 3, or input_shape is not that of a picture.
    """
    if features is not None:
        inputs, x = embedded(features)
        return inputs, UnitPower(name="signal")(x)
    if channels not in (1, 3):
        raise ValueError(f"channels must be 1 (grey) or 3 (RGB), got {channels}")
    if len(input_shape) != 3 or input_shape[-1] != 3:
        raise ValueError(f"input_shape must be (H, W, 3) of a picture, got {input_shape}")
    image = keras.Input(input_shape, dtype="uint8", name="image")
    x = ops.cast(image, "float32")
    if channels == 1:
        x = ops.mean(x, axis=-1, keepdims=True)
    return image, UnitPower(name="signal")(layers.Rescaling(1 / 255, dtype="float32", name="scale")(x))


def number_of_clusters(clusters: int, num_outputs: int) -> int:
    """`clusters`, or where it is 0 the data set's classes.

    Raises:
        ValueError: both are 0.
    """
    if not (clusters or num_outputs):
        raise ValueError("the data set names no classes: clusters must be given as 1 or more, got clusters=0")
    return clusters or num_outputs


def clustered(code, reconstruction, clusters: int, alpha: float) -> dict:
    """The three answers of a network of deep clustering.

    Args:
        code: (B, d); reconstruction: of the signal's shape.
        clusters, alpha: see `kzoo.nn.layers.SoftAssignment`.
    Returns:
        {"assignment": (B, K), "reconstruction", "code": (B, d)}, float32.
    """
    assignment = SoftAssignment(clusters, alpha, name="clusters")(code)
    return named({"assignment": assignment, "reconstruction": reconstruction, "code": code})


def dense_autoencoder(signal, widths: tuple[int, ...], code: int, init: str | None) -> tuple:
    """Dense layers with ReLU down to a linear code, and mirrored up again to a linear reconstruction.

    Args:
        signal: (B, d) or (B, H, W, K), which is flattened.
        widths: units of the hidden layers on the way down; code: of the code.
        init: kernel initialiser; None: uniform with variance 1 / (3 fan in), as in the authors' Keras version of DEC.
    Returns:
        (B, code) float32, and the reconstruction, float32 of the signal's shape.
    Reference: Xie, Girshick and Farhadi, Unsupervised Deep Embedding for Clustering Analysis, ICML 2016, §3.2 and §4.
    """
    flat = layers.Flatten(name="flatten")(signal) if len(signal.shape) > 2 else signal
    x = flat
    for step, width in enumerate(widths, start=1):
        x = _dense(x, width, init, activation="relu", name=f"encoder{step}")
    z = x = _dense(x, code, init, dtype="float32", name="encoder_code")
    for step in range(len(widths), 0, -1):
        x = _dense(x, widths[step - 1], init, activation="relu", name=f"decoder{step}")
    x = _dense(x, flat.shape[-1], init, dtype="float32", name="decoder_signal")
    return z, layers.Reshape(signal.shape[1:], dtype="float32", name="decoder_shape")(x)


def _dense(x, units: int, init: str | None, **options):
    # One initialiser for each layer: an object draws the same numbers at every call.
    kernel = keras.initializers.VarianceScaling(1 / 3, mode="fan_in", distribution="uniform") if init is None else init
    return layers.Dense(units, kernel_initializer=kernel, **options)(x)


def mirrored_convolution(x, filters: int, kernel, size: tuple[int, int], *, strides: int = 1, name: str, **options):
    """Transposed convolution back to the size that a convolution of the same kernel and strides has read.

    (B, h, w, K) -> (B, H, W, filters). The whole transposed map is cropped where the convolution's padding lay, at any
    size and alike on every backend: Keras's transposed convolution with "same" always gives strides times h, and its
    place differs between backends.

    Args:
        kernel: side of the window, or its two sides; size: (H, W); options: of `keras.layers.Conv2DTranspose`.
    """
    x = layers.Conv2DTranspose(filters, kernel, strides=strides, padding="valid", name=name, **options)(x)
    excess = [whole - side for whole, side in zip(x.shape[1:3], size, strict=True)]
    if not any(excess):
        return x
    return layers.Cropping2D([(pixels // 2, pixels - pixels // 2) for pixels in excess], name=f"{name}_crop")(x)
