"""What single channels respond to.

The kernels of the first convolution, and the patches of pictures that excite a channel most.

Patches as in Zeiler and Fergus, Visualizing and Understanding Convolutional Networks, ECCV 2014, fig. 2: the nine
pictures with the highest activation of a channel, cut to what the unit there sees, and beside each its deconvnet
projection. That needs max-pooling, whose switches make it one of this picture; in networks without it, guided
backpropagation takes its place, as Springenberg et al. (2015, §4) propose.
"""

import dataclasses
import itertools
from collections.abc import Iterable

import keras
import numpy as np
from keras import ops

from kzoo import UserError
from kzoo.explain import attribution
from kzoo.nn import feature_maps
from kzoo.nn.layers import named

COUNT = 9  # patches of a channel
PROJECTED = "deconvnet; guided backpropagation without max-pooling"
PIXELS = 2**20  # of the pictures whose gradients are taken together


@dataclasses.dataclass(frozen=True)
class Patch:
    """One unit, and what it sees.

    value: its activation, or what an activation with a ceiling reads (ReLU6, sigmoid), by which they are ranked;
    example: number of the picture in the order of the batches; frame: of a clip, else 0; cell: row and column in the
    layer's map; box: top, left, bottom, right, in pixels of the network's input; picture: (h, w, 3) uint8 and
    projection: (h, w, 3) float32 signed, both cut to the box.
    """

    value: float
    example: int
    frame: int
    cell: tuple[int, int]
    box: tuple[int, int, int, int]
    picture: np.ndarray
    projection: np.ndarray

    def told(self) -> dict:
        """All but the pictures, for JSON."""
        return {name: getattr(self, name) for name in ("value", "example", "frame", "cell", "box")}


def excited(model: keras.Model, layer, inputs: dict, count: int = 4) -> list[int]:
    """The active channels of a layer whose highest activation over its cells, mean over pictures, is highest.

    Args:
        layer: keras tensor of maps (B, h, w, K).
        inputs: {name: (B, …)} of all the network's inputs.
    """
    maps = keras.Model(model.inputs, layer)(feature_maps.input_tensors(model, inputs), training=False)
    peaks = ops.convert_to_numpy(maps).max(axis=(1, 2)).mean(axis=0)
    return [int(channel) for channel in np.argsort(-peaks, kind="stable")[:count] if peaks[channel] > 0]


def find(
    model: keras.Model,
    layers: dict,
    channels: dict[str, list[int]],
    batches: Iterable[dict],
    *,
    source: str,
    count: int = COUNT,
):
    """The patches that excite channels most, one from each picture or clip.

    Memory does not grow with the number of pictures.

    Args:
        model: functional.
        layers: {name: keras tensor of maps (B, h, w, K), or (B T, h, w, K) of clips}.
        channels: {name: numbers}.
        batches: of {input: (B, …)}, all the network's inputs.
        source: the one shown, pictures (B, H, W, 3) or clips (B, T, H, W, 3).
    Returns:
        {name: {channel: up to `count` of Patch, the strongest first}}; patches without activation are left out.
    """
    # A network of the wanted channels alone.
    wanted = {name: sorted(set(channels[name])) for name in layers}
    taps = {}
    for number, name in enumerate(wanted):
        taps[number] = ops.take(layers[name], np.array(wanted[name], "int32"), axis=-1)
    features_of = keras.Model(model.inputs, taps)

    # The strongest units of each channel so far, and the examples that they are in.
    best = {}
    for name in wanted:
        best |= {(name, channel): [] for channel in wanted[name]}
    kept = {}
    start = 0
    for inputs in batches:
        size = len(inputs[source])
        answers = features_of.predict_on_batch([inputs[x.name] for x in model.inputs])
        for number, name in enumerate(wanted):
            maps = answers[number].reshape(size, -1, *answers[number].shape[1:])  # (B, T, h, w, channels)
            for place, channel in enumerate(wanted[name]):
                units = best[name, channel]
                units += [_highest(maps[i, ..., place], start + i) for i in range(size)]
                units.sort(key=lambda unit: -unit[0])
                del units[count:]
        for i in range(size):
            kept[start + i] = {key: value[i] for key, value in inputs.items()}
        used = {unit[1] for unit in itertools.chain.from_iterable(best.values())}
        kept = {example: value for example, value in kept.items() if example in used}
        start += size

    # What these units see.
    result = {}
    for name, layer in layers.items():
        units = []
        for channel in wanted[name]:
            units += [(*unit, channel) for unit in best[name, channel] if unit[0] > 0]
        result[name] = {channel: [] for channel in wanted[name]}
        for patch, unit in zip(_patches(model, layer, units, kept, source), units, strict=True):
            result[name][unit[-1]].append(patch)
    return result


def _highest(maps, example: int) -> tuple:
    """(value, example, frame, row, column) of the highest cell of (T, h, w)."""
    at = np.unravel_index(maps.argmax(), maps.shape)
    return (float(maps[at]), example, *map(int, at))


