"""Encoder and decoder without skip connections: `unet` minus its concatenations, and nothing else.

The lab course's encoder-decoder without skip connections.
Measured on 2 CPU cores (x86-64, AVX-512), seed 0, float32:
    people: learns in tests/test_zoo.py, no recipe score measured yet
    python train.py --task=seg --arch=encdec --dataset=coco_subset --encoder=mobilenetv2 --encoder_weights=<ImageNet file> --size=96
    --epochs=6 --batch_size=16 --lr=1e-3 '--set=widths=(128,96,64,32)'
    real COCO persons (291 val pictures), val mIoU (2 classes) 0.655
"""

import keras

from kzoo.encoders import encode
from kzoo.layers import head, upsample_to, upward_path


def encdec(
    input_shape: tuple[int, int, int],
    num_outputs: int,
    *,
    encoder: str = "resnet50",
    encoder_weights: str = "none",
    init: str = "he_normal",
    widths: tuple[int, ...] = (256, 128, 64, 32),
) -> keras.Model:
    """Build the network.

    Args:
        input_shape: (H, W, 3) of a uint8 RGB picture.
        num_outputs: C classes.
        encoder, encoder_weights, init: see `kzoo.encoders.encode`.
        widths: filters of the decoder's steps; four of them end at stride 2, the rest of the way is bilinear.
    Returns:
        model with output {"logits": (B, H, W, C) float32}.
    """
    image = keras.Input(input_shape, dtype="uint8", name="image")
    x = upward_path(encode(image, encoder, encoder_weights, init=init), widths, skips=False, init=init)
    logits = upsample_to(head(x, num_outputs, name="score"), input_shape[:2], name="logits")
    return keras.Model(image, {"logits": logits}, name="encdec")
