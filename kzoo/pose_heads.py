"""From features to a camera's pose: what the networks of localisation share.

Positions are regressed in units of `spread` from `centre`: a dense layer starts near 0 and moves by steps of the learning rate, however
many metres away the scene lies.
"""

import keras
import numpy as np
from keras import layers, ops

from kzoo import rotations
from kzoo.layers import LearnedWeights

POOLS = {"average": layers.GlobalAveragePooling2D, "flatten": layers.Flatten}
TERMS = ("trans_abs", "rot_abs", "trans_rel", "rot_rel")  # of the loss, in the order of their learned weights


def pooling(pool: str) -> keras.Layer:
    """The layer that makes a vector of maps, (B, h, w, K) -> (B, K) or (B, h w K) float32: key of POOLS.

    Raises:
        ValueError: unknown `pool`.
    """
    if pool not in POOLS:
        raise ValueError(f"pool must be one of {', '.join(POOLS)}, got {pool!r}")
    return POOLS[pool](dtype="float32", name="pool")


def regressor(x, features: int, dropout: float, *, init: str, name: str = "regressor"):
    """Dense layer, ReLU, dropout: (..., K) -> (..., features)."""
    x = layers.Dense(features, activation="relu", kernel_initializer=init, name=name)(x)
    return layers.Dropout(dropout, name=f"{name}_dropout")(x)


def position_head(x, centre, spread: float, *, init, name: str = "position"):
    """Dense layer in units of `spread` from `centre`: (..., K) -> (..., 3) float32 metres.

    Raises:
        ValueError: `centre` is not 3 numbers, or `spread` not above 0.
    """
    if np.shape(centre) != (3,) or np.ndim(spread) or not spread > 0:
        raise ValueError(f"centre must be 3 numbers and spread a number above 0, in metres, got {centre!r} and {spread!r}")
    x = layers.Dense(3, kernel_initializer=init, dtype="float32", name=f"{name}_dense")(x)
    offset = [float(metres) for metres in centre]
    return layers.Rescaling(float(spread), offset=offset, dtype="float32", name=f"{name}_metres")(x)


def quaternion_pose(x, *, centre, spread: float, name: str = "pose"):
    """PoseNet's two heads: position, and four numbers that are normalised to a rotation (Kendall et al. 2015, §3.1).

    Dense kernels start from N(0, 0.01), the four numbers at (1, 0, 0, 0): near 0 they would turn by any angle at each step.

    Args:
        x: (B, K); centre, spread: see `position_head`.
    Returns:
        (B, 3) float32 metres, (B, 4) float32 unit quaternion w, x, y, z with w >= 0.
    """
    narrow = keras.initializers.RandomNormal(stddev=0.01)
    identity = keras.layers.Dense(
        4, kernel_initializer=narrow.clone(), bias_initializer=_FirstIsOne(), dtype="float32", name=f"{name}_rotation_dense"
    )
    return position_head(x, centre, spread, init=narrow, name=f"{name}_position"), rotations.positive(rotations.normalise(identity(x)))
