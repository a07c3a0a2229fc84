"""ResNet-34 and an upward path with a skip connection at every stride (U-Net on ResNet-34).

U-Net is Ronneberger et al., MICCAI 2015.

The segmentation network of a lab report on localisation with semantics, which names ResNet-34, upsampling layers and
skips but neither widths nor the kind of upsampling. Here a step is 3x3 convolution, bilinear doubling, concatenation,
3x3 convolution, each convolution with normalisation and ReLU; five steps, the last of which ends at full size and has
no map to join. Differs from U-Net: ResNet-34 goes down, bilinear instead of transposed, same padding, skips at strides
16 to 2.
Measured on 2 CPU cores (x86-64, AVX-512), seed 0, float32:
    python train.py --task=seg --arch=resnet34_unet         people, 96 px, 2 epochs, val mIoU (7 classes) 0.585
"""

import keras
from keras import layers

from kzoo.nn.encoders import encode
from kzoo.nn.layers import head, named, upsample_to
from kzoo.nn.upsampling import upward_path


def resnet34_unet(
    input_shape: tuple[int, int, int],
    num_outputs: int,
    *,
    encoder: str = "resnet34",
    encoder_weights: str = "none",
    init: str = "he_normal",
    norm: str = "batch",
    bias: float = 0.0,
    dropout: float = 0.0,
    scaling: dict | None = None,
    widths: tuple[int, ...] = (256, 128, 64, 32, 16),
    upsampling: str = "bilinear",
    upsampling_init: str | None = None,
) -> keras.Model:
    """Build the network.

    Args:
        input_shape: (H, W, 3) of a uint8 RGB picture.
        num_outputs: C classes.
        encoder, encoder_weights, init, scaling: see `kzoo.nn.encoders.encode`.
        norm: of the decoder and of the encoder `small`, see `kzoo.nn.layers.normalise`.
        bias: where what is added before the decoder's ReLUs starts.
        dropout: rate before the score.
        widths: filters of the steps, five at most; fewer end at a stride above 1, and the rest of the way is bilinear.
        upsampling, upsampling_init: see `kzoo.nn.upsampling.upward_path`; max_unpool allows four widths.
    Returns:
        model with output {"logits": (B, H, W, C) float32}.
    """
    if not 1 <= len(widths) <= 5:
        raise ValueError(f"widths must hold 1 to 5 numbers, one for each step from stride 32 up, got {widths}")
    image = keras.Input(input_shape, dtype="uint8", name="image")
    features = encode(image, encoder, encoder_weights, init=init, norm=norm, scaling=scaling)
    options = {"upsampling": upsampling, "upsampling_init": upsampling_init}
    x = upward_path(features, widths, skips=True, init=init, norm=norm, bias=bias, **options)
    x = layers.Dropout(dropout, name="dropout")(x)
    x = upsample_to(head(x, num_outputs, name="score"), input_shape[:2], name="full_size")
    return keras.Model(image, named({"logits": x}), name="resnet34_unet")
