"""VGG16 as a fully convolutional network, its scores at stride 32 enlarged in one step (FCN-32s).

Long et al., Fully Convolutional Networks for Semantic Segmentation, CVPR 2015, §4.1 and §4.3.
Differs from the paper: any encoder; "same" padding throughout, where the paper pads the picture by 100 and crops the
scores; the scoring of fc7 starts from Glorot's weights instead of 0; fc6 and fc7 start at random, for an encoder's file
ends before them.
Measured on 2 CPU cores (x86-64, AVX-512), seed 0, float32:
    python train.py --task=seg --arch=fcn32s                people, 256 px, 2 epochs, val mIoU (7 classes) 0.455
"""

import keras

from kzoo.nn.fcn_scores import classifier_maps, upsample_scores
from kzoo.nn.layers import head, named


def fcn32s(
    input_shape: tuple[int, int, int],
    num_outputs: int,
    *,
    encoder: str = "vgg16",
    encoder_weights: str = "none",
    fc_width: int = 4096,
    upsampling_trainable: str = "inner",
    init: str = "he_normal",
    norm: str = "none",
    bias: float = 0.0,
    dropout: float = 0.5,
    scaling: dict | None = None,
) -> keras.Model:
    """Build the network.

    Args:
        input_shape: (H, W, 3) of a uint8 RGB picture, H and W multiples of 32.
        num_outputs: C classes.
        encoder, encoder_weights, init, scaling: see `kzoo.nn.encoders.encode`.
        fc_width: filters of fc6 and fc7.
        upsampling_trainable: which transposed convolutions learn: "inner" (all but the last, as in the paper: none
            here), "all" or "none".
        norm, bias: of fc6 and fc7, see `kzoo.nn.layers.conv_norm`; the encoder keeps its own normalisation.
        dropout: rate after fc6 and fc7.
    Returns:
        model with output {"logits": (B, H, W, C) float32}.
    """
    image = keras.Input(input_shape, dtype="uint8", name="image")
    options = {"fc_width": fc_width, "init": init, "norm": norm, "bias": bias, "dropout": dropout}
    _, _, x = classifier_maps(image, encoder, encoder_weights, scaling=scaling, **options)
    x = head(x, num_outputs, name="score")
    x = upsample_scores(x, 32, learnt=upsampling_trainable, last=True, name="upsample32")
    return keras.Model(image, named({"logits": x}), name="fcn32s")
