"""Encoder and decoder without skip connections: `unet` minus its concatenations, and nothing else.

The lab course's encoder-decoder without skip connections.
Measured on 2 CPU cores (x86-64, AVX-512), seed 0, float32:
    python train.py --task=seg --arch=encdec                people, 128 px, 7 epochs, val mIoU (7 classes) 0.576
    python train.py --task=seg --arch=encdec --dataset=coco_subset --encoder=mobilenetv2 \
        --encoder_weights=<ImageNet file> --size=96 --epochs=6 --batch_size=16 --lr=1e-3 '--set=widths=(128,96,64,32)'
    real COCO persons (291 val pictures), val mIoU (2 classes) 0.655
    real CamVid (233 test frames, 288x384 px), MobileNetV2, 8 epochs, command in the README: mIoU (11 classes) 0.416
"""

import keras
from keras import layers

from kzoo.nn.encoders import encode
from kzoo.nn.layers import head, upsample_to
from kzoo.nn.upsampling import upward_path


def encdec(
    input_shape: tuple[int, int, int],
    num_outputs: int,
    *,
    encoder: str = "resnet50",
    encoder_weights: str = "none",
    init: str = "he_normal",
    widths: tuple[int, ...] = (256, 128, 64, 32),
    upsampling: str = "transposed",
    upsampling_init: str | None = None,
    norm: str = "batch",
    bias: float = 0.0,
    dropout: float = 0.0,
    scaling: dict | None = None,
) -> keras.Model:
    """Build the network.

    Args:
        input_shape: (H, W, 3) of a uint8 RGB picture.
        num_outputs: C classes.
        encoder, encoder_weights, init, scaling: see `kzoo.nn.encoders.encode`.
        widths: filters of the decoder's steps; four of them end at stride 2, the rest of the way is bilinear.
        upsampling, upsampling_init: how the steps double height and width, see `kzoo.nn.upsampling.upward_path`.
        norm: of the decoder and of the encoder `small`, see `kzoo.nn.layers.normalise`.
        bias: where what is added before the decoder's ReLUs starts.
        dropout: rate before the last convolution.
    Returns:
        model with output {"logits": (B, H, W, C) float32}.
    """
    image = keras.Input(input_shape, dtype="uint8", name="image")
    features = encode(image, encoder, encoder_weights, init=init, norm=norm, scaling=scaling)
    options = {"upsampling": upsampling, "upsampling_init": upsampling_init}
    x = upward_path(features, widths, skips=False, init=init, norm=norm, bias=bias, **options)
    if dropout:
        x = layers.Dropout(dropout, name="dropout")(x)
    logits = upsample_to(head(x, num_outputs, name="score"), input_shape[:2], name="logits")
    return keras.Model(image, {"logits": logits}, name="encdec")
