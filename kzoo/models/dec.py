"""Deep embedded clustering: a dense auto-encoder whose code is pulled towards cluster centres (Xie, Girshick and
Farhadi, ICML 2016).

Layers d-500-500-2000-10 and mirrored back (§4), soft assignment by Student's t (eq. 1), trained towards its own
sharpened form (eq. 2, 3). Differs from the paper: the auto-encoder is pretrained end to end, without dropout, instead
of greedily layer by layer as denoising auto-encoders; layers start uniform with variance 1 / (3 fan in), as in the
authors' Keras version, instead of from N(0, 0.01). The decoder is part of the network in the second phase too, where
DEC drops its loss: `--loss_weights=reconstruction=0`. Measured on 2 CPU cores (x86-64, AVX-512), seeds 0 to 4, float32:
    python benchmarks/clustering.py   (each run: python train.py --task=cluster --arch=dec)
    digits, all 1,797, ACC 0.832 ± 0.016, NMI 0.813 ± 0.018, ARI 0.747 ± 0.022; k-means on pixels 0.794, on the codes
    0.811
"""

import keras

from kzoo.nn.autoencoders import clustered, dense_autoencoder, number_of_clusters, signal_of


def dec(
    input_shape: tuple[int, ...],
    num_outputs: int,
    *,
    clusters: int = 0,
    alpha: float = 1.0,
    channels: int = 1,
    features: keras.Model | None = None,
    widths: tuple[int, ...] = (500, 500, 2000),
    code: int = 10,
    init: str | None = None,
) -> keras.Model:
    """Build the network.

    Args:
        input_shape: (H, W, 3) of a uint8 RGB picture.
        num_outputs: classes of the data set, the number of clusters where `clusters` is 0.
        clusters: K; 0 for `num_outputs`.
        alpha: degrees of freedom of Student's t distribution.
        channels: 1 to cluster the mean of red, green and blue, 3 for all of them.
        features: network whose embedding is clustered instead of pixels, see `embeddings.trunk`; None for pixels. As a
            flag, `--set=features=<folder of any run>`.
        widths, code, init: see `kzoo.nn.autoencoders.dense_autoencoder`.
    Returns:
        model with input "image" and outputs {"assignment": (B, K), "reconstruction": of the layer "signal", (B, H, W,
        channels) or with `features` (B, d), "code": (B, code)}, float32.
    Raises:
        ValueError: no number of clusters, or `channels` neither 1 nor 3.
    """
    clusters = number_of_clusters(clusters, num_outputs)
    inputs, signal = signal_of(input_shape, channels, features)
    z, reconstruction = dense_autoencoder(signal, widths, code, init)
    return keras.Model(inputs, clustered(z, reconstruction, clusters, alpha), name="dec")
