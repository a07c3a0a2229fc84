"""Blocks as functions, and the few true layers."""

import math

import keras
import numpy as np
from keras import layers, ops

import kzoo.nn.conventions  # noqa: F401
from kzoo.nn import geometry

BATCH_NORM_MOMENTUM = 0.9  # Keras's 0.99 lags behind short runs: validation then looks broken while training looks fine


def normalise(x, norm: str, *, bias: float = 0.0, name: str):
    """Normalisation over the batch or groups of channels, learnt scale and shift: (B, h, w, K) -> same shape.

    Args:
        norm: "batch" (Ioffe and Szegedy 2015), "group" (Wu and He 2018; groups of the most channels, at most 32 groups,
            that divide K) or "none" (the tensor as it is).
        bias: the shift starts here.
    """
    if norm == "none":
        return x
    shift = keras.initializers.Constant(bias)
    if norm == "batch":
        return layers.BatchNormalization(momentum=BATCH_NORM_MOMENTUM, beta_initializer=shift, name=f"{name}_bn")(x)
    if norm == "group":
        return layers.GroupNormalization(math.gcd(32, x.shape[-1]), beta_initializer=shift, name=f"{name}_gn")(x)
    raise ValueError(f"norm must be batch, group or none, got {norm!r}")


POOLS = {"average": layers.GlobalAveragePooling2D, "flatten": layers.Flatten}


def pooling(pool: str) -> layers.Layer:
    """The layer that makes a vector of maps, (B, h, w, K) -> (B, K) or (B, h w K) float32: key of POOLS.

    Raises:
        ValueError: unknown `pool`.
    """
    if pool not in POOLS:
        raise ValueError(f"pool must be one of {', '.join(POOLS)}, got {pool!r}")
    return POOLS[pool](dtype="float32", name="pool")


def per_frame(function, x):
    """Apply a function of pictures to every frame of clips.

    (B, T, H, W, C) -> (B, T, h, w, K), or (B, T, K) where it gives vectors.
    """
    frames = x.shape[1]
    y = function(ops.reshape(x, (-1, *x.shape[2:])))  # (B * T, H, W, C)
    return ops.reshape(y, (-1, frames, *y.shape[1:]))


def conv_norm(
    x,
    filters: int,
    kernel: int = 3,
    *,
    strides: int = 1,
    dilation: int = 1,
    padding: str = "same",
    init: str = "he_normal",
    norm: str = "batch",
    bias: float = 0.0,
    name: str,
):
    """Convolution and normalisation: (B, H, W, K) -> (B, H / strides, W / strides, filters).

    Args:
        norm: see `normalise`; the convolution has a bias of its own only where it is "none".
        bias: what is added before the activation starts here; small and positive keeps ReLUs alive at the start.
    """
    x = layers.Conv2D(
        filters,
        kernel,
        strides=strides,
        dilation_rate=dilation,
        padding=padding,
        use_bias=norm == "none",
        kernel_initializer=init,
        bias_initializer=keras.initializers.Constant(bias),
        name=f"{name}_conv",
    )(x)
    return normalise(x, norm, bias=bias, name=name)


def conv_norm_relu(x, filters: int, kernel: int = 3, *, name: str, **options):
    """`conv_norm`, with its options, and ReLU."""
    return layers.ReLU(name=f"{name}_relu")(conv_norm(x, filters, kernel, name=name, **options))


def deconv_norm_relu(x, filters: int, *, init="he_normal", norm: str = "batch", bias: float = 0.0, name: str):
    """Transposed convolution 4x4 stride 2 (Xiao et al. 2018, §2), normalisation, ReLU: doubles height and width."""
    x = layers.Conv2DTranspose(
        filters,
        4,
        strides=2,
        padding="same",
        use_bias=norm == "none",
        kernel_initializer=init,
        bias_initializer=keras.initializers.Constant(bias),
        name=f"{name}_deconv",
    )(x)
    return layers.ReLU(name=f"{name}_relu")(normalise(x, norm, bias=bias, name=name))


