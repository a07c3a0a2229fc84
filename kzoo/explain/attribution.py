"""What an answer is made of: how much each pixel, or each joint, of an input counts.

For any number computed from a network's answers.

Every function of METHODS is f(model, inputs, score, *, source) -> array with an entry for each place of the input
`source`. Saliency: Simonyan et al., Deep Inside Convolutional Networks, ICLR workshop 2014. Deconvnet and occlusion:
Zeiler and Fergus, Visualizing and Understanding Convolutional Networks, ECCV 2014. Guided backpropagation: Springenberg
et al., Striving for Simplicity, ICLR workshop 2015. Integrated gradients: Sundararajan et al., Axiomatic Attribution
for Deep Networks, ICML 2017.
"""

import functools

import keras
import numpy as np
from keras import layers, ops
from tqdm.auto import tqdm

from kzoo import UserError
from kzoo.inference.grad_cam import gradient_of
from kzoo.nn.feature_maps import input_tensors, outputs_by_name

RULES = {  # of a ReLU's gradient, from the positive part of the gradient behind it and where its own slope is 1
    "guided": lambda rising, active: rising * active,
    "deconvnet": lambda rising, active: rising,
}
RELUS = {"saliency": "plain", "guided_backprop": "guided", "deconvnet": "deconvnet", "integrated_gradients": "plain"}
PIXELS = 2**19  # of the pictures that go through a network together
LARGEST_BATCH = 64
OPERATIONS = {"Relu": None, "Relu6": 6.0}  # ReLUs that are not layers, and what they are cut off at
ACTIVATIONS = {keras.activations.relu: None, keras.activations.relu6: 6.0}


def differentiable(model: keras.Model, relu: str = "plain") -> keras.Model:
    """A copy of a network that can be differentiated with respect to its pictures.

    The copy's pictures are float32, 0..255, in networks within the network too. What stands in the way of a gradient
    lets it pass: `stop_gradient`, which is for training, and rounding to uint8, whose value remains. Its other ReLUs
    (layers, layers' own activations and operations, up to a maximum or without one) have the gradient that is asked
    for; leaky ones and smooth activations are as they were.

    Args:
        model: functional.
        relu: "plain"; "guided": what is not positive is cut from the gradient behind the ReLU, where its input is not
            positive as well (Springenberg et al. 2015, fig. 1b); "deconvnet": only the former, whatever the input was
            (Zeiler and Fergus 2014, §2.1: the unpooling by switches and the transposed filters of that paper are the
            plain gradients of max-pooling and convolution).
    Returns:
        functional model with weights of its own, its inputs a list and its outputs a dict, named as the model's.
    Raises:
        ValueError: unknown `relu`.
    """
    if relu != "plain" and relu not in RULES:
        raise ValueError(f"relu must be one of plain, {', '.join(RULES)}, got {relu!r}")
    copies = []
    result = _copy(model, relu, copies)
    for layer, copy in copies:  # each by itself: the order of all weights need not be the same
        copy.set_weights(layer.get_weights())
    return keras.Model(result.inputs, outputs_by_name(result), name=model.name)


def _copy(model, relu: str, copies: list) -> keras.Model:
    def copy(operation):
        if isinstance(operation, keras.Model):  # not by Keras's own recursion, which keeps the type of its input
            return _copy(operation, relu, copies)
        result = _passing(operation) or (_rectifier(operation, relu) if relu in RULES else None)
        if result is None:
            result = type(operation).from_config(operation.get_config())
            if isinstance(operation, layers.Layer):
                copies.append((operation, result))
            if relu in RULES and getattr(operation, "activation", None) in ACTIVATIONS:
                part = getattr(result, "cell", result)  # a recurrent layer only shows its cell's
                part.activation = functools.partial(_rectified, relu=relu, maximum=ACTIVATIONS[operation.activation])
        return result

    def read(x):
        return keras.Input(batch_shape=x.shape, dtype="float32" if _is_picture(x) else x.dtype, name=x.name)

    if isinstance(model, keras.Sequential):  # seen from its tensors it is one operation, itself
        start = read(model.inputs[0])
        return keras.Model(
            start, functools.reduce(lambda x, layer: copy(layer)(x), model.layers, start), name=model.name
        )
    plain = keras.Model(model.input, model.output, name=model.name)  # not compiled
    return keras.models.clone_model(plain, keras.tree.map_structure(read, model.input), copy)


