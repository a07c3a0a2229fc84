"""The embedding of a trained network as the input of another: any run of the zoo gives features to cluster."""

import keras
from keras import layers, ops

from kzoo import UserError
from kzoo.nn import feature_maps


def trunk(network: keras.Model, output: str) -> keras.Model:
    """What a network makes of its input before it answers, frozen: the model "embedding".

    Args:
        network: of any architecture, built in float32; output: name of the output that it is scored by.
    Returns:
        model with the network's inputs and one output, (B, d) float32, see `embedding`.
    """
    network = keras.Model(network.inputs, embedding(network, output), name="embedding")
    network.trainable = False
    return network


def embedded(network: keras.Model) -> tuple:
    """A frozen network within another.

    Args:
        network: of `trunk`.
    Returns:
        the inputs, named as those of the network, one keras tensor or a list; the embedding, (B, d) float32.
    """
    if not isinstance(network, keras.Model):
        raise ValueError(f"features must be a network, see embeddings.trunk, got {network!r}")
    inputs = [keras.Input(x.shape[1:], dtype=x.dtype, name=x.name) for x in network.inputs]
    found = network(inputs, training=False)  # no dropout, BatchNorm's moving averages
    return (inputs[0] if len(inputs) == 1 else inputs), found


def embedding(model: keras.Model, output: str):
    """The tensor of a network that stands for the whole of its input.

    Of networks that read one picture, the last of their smallest maps on the way to an output, averaged over its cells:
    the end of the encoder. Of others, clips or joints, what the last layer with a kernel reads, averaged over time.

    Args:
        model: functional; output: name of the output.
    Returns:
        (B, d) float32 keras tensor.
    """
    if [x.name for x in model.inputs] == ["image"]:
        try:
            x = feature_maps.feature_maps(model, output)[-1]
        except UserError:  # a network within the network
            x = _read_by_the_last_kernel(model, output)
    else:
        x = _read_by_the_last_kernel(model, output)
    axes = tuple(range(1, len(x.shape) - 1))
    return layers.Identity(dtype="float32", name="embedded")(ops.mean(ops.cast(x, "float32"), axis=axes) if axes else x)


def _read_by_the_last_kernel(model, output: str):
    tensor = dict(zip(model.output_names, model.outputs, strict=True))[output]
    operations = keras.Model(model.inputs, tensor).operations  # ordered by depth
    last = [operation for operation in operations if hasattr(operation, "kernel")]
    if not last:
        raise UserError(f"{model.name} has no layer with a kernel of its own, whose input could be clustered")
    return last[-1].input
