"""GoogLeNet's trunk: Szegedy et al., Going Deeper with Convolutions, CVPR 2015, table 1, without its classifiers.

Differs from the paper: any width; batch normalisation unless norm="none" (the paper's network predates it, and PoseNet
starts from weights of ImageNet or Places); pictures in -1..1; no local response normalisation (fig. 3): it divides by 1
within 1e-3 where maps are of order 1.
"""

from keras import layers

from kzoo.nn.encoders import scale_signed
from kzoo.nn.layers import ColourTransform, conv_norm_relu

# Filters of each inception module: 1x1; 3x3 reduce, 3x3; 5x5 reduce, 5x5; pool proj.
# Max pooling stands before 3a, 4a and 5a.
MODULES = {
    "3a": (64, 96, 128, 16, 32, 32),
    "3b": (128, 128, 192, 32, 96, 64),
    "4a": (192, 96, 208, 16, 48, 64),
    "4b": (160, 112, 224, 24, 64, 64),
    "4c": (128, 128, 256, 24, 64, 64),
    "4d": (112, 144, 288, 32, 64, 64),
    "4e": (256, 160, 320, 32, 128, 128),
    "5a": (256, 160, 320, 32, 128, 128),
    "5b": (384, 192, 384, 48, 128, 128),
}


def scaled_filters(filters: int, width: float) -> int:
    """`filters` times `width`, rounded, at least 1."""
    return max(1, round(filters * width))


def inception(x, filters: tuple[int, ...], *, name: str, **options):
    """Four ways side by side (fig. 2b): 1x1; 1x1, 3x3; 1x1, 5x5; max pooling 3x3, 1x1. ReLU after every convolution.

    Args:
        x: (B, h, w, K).
        filters: six numbers in the order of MODULES.
        options: of `kzoo.nn.layers.conv_norm`.
    Returns:
        (B, h, w, sum of the four ways' last filters).
    """
    direct, reduce3, conv3, reduce5, conv5, projection = filters
    a = conv_norm_relu(x, direct, 1, name=f"{name}_1x1", **options)
    b = conv_norm_relu(x, reduce3, 1, name=f"{name}_3x3_reduce", **options)
    b = conv_norm_relu(b, conv3, 3, name=f"{name}_3x3", **options)
    c = conv_norm_relu(x, reduce5, 1, name=f"{name}_5x5_reduce", **options)
    c = conv_norm_relu(c, conv5, 5, name=f"{name}_5x5", **options)
    d = layers.MaxPooling2D(3, strides=1, padding="same", name=f"{name}_pool")(x)
    d = conv_norm_relu(d, projection, 1, name=f"{name}_pool_proj", **options)
    return layers.Concatenate(name=name)([a, b, c, d])


def googlenet(
    image, *, width: float = 1.0, init: str = "he_normal", norm: str = "batch", scaling: dict | None = None
) -> dict:
    """The maps that heads stand on.

    Args:
        image: (B, H, W, 3) uint8 keras tensor, RGB 0..255.
        width: factor of all filters.
        init, norm: see `kzoo.nn.layers.conv_norm`.
        scaling: arguments of `kzoo.nn.layers.ColourTransform` in place of -1..1.
    Returns:
        {"4a": (B, H/16, W/16, 512 width), "4d": (B, H/16, W/16, 528 width), "5b": (B, H/32, W/32, 1024 width)}, sides
        rounded up.
    """
    options = {"init": init, "norm": norm}
    x = ColourTransform(**scaling, name="scale")(image) if scaling else scale_signed(image)
    x = conv_norm_relu(x, scaled_filters(64, width), 7, strides=2, name="conv1", **options)
    x = layers.MaxPooling2D(3, strides=2, padding="same", name="pool1")(x)
    x = conv_norm_relu(x, scaled_filters(64, width), 1, name="conv2_reduce", **options)
    x = conv_norm_relu(x, scaled_filters(192, width), 3, name="conv2", **options)
    maps = {}
    for name, filters in MODULES.items():
        if name in ("3a", "4a", "5a"):
            x = layers.MaxPooling2D(3, strides=2, padding="same", name=f"pool{name}")(x)
        filters = tuple(scaled_filters(count, width) for count in filters)
        x = inception(x, filters, name=f"inception{name}", **options)
        maps[name] = x
    return {name: maps[name] for name in ("4a", "4d", "5b")}