def _is_picture(x) -> bool:
    """Pictures or clips, not a mask of ids, (B, H, W), or keypoints, which are float."""
    return len(x.shape) >= 4 and x.dtype == "uint8"


def _passing(operation):
    """What stands for an operation without a gradient; None for all others."""
    kind = type(operation).__name__
    if kind == "StopGradient" or (kind == "Cast" and operation.dtype == "uint8"):
        return layers.Identity(autocast=False)
    return layers.Activation(_rounded, autocast=False) if kind == "Round" else None


def _rounded(x):
    return x + ops.stop_gradient(ops.round(x) - x)


def _rectifier(operation, relu: str):
    """The layer that stands for a ReLU that is a layer or an operation; None for all others."""
    if type(operation) is layers.ReLU and not operation.negative_slope and not operation.threshold:
        maximum = operation.max_value
        dtype = operation.dtype_policy
    elif type(operation).__name__ in OPERATIONS:
        maximum = OPERATIONS[type(operation).__name__]
        dtype = operation.output.dtype
    else:
        return None
    function = functools.partial(_rectified, relu=relu, maximum=maximum)
    return layers.Activation(function, dtype=dtype, name=operation.name)


def _rectified(x, relu: str, maximum: float | None):
    """ReLU, up to `maximum`, with the gradient of RULES."""

    @ops.custom_gradient
    def rectify(x):
        y = ops.relu(x) if maximum is None else ops.clip(x, 0, maximum)

        def gradient(*values, upstream=None):
            upstream = values[0] if upstream is None else upstream  # PyTorch's comes by name, behind x
            active = ops.logical_and(x > 0, x < (np.inf if maximum is None else maximum))
            return RULES[relu](ops.relu(upstream), ops.cast(active, upstream.dtype))

        return y, gradient

    return rectify(x)


def saliency(model: keras.Model, inputs: dict, score, *, source: str, copy=None) -> np.ndarray:
    """The gradient of a score (Simonyan et al. 2014, §3), which says what a small change of each number would do.

    Args:
        model: functional.
        inputs: {name: array} of all its inputs: pictures (B, H, W, 3) or clips (B, T, H, W, 3) uint8, keypoints
            (B, T, J, 2) float32, …
        score: {output: tensor} -> (B,), differentiable and of each example alone.
        source: the input that is explained; the others are held as they are.
        copy: `differentiable(model, RELUS[method])`, for who needs it more than once; None: made here.
    Returns:
        float32 of the source's shape, in the score's unit for each grey level, or for each unit of the keypoints;
        signed.
    Raises:
        UserError: an input is missing, or `source` is no input or one of ids, which have no gradient; a backend without
        gradients.
    """
    return _gradients(differentiable(model) if copy is None else copy, inputs, score, source)


def guided_backprop(model: keras.Model, inputs: dict, score, *, source: str, copy=None) -> np.ndarray:
    """The gradient, through ReLUs only where it is positive and they are active.

    Arguments, result and errors as `saliency`'s.
    """
    return _gradients(differentiable(model, "guided") if copy is None else copy, inputs, score, source)


def deconvnet(model: keras.Model, inputs: dict, score, *, source: str, copy=None) -> np.ndarray:
    """The gradient, through ReLUs wherever it is positive; arguments, result and errors as `saliency`'s."""
    return _gradients(differentiable(model, "deconvnet") if copy is None else copy, inputs, score, source)


