"""The served network: pictures as the user has them in, answers as the user wants them out, by `keras.ops` alone.

What `kzoo.predict` does around a network stands here inside of one: the picture's way to the network's input
(`image_io.to_input`), the decoder of the answers, and their way back to the picture.
"""

import functools

import keras
import numpy as np
from keras import layers, ops

from kzoo.nn import decoding
from kzoo.nn.layers import named
from kzoo.tasks import Task

LARGEST_SHRINK = 10  # powers of 2 that a picture is shrunk by at most before it is fitted
SIDE = 1e-4  # cells: a pixel halfway between two cells takes the second one, however its place was rounded


def _placed(size, shape: tuple[int, int]) -> list[tuple]:
    """Where a letterboxed picture lies, see `augment.fit_matrix` and `image_io.to_input`.

    Args:
        size: height and width of the picture, scalars that need not be known before the network runs; shape: of the
        network's input.
    Returns:
        for rows and columns: pixels of the shrunk picture, those for each pixel of the input, and where in the shrunk
        picture, in its pixels, the input begins; float32 scalars.
    """
    steps = [ops.cast(sum(ops.cast(4 * n >= 5 * side * 2**k, "int32") for k in range(1, LARGEST_SHRINK + 1)), "float32")
             for n, side in zip(size, shape, strict=True)]  # fmt: skip
    factor = ops.power(2.0, ops.maximum(*steps))
    shrunk = [ops.ceil(ops.cast(n, "float32") / factor) for n in size]
    scale = ops.maximum(*(n / side for n, side in zip(shrunk, shape, strict=True)))
    return [(n, scale, 0.5 * (n - scale * side)) for n, side in zip(shrunk, shape, strict=True)]


def _weights(count, side: int, shrunk, scale, start):
    """(side, count) float32: what each pixel of a picture's axis counts in each of the input's.

    Bilinear in the shrunk picture, whose pixels are means over areas of the picture, black outside.
    """
    positions = scale * np.arange(0.5, side, dtype="float32") + start - 0.5
    pixels, cells = (ops.cast(ops.arange(ops.cast(n, "int32")), "float32") for n in (count, shrunk))
    bilinear = ops.relu(1.0 - ops.abs(positions[:, None] - cells))  # (side, shrunk)
    area = ops.cast(count, "float32") / shrunk
    left = area * cells[:, None]
    overlap = ops.relu(ops.minimum(left + area, pixels + 1.0) - ops.maximum(left, pixels)) / area  # (shrunk, count)
    return ops.matmul(bilinear, overlap)


def letterbox(pictures, shape: tuple[int, int]):
    """Pictures of any size as `image_io.to_input` brings them to a network, to one grey level.

    Equal but for roundings where the picture is not shrunk by a power of 2 first, that is, where no side is 2.5 times
    the input's or more; the difference is the rounding of the shrunk picture. (OpenCV before version 5 places its
    samples to 1/32 pixel.)

    Args:
        pictures: (B, H, W, 3) or (B, T, H, W, 3) uint8; shape: (height, width) of the network's input.
    Returns:
        (B, [T,] height, width, 3) uint8.
    """
    *lead, height, width, channels = ops.shape(pictures)
    rows, columns = (
        _weights(n, side, *place)
        for n, side, place in zip((height, width), shape, _placed((height, width), shape), strict=True)
    )
    x = ops.reshape(ops.cast(pictures, "float32"), (-1, height, width * channels))
    x = ops.reshape(ops.matmul(rows, x), (-1, shape[0], width, channels))  # (B T, height, W, 3)
    x = ops.matmul(columns, x)  # (B T, height, width, 3)
    return ops.reshape(ops.cast(ops.clip(ops.round(x), 0.0, 255.0), "uint8"), (-1, *lead[1:], *shape, channels))


def coords_in_picture(coords, pictures, shape: tuple[int, int]):
    """Fractions (B, J, 2) of the network's input -> fractions of the picture that was letterboxed to it."""
    size = ops.shape(pictures)[-3:-1]
    moved = [(coords[..., axis] * side * scale + start) / n
             for axis, side, (n, scale, start) in zip((1, 0), shape, _placed(size, shape), strict=True)]  # fmt: skip
    return ops.stack(moved[::-1], axis=-1)


