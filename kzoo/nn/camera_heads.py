"""From features to a camera's pose: what the networks of localisation share.

Positions are regressed in units of `spread` from `centre`: a dense layer starts near 0 and moves by steps of the
learning rate, however many metres away the scene lies. All heads start from N(0, 0.01), near `centre` and near no
rotation: with kernels as wide as He's the first answers are turned by several radians, and an angle that has to come
back round the circle may never do so.
"""

import keras
import numpy as np
from keras import layers, ops

from kzoo.nn import rotations
from kzoo.nn.layers import LearnedWeights

TERMS = ("trans_abs", "rot_abs", "trans_rel", "rot_rel")  # order of the learned weights of their losses


def regressor(x, features: int, dropout: float, *, init: str, name: str = "regressor"):
    """Dense layer, ReLU, dropout: (..., K) -> (..., features)."""
    x = layers.Dense(features, activation="relu", kernel_initializer=init, name=name)(x)
    return layers.Dropout(dropout, name=f"{name}_dropout")(x)


def _head(x, units: int, *, name: str):
    kernel = keras.initializers.RandomNormal(stddev=0.01)
    return layers.Dense(units, kernel_initializer=kernel, dtype="float32", name=name)(x)


def position_head(x, centre, spread: float, *, name: str):
    """Dense layer in units of `spread` from `centre`: (..., K) -> (..., 3) float32 metres.

    Raises:
        ValueError: `centre` is not 3 numbers, or `spread` not above 0.
    """
    if np.shape(centre) != (3,) or np.ndim(spread) or not spread > 0:
        raise ValueError(
            f"centre must be 3 numbers and spread a number above 0, in metres, got {centre!r} and {spread!r}"
        )
    x = _head(x, 3, name=f"{name}_dense")
    offset = [float(metres) for metres in centre]
    return layers.Rescaling(float(spread), offset=offset, dtype="float32", name=f"{name}_metres")(x)


def quaternion_pose(x, *, centre, spread: float, name: str = "pose"):
    """PoseNet's two heads: position, and four numbers that are normalised to a rotation (Kendall et al. 2015, §3.1).

    The four numbers start around (1, 0, 0, 0): near 0 a small step would turn them by any angle.

    Args:
        x: (B, K).
        centre, spread: see `position_head`.
        name: before the names of the layers.
    Returns:
        (B, 3) float32 metres, (B, 4) float32 unit quaternion w, x, y, z with w >= 0.
    """
    position = position_head(x, centre, spread, name=f"{name}_position")
    q = _head(x, 4, name=f"{name}_rotation_dense")
    q = layers.Rescaling(1.0, offset=[1.0, 0.0, 0.0, 0.0], dtype="float32", name=f"{name}_rotation_start")(q)
    return position, rotations.positive(rotations.normalise(q))


def log_quaternion_pose(x, *, centre, spread: float, initial_weights) -> dict:
    """MapNet's two heads, position and logarithm of the rotation, with the learned weights of the loss.

    Args:
        x: (B, K) or (B, T, K).
        centre, spread: see `position_head`.
        initial_weights: four numbers, where the learned weights of TERMS start.
    Returns:
        {"position": (B, [T,] 3) float32 metres, "rotation": (B, [T,] 4) float32 unit quaternion w, x, y, z with w >= 0,
        "pose_terms": (B, [T,] 10) float32: position, logarithm of the rotation as regressed, the four weights}.
    Raises:
        ValueError: not four weights; see `position_head`.

    Reference: Brahmbhatt et al. 2018, §3.2.
    """
    if len(initial_weights) != len(TERMS):
        raise ValueError(
            f"initial_weights must be {len(TERMS)} numbers, of {', '.join(TERMS)}, got {initial_weights!r}"
        )
    position = position_head(x, centre, spread, name="pose_position")
    logarithm = _head(x, 3, name="pose_rotation_dense")
    terms = ops.concatenate([position, logarithm], axis=-1)
    terms = LearnedWeights(initial_weights, name="pose_weights")(terms)
    rotation = rotations.positive(rotations.exp(logarithm))
    return {"position": position, "rotation": rotation, "pose_terms": terms}
