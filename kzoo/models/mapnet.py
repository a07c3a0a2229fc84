"""MapNet: poses of the frames of a window, learned with the motion between them (Brahmbhatt et al., CVPR 2018).

Every frame by itself: ResNet-34, global average pooling, a dense layer of 2048, position and logarithm of the
quaternion (§3.2). The frames meet in the loss, `kzoo.losses.loc.PoseLoss`, whose weights are learned here, from 0 for
positions and from -3 for rotations. Differs from the paper: the position is regressed in units of `spread` from
`centre`, because metres far from 0 learn slowly; heads start from N(0, 0.01), see `kzoo.nn.camera_heads`, its code's
are Kaiming's. One picture instead of a window leaves the two relative terms out.
Measured on 2 CPU cores (x86-64, AVX-512), seed 0, float32:
    python train.py --task=loc --arch=mapnet
    room/windows, val median 0.421 m, 7.7 degrees, encoder small, 96x128 px, 8 epochs; mean pose 0.921 m and 61.7
    degrees, retrieval 0.471 m and 9.6 degrees; 7.5 CPU-min
"""

import keras

from kzoo.nn.camera_heads import log_quaternion_pose, regressor
from kzoo.nn.encoders import encode
from kzoo.nn.layers import named, per_frame, pooling


def mapnet(
    input_shape: tuple[int, ...],
    num_outputs: int,
    *,
    encoder: str = "resnet34",
    encoder_weights: str = "none",
    init: str = "he_normal",
    norm: str = "batch",
    scaling: dict | None = None,
    features: int = 2048,
    dropout: float = 0.5,
    pool: str = "average",
    centre: tuple[float, float, float] = (0.0, 0.0, 0.0),
    spread: float = 1.0,
    initial_weights: tuple[float, float, float, float] = (0.0, -3.0, 0.0, -3.0),
) -> keras.Model:
    """Build the network.

    Args:
        input_shape: (T, H, W, 3) of a window of uint8 RGB frames, or (H, W, 3) of one picture; H and W multiples of 32.
        num_outputs: not used, a pose has 7 numbers.
        encoder, encoder_weights, init, norm, scaling: see `kzoo.nn.encoders.encode`.
        features, dropout: units and rate of the dense layer before the heads.
        pool: what becomes of the encoder's last map: "average" over its cells, or "flatten", which keeps where features
            are.
        centre, spread: of the training set's positions, mean (3 numbers) and standard deviation in metres.
        initial_weights: where the learned weights of the loss start: trans_abs, rot_abs, trans_rel, rot_rel.
    Returns:
        model with input "frames", or "image" where there is one picture, and outputs {"position": (B, [T,] 3) float32
        metres, "rotation": (B, [T,] 4) float32 unit quaternion w, x, y, z with w >= 0, camera to world; for training
        "pose_terms": (B, [T,] 10), position, logarithm of the quaternion, the four learned weights}.
    Raises:
        ValueError: unknown `pool`, not four weights, or `centre` or `spread` of another shape.
    """
    gather = pooling(pool)

    def vector(pictures):
        return gather(encode(pictures, encoder, encoder_weights, init=init, norm=norm, scaling=scaling)[-1])

    window = len(input_shape) == 4
    inputs = keras.Input(input_shape, dtype="uint8", name="frames" if window else "image")
    x = per_frame(vector, inputs) if window else vector(inputs)  # (B, [T,] K)
    x = regressor(x, features, dropout, init=init)
    outputs = log_quaternion_pose(x, centre=centre, spread=spread, initial_weights=initial_weights)
    return keras.Model(inputs, named(outputs), name="mapnet")
