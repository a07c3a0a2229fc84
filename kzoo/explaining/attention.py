"""Where a network looks: Grad-CAM++ and Grad-CAM for any number that can be computed from the answers of a functional Keras model.

Chattopadhyay et al., Grad-CAM++: Generalized Gradient-based Visual Explanations for Deep Convolutional Networks, WACV 2018.
Selvaraju et al., Grad-CAM: Visual Explanations from Deep Networks via Gradient-based Localization, ICCV 2017.
"""

import keras
import numpy as np
from keras import ops
from matplotlib.figure import Figure

from kzoo import UserError
from kzoo.loc import localisation

STRIDES = (4, 8, 16, 32)  # of the layers 1 to 4 of an encoder


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


GRADIENTS = {"tensorflow": _tensorflow_gradient, "torch": _torch_gradient, "jax": _jax_gradient}  # (tensor -> scalar, tensor) -> tensor


def gradient_of(function, x):
    """The gradient, a tensor, of `function` (tensor -> scalar) at the tensor x; UserError on a backend without gradients."""
    if keras.backend.backend() not in GRADIENTS:
        raise UserError(f"explanations need gradients; allowed backends: {', '.join(GRADIENTS)}, got {keras.backend.backend()}")
    return GRADIENTS[keras.backend.backend()](function, x)


def grad_cam_pp(features, gradients) -> np.ndarray:
    """Grad-CAM++ of feature maps.

    Args:
        features: (B, h, w, K), A; gradients: (B, h, w, K) of a score S with respect to them, g.
    Returns:
        (B, h, w) float32 in 0..1, its maximum 1, or 0 everywhere where no feature raises the score.

    Reference: Chattopadhyay et al., eq. 19, for Y = exp S, whose own factor cancels: alpha = g^2 / (2 g^2 + g^3 sum A)
    = 1 / (2 + g sum A); eq. 11 and 12: w = sum alpha relu(g), map = relu(sum_k w_k A_k). Only cells with g > 0 count, so nothing is divided
    by 0 while A >= 0, as the paper has it after a ReLU; of maps without one, the sum in alpha is that of their positive part.
    """
    features, rising = np.asarray(features, "float64"), np.maximum(np.asarray(gradients, "float64"), 0)
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