def bottleneck(x, filters: int, *, init: str = "he_normal", name: str):
    """Pre-activation residual bottleneck: 1x1, 3x3 at half the filters, 1x1, plus the input.

    (B, h, w, K) -> (B, h, w, filters). Where the filters differ, the input comes by a bare 1x1. Convolutions carry
    biases, as in Newell et al., ECCV 2016, fig. 4 left, and its released network.
    """
    y = x
    convolutions = ((filters // 2, 1), (filters // 2, 3), (filters, 1))
    for step, (width, kernel) in enumerate(convolutions, start=1):
        y = bn_relu_conv(y, width, kernel, init=init, name=f"{name}_{step}")
    if x.shape[-1] != filters:
        x = layers.Conv2D(filters, 1, kernel_initializer=init, name=f"{name}_skip")(x)
    return layers.Add(name=name)([x, y])


def bn_relu_conv(x, filters: int, kernel: int = 3, *, strides: int = 1, init: str = "he_normal", name: str):
    """BatchNorm, ReLU, convolution with bias: the pre-activation order."""
    x = layers.BatchNormalization(momentum=BATCH_NORM_MOMENTUM, name=f"{name}_bn")(x)
    x = layers.ReLU(name=f"{name}_relu")(x)
    return layers.Conv2D(
        filters, kernel, strides=strides, padding="same", kernel_initializer=init, name=f"{name}_conv"
    )(x)


def hourglass_stem(image, width: int, *, init: str = "he_normal"):
    """uint8 picture (B, H, W, 3) -> what the first hourglass reads: (B, H/4, W/4, width) (Newell et al. 2016, §3.1)."""
    x = layers.Rescaling(1 / 255, name="scale")(image)
    x = conv_norm_relu(x, width // 4, 7, strides=2, init=init, name="stem_a")
    x = bottleneck(x, width // 2, init=init, name="stem_b")
    x = layers.MaxPooling2D(2, name="stem_pool")(x)
    x = bottleneck(x, width // 2, init=init, name="stem_c")
    return bottleneck(x, width, init=init, name="stem_d")


def hourglass_module(x, depth: int, block, *, name: str):
    """One hourglass: `depth` times down by max-pooling, up again by nearest neighbour, a block on every way.

    Args:
        x: (B, h, w, K), h and w multiples of 2**depth.
        block: function (x, branch, level, name) -> tensor of the same shape. branch is "skip" (at the size before
            pooling), "down", "bottom" (the smallest size only) or "up"; level counts down from `depth` (outermost) to
            1.
    Returns:
        (B, h, w, K).

    Reference: Newell et al. 2016, fig. 3.
    """
    if x.shape[1] % 2**depth or x.shape[2] % 2**depth:
        raise ValueError(
            f"an hourglass of depth {depth} needs maps of a multiple of {2**depth} cells, got {x.shape[1]}x{x.shape[2]}"
        )
    prefix = f"{name}_{depth}"
    skip = block(x, "skip", depth, f"{prefix}_skip")
    y = layers.MaxPooling2D(2, name=f"{prefix}_pool")(x)
    y = block(y, "down", depth, f"{prefix}_down")
    y = hourglass_module(y, depth - 1, block, name=name) if depth > 1 else block(y, "bottom", depth, f"{prefix}_bottom")
    y = block(y, "up", depth, f"{prefix}_up")
    y = layers.UpSampling2D(2, interpolation="nearest", name=f"{prefix}_upsample")(y)
    return layers.Add(name=f"{prefix}_out")([skip, y])


@keras.saving.register_keras_serializable("kzoo")
class SoftArgmax(layers.Layer):
    """Heat-map logits -> expected position, in float32 whatever the policy.

    Args:
        temperature: the logits are divided by it before the softmax; small is sharp.

    Call: (B, h, w, J) logits -> (B, J, 2) float32, x and y as fractions of the picture.

    Reference: Sun et al., Integral Human Pose Regression, ECCV 2018, eq. 2.
    """

    def __init__(self, temperature: float = 1.0, **kwargs):
        super().__init__(**{**kwargs, "dtype": "float32"})
        self.temperature = temperature

    def call(self, logits):
        return geometry.expected_position(geometry.spatial_softmax(logits / self.temperature))

    def get_config(self):
        return {**super().get_config(), "temperature": self.temperature}


def upsample_to(x, size: tuple[int, int], *, name: str):
    """Bilinear resize to (height, width) in float32."""
    if tuple(x.shape[1:3]) == tuple(size):
        return layers.Identity(dtype="float32", name=name)(x)
    # Not layers.Resizing: as a preprocessing layer it calls itself with training=True, and layers after it then believe
    # that they train.
    resized = ops.image.resize(ops.cast(x, "float32"), size, interpolation="bilinear")
    return layers.Identity(dtype="float32", name=name)(resized)


def named(outputs: dict) -> dict:
    """The same tensors, float32, from layers named as their keys.

    Keras tells a model's outputs apart by the names of their layers.
    """
    return {name: layers.Identity(dtype="float32", name=name)(x) for name, x in outputs.items()}


def head(x, filters: int, *, init: str = "glorot_uniform", bias: float = 0.0, name: str):
    """Final 1x1 convolution with bias, float32, no activation."""
    bias = keras.initializers.Constant(bias)
    return layers.Conv2D(filters, 1, kernel_initializer=init, bias_initializer=bias, dtype="float32", name=name)(x)


def heatmap_head(x, joints: int, *, bias: float = 0.0, name: str):
    """Final 1x1 convolution of heat maps, float32, starting near 0 (Xiao et al. 2018 draw from N(0, 0.001) as well).

    Heat maps are 0 nearly everywhere. A head that starts with answers of about 1 first unlearns them by emptying the
    features below it, and stays at 0: seen with Glorot's initialiser on `people` (after 4 epochs at 64 px 87 px MPJPE,
    against 26 px from here).
    """
    return head(x, joints, init=keras.initializers.RandomNormal(stddev=0.001), bias=bias, name=name)


@keras.saving.register_keras_serializable("kzoo")
class ColourTransform(layers.Layer):
    """Affine map of RGB in float32: mean, z-score and whitening are such maps.

    Its numbers are what `kzoo.data.statistics` fits.

    Args:
        matrix: 3 rows of 3 numbers.
        offset: 3 numbers.

    Call: (B, H, W, 3), 0..255 -> (B, H, W, 3) float32, rgb @ matrix + offset.
    """

    def __init__(self, matrix, offset, **kwargs):
        super().__init__(**{**kwargs, "dtype": "float32"})
        self.matrix, self.offset = np.asarray(matrix, "float32"), np.asarray(offset, "float32")
        if self.matrix.shape != (3, 3) or self.offset.shape != (3,):
            raise ValueError(
                f"matrix must be 3x3 and offset 3 numbers, got {self.matrix.shape} and {self.offset.shape}"
            )

    def call(self, image):
        return ops.matmul(ops.cast(image, "float32"), self.matrix) + self.offset

    def get_config(self):
        return {**super().get_config(), "matrix": self.matrix.tolist(), "offset": self.offset.tolist()}


def scaled(image, scaling: dict | None = None):
    """What a network without encoder does to its picture first: `ColourTransform(**scaling)`, by default RGB / 255."""
    if scaling:
        return ColourTransform(**scaling, name="scale")(image)
    return layers.Rescaling(1 / 255, dtype="float32", name="scale")(image)


@keras.saving.register_keras_serializable("kzoo")
class LearnedWeights(layers.Layer):
    """The weights of a loss, learned with the network.

    They join its answer as channels of their own, so that the loss can read them there. Training finds, saves and loads
    them as any other weight; an export of the other outputs leaves them out. float32 whatever the policy.

    Args:
        initial: K numbers to start from.

    Call: (…, N) -> (…, N + K) float32: the input, then the K weights, the same ones everywhere.

    Raises:
        ValueError: initial holds no numbers.

    Reference: Kendall, Gal and Cipolla, Multi-Task Learning Using Uncertainty to Weigh Losses, CVPR 2018, §3.2.
    """

    def __init__(self, initial, **kwargs):
        super().__init__(**{**kwargs, "dtype": "float32"})
        self.initial = [float(number) for number in initial]
        if not self.initial:
            raise ValueError("initial must hold at least one number, got none")

    def build(self, input_shape):
        start = keras.initializers.Constant(np.asarray(self.initial, "float32"))
        shape = (len(self.initial),)
        self.learned = self.add_weight(shape=shape, initializer=start, name="weights")  # `.weights` is Keras's own

    def call(self, x):
        x = ops.cast(x, "float32")
        return ops.concatenate([x, ops.ones_like(x[..., :1]) * self.learned], axis=-1)

    def get_config(self):
        return {**super().get_config(), "initial": self.initial}


@keras.saving.register_keras_serializable("kzoo")
class UnitPower(layers.Layer):
    """Divides by the training set's root mean square: the mean squared norm per dimension becomes 1.

    In float32 whatever the policy. The trainer assigns the weight "rms", a scalar that is not trained; until then it is
    1 and nothing changes.

    Call: any shape -> the same shape, float32.

    Reference: Xie, Girshick and Farhadi, Unsupervised Deep Embedding for Clustering Analysis, ICML 2016, §4:
    ||x||^2 / d is about 1.
    """

    def __init__(self, **kwargs):
        super().__init__(**{**kwargs, "dtype": "float32"})

    def build(self, input_shape):
        self.rms = self.add_weight(shape=(), initializer="ones", trainable=False, name="rms")

    def call(self, x):
        return ops.cast(x, "float32") / self.rms


@keras.saving.register_keras_serializable("kzoo")
class SoftAssignment(layers.Layer):
    """Similarity of codes to cluster centres by Student's t distribution, normalised over the clusters.

    In float32 whatever the policy.

    Args:
        clusters: K; the weight "centres" (K, d) is trained, and the trainer assigns what k-means finds.
        alpha: degrees of freedom.

    Call: (B, d) codes z -> (B, K) float32, q_ij in proportion to (1 + |z_i - mu_j|^2 / alpha)^(-(alpha + 1) / 2); its
    rows sum to 1.

    Raises:
        ValueError: fewer than one cluster, or alpha not above 0.

    Reference: Xie, Girshick and Farhadi, ICML 2016, eq. 1 (after van der Maaten and Hinton, JMLR 2008).
    """

    def __init__(self, clusters: int, alpha: float = 1.0, **kwargs):
        super().__init__(**{**kwargs, "dtype": "float32"})
        if clusters < 1 or not alpha > 0:
            raise ValueError(f"clusters must be 1 or more and alpha above 0, got clusters={clusters}, alpha={alpha}")
        self.clusters = clusters
        self.alpha = alpha

    def build(self, input_shape):
        self.centres = self.add_weight(
            shape=(self.clusters, input_shape[-1]), initializer="glorot_uniform", name="centres"
        )

    def call(self, codes):
        difference = ops.expand_dims(ops.cast(codes, "float32"), 1) - self.centres  # (B, 1, d) - (K, d) -> (B, K, d)
        squared = ops.sum(ops.square(difference), axis=-1)
        # Logarithms, because of far codes the powers are 0 / 0.
        logarithms = -0.5 * (self.alpha + 1) * ops.log(1 + squared / self.alpha)  # log1p is not in ONNX
        return ops.exp(logarithms - ops.logsumexp(logarithms, axis=-1, keepdims=True))

    def get_config(self):
        return {**super().get_config(), "clusters": self.clusters, "alpha": self.alpha}