def classes_in_picture(classes, pictures, shape: tuple[int, int]):
    """Classes (B, h, w) uint8 of the network's input -> (B, H, W) of the picture that was letterboxed to it, by the
    nearest cell."""
    size = ops.shape(pictures)[-3:-1]
    for axis, n, (pixels, scale, start) in zip((1, 2), size, _placed(size, shape), strict=True):
        count, side = classes.shape[axis], shape[axis - 1]
        places = (ops.cast(ops.arange(n), "float32") + 0.5) * (pixels / ops.cast(n, "float32"))
        cells = ops.floor((places - start) / (scale * side) * count + SIDE)
        classes = ops.take(classes, ops.cast(ops.clip(cells, 0, count - 1), "int32"), axis=axis)
    return classes


IN_PICTURE = {"coords": coords_in_picture, "classes": classes_in_picture}  # answers that have a place in the picture


def needed(task: Task, output_names, decoder: str | None) -> tuple[str, ...]:
    """The outputs that answers are made of, of those that a network emits."""
    names = decoding.sources(output_names) or (
        task.main_of(output_names),
        *(name for name in task.evaluator.beside if name in output_names),
    )
    return tuple(name for name in names if name != decoding.OWN or decoder in (None, decoding.OWN))


def takes_any_size(network: keras.Model) -> bool:
    """Whether a network's input can be made of pictures of any size: of pictures or frames, and of nothing beside
    them."""
    return [tensor.name for tensor in network.inputs] in (["image"], ["frames"])


def served(
    network: keras.Model, task: Task, decoder: str | None = None, *, any_size: bool = True, raw=()
) -> keras.Model:
    """A network with pre- and post-processing inside, sharing its weights.

    Args:
        network: of one of the task's architectures, built in float32.
        decoder: of `predictors.decoders_of`; None for tasks without.
        any_size: pictures of every H and W instead of the network's alone, see `letterbox`; not for networks of several
        inputs.
        raw: names of the network's outputs that are given too, as they are, as raw_<name>.
    Returns:
        model with the network's inputs, (B, H, W, 3) or (B, T, H, W, 3) uint8 where `any_size` is used, and as outputs
        the answers of the task's `answers.graph`: {"coords": (B, J, 2) float32 [, "score": (B, J)]}, {"classes":
        (B, H, W) uint8}, {"joints": (B, T, J, 3)}, {"position": (B, 3), "rotation": (B, 4) [, "classes"]} or
        {"cluster": (B,) int32, "assignment": (B, K), "code": (B, d)}.
    """
    names = needed(task, network.output_names, decoder)
    network = keras.Model(network.input, {name: network.output[name] for name in {*names, *raw}}, name=network.name)
    any_size = any_size and takes_any_size(network)

    def fresh(tensor):
        shape = (*tensor.shape[1:-3], None, None, tensor.shape[-1]) if any_size else tensor.shape[1:]
        return keras.Input(shape, dtype=tensor.dtype, name=tensor.name)

    inputs = seen = keras.tree.map_structure(fresh, network.input)
    shape = tuple(network.inputs[0].shape[-3:-1])
    if any_size:
        seen = layers.Lambda(functools.partial(letterbox, shape=shape), dtype="uint8", name="letterbox")(inputs)
    outputs = network(seen)
    answers = task.answers.graph({name: outputs[name] for name in names}, decoder)
    for name in set(IN_PICTURE) & set(answers) if any_size else ():
        back = layers.Lambda(
            lambda found, to=IN_PICTURE[name]: to(*found, shape=shape),
            dtype=answers[name].dtype,
            name=f"{name}_in_picture",
        )
        answers[name] = back([answers[name], inputs])
    return keras.Model(
        inputs, named({**answers, **{f"raw_{name}": outputs[name] for name in raw}}), name=f"served_{network.name}"
    )
