"""PoseNet: a camera's position and quaternion regressed from one picture (Kendall, Grimes and Cipolla, ICCV 2015).

GoogLeNet without its classifiers, a dense layer of 2048, two heads; for training the same two heads on both auxiliary
branches (§3.2). Differs from the paper: batch normalisation and no weights of Places (`kzoo.nn.googlenet`; norm="none"
is the paper's); the position is regressed in units of `spread` from `centre`, because metres far from 0 learn slowly;
the quaternion starts near the identity, and it is normalised in the network, the paper's at test time. An encoder of
the zoo can take GoogLeNet's place, then without auxiliary heads.
Measured on 2 CPU cores (x86-64, AVX-512), seed 0, float32:
    python train.py --task=loc --arch=posenet
    room, val median 0.328 m (0.325 to 0.333 over seeds 0, 1, 2), 5.2 degrees (5.1 to 5.4), encoder small, 96x128 px,
    10 epochs; mean pose 0.921 m and 61.7 degrees, retrieval 0.471 m and 9.6 degrees; 4.2 CPU-min
"""

import keras
from keras import layers, ops

from kzoo.nn.camera_heads import quaternion_pose, regressor
from kzoo.nn.encoders import encode
from kzoo.nn.googlenet import googlenet, scaled_filters
from kzoo.nn.layers import conv_norm_relu, named, pooling


def posenet(
    input_shape: tuple[int, int, int],
    num_outputs: int,
    *,
    encoder: str = "googlenet",
    encoder_weights: str = "none",
    init: str = "he_normal",
    norm: str = "batch",
    scaling: dict | None = None,
    width: float = 1.0,
    features: int = 2048,
    dropout: float = 0.5,
    aux_dropout: float = 0.7,
    pool: str = "average",
    centre: tuple[float, float, float] = (0.0, 0.0, 0.0),
    spread: float = 1.0,
) -> keras.Model:
    """Build the network.

    Args:
        input_shape: (H, W, 3) of a uint8 RGB picture.
        num_outputs: not used, a pose has 7 numbers.
        encoder: "googlenet", with auxiliary heads, or a key of `kzoo.nn.encoders.ENCODERS`, without.
        encoder_weights, init, norm, scaling: see `kzoo.nn.encoders.encode`; googlenet has no weights to load.
        width: factor of googlenet's filters and of its auxiliary heads' features.
        features, dropout: units and rate of the dense layer before the heads.
        aux_dropout: rate in the auxiliary heads.
        pool: what becomes of the last map: "average" over its cells, or "flatten", which keeps where features are.
        centre, spread: of the training set's positions, mean (3 numbers) and standard deviation in metres.
    Returns:
        model with input "image" and outputs {"position": (B, 3) float32 metres, "rotation": (B, 4) float32 unit
        quaternion w, x, y, z with w >= 0, camera to world; with googlenet "aux_pose": (B, 2, 7), both of each auxiliary
        head, for training}.
    Raises:
        ValueError: unknown `pool`, weights for googlenet, or `centre` or `spread` of another shape.
    """
    if len(input_shape) != 3:
        raise ValueError(f"input_shape must be (H, W, 3): it knows no windows, got {input_shape}")

    # The trunk, with auxiliary heads where it is GoogLeNet.
    place = {"centre": centre, "spread": spread}
    image = keras.Input(input_shape, dtype="uint8", name="image")
    outputs = {}
    if encoder == "googlenet":
        if encoder_weights != "none":
            raise ValueError(f"encoder_weights of googlenet must be none, got {encoder_weights!r}")
        maps = googlenet(image, width=width, init=init, norm=norm, scaling=scaling)
        heads = []
        for number, tap in enumerate(("4a", "4d"), start=1):
            head = _auxiliary_pose(maps[tap], width, aux_dropout, init=init, norm=norm, name=f"aux{number}", **place)
            heads.append(head)
        outputs["aux_pose"] = ops.stack(heads, axis=1)  # 2 x (B, 7) -> (B, 2, 7)
        x = maps["5b"]
    else:
        x = encode(image, encoder, encoder_weights, init=init, norm=norm, scaling=scaling)[-1]

    # The heads.
    x = regressor(pooling(pool)(x), features, dropout, init=init)
    position, rotation = quaternion_pose(x, **place)
    outputs = {"position": position, "rotation": rotation, **outputs}
    return keras.Model(image, named(outputs), name="posenet")


def _auxiliary_pose(x, width: float, dropout: float, *, init: str, norm: str, centre, spread: float, name: str):
    """GoogLeNet's auxiliary branch (Szegedy et al. 2015, §5) with PoseNet's heads: (B, h, w, K) -> (B, 7)."""
    window = tuple(min(5, side) for side in x.shape[1:3])
    x = layers.AveragePooling2D(window, strides=3, name=f"{name}_pool")(x)
    x = conv_norm_relu(x, scaled_filters(128, width), 1, init=init, norm=norm, name=name)
    x = layers.Flatten(name=f"{name}_flatten")(x)
    x = regressor(x, scaled_filters(1024, width), dropout, init=init, name=f"{name}_regressor")
    return ops.concatenate(quaternion_pose(x, centre=centre, spread=spread, name=name), axis=-1)
