"""3-D pose from the joints of a clip: dilated convolutions over time (Pavllo et al., 3D Human Pose Estimation in Video,
CVPR 2019).

The paper's network (§3, fig. 2): a convolution, then residual blocks of a dilated and a 1x1 convolution, without
padding inside, so that the residual is the middle of a block's input. Clips are padded by repeating their ends, as the
paper pads sequences, and every frame gets an answer. Differs from the paper: its widths (3, 3, 3, 3, 3) see 243 frames;
the default here sees 9, for in clips of 8 frames all beyond that is repeated ends. The momentum of batch normalisation
stays at the paper's first value (its beta of 0.1) instead of rising; He's initialiser; no trajectory of the root, no
semi-supervised training. Measured on 2 CPU cores (x86-64, AVX-512), seed 0, float32:
    python train.py --task=pose3d --arch=temporal
    people/clips, from the true 2-D joints, val MPJPE 41.5 mm (mean pose: 244.2), PA-MPJPE 31.9 mm, 256 channels, no
    flip; 1.0 CPU-min
"""

import math

import keras
import numpy as np
from keras import layers, ops

from kzoo.nn.layers import BATCH_NORM_MOMENTUM
from kzoo.nn.lifting import near_hip, observed_keypoints, root_relative


def temporal(
    input_shape: tuple[int, int, int, int],
    num_outputs: int,
    *,
    widths: tuple[int, ...] = (3, 3),
    channels: int = 1024,
    dropout: float = 0.25,
    causal: bool = False,
    pose_run: keras.Model | None = None,
) -> keras.Model:
    """Build the network.

    Args:
        input_shape: (T, H, W, 3) of the clips.
        num_outputs: J joints.
        widths: frames of the first convolution and of each block's, odd; their product is the receptive field in
        frames.
        channels: of every convolution but the last.
        dropout: rate after each of them.
        causal: a frame's answer depends on itself and earlier frames only, for live video.
        pose_run: network that finds the joints in the frames, see `lifting.pose_network`; None where they are given. As
            a flag, `--set=pose_run=<folder of a run of --task=pose>`.
    Returns:
        model with input "keypoints_2d" (B, T, J, 2) float32, fractions of the frame, or with `pose_run` "frames" (B, T,
        H, W, 3) uint8, and output {"joints": (B, T, J, 3) float32 metres, relative to joint 0, camera coordinates}.
    Raises:
        ValueError: no widths, or even ones.
    """
    if not widths or any(width < 1 or width % 2 == 0 for width in widths):
        raise ValueError(f"widths must be one or more odd numbers of frames, got {widths!r}")
    inputs, keypoints = observed_keypoints(input_shape, num_outputs, pose_run)
    x = layers.Reshape((input_shape[0], 2 * num_outputs), dtype="float32", name="coordinates")(keypoints)
    context = math.prod(widths) - 1
    x = _repeat_ends(x, *((context, 0) if causal else (context // 2, context // 2)))
    # float32: bfloat16 has 8 bits for a place in the frame.
    x = _convolution(x, channels, widths[0], dropout=dropout, dtype="float32", name="expand")
    for block, width in enumerate(widths[1:], start=1):
        dilation = math.prod(widths[:block])
        y = _convolution(x, channels, width, dilation=dilation, dropout=dropout, name=f"block{block}_a")
        y = _convolution(y, channels, 1, dropout=dropout, name=f"block{block}_b")
        lost = (width - 1) * dilation
        first = lost if causal else lost // 2
        x = layers.Add(name=f"block{block}")([x[:, first : first + y.shape[1]], y])
    x = layers.Conv1D(3 * num_outputs, 1, kernel_initializer=near_hip(), dtype="float32", name="shrink")(x)
    return keras.Model(inputs, root_relative(x, num_outputs), name="temporal")


def _repeat_ends(x, before: int, after: int):
    """(B, T, K) -> (B, before + T + after, K), the first and the last frame repeated."""
    return ops.take(x, np.clip(np.arange(-before, x.shape[1] + after), 0, x.shape[1] - 1).tolist(), axis=1)


def _convolution(x, channels: int, width: int, *, dilation: int = 1, dropout: float, dtype=None, name: str):
    """Convolution over time without padding, batch normalisation, ReLU, dropout: (B, T, K) -> (B, T - (width - 1)
    dilation, channels)."""
    x = layers.Conv1D(
        channels,
        width,
        dilation_rate=dilation,
        use_bias=False,
        kernel_initializer="he_normal",
        dtype=dtype,
        name=f"{name}_conv",
    )(x)
    x = layers.BatchNormalization(momentum=BATCH_NORM_MOMENTUM, name=f"{name}_bn")(x)
    return layers.Dropout(dropout, name=f"{name}_dropout")(layers.ReLU(name=f"{name}_relu")(x))