def integrated_gradients(
    model: keras.Model,
    inputs: dict,
    score,
    *,
    source: str,
    steps: int = 32,
    most: int = 288,
    tolerance: float = 0.05,
    baseline=None,
    batch_size: int | None = None,
    copy=None,
) -> np.ndarray:
    """What each number adds to a score on the way from a baseline.

    It is (x - baseline) times the mean gradient on the straight line between. The sum over an example is score(x) -
    score(baseline), up to the error of the midpoint rule. It begins with `steps` gradients, whose number is tripled
    (the earlier ones stay midpoints) until every example's sum is right to `tolerance`, or `most` would be passed.
    Arguments and errors as `saliency`'s (Sundararajan et al. 2017, eq. 1 and 3; §5: 20 to 300 steps are within 5 %).

    Args:
        tolerance: share of score(x) - score(baseline), see `completeness_gap`; 0: never refine, `steps` gradients.
        baseline: array that broadcasts to the source; None is black for pictures, and for keypoints each frame's mean
            joint.
        batch_size: inputs whose gradients are taken together; None: as many as PIXELS allow.
    Returns:
        float32 of the source's shape, in the score's unit; signed.
    Raises:
        UserError: also fewer than 1 step.
    """
    if steps < 1:
        raise UserError(f"steps must be 1 or more, got {steps}")
    _check(model, inputs, source)
    x = np.asarray(inputs[source], "float32")
    baseline = _baseline(model, inputs, source, baseline)
    copy = differentiable(model) if copy is None else copy
    way = x - baseline

    def gradients(some):
        """The sum over the places."""
        points = np.concatenate([baseline + way * place for place in some])
        found = _gradients(copy, _repeated(inputs, source, points), _each(score, len(x)), source)
        return found.reshape(len(some), *x.shape).sum(axis=0, dtype="float64")

    # The midpoint rule, refined until it adds up.
    places = (np.arange(steps) + 0.5) / steps
    total = np.zeros(x.shape)
    while True:
        for some in _batches(places, x, batch_size, "integrated gradients"):
            total += gradients(some)
        shares = (way * total / steps).astype("float32")
        if not tolerance or 3 * steps > most:
            return shares
        if (completeness_gap(copy, inputs, score, shares, source=source, baseline=baseline) <= tolerance).all():
            return shares
        steps *= 3
        places = (np.arange(steps) + 0.5) / steps
        places = places[np.arange(steps) % 3 != 1]  # every third one is a midpoint of before


def completeness_gap(
    model: keras.Model, inputs: dict, score, attributions, *, source: str, baseline=None
) -> np.ndarray:
    """How far integrated gradients are from adding up.

    |sum - (score(x) - score(baseline))| over |score(x) - score(baseline)|.

    Returns:
        (B,) float64, infinite where the score is the same at both ends and the sum is not 0.
    """
    baseline = np.broadcast_to(_baseline(model, inputs, source, baseline), np.shape(inputs[source]))
    network = keras.Model(model.inputs, outputs_by_name(model))

    def value(x):
        answers = network(input_tensors(model, {**inputs, source: x}), training=False)
        return np.asarray(ops.convert_to_numpy(score(answers)), "float64")

    difference = value(inputs[source]) - value(baseline)
    gap = np.abs(np.asarray(attributions, "float64").reshape(len(difference), -1).sum(axis=1) - difference)
    return np.divide(gap, np.abs(difference), out=np.where(gap > 0, np.inf, 0.0), where=difference != 0)


def _baseline(model, inputs, source: str, baseline) -> np.ndarray:
    x = np.asarray(inputs[source], "float32")
    if baseline is None:
        baseline = 0.0 if _is_picture(_input(model, source)) else x.mean(axis=-2, keepdims=True)
    return np.asarray(baseline, "float32")


