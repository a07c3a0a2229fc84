"""Part heat maps: a part detector, then a regression from picture and detections.

Reference: Bulat and Tzimiropoulos, ECCV 2016.

Differs from the paper: detector and regressor learn together from the start (the paper: one, then the other, then
both); the detector has FCN-8s's fusion on any encoder for both variants (the paper: VGG-16, and ResNet-152 before the
hourglass), bilinear upsampling instead of learnt, and takes VGG-16's last maps before a pooling where FCN takes the
pooled ones. Readings of what the tables leave open: "vgg" pools 2x2 after R1 and after R2, which is what R8's stride of
4 undoes; "hourglass" repeats D3, D4 and D5 on `depth` levels as Newell et al. do, and the deconvolution of D5 is added
to D4's branch as it is.
Measured on 2 CPU cores (x86-64, AVX-512), seed 0, float32:
    python train.py --task=pose --arch=part_heatmap
    people, val MPJPE 13.4 px of a 256-px picture (mean pose: 43.0), no flip, decoder: dark; 11.0 CPU-min
"""

import keras
from keras import layers

from kzoo.nn.encoders import encode
from kzoo.nn.layers import bottleneck, conv_norm_relu, heatmap_head, named, upsample_to


def part_heatmap(
    input_shape: tuple[int, int, int],
    num_outputs: int,
    *,
    encoder: str = "vgg16",
    encoder_weights: str = "none",
    init: str = "he_normal",
    variant: str = "vgg",
    width: int = 64,
    fc_width: int = 4096,
    kernels: tuple[int, int, int, int] = (9, 13, 13, 15),
    depth: int = 4,
) -> keras.Model:
    """Build the network.

    Args:
        input_shape: (H, W, 3) of a uint8 RGB picture, multiples of 32.
        num_outputs: J joints.
        encoder, encoder_weights, init: of the detector, see `kzoo.nn.encoders.encode`.
        variant: of the regressor, "vgg" (the paper's table 2) or "hourglass" (table 4).
        width: filters of the regressor's first convolution, its other widths are multiples of it; the paper's is 64.
        fc_width: filters of the detector's two 1x1 convolutions at stride 32.
        kernels: sides of the kernels of R1 to R4; "vgg" only.
        depth: poolings inside the hourglass; "hourglass" only.
    Returns:
        model with outputs {"heatmaps": (B, H, W, J) float32 of "vgg", (B, H/4, W/4, J) of "hourglass"; "disc_logits":
        (B, H, W, J), the detector's}.
    """
    if variant not in REGRESSORS:
        raise ValueError(f"variant must be one of {', '.join(REGRESSORS)}, got {variant!r}")
    image = keras.Input(input_shape, dtype="uint8", name="image")
    taps = encode(image, encoder, encoder_weights, init=init)
    x = conv_norm_relu(taps[-1], fc_width, 1, init=init, name="detect_d6_1")
    x = conv_norm_relu(x, fc_width, 1, init=init, name="detect_d6_2")
    parts = heatmap_head(x, num_outputs, name="detect_d7")
    for stride, tap in ((16, taps[3]), (8, taps[2])):
        parts = upsample_to(parts, tap.shape[1:3], name=f"detect_up{stride}")
        scores = heatmap_head(tap, num_outputs, name=f"detect_score{stride}")
        parts = layers.Add(dtype="float32", name=f"detect_fused{stride}")([parts, scores])
    parts = upsample_to(parts, input_shape[:2], name="detect_up1")

    # The regressor, of the picture and the detected parts.
    picture = layers.Rescaling(1 / 127.5, offset=-1.0, name="picture")(image)
    probabilities = layers.Activation("sigmoid", name="parts")(parts)
    x = layers.Concatenate(name="picture_and_parts")([picture, probabilities])
    heatmaps = REGRESSORS[variant](x, num_outputs, width, init=init, kernels=kernels, depth=depth)
    return keras.Model(image, named({"heatmaps": heatmaps, "disc_logits": parts}), name="part_heatmap")


def _vgg(x, joints: int, width: int, *, init: str, kernels, **_):
    """R1 to R8 of table 2: (B, H, W, K) -> (B, H, W, joints)."""
    x = conv_norm_relu(x, width, kernels[0], init=init, name="r1")
    x = layers.MaxPooling2D(2, name="r1_pool")(x)
    x = conv_norm_relu(x, width, kernels[1], init=init, name="r2")
    x = layers.MaxPooling2D(2, name="r2_pool")(x)
    x = conv_norm_relu(x, 2 * width, kernels[2], init=init, name="r3_1")
    x = conv_norm_relu(x, 2 * width, kernels[2], init=init, name="r3_2")
    x = conv_norm_relu(x, 4 * width, kernels[3], init=init, name="r4")
    x = conv_norm_relu(x, 8 * width, 1, init=init, name="r5")
    x = conv_norm_relu(x, 8 * width, 1, init=init, name="r6")
    x = heatmap_head(x, joints, name="r7")
    return layers.Conv2DTranspose(joints, 8, strides=4, padding="same", dtype="float32", name="r8")(x)


def _hourglass(x, joints: int, width: int, *, init: str, depth: int, **_):
    """D1 to D7 of table 4: (B, H, W, K) -> (B, H/4, W/4, joints)."""
    multiple = 2 ** (depth + 2)
    if x.shape[1] % multiple or x.shape[2] % multiple:
        raise ValueError(
            f"an hourglass of depth {depth} needs sides of a multiple of {multiple}, got {x.shape[1]}x{x.shape[2]}"
        )
    x = conv_norm_relu(x, width, 7, strides=2, init=init, name="d1")
    x = layers.MaxPooling2D(2, name="d1_pool")(x)
    x = _level(_bottlenecks(x, 4 * width, init, "d2"), depth, init)
    x = conv_norm_relu(x, 8 * width, 1, init=init, name="d6")
    return heatmap_head(x, joints, name="d7")


def _level(x, level: int, init: str):
    """D3, what lies below it, and D5 on one way, D4 on the other."""
    filters = x.shape[-1]
    y = layers.MaxPooling2D(2, name=f"d3_{level}_pool")(x)
    y = _bottlenecks(y, filters, init, f"d3_{level}")
    if level > 1:
        y = _level(y, level - 1, init)
    y = layers.Conv2DTranspose(filters, 2, strides=2, kernel_initializer=init, name=f"d5_{level}")(y)
    x = _bottlenecks(x, filters, init, f"d4_{level}")
    return layers.Add(name=f"d5_{level}_out")([y, x])


def _bottlenecks(x, filters: int, init: str, name: str):
    for step in (1, 2, 3):
        x = bottleneck(x, filters, init=init, name=f"{name}_{step}")
    return x


REGRESSORS = {"vgg": _vgg, "hourglass": _hourglass}  # --set=variant=
