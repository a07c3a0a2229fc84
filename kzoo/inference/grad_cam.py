"""Where a network looks: Grad-CAM++ and Grad-CAM.

For any number that can be computed from the answers of a functional Keras model.

Chattopadhyay et al., Grad-CAM++: Generalized Gradient-based Visual Explanations for Deep Convolutional Networks,
WACV 2018.
Selvaraju et al., Grad-CAM: Visual Explanations from Deep Networks via Gradient-based Localization, ICCV 2017.
"""

import keras
import numpy as np
from keras import ops

from kzoo import UserError, cli
from kzoo.nn.feature_maps import input_tensors, outputs_by_name, tap


def _tensorflow_gradient(function, x):
    import tensorflow as tf  # here alone, so that the file loads on other backends

    with tf.GradientTape() as tape:
        tape.watch(x)
        value = function(x)
    return tape.gradient(value, x, unconnected_gradients=tf.UnconnectedGradients.ZERO)


def _torch_gradient(function, x):
    import torch

    x = x.detach().requires_grad_()
    return torch.autograd.grad(function(x), x, materialize_grads=True)[0]


def _jax_gradient(function, x):
    import jax

    return jax.grad(function)(x)


# (tensor -> scalar, tensor) -> tensor.
GRADIENTS = {"tensorflow": _tensorflow_gradient, "torch": _torch_gradient, "jax": _jax_gradient}


def gradient_of(function, x):
    """The gradient of `function` (tensor -> scalar) at the tensor x; UserError on a backend without gradients."""
    if keras.backend.backend() not in GRADIENTS:
        raise UserError(
            f"explanations need gradients; allowed backends: {', '.join(GRADIENTS)}, got {keras.backend.backend()}"
        )
    return GRADIENTS[keras.backend.backend()](function, x)


def grad_cam_pp(features, gradients) -> np.ndarray:
    """Grad-CAM++ of feature maps.

    Args:
        features: (B, h, w, K), A.
        gradients: (B, h, w, K) of a score S with respect to them, g.
    Returns:
        (B, h, w) float32 in 0..1, its maximum 1, or 0 everywhere where no feature raises the score.

    Reference: Chattopadhyay et al., eq. 19, for Y = exp S, whose own factor cancels:
    alpha = g^2 / (2 g^2 + g^3 sum A) = 1 / (2 + g sum A); eq. 11 and 12: w = sum alpha relu(g), map = relu(sum_k w_k
    A_k). Only cells with g > 0 count, so nothing is divided by 0 while A >= 0, as the paper has it after a ReLU; of
    maps without one, the sum in alpha is that of their positive part.
    """
    features = np.asarray(features, "float64")
    rising = np.maximum(np.asarray(gradients, "float64"), 0)
    total = np.maximum(features, 0).sum(axis=(1, 2), keepdims=True)
    weights = (rising / (2 + rising * total)).sum(axis=(1, 2), keepdims=True)  # (B, 1, 1, K)
    return _to_peak(np.maximum((weights * features).sum(axis=-1), 0))


def grad_cam(features, gradients) -> np.ndarray:
    """Grad-CAM of feature maps: arguments and result as those of `grad_cam_pp`.

    Reference: Selvaraju et al., eq. 1 and 2: w = mean of g over the map, map = relu(sum_k w_k A_k).
    """
    features, gradients = np.asarray(features, "float64"), np.asarray(gradients, "float64")
    weights = gradients.mean(axis=(1, 2), keepdims=True)  # (B, 1, 1, K)
    return _to_peak(np.maximum((weights * features).sum(axis=-1), 0))


def _to_peak(maps):
    peaks = maps.max(axis=(1, 2), keepdims=True)
    return (maps / np.where(peaks > 0, peaks, 1)).astype("float32")


CAMS = {"grad_cam": grad_cam, "grad_cam_pp": grad_cam_pp}


def attention_maps(model: keras.Model, images, score, layers: list, method: str = "grad_cam_pp") -> list[np.ndarray]:
    """Grad-CAM++, or Grad-CAM, of a score with respect to some layers; the network answers as it does after training.

    Args:
        model: functional.
        images: (B, H, W, 3) or (B, T, H, W, 3) uint8, or {input: array} of a network with several inputs.
        score: {output: tensor} -> (B,), differentiable and of each example alone, such as `nearness`, or a class's mean
            logit. The features that raise it are shown; its unit matters to Grad-CAM++, as alpha compares g sum A
            with 2.
        layers: names of layers, or keras tensors of the model, with maps (B, h, w, K) or (B T, h, w, K).
        method: key of CAMS.
    Returns:
        for each layer (B, h, w) or (B, T, h, w) float32 in 0..1, see `grad_cam_pp`.
    Raises:
        UserError: unknown method or layer, a layer without maps, or one inside a network within the network; an input
        is missing.
    """
    if method not in CAMS:
        raise UserError(f"unknown method {method!r}; allowed: {', '.join(CAMS)}{cli.meant(method, CAMS)}")
    taps = [tap(model, layer) for layer in layers]
    try:
        features_of = keras.Model(model.inputs, dict(enumerate(taps)))  # not a list: Keras unpacks one of length 1
    except ValueError as error:
        message = f"a layer is not of {model.name} itself, but of another network or of one within it: {error}"
        raise UserError(message) from error
    if not isinstance(images, dict):
        images = {model.inputs[0].name: images}
    inputs = input_tensors(model, images)
    count = len(inputs[0])
    result = []
    for number, features in features_of(inputs, training=False).items():
        # The tap is an input of its own: what depends on it is computed from there, skip connections around it from the
        # picture.
        rest = keras.Model([*model.inputs, taps[number]], outputs_by_name(model))
        gradients = gradient_of(lambda x, rest=rest: ops.sum(score(rest([*inputs, x], training=False))), features)
        maps = CAMS[method](ops.convert_to_numpy(features), ops.convert_to_numpy(gradients))
        result.append(maps if len(maps) == count else maps.reshape(count, -1, *maps.shape[1:]))
    return result