def occlusion(
    model: keras.Model, inputs: dict, score, *, source: str, side: int | None = None, batch_size: int | None = None
) -> np.ndarray:
    """How far a score falls where a part of the input is hidden (Zeiler and Fergus 2014, §4.2).

    Of pictures a square in the picture's mean colour hides a part, every half side and at the edges; each pixel has the
    mean over the squares that cover it. In clips it covers the same place of all frames. Of keypoints, one joint in all
    frames is put to the frame's mean joint. Arguments and errors as `saliency`'s, but the score need not be
    differentiable.

    Args:
        side: of the square in pixels; None is a quarter of the picture's shorter side.
        batch_size: inputs that are answered together; None: as many as PIXELS allow.
    Returns:
        (B, H, W), (B, T, H, W) or (B, T, J) float32, in the score's unit, positive where the score falls; the same for
        all frames.
    Raises:
        UserError: also a side that is not 1 to the picture's shorter side.
    """
    _check(model, inputs, source)
    x = np.asarray(inputs[source])
    network = keras.Model(model.inputs, outputs_by_name(model))

    def drops(hidden):
        """(parts, B): how far the score falls without each part; hidden: functions that take one away."""
        some = np.concatenate([without(x) for without in hidden])
        answers = network(input_tensors(model, _repeated(inputs, source, some)), training=False)
        return whole - ops.convert_to_numpy(_each(score, len(x))(answers)).reshape(len(hidden), len(x))

    # Of keypoints, joint by joint.
    whole = ops.convert_to_numpy(score(network(input_tensors(model, inputs), training=False)))
    if not _is_picture(_input(model, source)):
        joints = [functools.partial(_without_joint, joint=joint) for joint in range(x.shape[-2])]
        found = np.concatenate([drops(some) for some in _batches(joints, x, batch_size, "occlusion")])  # (J, B)
        return np.broadcast_to(found.T[:, None], x.shape[:-1]).astype("float32")

    # Of pictures, square by square.
    height, width = x.shape[-3:-1]
    side = max(1, min(height, width) // 4) if side is None else side
    if not 1 <= side <= min(height, width):
        raise UserError(f"side must be 1 to {min(height, width)} pixels, the picture's shorter side, got {side}")
    places = [
        (slice(top, top + side), slice(left, left + side))
        for top in _starts(height, side)
        for left in _starts(width, side)
    ]
    squares = [functools.partial(_without_square, place=place) for place in places]
    found = np.concatenate([drops(some) for some in _batches(squares, x, batch_size, "occlusion")])  # (squares, B)
    total = np.zeros((len(x), height, width))
    count = np.zeros((height, width))
    for place, drop in zip(places, found, strict=True):
        total[:, *place] += drop[:, None, None]
        count[place] += 1
    mean = (total / count).reshape(len(x), *[1] * (x.ndim - 4), height, width)
    return np.broadcast_to(mean, x.shape[:-1]).astype("float32")


def _without_square(x, place):
    """Pictures (B, [T,] H, W, 3) with a square in their mean colour."""
    colour = np.rint(x.mean(axis=tuple(range(1, x.ndim - 1)), keepdims=True)).astype(x.dtype)
    hidden = x.copy()
    hidden[..., *place, :] = colour
    return hidden


def _without_joint(x, joint: int):
    """Keypoints (B, T, J, 2) with one joint at the frame's mean joint."""
    hidden = x.copy()
    hidden[..., joint, :] = x.mean(axis=-2)
    return hidden


def _starts(length: int, side: int) -> list[int]:
    return sorted({*range(0, length - side, max(1, side // 2)), length - side})


def _gradients(copy, inputs: dict, score, source: str) -> np.ndarray:
    """Of a score with respect to an input of a `differentiable` network."""
    _check(copy, inputs, source)
    tensors = input_tensors(copy, inputs)
    place = [x.name for x in copy.inputs].index(source)

    def total(x):
        return ops.sum(score(copy([*tensors[:place], x, *tensors[place + 1 :]], training=False)))

    return ops.convert_to_numpy(gradient_of(total, tensors[place])).astype("float32")


def _batches(parts, x, batch_size: int | None, name: str):
    """Slices of `parts`, each of which changes all of `x` (B, …): those that fit into one batch; with a bar."""
    if batch_size is not None and batch_size < 1:
        raise UserError(f"batch_size must be 1 or more, got {batch_size}")
    size = np.prod(x.shape[1:-1])
    together = max(1, (batch_size or min(LARGEST_BATCH, int(PIXELS // size))) // len(x))
    with tqdm(total=len(parts), desc=name, leave=False, disable=None, dynamic_ncols=True) as bar:
        for start in range(0, len(parts), together):
            some = parts[start : start + together]
            yield some
            bar.update(len(some))


def _repeated(inputs: dict, source: str, values) -> dict:
    """Inputs (B, …) as often as `values` (K B, …) has them, with these in place of the source."""
    times = len(values) // len(inputs[source])
    return {name: values if name == source else np.concatenate([array] * times) for name, array in inputs.items()}


def _each(score, count: int):
    """A score of (count, …) answers for (K count, …) of them."""

    def scores(outputs):
        total = len(next(iter(outputs.values())))
        parts = range(0, total, count)
        found = [score({name: x[start : start + count] for name, x in outputs.items()}) for start in parts]
        return ops.concatenate(found)

    return scores


def _check(model, inputs: dict, source: str):
    explained = [x.name for x in model.inputs if _is_picture(x) or x.dtype == "float32"]
    if source not in explained:
        raise UserError(f"source must be an input that can be explained: {', '.join(explained)}; got {source!r}")


def _input(model, name: str):
    return next(x for x in model.inputs if x.name == name)


METHODS = {
    "saliency": saliency,
    "guided_backprop": guided_backprop,
    "deconvnet": deconvnet,
    "integrated_gradients": integrated_gradients,
    "occlusion": occlusion,
}
