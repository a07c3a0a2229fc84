"""Convolutional pose machine: stages read the previous one's belief maps again and again (Wei et al., CVPR 2016).

Layers and widths are those of the released MPII network. Differs from the paper: no background map, so J maps instead
of J + 1; He initialisation instead of Gaussians of 0.01; the map of the person's centre is sampled at the cells'
centres, which the released network averages over 9x9 pixels (1.5 % lower at its peak); optional BatchNorm; any input
size of a multiple of 8.
Measured on 2 CPU cores (x86-64, AVX-512), seed 0, float32:
    python train.py --task=pose --arch=cpm
    people, val MPJPE 12.9 px of a 256-px picture (mean pose: 43.0), no flip, decoder: dark; 5.7 CPU-min
"""

import keras
from keras import layers, ops

from kzoo.nn import geometry
from kzoo.nn.layers import conv_norm_relu, heatmap_head, named

BLOCKS = ((1, 1), (2, 2), (4, 4, 4, 4), (8, 8, 4, 4, 4, 4, 2))  # filters, in widths, of 3x3 convolutions between pools
CENTRE_SIGMA = 21 / 368  # of the released network, as a fraction of its input's side


@keras.saving.register_keras_serializable("kzoo")
class CentreMap(layers.Layer):
    """A constant Gaussian of height 1 in the middle of the picture: tells the person in question from others.

    Args:
        sigma: standard deviation as a fraction of the map's longer side.

    Call: (B, h, w, K), of which only the shape counts -> (B, h, w, 1).
    """

    def __init__(self, sigma: float = CENTRE_SIGMA, **kwargs):
        super().__init__(**kwargs)
        self.sigma = sigma

    def call(self, features):
        _, height, width, _ = features.shape
        sigma = self.sigma * max(height, width)  # in cells
        y = (geometry.cell_centres(height) - 0.5) * height / sigma
        x = (geometry.cell_centres(width) - 0.5) * width / sigma
        centre = ops.convert_to_tensor(ops.exp(-0.5 * (y[:, None] ** 2 + x**2)), self.compute_dtype)
        return ops.broadcast_to(centre[None, :, :, None], (ops.shape(features)[0], height, width, 1))

    def get_config(self):
        return {**super().get_config(), "sigma": self.sigma}


def cpm(
    input_shape: tuple[int, int, int],
    num_outputs: int,
    *,
    init: str = "he_normal",
    width: int = 64,
    stages: int = 6,
    norm: str = "none",
) -> keras.Model:
    """Build the network.

    Args:
        input_shape: (H, W, 3) of a uint8 RGB picture with the person in its middle, multiples of 8; the maps have an
            eighth of it.
        num_outputs: J joints.
        init: kernel initialiser.
        width: filters of the first convolutions, all other widths are multiples of it; the paper's is 64.
        stages: S stages; the paper's is 6.
        norm: between convolution and ReLU, see `kzoo.nn.layers.normalise`; the paper has none.
    Returns:
        model with outputs {"heatmaps": (B, H/8, W/8, J) float32, of the last stage; "aux_heatmaps":
        (B, S-1, H/8, W/8, J), earlier ones}.
    """
    if input_shape[0] % 8 or input_shape[1] % 8:
        raise ValueError(f"the input's sides must be multiples of 8, got {input_shape[0]}x{input_shape[1]}")
    if stages < 1:
        raise ValueError(f"stages must be 1 or more, got {stages}")

    def conv(x, multiple, kernel, name):
        return conv_norm_relu(x, multiple * width, kernel, init=init, norm=norm, name=name)

    # Features of the picture, shared by the stages.
    image = keras.Input(input_shape, dtype="uint8", name="image")
    x = layers.Rescaling(1 / 256, offset=-0.5, name="scale")(image)
    for block, multiples in enumerate(BLOCKS, start=1):
        if block > 1:
            x = layers.MaxPooling2D(2, name=f"pool{block - 1}")(x)
        for step, multiple in enumerate(multiples, start=1):
            x = conv(x, multiple, 3, f"conv{block}_{step}")
    features = x
    centre = CentreMap(name="centre")(x)

    # Stages: belief maps from the features, then again from both.
    x = conv(features, 8, 1, "stage1_1")
    maps = [heatmap_head(x, num_outputs, name="stage1_maps")]
    for stage in range(2, stages + 1):
        x = layers.Concatenate(name=f"stage{stage}_input")([maps[-1], features, centre])
        for step, kernel in enumerate((7, 7, 7, 7, 7, 1), start=1):
            x = conv(x, 2, kernel, f"stage{stage}_{step}")
        maps.append(heatmap_head(x, num_outputs, name=f"stage{stage}_maps"))
    outputs = {"heatmaps": maps[-1]}
    if stages > 1:
        outputs["aux_heatmaps"] = ops.stack(maps[:-1], axis=1)
    return keras.Model(image, named(outputs), name="cpm")
