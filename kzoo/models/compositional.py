"""Deeply learned compositional model: five hourglasses infer a hierarchy of parts, upwards and down again.

Reference: Tang, Yu and Wu, Deeply Learned Compositional Models for Human Pose Estimation, ECCV 2018.

Joints make limbs, limbs make groups (`kzoo.nn.hierarchy`). Bottom-up, three hourglasses find joints, limbs and groups,
each from the features and score maps of the level below; top-down, two more find limbs and joints again from the level
above and their own first answer.

Differs from the paper: the hierarchy is made for COCO's 17 joints (17, 14 and 6 parts; the authors have 16, 12 and 6
for MPII); the stem is Newell's. What follows an hourglass and how scores are joined is taken from a derived work that
keeps the authors' files (idotc/DLMSCM); its option to predict the joints once more beside limbs and groups is left out.
BatchNorm's momentum is 0.9.
Measured on 2 CPU cores (x86-64, AVX-512), seed 0, float32:
    python train.py --task=pose --arch=compositional
    people, val MPJPE 13.5 px of a 256-px picture (mean pose: 43.0), no flip, decoder: dark; 11.4 CPU-min
"""

import keras
from keras import layers, ops

from kzoo.nn.hierarchy import GROUPS, LIMBS
from kzoo.nn.layers import bottleneck, conv_norm_relu, heatmap_head, hourglass_module, hourglass_stem, named

JOINTS = 17  # what `kzoo.nn.hierarchy` is made for


def compositional(
    input_shape: tuple[int, int, int], num_outputs: int, *, init: str = "he_normal", width: int = 256, depth: int = 4
) -> keras.Model:
    """Build the network.

    Args:
        input_shape: (H, W, 3) of a uint8 RGB picture; the score maps have a quarter of it, which must be a multiple of
            2**depth.
        num_outputs: 17, COCO's joints.
        init: kernel initialiser.
        width: filters of an hourglass, the stem has a quarter and a half of it; the paper's is 256; more than 17.
        depth: poolings inside an hourglass.
    Returns:
        model with outputs {"heatmaps": (B, H/4, W/4, 17) float32, the final joints; "aux_heatmaps":
        (B, 1, H/4, W/4, 17), the first ones; "limb_heatmaps": (B, 2, H/4, W/4, 14), bottom-up and top-down;
        "group_heatmaps": (B, 1, H/4, W/4, 6)}.
    Raises:
        ValueError: other joints than COCO's, or too few filters to hold the score maps.
    """
    if num_outputs != JOINTS:
        raise ValueError(
            f"compositional has limbs and groups for COCO's {JOINTS} joints only, got num_outputs={num_outputs}"
        )
    if width < JOINTS + 3:
        raise ValueError(
            f"width must be {JOINTS + 3} or more: the score maps of {JOINTS} joints are part of the features; "
            f"got {width}"
        )

    image = keras.Input(input_shape, dtype="uint8", name="image")
    x = hourglass_stem(image, width, init=init)

    # Bottom-up: joints, limbs, groups.
    options = {"depth": depth, "init": init}
    x, joints_up = _infer(x, JOINTS, name="joints_up", **options)
    x, limbs_up = _infer(x, len(LIMBS), name="limbs_up", **options)
    x, groups = _infer(x, len(GROUPS), name="groups", **options)

    # Top-down: limbs and joints again.
    x = _join(x, limbs_up, init=init, name="limbs_down_input")
    x, limbs_down = _infer(x, len(LIMBS), name="limbs_down", **options)
    x = _join(x, joints_up, init=init, name="joints_down_input")
    _, joints_down = _infer(x, JOINTS, name="joints_down", last=True, **options)

    outputs = {
        "heatmaps": joints_down,
        "aux_heatmaps": ops.expand_dims(joints_up, axis=1),
        "limb_heatmaps": ops.stack([limbs_up, limbs_down], axis=1),
        "group_heatmaps": ops.expand_dims(groups, axis=1),
    }
    return keras.Model(image, named(outputs), name="compositional")


def _infer(x, parts: int, *, depth: int, last: bool = False, init: str, name: str):
    """One hourglass: (B, h, w, K) -> input of the next level, and score maps (B, h, w, parts) float32.

    The input of the next level is (B, h, w, K), None after the last.
    """
    width = x.shape[-1]

    def block(x, branch, level, name):
        return bottleneck(x, width, init=init, name=name)

    y = hourglass_module(x, depth, block, name=name)
    y = conv_norm_relu(y, width, 1, init=init, name=f"{name}_linear")
    scores = heatmap_head(y, parts, name=f"{name}_scores")
    if last:
        return None, scores
    scores_back = layers.Conv2D(width, 1, kernel_initializer=init, name=f"{name}_scores_back")(scores)
    features_back = layers.Conv2D(width, 1, kernel_initializer=init, name=f"{name}_features_back")(y)
    return layers.Add(name=f"{name}_next")([x, features_back, scores_back]), scores


def _join(x, scores, *, init: str, name: str):
    """Features of all levels so far, and the bottom-up scores of the level to come, in as many filters as before."""
    x = bottleneck(x, x.shape[-1] - scores.shape[-1], init=init, name=f"{name}_features")
    return layers.Concatenate(name=name)([scores, x])
