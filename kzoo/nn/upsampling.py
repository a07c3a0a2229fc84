"""Ways to double height and width, as one parameter of a decoder: the lecture's in-network upsampling, learnt and not.

Every mode of `UPSAMPLING` is one convolution at the small size, normalisation, ReLU, and (but for `transposed`) a
doubling without weights, so that a decoder with one mode differs from a decoder with another by nothing else. K maps
in, F maps out, E maps at the encoder's tap:

| mode | convolution | doubling | kernel weights |
|---|---|---|---|
| transposed | 4x4 stride 2, transposed, K to F (Xiao et al., ECCV 2018, §2) | by its stride | 16 K F |
| nearest | 3x3, K to F | every value four times | 9 K F |
| bilinear | 3x3, K to F | half-pixel centres | 9 K F |
| bed_of_nails | 3x3, K to F | the value at the upper left, 0 elsewhere | 9 K F |
| max_unpool | 1x1, K to E | the value where the encoder's map was largest, 0 elsewhere | K E |
| subpixel | 3x3, K to 4 F | depth to space (Shi et al., CVPR 2016, eq. 4) | 36 K F |

The merging convolution after it reads F maps (E after max_unpool) and those of the skip, if any: 9 F F (9 E F) and
9 E F kernel weights.
"""

import functools

import keras
from keras import layers, ops

from kzoo.nn import initializers
from kzoo.nn.layers import conv_norm_relu, deconv_norm_relu


