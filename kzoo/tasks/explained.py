"""How the units of an output are named and scored, for `kzoo.explain`: the kinds that tasks choose from.

A scoring function is (name, output, unit, components) -> answers -> ((label, {output: tensor} -> (B,)), …), where
`answers` is {output: (B, …) array} of the pictures that are explained. What must stay the same when the picture is
changed, the pixels of a class for instance, is read from these first answers.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from keras import ops

TINY = 1e-12  # keeps the logarithm of an empty cluster finite


@dataclass(frozen=True)
class Explained:
    """How the units of one output are named and scored."""

    scores: Callable  # see above
    units: str = ""  # what they are, a key of `names`; "" where there are none
    axis: int = -1  # of the output that counts them
    components: str = ""  # one letter each, along the last axis
    optional: bool = False  # the unit may be left out


def numbers(components: str, units: str = "") -> Explained:
    """An output of numbers, (B, [T,] [units,] components)."""
    return Explained(functools.partial(_numbers, components), units, axis=-2, components=components)


def _weighted(name, output, unit, weights) -> tuple:
    """The sum of one unit's map (B, h, w) under constant weights of this shape."""
    weights = np.asarray(weights, "float32")
    return ((name, lambda outputs: ops.sum(outputs[output][..., unit] * ops.convert_to_tensor(weights), axis=(1, 2))),)


def peak(name, output, unit, components):
    """The map's value, a logit where it has no activation, at the cell where it is highest."""

    def scores(answers):
        maps = np.asarray(answers[output])[..., unit]
        flat = maps.reshape(len(maps), -1)
        return _weighted(name, output, unit, np.eye(flat.shape[1])[flat.argmax(axis=1)].reshape(maps.shape))

    return scores


def pixels(name, output, unit, components):
    """The class's mean logit over the pixels that are given to it; over all of them where none is."""

    def scores(answers):
        chosen = np.asarray(answers[output]).argmax(axis=-1) == unit
        chosen |= ~chosen.any(axis=(1, 2), keepdims=True)
        return _weighted(name, output, unit, chosen / chosen.sum(axis=(1, 2), keepdims=True))

    return scores


def cluster(name, output, unit, components):
    """log q of a cluster; of the one that is most likely in each picture where none is named."""

    def scores(answers):
        shares = np.asarray(answers[output])
        clusters = shares.argmax(axis=-1) if unit is None else np.full(len(shares), unit)
        chosen = np.eye(shares.shape[-1], dtype="float32")[clusters]

        def score(outputs):
            return ops.log(ops.sum(outputs[output] * ops.convert_to_tensor(chosen), axis=-1) + TINY)

        return ((name, score),)

    return scores


def _numbers(all_of_them, name, output, unit, components):
    """One component as it is; of several both directions of each. Of clips those of the middle frame."""

    def value(outputs, component):
        x = outputs[output]
        if len(x.shape) > 2 + (unit is not None):
            x = x[:, x.shape[1] // 2]
        return (x if unit is None else x[:, unit])[:, all_of_them.index(component)]

    def both_directions(component):
        yield f"{name}, +{component}", lambda outputs: value(outputs, component)
        yield f"{name}, -{component}", lambda outputs: -value(outputs, component)

    def scores(answers):
        if len(components) == 1:
            return ((name, lambda outputs: value(outputs, components)),)
        return tuple(direction for component in components for direction in both_directions(component))

    return scores
