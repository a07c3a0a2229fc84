"""FCN-32s refined by scores of pool4 and pool3, at strides 16 and 8 (FCN-8s).

Long et al., Fully Convolutional Networks for Semantic Segmentation, CVPR 2015, §4.2 and §4.3.
Differs from the paper: any encoder (others than VGG16 are scored at `encode`'s maps of strides 16 and 8); "same"
padding throughout, where the paper pads the picture by 100 and crops the scores; the scoring of fc7 starts from
Glorot's weights, only those of pool4 and pool3 from 0; trained in one go, not from the weights of FCN-16s; fc6 and fc7
start at random, for an encoder's file ends before them.
Measured on 2 CPU cores (x86-64, AVX-512), seed 0, float32:
    python train.py --task=seg --arch=fcn8s                 people, 128 px, 5 epochs, val mIoU (7 classes) 0.560
"""

import keras

from kzoo.nn.fcn_scores import add_scores, classifier_maps, upsample_scores
from kzoo.nn.layers import head, named


def fcn8s(
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
        upsampling_trainable: which transposed convolutions learn: "inner" (those that double; the last one stays
            bilinear, as in the paper), "all" or "none" (as in the paper's released networks).
        norm, bias: of fc6 and fc7, see `kzoo.nn.layers.conv_norm`; the encoder keeps its own normalisation.
        dropout: rate after fc6 and fc7.
    Returns:
        model with output {"logits": (B, H, W, C) float32}.
    """
    image = keras.Input(input_shape, dtype="uint8", name="image")
    options = {"fc_width": fc_width, "init": init, "norm": norm, "bias": bias, "dropout": dropout}
    pool3, pool4, x = classifier_maps(image, encoder, encoder_weights, scaling=scaling, **options)
    x = head(x, num_outputs, name="score")
    x = add_scores(x, pool4, learnt=upsampling_trainable, name="pool4")
    x = add_scores(x, pool3, learnt=upsampling_trainable, name="pool3")
    x = upsample_scores(x, 8, learnt=upsampling_trainable, last=True, name="upsample8")
    return keras.Model(image, named({"logits": x}), name="fcn8s")
