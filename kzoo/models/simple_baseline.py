"""Simple baseline: encoder, three transposed convolutions, heat maps (Xiao, Wu and Wei, ECCV 2018).

Differs from the paper: any encoder; keras.applications' ResNet50 has biases in its convolutions and its stride in the
first 1x1.
Measured on 2 CPU cores (x86-64, AVX-512), seed 0, float32:
    python train.py --task=pose --arch=simple_baseline
    people, val MPJPE 12.9 px of a 256-px picture (mean pose: 43.0), no flip, decoder: dark; 4.8 CPU-min
    python train.py --task=pose --arch=simple_baseline --dataset=coco_subset --encoder=mobilenetv2 \
        --encoder_weights=<ImageNet file> --size=128 --epochs=4 --batch_size=16 --lr=1e-3 \
        '--set=widths=(128,128,128)' --loss_set=sigma=1.5
    real COCO persons (764 val crops, ground-truth boxes x 1.25, no flip, DARK), val MPJPE 24.0 px of a 256-px crop,
    AP 0.042
"""

import keras

from kzoo.nn.encoders import encode
from kzoo.nn.layers import deconv_norm_relu, heatmap_head


def simple_baseline(
    input_shape: tuple[int, int, int],
    num_outputs: int,
    *,
    encoder: str = "resnet50",
    encoder_weights: str = "none",
    init: str = "he_normal",
    widths: tuple[int, ...] = (256, 256, 256),
) -> keras.Model:
    """Build the network.

    Args:
        input_shape: (H, W, 3) of a uint8 RGB picture.
        num_outputs: J joints.
        encoder, encoder_weights, init: see `kzoo.nn.encoders.encode`; the paper draws the new layers from N(0, 0.001).
        widths: filters of the transposed convolutions; the heat maps have stride 32 / 2**len(widths).
    Returns:
        model with output {"heatmaps": (B, h, w, J) float32}.
    """
    image = keras.Input(input_shape, dtype="uint8", name="image")
    x = encode(image, encoder, encoder_weights, init=init)[-1]
    for step, width in enumerate(widths, start=1):
        x = deconv_norm_relu(x, width, init=init, name=f"up{step}")
    heatmaps = heatmap_head(x, num_outputs, name="heatmaps")
    return keras.Model(image, {"heatmaps": heatmaps}, name="simple_baseline")
