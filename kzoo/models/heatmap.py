"""Heat maps from a fully convolutional network: joints found as classes are in segmentation.

Long et al., CVPR 2015, on any encoder.

The keypoint slides of the lecture this zoo began with. Differs from the paper: any encoder, one 3x3 convolution before
each score instead of fc6 and fc7, plain bilinear upsampling, one skip more (stride 4).
Measured on 2 CPU cores (x86-64, AVX-512), seed 0, float32:
    python train.py --task=pose --arch=heatmap
    people, val MPJPE 11.1 px of a 256-px picture (mean pose: 43.0), no flip, decoder: dark; 4.9 CPU-min
    python train.py --task=pose --arch=heatmap --dataset=coco_subset --encoder=mobilenetv2 \
        --encoder_weights=<ImageNet file> --size=128 --epochs=4 --batch_size=16 --lr=1e-3 --loss_set=sigma=1.5
    real COCO persons (764 val crops, ground-truth boxes x 1.25, no flip, DARK), val MPJPE 20.1 px of a 256-px crop,
    AP 0.152
"""

import keras
from keras import layers

from kzoo.nn.encoders import encode
from kzoo.nn.layers import conv_norm_relu, heatmap_head, named

# Logits of discs start where a hundredth of the cells is a joint (Lin et al., Focal Loss, 2017, §4.1). From 0 they
# first fall everywhere and stay there: seen on `people`, 64 px, 3 epochs, 68 px MPJPE against 20 px from here.
DISC_BIAS = -4.6
# --set=target= -> the output, which has its loss in the task's table.
TARGETS = {"gaussian": "heatmaps", "disc": "disc_logits"}


def heatmap(
    input_shape: tuple[int, int, int],
    num_outputs: int,
    *,
    encoder: str = "resnet50",
    encoder_weights: str = "none",
    init: str = "he_normal",
    target: str = "gaussian",
    width: int = 128,
) -> keras.Model:
    """Build the network.

    Args:
        input_shape: (H, W, 3) of a uint8 RGB picture; the maps have a quarter of it.
        num_outputs: J joints.
        encoder, encoder_weights, init: see `kzoo.nn.encoders.encode`.
        target: "gaussian", maps that regress a Gaussian at the joint; "disc", logits of lying within a disc around the
            joint.
        width: filters of the convolution before each of the four scores.
    Returns:
        model with output {"heatmaps": (B, H/4, W/4, J) float32} or {"disc_logits": (B, H/4, W/4, J) float32}.
    """
    if target not in TARGETS:
        raise ValueError(f"target must be one of {', '.join(TARGETS)}, got {target!r}")
    image = keras.Input(input_shape, dtype="uint8", name="image")
    deepest_first = encode(image, encoder, encoder_weights, init=init)[:0:-1]
    maps = None
    for stride, features in zip((32, 16, 8, 4), deepest_first, strict=True):
        hidden = conv_norm_relu(features, width, init=init, name=f"hidden{stride}")
        bias = DISC_BIAS if target == "disc" and maps is None else 0.0  # once: the scores are summed
        score = heatmap_head(hidden, num_outputs, bias=bias, name=f"score{stride}")
        if maps is not None:
            maps = layers.UpSampling2D(2, interpolation="bilinear", dtype="float32", name=f"up{stride}")(maps)
            score = layers.Add(dtype="float32", name=f"fused{stride}")([maps, score])
        maps = score
    return keras.Model(image, named({TARGETS[target]: maps}), name="heatmap")
