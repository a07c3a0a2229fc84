"""Encoder and decoder without skip connections: `unet` minus its concatenations, and nothing else."""

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
