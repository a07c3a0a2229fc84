"""3-D pose from the joints of one picture: a residual network of dense layers (Martinez et al., A Simple yet Effective
Baseline, 2017).

The paper's linear layers (§3, fig. 1) with batch normalisation, ReLU and dropout, in residual blocks of two, with their
maximum norm of 1. Differs from the paper: it standardises every coordinate by the training set's mean and deviation, in
and out. Here joint 0 keeps its place in the frame, in halves of the frame's width from its middle, the other joints are
relative to it in the same unit, and answers are metres: no numbers of a data set are part of the network. The norm is
that of each unit's incoming weights (keras.constraints.MaxNorm along axis 0, as Srivastava et al., JMLR 2014, §5.1
define it). No bias before batch normalisation. Every frame of a clip is lifted by itself. Measured on 2 CPU cores
(x86-64, AVX-512), seed 0, float32:
    python train.py --task=pose3d --arch=lift
    people/clips, from the true 2-D joints, val MPJPE 37.7 mm (mean pose: 244.2), PA-MPJPE 30.0 mm, width 512, no flip;
    1.3 CPU-min
"""

import keras
from keras import layers, ops

from kzoo.nn.layers import BATCH_NORM_MOMENTUM
from kzoo.nn.lifting import near_hip, observed_keypoints, root_relative


def lift(
    input_shape: tuple[int, int, int, int],
    num_outputs: int,
    *,
    width: int = 1024,
    blocks: int = 2,
    dropout: float = 0.5,
    max_norm: float | None = 1.0,
    pose_run: keras.Model | None = None,
) -> keras.Model:
    """Build the network.

    Args:
        input_shape: (T, H, W, 3) of the clips.
        num_outputs: J joints.
        width: units of the linear layers.
        blocks: residual blocks of two linear layers.
        dropout: rate after each of them.
        max_norm: largest norm of a unit's incoming weights; None for no bound.
        pose_run: network that finds the joints in the frames, see `lifting.pose_network`; None where they are given. As
            a flag, `--set=pose_run=<folder of a run of --task=pose>`.
    Returns:
        model with input "keypoints_2d" (B, T, J, 2) float32, fractions of the frame, or with `pose_run` "frames" (B, T,
        H, W, 3) uint8, and output {"joints": (B, T, J, 3) float32 metres, relative to joint 0, camera coordinates}.
    """
    inputs, keypoints = observed_keypoints(input_shape, num_outputs, pose_run)
    x = ops.concatenate([keypoints[:, :, :1], keypoints[:, :, 1:] - keypoints[:, :, :1]], axis=2)
    x = layers.Reshape((input_shape[0], 2 * num_outputs), dtype="float32", name="coordinates")(x)
    options = {"dropout": dropout, "max_norm": max_norm}
    x = _linear(
        x, width, dtype="float32", name="expand", **options
    )  # float32: bfloat16 has 8 bits for a place in the frame
    for block in range(1, blocks + 1):
        y = _linear(x, width, name=f"block{block}_a", **options)
        y = _linear(y, width, name=f"block{block}_b", **options)
        x = layers.Add(name=f"block{block}")([x, y])
    x = layers.Dense(
        3 * num_outputs,
        kernel_initializer=near_hip(),
        kernel_constraint=_constraint(max_norm),
        dtype="float32",
        name="dense",
    )(x)
    return keras.Model(inputs, root_relative(x, num_outputs), name="lift")


def _constraint(max_norm):
    return None if max_norm is None else keras.constraints.MaxNorm(max_norm, axis=0)


def _linear(x, width: int, *, dropout: float, max_norm, dtype=None, name: str):
    """Linear layer, batch normalisation over clips and frames, ReLU, dropout: (B, T, K) -> (B, T, width)."""
    x = layers.Dense(
        width,
        use_bias=False,
        kernel_initializer="he_normal",
        kernel_constraint=_constraint(max_norm),
        dtype=dtype,
        name=f"{name}_linear",
    )(x)
    x = layers.BatchNormalization(momentum=BATCH_NORM_MOMENTUM, name=f"{name}_bn")(x)
    return layers.Dropout(dropout, name=f"{name}_dropout")(layers.ReLU(name=f"{name}_relu")(x))