def _patches(model, layer, units: list, examples: dict, source: str) -> list[Patch]:
    """What units of one layer see: the box around the pixels that the unit's gradient depends on.

    It is exact for each picture.

    Args:
        units: (value, example, frame, row, column, channel) of each.
        examples: {example: {input: array}}.
    """
    network = keras.Model(model.inputs, named({"maps": layer}))
    pools = any("MaxPooling" in type(operation).__name__ for operation in network.operations)
    projection = "deconvnet" if pools else "guided_backprop"
    plain, rule = (attribution.differentiable(network, attribution.RELUS[name]) for name in ("saliency", projection))
    result = []
    size = next(x.shape[1:-1] for x in model.inputs if x.name == source)
    together = max(1, PIXELS // np.prod(size))
    for start in range(0, len(units), together):
        some = units[start : start + together]
        inputs = {}
        for x in model.inputs:
            inputs[x.name] = np.stack([examples[unit[1]][x.name] for unit in some])
        # In (T, h, w, K).
        cells = np.array([np.ravel_multi_index(unit[2:], (unit[2] + 1, *layer.shape[1:])) for unit in some])

        def values(outputs, cells=cells):
            flat = ops.reshape(outputs["maps"], (len(cells), -1))
            return ops.take_along_axis(flat, ops.convert_to_tensor(cells[:, None], "int32"), axis=1)[:, 0]

        gradients = attribution.METHODS["saliency"](network, inputs, values, source=source, copy=plain)
        projections = attribution.METHODS[projection](network, inputs, values, source=source, copy=rule)
        for i, (value, example, frame, row, column, _) in enumerate(some):
            at = (i, frame) if inputs[source].ndim == 5 else (i,)
            box = box_of(gradients[at])
            top, left, bottom, right = box
            cut = (slice(top, bottom), slice(left, right))
            shown = (inputs[source][at][cut], projections[at][cut])
            result.append(Patch(value, example, frame, (row, column), box, *shown))
    return result


def box_of(gradient) -> tuple[int, int, int, int]:
    """Top, left, bottom, right of what is not 0 in (H, W, 3), the last two behind it; the whole where all is 0."""
    seen = np.asarray(gradient).any(axis=-1)
    rows, columns = np.flatnonzero(seen.any(axis=1)), np.flatnonzero(seen.any(axis=0))
    if not len(rows):
        return 0, 0, *seen.shape
    return int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1


def first_filters(model: keras.Model) -> tuple[str, np.ndarray, str]:
    """The kernels of the first convolution, networks within the network included.

    Returns:
        the layer's name; (filters, height, width, 3) float32, signed; and how they are to be read, in words. Of three
        input channels that are a linear map of the picture's colours, a kernel is told in these colours: what it makes
        of red, green and blue.
    Raises:
        UserError: the network has no convolution.
    """
    path = _first_convolution(model)
    if not path:
        raise UserError(f"{model.name} has no convolution: no filters to show")
    layer = path[-1]
    # (height, width, channels, filters).
    kernel = np.asarray(ops.convert_to_numpy(getattr(layer, "cell", layer).kernel), "float32")
    if type(layer).__name__ == "DepthwiseConv2D":
        kernel = kernel.reshape(*kernel.shape[:2], 1, -1)
    words = {1: "grey: one input channel", 3: "its three input channels as red, green and blue"}
    how = words.get(kernel.shape[2], f"grey: mean over {kernel.shape[2]} input channels")
    kernel = kernel if kernel.shape[2] == 3 else np.repeat(kernel.mean(axis=2, keepdims=True), 3, axis=2)
    colours = _colours(model, layer) if len(path) == 1 and layer.kernel.shape[2] == 3 else None
    if colours is not None:
        kernel = np.einsum("hwcf,rc->hwrf", kernel, colours)
        how = "in red, green and blue of the picture"
    return layer.name, np.moveaxis(kernel, -1, 0), how


def _first_convolution(model) -> list:
    """The layers on the way to it: networks, the convolution last."""
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            inner = _first_convolution(layer)
            if inner:
                return [layer, *inner]
        kernel = getattr(getattr(layer, "cell", layer), "kernel", None)
        if kernel is not None and len(kernel.shape) == 4:
            return [layer]
    return []


def _colours(model, layer) -> np.ndarray | None:
    """(3, channels): what red, green and blue add to what a layer of the network itself reads.

    None where it reads no picture.
    """
    pictures = [x for x in model.inputs if len(x.shape) >= 4 and x.dtype == "uint8"]
    try:
        read = keras.Model(pictures, layer.input)
    except (ValueError, AttributeError):  # it reads something else too, or is used more than once
        return None
    if len(pictures) != 1 or len(layer.input.shape) != 4:
        return None
    shown = np.zeros((4, *pictures[0].shape[1:]), "uint8")
    for colour in range(3):
        shown[1 + colour, ..., colour] = 255
    values = ops.convert_to_numpy(read([shown], training=False))
    values = values.reshape(4, -1, *values.shape[1:])[:, 0]  # of clips the first frame
    middle = values[:, values.shape[1] // 2, values.shape[2] // 2]
    return (middle[1:] - middle[0]) / 255
