"""A stream that is pooled down to stride 16, beside a residual lane at the full size (FRRN A).

Pohlen et al., Full-Resolution Residual Networks for Semantic Segmentation in Street Scenes, CVPR 2017, §4 and table 1
(FRRN A). Differs from the paper: one initialiser before ReLU and elsewhere (the released network halves the variance
where no ReLU follows); the lane starts behind a normalised 1x1 convolution and the last units shrink the joined streams
by a bare 1x1, both as in the released network; the bootstrapped loss is a matter of training.
Measured on 2 CPU cores (x86-64, AVX-512), seed 0, float32:
    python train.py --task=seg --arch=frrn_a                people, 96 px, 2 epochs, val mIoU (7 classes) 0.554
"""

import keras

from kzoo.nn.frrn import full_resolution_network

DOWN = ((3, 2), (4, 4), (2, 8), (2, 8))  # units and filters (in widths) at scales 2, 4, 8 and 16
UP = ((2, 4), (2, 4), (2, 2))  # and at scales 8, 4 and 2


def frrn_a(
    input_shape: tuple[int, int, int],
    num_outputs: int,
    *,
    width: int = 48,
    lanes: int = 32,
    init: str = "he_uniform",
    norm: str = "batch",
    bias: float = 0.0,
    dropout: float = 0.0,
    scaling: dict | None = None,
) -> keras.Model:
    """Build the network.

    Args:
        input_shape: (H, W, 3) of a uint8 RGB picture, H and W multiples of 16.
        num_outputs: C classes.
        width: filters of the stem; the deepest stages have 8 times as many.
        lanes: filters of the full-resolution lane.
        init, norm, bias: see `kzoo.nn.layers.conv_norm`.
        dropout: rate before the scores.
        scaling: see `kzoo.nn.layers.scaled`.
    Returns:
        model with output {"logits": (B, H, W, C) float32}.
    Raises:
        ValueError: H or W not a multiple of 16.
    """
    return full_resolution_network(
        input_shape,
        num_outputs,
        down=DOWN,
        up=UP,
        width=width,
        lanes=lanes,
        init=init,
        norm=norm,
        bias=bias,
        dropout=dropout,
        scaling=scaling,
        name="frrn_a",
    )
