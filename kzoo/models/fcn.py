"""Encoder only: 1x1 logits at stride 32, bilinear to full size (the FCN-32s idea of Long et al., CVPR 2015, on any encoder)."""

import keras

from kzoo.encoders import encode
from kzoo.layers import head, upsample_to


def fcn(
    input_shape: tuple[int, int, int],
    num_outputs: int,
    *,
    encoder: str = "resnet50",
    encoder_weights: str = "none",
    init: str = "he_normal",
) -> keras.Model:
    """Build the network.

    Args:
        input_shape: (H, W, 3) of a uint8 RGB picture.
        num_outputs: C classes.
        encoder, encoder_weights, init: see `kzoo.encoders.encode`.
    Returns:
        model with output {"logits": (B, H, W, C) float32}.
    """
    image = keras.Input(input_shape, dtype="uint8", name="image")
    x = encode(image, encoder, encoder_weights, init=init)[-1]
    logits = upsample_to(head(x, num_outputs, name="score"), input_shape[:2], name="logits")
    return keras.Model(image, {"logits": logits}, name="fcn")
