"""Stacked hourglass network (Newell, Yang and Deng, ECCV 2016).

Differs from the paper: BatchNorm's momentum is 0.9, and the input may have any size of which a quarter is a multiple of
2**depth.
Measured on 2 CPU cores (x86-64, AVX-512), seed 0, float32:
    python train.py --task=pose --arch=hourglass
    people, val MPJPE 12.6 px of a 256-px picture (mean pose: 43.0), no flip, decoder: dark; 7.6 CPU-min
    python train.py --task=pose --arch=hourglass --dataset=coco_subset --size=128 --epochs=4 --batch_size=16 --lr=2e-3 \
        --set=stacks=2 --set=width=64 --loss_set=sigma=1.5
    real COCO persons (764 val crops, ground-truth boxes x 1.25, no flip, DARK), val MPJPE 29.7 px of a 256-px crop,
    AP 0.016
"""

import keras
from keras import layers, ops

from kzoo.nn.layers import bottleneck, conv_norm_relu, heatmap_head, hourglass_module, hourglass_stem, named


def hourglass(
    input_shape: tuple[int, int, int],
    num_outputs: int,
    *,
    init: str = "he_normal",
    stacks: int = 8,
    width: int = 256,
    depth: int = 4,
) -> keras.Model:
    """Build the network.

    Args:
        input_shape: (H, W, 3) of a uint8 RGB picture; the heat maps have a quarter of it.
        num_outputs: J joints.
        init: kernel initialiser.
        stacks: S hourglasses one after the other; the paper compares 1, 2, 4 and 8.
        width: filters of an hourglass, the stem has a quarter and a half of it; the paper's is 256.
        depth: poolings inside an hourglass.
    Returns:
        model with outputs {"heatmaps": (B, H/4, W/4, J) float32, of the last stack; "aux_heatmaps":
        (B, S-1, H/4, W/4, J), earlier ones}.
    """
    image = keras.Input(input_shape, dtype="uint8", name="image")
    x = hourglass_stem(image, width, init=init)

    def block(x, branch, level, name):
        return bottleneck(x, width, init=init, name=name)

    # Each stack reads the features and the maps of the one before.
    maps = []
    for stack in range(1, stacks + 1):
        name = f"stack{stack}"
        y = hourglass_module(x, depth, block, name=name)
        y = bottleneck(y, width, init=init, name=f"{name}_features")
        y = conv_norm_relu(y, width, 1, init=init, name=f"{name}_linear")
        maps.append(heatmap_head(y, num_outputs, name=f"{name}_heatmaps"))
        if stack < stacks:
            y = layers.Conv2D(width, 1, kernel_initializer=init, name=f"{name}_features_back")(y)
            back = layers.Conv2D(width, 1, kernel_initializer=init, name=f"{name}_heatmaps_back")(maps[-1])
            x = layers.Add(name=f"{name}_next")([x, y, back])
    outputs = {"heatmaps": maps[-1]}
    if stacks > 1:
        outputs["aux_heatmaps"] = ops.stack(maps[:-1], axis=1)
    return keras.Model(image, named(outputs), name="hourglass")
