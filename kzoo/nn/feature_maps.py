"""The maps inside a functional network: layers 1 to 4 of an encoder, single layers, inputs and outputs by name."""

import keras
from keras import activations, layers, ops

from kzoo import UserError, cli

STRIDES = (4, 8, 16, 32)  # of the layers 1 to 4 of an encoder


def feature_maps(model: keras.Model, output: str = "position") -> list:
    """Layers 1 to 4 of an encoder: of the maps at strides 4, 8, 16, 32 on the way to an output, the last ones.

    Args:
        model: functional, its input (H, W, 3) or (T, H, W, 3).
        output: name of the output, "logits" for a decoder's maps for example.
    Returns:
        up to four keras tensors, for `attention_maps`.
    Raises:
        UserError: no such output, no pictures, or no such maps, as those of a network within the network cannot be
        reached.
    """
    outputs = outputs_by_name(model)
    if output not in outputs:
        raise UserError(
            f"the network has no output {output!r}; allowed: {', '.join(outputs)}{cli.meant(output, outputs)}"
        )
    picture = next((x.shape[-3:-1] for x in model.inputs if len(x.shape) >= 4 and x.shape[-1] == 3), None)
    if picture is None:
        names = ", ".join(x.name for x in model.inputs)
        raise UserError(f"{model.name} has no maps: it reads no pictures, but {names}")

    height, width = picture
    strides = {(-(-height // stride), -(-width // stride)): stride for stride in STRIDES}  # {size of a map: its stride}
    last = {}
    for operation in keras.Model(model.inputs, outputs[output]).operations:  # ordered by depth
        if isinstance(operation, keras.Model) or not is_map(operation.output):
            continue
        size = operation.output.shape[1:3]
        if size in strides:
            last[strides[size]] = operation.output
    if not last:
        raise UserError(
            f"{model.name} has no maps at strides 4 to 32 of its own: they are inside a network within the network"
        )
    return [last[stride] for stride in STRIDES if stride in last]


def outputs_by_name(model) -> dict:
    """{name: keras tensor} of a network's outputs."""
    return dict(zip(model.output_names, model.outputs, strict=True))


def input_tensors(model, arrays: dict) -> list:
    """The tensors of a network's inputs, in its order, of {name: array}; UserError where one is missing."""
    missing = [x.name for x in model.inputs if x.name not in arrays]
    if missing:
        raise UserError(
            f"{model.name} also reads {', '.join(missing)}: images must be a dict of all its inputs, "
            f"got {', '.join(arrays)}"
        )
    return [ops.convert_to_tensor(arrays[x.name], x.dtype) for x in model.inputs]


def tap(model, layer):
    """The keras tensor of a layer, by name or itself."""
    tensor = layer
    if isinstance(layer, str):
        maps = [x.name for x in model.layers if not isinstance(x, keras.Model) and is_map(x.output)]
        if layer not in maps:
            raise UserError(
                f"no layer {layer!r} with maps (B, h, w, K) in {model.name}; allowed: {', '.join(maps)}"
                f"{cli.meant(layer, maps)}"
            )
        tensor = model.get_layer(layer).output
    if not is_map(tensor):
        raise UserError(f"attention needs maps (B, h, w, K), got {getattr(tensor, 'shape', tensor)}")
    return tensor


SATURATING = (  # activations that rise to a value and stay there: above, all units are equal
    *(activations.relu6, activations.sigmoid, activations.hard_sigmoid, activations.tanh, activations.hard_tanh),
    *(activations.softsign,),
)
SATURATING_OPERATIONS = ("Relu6", "Clip", "Sigmoid", "HardSigmoid", "Tanh", "HardTanh", "Softsign")
PASSING = (
    layers.Identity,
    layers.Dropout,
    layers.SpatialDropout2D,
    layers.MaxPooling2D,
)  # the highest stays the highest


def operation_of(model, x):
    """The operation of a model that gives a keras tensor.

    Raises:
        UserError: none of its own does.
    """
    for operation in model.operations:
        if any(output is x for output in keras.tree.flatten(operation.output)):
            return operation
    raise UserError(f"{model.name} has no layer of its own that gives {getattr(x, 'name', x)}")


def before_saturation(model, x):
    """What an activation with a ceiling reads, where a keras tensor of a model is its answer; else the tensor itself.

    Units that are told apart by it are those that the activation has in the same order, but for its ties.
    """
    operation = operation_of(model, x)
    if isinstance(operation, PASSING):
        read = before_saturation(model, operation.input)
        return x if read is operation.input else _again(operation)(read)
    if type(operation) is layers.ReLU and operation.max_value is not None and not operation.negative_slope:
        return operation.input
    if type(operation).__name__ in SATURATING_OPERATIONS:
        return operation.input
    if getattr(operation, "activation", None) not in SATURATING:
        return x
    if type(operation) is layers.Activation:
        return operation.input
    if not hasattr(operation, "kernel"):  # recurrent: its activation is inside
        return x
    linear = _again(operation, activation="linear")
    read = linear(operation.input)
    linear.set_weights(operation.get_weights())
    return read


def _again(layer, **changed):
    """A layer like another, under a name of its own: both may stand in one network."""
    return type(layer).from_config({**layer.get_config(), "name": f"{layer.name}_unsaturated", **changed})


def is_map(x) -> bool:
    return isinstance(x, keras.KerasTensor) and len(x.shape) == 4
