"""3-D pose from the pixels of a clip: one convolution per frame, one LSTM over the frames, one dense layer.

The dynamic regression network of a lecture's programming assignment on Human3.6M (clips of 8 frames, 224x224). No
paper; the LSTM is Keras's (Hochreiter and Schmidhuber 1997 with forget gates). Differs from the assignment: its sigmoid
answers in 0..1, and what takes labels there stands outside the network; here the bounds of the training set's joints
are part of the network, so it answers in metres.
Measured on 2 CPU cores (x86-64, AVX-512), seed 0, float32:
    python train.py --task=pose3d --arch=conv_lstm
    people/clips, val MPJPE 111.6 mm (mean pose: 244.2), PA-MPJPE 89.9 mm, 64 px, 8 epochs, no flip; 4.2 CPU-min; with
    two threads 115.7 mm in 3 min 18 s on idle cores, drawing the clips included
    at the assignment's size, 8x224x224 and 5 clips a step: 6.1 GiB at the peak of training and scoring
"""

import keras
import numpy as np
from keras import layers

from kzoo.nn.layers import per_frame, scaled


def conv_lstm(
    input_shape: tuple[int, int, int, int],
    num_outputs: int,
    *,
    filters: int = 32,
    kernel: int = 5,
    units: int = 50,
    low=(-1.0, -1.0, -1.0),
    high=(1.0, 1.0, 1.0),
    portable: bool = False,
) -> keras.Model:
    """Build the network.

    Args:
        input_shape: (T, H, W, 3) of uint8 RGB clips.
        num_outputs: J joints.
        filters, kernel: of the convolution, without padding; kernel in pixels.
        units: of the LSTM. Its kernel has filters * (H - kernel + 1) // 2 * (W - kernel + 1) // 2 rows.
        low, high: (3,) or (J, 3) metres, bounds of x, y and z of all joints or of each one: answers lie between.
        portable: the same function of the same weights from operations that ONNX and LiteRT have: pooling in 2-D, the
            LSTM unrolled.
    Returns:
        model with input "frames" and output {"joints": (B, T, J, 3) float32 metres, root-relative, camera coordinates}.
    Raises:
        ValueError: bounds of another shape, or low above high.
    """
    low, high = _bounds(low, num_outputs, "low"), _bounds(high, num_outputs, "high")
    if not (low <= high).all():
        raise ValueError(f"low must nowhere be above high, got {low.tolist()} and {high.tolist()}")

    frames = keras.Input(input_shape, dtype="uint8", name="frames")
    convolution = layers.Conv2D(filters, kernel, activation="relu", name="conv")
    # Pools in float32: TensorFlow has no 3-D pooling of float16 on CPUs.
    if portable:
        pool = layers.MaxPooling2D(2, dtype="float32", name="pool")
        x = per_frame(lambda pictures: pool(convolution(pictures)), scaled(frames))
    else:
        x = per_frame(convolution, scaled(frames))
        x = layers.MaxPooling3D((1, 2, 2), dtype="float32", name="pool")(x)
    x = layers.Reshape((input_shape[0], -1), dtype="float32", name="flatten")(x)
    # float32: sums over a hundred thousand inputs, carried from frame to frame.
    x = layers.LSTM(units, return_sequences=True, unroll=portable, dtype="float32", name="lstm")(x)
    x = layers.Dense(3 * num_outputs, activation="sigmoid", dtype="float32", name="dense")(x)
    x = layers.Reshape((input_shape[0], num_outputs, 3), dtype="float32", name="unit_joints")(x)
    joints = layers.Rescaling((high - low).tolist(), offset=low.tolist(), dtype="float32", name="joints")(x)
    return keras.Model(frames, {"joints": joints}, name="conv_lstm")


def _bounds(bounds, num_outputs: int, name: str) -> np.ndarray:
    bounds = np.asarray(bounds, "float32")
    if bounds.shape not in ((3,), (num_outputs, 3)):
        raise ValueError(f"{name} must have shape (3,) or ({num_outputs}, 3), got {bounds.shape}")
    return bounds
