"""Encoder only: 1x1 logits at stride 32, bilinear to full size.

The FCN-32s idea of Long et al., CVPR 2015, on any encoder.

Differs from the paper: any encoder, plain bilinear upsampling instead of a learnt one, no fc6 and fc7.
Measured on 2 CPU cores (x86-64, AVX-512), seed 0, float32:
    python train.py --task=seg --arch=fcn                   people, 256 px, 3 epochs, val mIoU (7 classes) 0.494
    python train.py --task=seg --arch=fcn --dataset=coco_subset --encoder=mobilenetv2 \
        --encoder_weights=<ImageNet file> --size=96 --epochs=6 --batch_size=16 --lr=1e-3
    real COCO persons (291 val pictures), val mIoU (2 classes) 0.588
    real CamVid (233 test frames, 288x384 px), MobileNetV2, 8 epochs, command in the README: mIoU (11 classes) 0.463
"""

import keras
from keras import layers

from kzoo.nn.encoders import encode
from kzoo.nn.layers import head, upsample_to


def fcn(
    input_shape: tuple[int, int, int],
    num_outputs: int,
    *,
    encoder: str = "resnet50",
    encoder_weights: str = "none",
    init: str = "he_normal",
    norm: str = "batch",
    dropout: float = 0.0,
    scaling: dict | None = None,
) -> keras.Model:
    """Build the network.

    Args:
        input_shape: (H, W, 3) of a uint8 RGB picture.
        num_outputs: C classes.
        encoder, encoder_weights, init, norm, scaling: see `kzoo.nn.encoders.encode`.
        dropout: rate before the last convolution.
    Returns:
        model with output {"logits": (B, H, W, C) float32}.
    """
    image = keras.Input(input_shape, dtype="uint8", name="image")
    x = encode(image, encoder, encoder_weights, init=init, norm=norm, scaling=scaling)[-1]
    if dropout:
        x = layers.Dropout(dropout, name="dropout")(x)
    logits = upsample_to(head(x, num_outputs, name="score"), input_shape[:2], name="logits")
    return keras.Model(image, {"logits": logits}, name="fcn")