def depth_to_space(x):
    """(B, h, w, 4 K) -> (B, 2 h, 2 w, K).

    The four groups of K channels become upper left, upper right, lower left, lower right.
    """
    _, height, width, channels = x.shape
    x = ops.reshape(x, (-1, width, 2, 2, channels // 4))
    x = ops.transpose(x, (0, 2, 1, 3, 4))  # (B h, w, row, column, K) -> (B h, row, w, column, K)
    return ops.reshape(x, (-1, 2 * height, 2 * width, channels // 4))


@keras.saving.register_keras_serializable("kzoo")
class MaxSwitches(layers.Layer):
    """Where the maximum of each 2x2 window lies; among equals it is the first, row by row.

    Values are only compared with each other: a compiler that computes a tensor twice, rounded differently, cannot lose
    a maximum, as it can where values are searched for that equal the maximum. Every window has exactly one switch, and
    no gradient flows.

    Call: (B, H, W, K), H and W even -> (B, H/2, W/2, 4, K) bool, the window's cells row by row.
    """

    def call(self, x):
        _, height, width, channels = x.shape
        windows = ops.reshape(x, (-1, 2, width // 2, 2, channels))
        cells = [windows[:, row, :, column] for row in (0, 1) for column in (0, 1)]  # 4 x (B H/2, W/2, K)
        switches = []
        taken = ops.zeros_like(cells[0], dtype="bool")
        for i, cell in enumerate(cells):
            largest = ops.logical_not(taken)
            for later in cells[i + 1 :]:
                largest = ops.logical_and(largest, ops.greater_equal(cell, later))
            switches.append(largest)
            taken = ops.logical_or(taken, largest)
        return ops.reshape(ops.stack(switches, axis=2), (-1, height // 2, width // 2, 4, channels))


def _max_switches(x, *, name: str):
    if any(side is None or side % 2 for side in x.shape[1:3]):
        raise ValueError(f"the switches of 2x2 max pooling need even height and width, got {x.shape[1]}x{x.shape[2]}")
    return MaxSwitches(name=f"{name}_switches")(x)


def max_pool_with_switches(x, *, name: str):
    """Max pooling 2x2 stride 2 that remembers where the maxima were (Zeiler and Fergus, ECCV 2014, §2.1).

    Args:
        x: (B, H, W, K), H and W even.
    Returns:
        (B, H/2, W/2, K) the maxima, (B, H/2, W/2, 4, K) bool their places, for `max_unpool`.
    Raises:
        ValueError: odd or unknown height or width.
    """
    switches = _max_switches(x, name=name)
    return layers.MaxPooling2D(2, name=name)(x), switches


def max_unpool(x, switches, *, name: str):
    """Every value where its switch is, 0 elsewhere: (B, h, w, K) and (B, h, w, 4, K) bool -> (B, 2 h, 2 w, K)."""
    _, height, width, channels = x.shape
    if tuple(switches.shape[1:]) != (height, width, 4, channels):
        raise ValueError(
            f"maps of {height}x{width}, {channels} channels, need switches of shape {(height, width, 4, channels)}, "
            f"got {tuple(switches.shape[1:])}"
        )
    cells = ops.where(switches, ops.expand_dims(x, 3), 0)  # (B, h, w, 1, K) -> (B, h, w, 4, K)
    cells = ops.reshape(cells, (-1, height, width, 4 * channels))
    return layers.Identity(name=name)(depth_to_space(cells))


def nearest(x, *, name: str):
    """Every value four times: (B, h, w, K) -> (B, 2 h, 2 w, K)."""
    return layers.UpSampling2D(2, interpolation="nearest", name=name)(x)


def bilinear(x, *, name: str):
    """Bilinear interpolation between pixel centres: (B, h, w, K) -> (B, 2 h, 2 w, K) float32.

    Centres lie at (i + 0.5) / size, so each new value is 9/16, 3/16, 3/16 and 1/16 of its four neighbours; at the
    border the outermost row and column are repeated, hence a corner keeps its value. A transposed convolution with the
    bilinear kernel takes zeros there instead.
    """
    # float32: Keras's resizing does not keep the type of 16-bit maps on TensorFlow.
    return layers.UpSampling2D(2, interpolation="bilinear", dtype="float32", name=name)(x)


def bed_of_nails(x, *, name: str):
    """Every value at the upper left of its four cells, 0 elsewhere: (B, h, w, K) -> (B, 2 h, 2 w, K)."""
    padded = ops.pad(x, ((0, 0), (0, 0), (0, 0), (0, 3 * x.shape[-1])))  # (B, h, w, K) -> (B, h, w, 4 K)
    return layers.Identity(name=name)(depth_to_space(padded))


@keras.saving.register_keras_serializable("kzoo")
class BilinearStart(keras.initializers.Initializer):
    """Kernel of a transposed convolution that starts as a 1x1 convolution followed by bilinear interpolation.

    The kernel is the product of both, for any number of maps in and out; Long et al.'s own has as many out as in and
    does not mix them.

    Args:
        init: what the 1x1 convolution is drawn from.

    Call: shape (k, k, F, K) of `keras.layers.Conv2DTranspose` -> weights.

    Reference: `kzoo.nn.initializers.Bilinear` for the window.
    """

    def __init__(self, init="he_normal"):
        self.init = keras.initializers.get(init)

    def __call__(self, shape, dtype=None):
        *window, filters, inputs = shape
        mixing = ops.transpose(self.init((1, 1, inputs, filters), dtype=dtype), (0, 1, 3, 2))  # to the kernel's (F, K)
        return initializers.Bilinear()((*window, 1, 1), dtype=dtype) * mixing

    def get_config(self):
        return {"init": keras.initializers.serialize(self.init)}


@keras.saving.register_keras_serializable("kzoo")
class ICNR(keras.initializers.Initializer):
    """Kernel of a convolution before `depth_to_space` that starts as nearest-neighbour upsampling.

    It has the same filters for all four cells.

    Args:
        init: what these filters are drawn from.

    Call: shape (..., K, 4 F) -> weights.

    Reference: Aitken et al., Checkerboard artifact free sub-pixel convolution, 2017 (arXiv:1707.02937).
    """

    def __init__(self, init="he_normal"):
        self.init = keras.initializers.get(init)

    def __call__(self, shape, dtype=None):
        *window, filters = shape
        if filters % 4:
            raise ValueError(f"ICNR needs a multiple of 4 filters, got {filters}")
        kernel = self.init((*window, filters // 4), dtype=dtype)
        repeats = [1] * len(window) + [4]
        return ops.tile(kernel, repeats)

    def get_config(self):
        return {"init": keras.initializers.serialize(self.init)}


def transposed_step(x, filters: int, *, encoder_map=None, name: str, **options):
    """Transposed convolution 4x4 stride 2."""
    return deconv_norm_relu(x, filters, name=name, **options)


def resize_step(x, filters: int, *, double, encoder_map=None, name: str, **options):
    """Convolution 3x3, then `double`."""
    return double(conv_norm_relu(x, filters, name=name, **options), name=f"{name}_double")


def subpixel_step(x, filters: int, *, encoder_map=None, name: str, **options):
    """Convolution 3x3 to four times the filters, then depth to space."""
    x = conv_norm_relu(x, 4 * filters, name=name, **options)
    return layers.Identity(name=f"{name}_double")(depth_to_space(x))


def unpool_step(x, filters: int, *, encoder_map=None, name: str, **options):
    """Convolution 1x1 to `encoder_map`'s E channels (whatever `filters` says), then unpooling by its switches."""
    if encoder_map is None:
        others = [mode for mode in UPSAMPLING if mode != "max_unpool"]
        raise ValueError(
            f"{name} with upsampling='max_unpool' needs an encoder map of the size it ends at, and there is none at "
            f"stride 1: use fewer widths, or another of {', '.join(others)}"
        )
    switches = _max_switches(encoder_map, name=name)
    x = conv_norm_relu(x, encoder_map.shape[-1], 1, name=name, **options)
    return max_unpool(x, switches, name=f"{name}_double")


# name -> function (x (B, h, w, K), filters, *, encoder_map (B, 2 h, 2 w, E) or None, init, norm, bias, name)
# -> (B, 2 h, 2 w, filters), but E channels from max_unpool. init, norm and bias as in `kzoo.nn.layers.conv_norm`.
UPSAMPLING = {
    "transposed": transposed_step,
    "nearest": functools.partial(resize_step, double=nearest),
    "bilinear": functools.partial(resize_step, double=bilinear),
    "bed_of_nails": functools.partial(resize_step, double=bed_of_nails),
    "max_unpool": unpool_step,
    "subpixel": subpixel_step,
}
# mode -> name -> function (initialiser of the other kernels) -> initialiser of the kernel that upsamples.
UPSAMPLING_INITS = {"transposed": {"bilinear": BilinearStart}, "subpixel": {"icnr": ICNR}}


def upward_path(
    features,
    widths,
    *,
    skips: bool,
    upsampling: str = "transposed",
    upsampling_init: str | None = None,
    init: str = "he_normal",
    norm: str = "batch",
    bias: float = 0.0,
):
    """The decoder of the lab course: each step doubles height and width and may be joined by the encoder's map.

    With `skips=False` nothing but the deepest map is used (by max_unpool also the places, not the values, of the
    others' maxima), and nothing else changes but the concatenation: U-Net and the plain encoder-decoder differ by
    exactly that.

    Args:
        features: five encoder maps at strides 2, 4, 8, 16, 32.
        widths: filters of each step; len(widths) steps end at stride 32 / 2**len(widths).
        upsampling: key of UPSAMPLING; max_unpool takes its switches from the encoder's map of the size that the step
            ends at.
        upsampling_init: start of the kernel that upsamples, None for `init`; "bilinear" for transposed
            (`BilinearStart`), "icnr" for subpixel (`ICNR`).
        init, norm, bias: see `kzoo.nn.layers.conv_norm`.
    Returns:
        (B, h, w, widths[-1]).
    Raises:
        ValueError: unknown `upsampling`, `upsampling_init` or `norm`; max_unpool beyond the encoder's largest map.
    """
    if upsampling not in UPSAMPLING:
        raise ValueError(f"upsampling must be one of {', '.join(UPSAMPLING)}, got {upsampling!r}")
    starts = UPSAMPLING_INITS.get(upsampling, {})
    if upsampling_init not in (None, *starts):
        allowed = " or ".join(["None", *starts])
        raise ValueError(f"upsampling_init of {upsampling} must be {allowed}, got {upsampling_init!r}")

    # Each step doubles, joins and merges.
    start = init if upsampling_init is None else starts[upsampling_init](init)
    double = UPSAMPLING[upsampling]
    x = features[-1]
    for step, width in enumerate(widths, start=1):
        encoder_map = features[-1 - step] if step < len(features) else None
        x = double(x, width, encoder_map=encoder_map, init=start, norm=norm, bias=bias, name=f"up{step}")
        if skips and encoder_map is not None:
            x = layers.Concatenate(name=f"up{step}_skip")([x, encoder_map])
        x = conv_norm_relu(x, width, init=init, norm=norm, bias=bias, name=f"up{step}_merge")
    return x
