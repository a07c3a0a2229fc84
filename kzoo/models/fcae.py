"""Clustering by a fully convolutional auto-encoder and cluster hardening.

Aljalbout et al., Clustering with Deep Learning, 2018, arXiv:1801.07648, fig. 2, with the layers that the authors' code
builds for MNIST. No dense layer: 5x5 convolutions of 50 filters, each with batch normalisation, ReLU and 2x2 max
pooling, then a linear convolution of 120 filters, normalised, over the whole map that is left, whose one cell is the
code: 28 px become 24, 12, 8, 4 and 1. The decoder mirrors it with transposed convolutions and unpools to where the
maxima were. In the second phase that code sums the cluster hardening loss over its batches of 100 and takes the mean of
the reconstruction, both with weight 1; in means: `--loss_weights=reconstruction=1 --loss_weights=assignment=100`.
Differs: the output is linear, the authors' has a ReLU, where a pixel that is never positive cannot learn; no bias
before batch normalisation; no weight decay by itself, theirs is 5e-5. Our reading, for pictures that the layers for
MNIST do not fit: convolutions are padded, and the last one takes whatever map is left, 2x2 of 8 px. Their deeper
network for COIL-20 is `widths=(20, 20, 20, 40)` and `code=320` but for its first kernel of 9x9 and one pooling without
switches.
Measured on 2 CPU cores (x86-64, AVX-512), seeds 0 to 4, float32:
    python benchmarks/clustering.py   (each run: python train.py --task=cluster --arch=fcae)
    digits, all 1,797, ACC 0.871 ± 0.010, NMI 0.855 ± 0.010, ARI 0.790 ± 0.015; k-means on pixels 0.794, on the codes
    0.832
"""

import keras
from keras import layers

from kzoo.nn.autoencoders import clustered, mirrored_convolution, number_of_clusters, signal_of
from kzoo.nn.layers import conv_norm, conv_norm_relu, normalise
from kzoo.nn.upsampling import max_pool_with_switches, max_unpool, nearest

UNPOOLING = {"switches": max_unpool, "nearest": lambda x, switches, *, name: nearest(x, name=name)}


def fcae(
    input_shape: tuple[int, int, int],
    num_outputs: int,
    *,
    clusters: int = 0,
    alpha: float = 1.0,
    channels: int = 1,
    widths: tuple[int, ...] = (50, 50),
    code: int = 120,
    kernel: int = 5,
    padding: str = "auto",
    unpooling: str = "switches",
    init: str = "glorot_uniform",
    norm: str = "batch",
) -> keras.Model:
    """Build the network.

    Args:
        input_shape: (H, W, 3) of a uint8 RGB picture.
        num_outputs: classes of the data set, the number of clusters where `clusters` is 0.
        clusters: K; 0 for `num_outputs`.
        alpha: degrees of freedom of Student's t distribution.
        channels: 1 to cluster the mean of red, green and blue, 3 for all of them.
        widths: filters of the convolutions, each of which is pooled.
        code: filters of the last convolution.
        kernel: side of the other convolutions' windows.
        padding: of them: "valid" as published, "same", or "auto": valid where 4x4 cells are left (by default from 25 px
            on), else same.
        unpooling: "switches" as published, which show the decoder where the maxima were, or "nearest": all has to go
            through the code.
        init: kernel initialiser.
        norm: see `kzoo.nn.layers.normalise`.
    Returns:
        model with input "image" and outputs {"assignment": (B, K), "reconstruction": (B, H, W, channels) of the layer
        "signal", "code": (B, code)}, float32.
    Raises:
        ValueError: no number of clusters, unknown `padding` or `unpooling`, a picture too small, or `channels` neither
        1 nor 3.
    """
    clusters = number_of_clusters(clusters, num_outputs)
    padding = _padding_for(input_shape, len(widths), kernel, padding)
    if unpooling not in UNPOOLING:
        raise ValueError(f"unpooling must be one of {', '.join(UNPOOLING)}, got {unpooling!r}")
    # Encoder.
    image, signal = signal_of(input_shape, channels)
    x = signal
    stages = []  # (size and filters of what each convolution reads, size of what it gives, switches of the pooling)
    for step, width in enumerate(widths, start=1):
        read = x.shape[1:]
        x = conv_norm_relu(x, width, kernel, padding=padding, init=init, norm=norm, name=f"encoder{step}")
        given = x.shape[1:3]
        x = _evened(x, name=f"pool{step}_even")
        x, switches = max_pool_with_switches(x, name=f"pool{step}")
        stages.append((read, given, switches))

    # The code: all of the map that is left.
    left, filters = x.shape[1:3], x.shape[-1]
    x = conv_norm(x, code, left, padding="valid", init=init, norm=norm, name="encoder_code")
    z = layers.Flatten(dtype="float32", name="flatten")(x)  # (B, 1, 1, code) -> (B, code)

    # Decoder.
    options = {"kernel_initializer": init, "use_bias": norm == "none"}
    x = mirrored_convolution(x, filters, left, left, name="decoder_code_deconv", **options)
    x = normalise(x, norm, name="decoder_code")
    for step in range(len(widths), 0, -1):
        (height, width, filters), given, switches = stages[step - 1]
        x = UNPOOLING[unpooling](x, switches, name=f"unpool{step}")[:, : given[0], : given[1]]
        if step == 1:
            options = {"kernel_initializer": init, "dtype": "float32"}
        x = mirrored_convolution(x, filters, kernel, (height, width), name=f"decoder{step}_deconv", **options)
        if step > 1:
            x = normalise(x, norm, name=f"decoder{step}")
            x = layers.ReLU(name=f"decoder{step}_relu")(x)
    return keras.Model(image, clustered(z, x, clusters, alpha), name="fcae")


def _padding_for(input_shape, steps: int, kernel: int, padding: str) -> str:
    """What "auto" stands for; the others as they are."""
    if padding not in ("auto", "valid", "same"):
        raise ValueError(f"padding must be auto, valid or same, got {padding!r}")
    if not steps:
        raise ValueError("widths must name the filters of at least one convolution, got ()")
    side = min(input_shape[:2])
    for _ in range(steps):
        side = -(-(side - kernel + 1) // 2)
    if padding == "valid" and side < 1:
        size = f"{input_shape[0]}x{input_shape[1]}"
        raise ValueError(
            f"{steps} convolutions of {kernel}x{kernel} and poolings leave nothing of {size}: "
            "give padding=same, fewer widths or a larger picture"
        )
    if padding != "auto":
        return padding
    return "valid" if side >= 4 else "same"


def _evened(x, *, name: str):
    """A row and a column of zeros where height and width are odd.

    They are no maxima of what a ReLU gives but where all are 0.
    """
    height, width = x.shape[1:3]
    if height % 2 == 0 and width % 2 == 0:
        return x
    return layers.ZeroPadding2D(((0, height % 2), (0, width % 2)), name=name)(x)