def feature_maps(model: keras.Model, output: str = "position") -> list:
    """Layers 1 to 4 of a network's encoder: of the maps at strides 4, 8, 16 and 32 on the way to an output, the last ones.

    Args:
        model: functional, its input (H, W, 3) or (T, H, W, 3); output: name of the output, "logits" for a decoder's maps for example.
    Returns:
        up to four keras tensors, for `attention_maps`.
    Raises:
        UserError: no such output, no pictures, or no such maps, as those of a network within the network cannot be reached.
    """
    outputs = outputs_by_name(model)
    if output not in outputs:
        raise UserError(f"the network has no output {output!r}; allowed: {', '.join(outputs)}")
    picture = next((x.shape[-3:-1] for x in model.inputs if len(x.shape) >= 4 and x.shape[-1] == 3), None)
    if picture is None:
        raise UserError(f"{model.name} has no maps: it reads no pictures, but {', '.join(x.name for x in model.inputs)}")
    sizes = {tuple(-(-side // stride) for side in picture): stride for stride in STRIDES}
    last = {}
    for operation in keras.Model(model.inputs, outputs[output]).operations:  # ordered by depth
        if not isinstance(operation, keras.Model) and _is_map(operation.output) and operation.output.shape[1:3] in sizes:
            last[sizes[operation.output.shape[1:3]]] = operation.output
    if not last:
        raise UserError(f"{model.name} has no maps at strides 4 to 32 of its own: they are inside a network within the network")
    return [last[stride] for stride in STRIDES if stride in last]


def nearness(labels):
    """Score of localisation, (B,): minus the distance of the camera's centre to the truth in metres.

    Its attention is on what draws the answer towards the truth.

    Args:
        labels: (B, 7) or (B, T, 7) poses; of windows the middle frame counts.
    """
    truth = localisation._middle(labels)[:, :3].astype("float32")

    def score(outputs):
        position = outputs["position"]
        position = position if len(position.shape) == 2 else position[:, position.shape[1] // 2]
        return -ops.sqrt(ops.sum(ops.square(position - ops.convert_to_tensor(truth)), axis=-1) + 1e-12)  # the root's slope at 0 is infinite

    return score


def attention_maps(model: keras.Model, images, score, layers: list, method: str = "grad_cam_pp") -> list[np.ndarray]:
    """Grad-CAM++, or Grad-CAM, of a score with respect to some layers; the network answers as it does after training.

    Args:
        model: functional.
        images: (B, H, W, 3) or (B, T, H, W, 3) uint8, or {input: array} of a network with several inputs.
        score: {output: tensor} -> (B,), differentiable and of each example alone, such as `nearness`, or a class's mean logit. The
            features that raise it are shown; its unit matters to Grad-CAM++, as alpha compares g sum A with 2.
        layers: names of layers, or keras tensors of the model, with maps (B, h, w, K) or (B T, h, w, K).
        method: key of CAMS.
    Returns:
        for each layer (B, h, w) or (B, T, h, w) float32 in 0..1, see `grad_cam_pp`.
    Raises:
        UserError: unknown method or layer, a layer without maps, or one inside a network within the network; an input is missing.
    """
    if method not in CAMS:
        raise UserError(f"unknown method {method!r}; allowed: {', '.join(CAMS)}")
    taps = [_tap(model, layer) for layer in layers]
    try:
        features_of = keras.Model(model.inputs, dict(enumerate(taps)))  # not a list: Keras unpacks one of length 1
    except ValueError as error:
        raise UserError(f"a layer is not of {model.name} itself, but of another network or of one within it: {error}") from error
    inputs = input_tensors(model, images if isinstance(images, dict) else {model.inputs[0].name: images})
    count = len(inputs[0])
    result = []
    for number, features in features_of(inputs, training=False).items():
        # The tap is an input of its own: what depends on it is computed from there, skip connections around it from the picture.
        rest = keras.Model([*model.inputs, taps[number]], outputs_by_name(model))
        gradients = gradient_of(lambda x, rest=rest: ops.sum(score(rest([*inputs, x], training=False))), features)
        maps = CAMS[method](*(ops.convert_to_numpy(x) for x in (features, gradients)))
        result.append(maps if len(maps) == count else maps.reshape(count, -1, *maps.shape[1:]))
    return result


def outputs_by_name(model) -> dict:
    """{name: keras tensor} of a network's outputs."""
    return dict(zip(model.output_names, model.outputs, strict=True))


def input_tensors(model, arrays: dict) -> list:
    """The tensors of a network's inputs, in its order, of {name: array}; UserError where one is missing."""
    if missing := [x.name for x in model.inputs if x.name not in arrays]:
        raise UserError(f"{model.name} also reads {', '.join(missing)}: images must be a dict of all its inputs, got {', '.join(arrays)}")
    return [ops.convert_to_tensor(arrays[x.name], x.dtype) for x in model.inputs]


def _tap(model, layer):
    """The keras tensor of a layer, by name or itself."""
    tensor = layer
    if isinstance(layer, str):
        maps = [x.name for x in model.layers if not isinstance(x, keras.Model) and _is_map(x.output)]
        if layer not in maps:
            raise UserError(f"no layer {layer!r} with maps (B, h, w, K) in {model.name}; allowed: {', '.join(maps)}")
        tensor = model.get_layer(layer).output
    if not _is_map(tensor):
        raise UserError(f"attention needs maps (B, h, w, K), got {getattr(tensor, 'shape', tensor)}")
    return tensor


def _is_map(x) -> bool:
    return isinstance(x, keras.KerasTensor) and len(x.shape) == 4


def attention_figure(images, maps, titles) -> Figure:
    """Each example's picture, and one column for each layer with its map laid over the picture: bright where the network looks.

    Args:
        images: (N, H, W, 3) uint8; maps: of `attention_maps`, L arrays (N, h, w); of windows both have an axis of T frames after N, and
            the middle one is shown; titles: N strings.
    """
    images, *maps = (localisation._middle(array, rank) for array, rank in ((images, 4), *((m, 3) for m in maps)))
    height, width = images.shape[1:3]
    figure = Figure(figsize=(2.6 * (1 + len(maps)), (2.6 * height / width + 0.3) * len(images)), layout="constrained")
    axes = figure.subplots(len(images), 1 + len(maps), squeeze=False)
    for i, row in enumerate(axes):
        row[0].imshow(images[i])
        row[0].text(0, -0.02, titles[i], transform=row[0].transAxes, fontsize="small", va="top")
        for axis, layer in zip(row[1:], maps, strict=True):
            extent = (-0.5, width - 0.5, height - 0.5, -0.5)  # the outer corners of the picture
            axis.imshow(images[i].mean(axis=-1), cmap="gray", extent=extent)
            axis.imshow(layer[i], cmap="inferno", alpha=0.6, extent=extent, interpolation="bilinear", vmin=0, vmax=1)
        for axis in row:
            axis.set_axis_off()
    axes[0, 0].set_title("input", fontsize="medium")
    for number, (axis, layer) in enumerate(zip(axes[0, 1:], maps, strict=True), start=1):
        axis.set_title(f"layer {number} ({layer.shape[1]}x{layer.shape[2]})", fontsize="medium")
    return figure
