"""3-D pose from the pixels of a clip: an image encoder per frame, a GRU over the frames, one dense layer.

A recurrent network on convolutional features (Donahue et al., Long-term Recurrent Convolutional Networks, CVPR 2015,
§3), with the gated unit of Cho et al., EMNLP 2014, §2.3. Differs from the paper: any encoder, GRU instead of LSTM,
regression of joints per frame instead of classes or words, and optionally both directions of time.
Measured on 2 CPU cores (x86-64, AVX-512), seed 0, float32:
    python train.py --task=pose3d --arch=encoder_gru
    people/clips, val MPJPE 92.3 mm (mean pose: 244.2), PA-MPJPE 78.3 mm, encoder small, 64 px, 14 epochs, no flip;
    7.4 CPU-min
"""

import keras
from keras import layers

from kzoo.nn.encoders import encode
from kzoo.nn.layers import per_frame, pooling
from kzoo.nn.lifting import near_hip, root_relative

STRIDES = (2, 4, 8, 16, 32)  # of the maps that `encode` gives


def encoder_gru(
    input_shape: tuple[int, int, int, int],
    num_outputs: int,
    *,
    encoder: str = "resnet50",
    encoder_weights: str = "none",
    init: str = "he_normal",
    units: int = 512,
    dropout: float = 0.0,
    pool: str = "average",
    stride: int = 32,
    bidirectional: bool = False,
    portable: bool = False,
) -> keras.Model:
    """Build the network.

    Args:
        input_shape: (T, H, W, 3) of uint8 RGB clips; H and W multiples of 32.
        num_outputs: J joints.
        encoder, encoder_weights, init: see `kzoo.nn.encoders.encode`.
        units: of the GRU, in each direction.
        dropout: rate on the GRU's inputs.
        pool: what becomes of the encoder's map: "average" over its cells, or "flatten", which keeps where features are.
        stride: of that map: 2, 4, 8, 16 or 32; at small sizes the last map of an encoder has few cells.
        bidirectional: a second GRU reads the clip backwards, and each frame's answer depends on later frames as well.
        portable: the same function of the same weights from operations that LiteRT has: the GRU unrolled.
    Returns:
        model with input "frames" and output {"joints": (B, T, J, 3) float32 metres, relative to joint 0, camera
        coordinates}.
    Raises:
        ValueError: unknown `pool` or `stride`.
    """
    if stride not in STRIDES:
        raise ValueError(f"stride must be one of {', '.join(map(str, STRIDES))}, got {stride!r}")
    tap = STRIDES.index(stride)
    frames = keras.Input(input_shape, dtype="uint8", name="frames")
    gather = pooling(pool)

    def vector(pictures):
        return gather(encode(pictures, encoder, encoder_weights, init=init)[tap])

    x = per_frame(vector, frames)  # (B, T, K)
    # float32: what is carried from frame to frame adds up its rounding.
    gru = layers.GRU(units, return_sequences=True, dropout=dropout, unroll=portable, dtype="float32", name="gru")
    x = layers.Bidirectional(gru, dtype="float32", name="both_ways")(x) if bidirectional else gru(x)
    x = layers.Dense(3 * num_outputs, kernel_initializer=near_hip(), dtype="float32", name="dense")(x)
    return keras.Model(frames, root_relative(x, num_outputs), name="encoder_gru")
