"""Deep convolutional embedded clustering: IDEC with a convolutional auto-encoder (Guo, Liu, Zhu and Yin, ICONIP 2017).

Convolutions of 32 (5x5), 64 (5x5) and 128 (3x3) filters, each of stride 2, a linear dense code of 10, a dense layer and
transposed convolutions back to a linear output, all others with ReLU. In the second phase reconstruction has weight 1
and clustering gamma = 0.1: `--loss_weights=reconstruction=1 --loss_weights=assignment=0.1`.
Differs from the paper: every convolution is padded, so that any picture goes; the authors do not pad the third one
where a side is no multiple of 8, and 28 px become 14, 7 and 3 there, 14, 7 and 4 here.
Measured on 2 CPU cores (x86-64, AVX-512), seeds 0 to 4, float32:
    python benchmarks/clustering.py   (each run: python train.py --task=cluster --arch=dcec)
    digits, all 1,797, ACC 0.820 ± 0.050, NMI 0.814 ± 0.034, ARI 0.731 ± 0.054; k-means on pixels 0.794, on the codes
    0.776
"""

import math

import keras
from keras import layers

from kzoo.nn.autoencoders import clustered, mirrored_convolution, number_of_clusters, signal_of

KERNELS = (5, 5, 3)  # a last kernel serves all deeper stages


def dcec(
    input_shape: tuple[int, int, int],
    num_outputs: int,
    *,
    clusters: int = 0,
    alpha: float = 1.0,
    channels: int = 1,
    widths: tuple[int, ...] = (32, 64, 128),
    code: int = 10,
    init: str = "glorot_uniform",
) -> keras.Model:
    """Build the network.

    Args:
        input_shape: (H, W, 3) of a uint8 RGB picture, of any size.
        num_outputs: classes of the data set, the number of clusters where `clusters` is 0.
        clusters: K; 0 for `num_outputs`.
        alpha: degrees of freedom of Student's t distribution.
        channels: 1 to cluster the mean of red, green and blue, 3 for all of them.
        widths: filters of the convolutions, each of which halves height and width; at least one.
        code: units of the code.
        init: kernel initialiser.
    Returns:
        model with input "image" and outputs {"assignment": (B, K), "reconstruction": (B, H, W, channels) of the layer
        "signal", "code": (B, code)}, float32.
    Raises:
        ValueError: no number of clusters, no convolution, or `channels` neither 1 nor 3.
    """
    clusters = number_of_clusters(clusters, num_outputs)
    if not widths:
        raise ValueError("widths must name the filters of at least one convolution, got ()")
    image, signal = signal_of(input_shape, channels)
    x = signal
    stages = []  # (kernel, size, filters) of what each convolution reads
    for step, width in enumerate(widths, start=1):
        kernel = KERNELS[min(step, len(KERNELS)) - 1]
        stages.append((kernel, x.shape[1:3], x.shape[-1]))
        x = layers.Conv2D(
            width, kernel, strides=2, padding="same", activation="relu", kernel_initializer=init, name=f"encoder{step}"
        )(x)
    maps = x.shape[1:]
    x = layers.Flatten(name="flatten")(x)
    z = layers.Dense(code, kernel_initializer=init, dtype="float32", name="encoder_code")(x)
    x = layers.Dense(math.prod(maps), activation="relu", kernel_initializer=init, name="decoder_code")(z)
    x = layers.Reshape(maps, name="decoder_maps")(x)
    for step in range(len(widths), 0, -1):
        kernel, size, filters = stages[step - 1]
        last = {"dtype": "float32"} if step == 1 else {"activation": "relu"}
        x = mirrored_convolution(
            x, filters, kernel, size, strides=2, kernel_initializer=init, name=f"decoder{step}", **last
        )
    return keras.Model(image, clustered(z, x, clusters, alpha), name="dcec")
