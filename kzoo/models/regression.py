"""Scalar regression of the joints: encoder, global pooling, one dense layer.

The first stage of DeepPose (Toshev and Szegedy, CVPR 2014).

Differs from the paper: any encoder, global average pooling, one stage, image coordinates instead of normalised ones.
The lab course's task 1.
Measured on 2 CPU cores (x86-64, AVX-512), seed 0, float32:
    python train.py --task=pose --arch=regression
    people, val MPJPE 12.9 px of a 256-px picture (mean pose: 43.0), no flip, decoder: coords; 8.6 CPU-min
    python train.py --task=pose --arch=regression --dataset=coco_subset --encoder=mobilenetv2 \
        --encoder_weights=<ImageNet file> --batch_size=16 --lr=1e-3 --size=96 --epochs=4
    real COCO persons (764 val crops, ground-truth boxes x 1.25, no flip), val MPJPE 28.9 px of a 256-px crop
    (mean pose: 32.7)
"""

import keras
from keras import layers

from kzoo.nn.encoders import encode


def regression(
    input_shape: tuple[int, int, int],
    num_outputs: int,
    *,
    encoder: str = "resnet50",
    encoder_weights: str = "none",
    init: str = "he_normal",
    dropout: float = 0.0,
) -> keras.Model:
    """Build the network.

    Args:
        input_shape: (H, W, 3) of a uint8 RGB picture.
        num_outputs: J joints.
        encoder, encoder_weights, init: see `kzoo.nn.encoders.encode`.
        dropout: rate before the dense layer.
    Returns:
        model with output {"coords": (B, J, 2) float32}, fractions of the picture, not clipped.
    """
    image = keras.Input(input_shape, dtype="uint8", name="image")
    x = encode(image, encoder, encoder_weights, init=init)[-1]
    x = layers.GlobalAveragePooling2D(dtype="float32", name="pool")(x)
    x = layers.Dropout(dropout, name="dropout")(x)
    # Starting at the centre of the picture (bias 0.5, small weights) keeps the first steps bounded.
    x = layers.Dense(
        2 * num_outputs,
        kernel_initializer=keras.initializers.RandomNormal(stddev=0.01),
        bias_initializer=keras.initializers.Constant(0.5),
        dtype="float32",
        name="joints",
    )(x)
    coords = layers.Reshape((num_outputs, 2), dtype="float32", name="coords")(x)
    return keras.Model(image, {"coords": coords}, name="regression")
