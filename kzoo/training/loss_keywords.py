"""Keywords of losses that users give: of a kind that the loss can compute with, before it is compiled."""

import inspect
import math
from numbers import Real

import keras

from kzoo import UserError

ABOVE_ZERO = ("sigma", "radius")  # widths, that something is divided by


def check(loss: keras.losses.Loss, options: dict, num_outputs: int):
    """Raises UserError where one of `options` is none of the loss's, or has another kind than its default."""
    parameters = inspect.signature(type(loss).__init__).parameters.values()
    own = [p for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD and p.name not in ("self", "name")]
    defaults = {p.name: p.default for p in own}
    for name, value in options.items():
        if name not in defaults:
            raise UserError(f"--loss_set: {loss.name} has no keyword {name!r}; allowed: {', '.join(defaults)}")
        if name == "class_weights":
            numbers = value.tolist() if hasattr(value, "tolist") else value
            if not isinstance(numbers, list | tuple) or len(numbers) != num_outputs or not all(map(is_number, numbers)):
                raise UserError(f"--loss_set=class_weights={value!r} must be {num_outputs} numbers of 0 or more")
        elif isinstance(defaults[name], bool):
            if not isinstance(value, bool):
                raise UserError(f"--loss_set={name}={value!r} must be True or False")
        elif isinstance(defaults[name], int | float):
            if not is_number(value) or (name in ABOVE_ZERO and not value):
                bound = "above 0" if name in ABOVE_ZERO else "of 0 or more"
                raise UserError(f"--loss_set={name}={value!r} must be a number {bound}")


def is_number(value) -> bool:
    """Finite, and 0 or more."""
    return isinstance(value, Real) and not isinstance(value, bool) and 0 <= value < math.inf
