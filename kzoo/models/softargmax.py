"""Integral pose regression: encoder, transposed convolutions, soft-argmax.

Sun et al., ECCV 2018; the regulariser is that of Nibali et al. 2018.

Differs from the papers: any encoder, an optional U-Net-like decoder (`skips`), the Jensen-Shannon regulariser as the
loss of the second output.
Measured on 2 CPU cores (x86-64, AVX-512), seed 0, float32:
    python train.py --task=pose --arch=softargmax
    people, val MPJPE 10.7 px of a 256-px picture (mean pose: 43.0)
    python train.py --task=pose --arch=softargmax --dataset=coco_subset --encoder=mobilenetv2 \
        --encoder_weights=<ImageNet file> --batch_size=16 --lr=1e-3 --size=128 --epochs=25 \
        '--set=widths=(128,96,64)' --set=skips=True --loss_weights=latent_heatmaps=0.5
    real COCO persons (764 val crops, ground-truth boxes x 1.25, no flip), val MPJPE 16.8 px of a 256-px crop
    (mean pose: 32.7)
"""

import keras

from kzoo.nn.encoders import encode
from kzoo.nn.layers import SoftArgmax, head
from kzoo.nn.upsampling import upward_path


def softargmax(
    input_shape: tuple[int, int, int],
    num_outputs: int,
    *,
    encoder: str = "resnet50",
    encoder_weights: str = "none",
    init: str = "he_normal",
    widths: tuple[int, ...] = (256, 256, 256),
    skips: bool = False,
    temperature: float = 1.0,
) -> keras.Model:
    """Build the network.

    Args:
        input_shape: (H, W, 3) of a uint8 RGB picture.
        num_outputs: J joints.
        encoder, encoder_weights, init: see `kzoo.nn.encoders.encode`.
        widths: filters of the decoder's steps; the heat maps have stride 32 / 2**len(widths).
        skips: join the encoder's maps into the decoder.
        temperature: of the soft-argmax; small is sharp.
    Returns:
        model with outputs {"coords": (B, J, 2) float32, fractions; "latent_heatmaps": (B, h, w, J) float32 logits}.
    """
    image = keras.Input(input_shape, dtype="uint8", name="image")
    features = encode(image, encoder, encoder_weights, init=init)
    x = upward_path(features, widths, skips=skips, init=init)
    logits = head(x, num_outputs, name="latent_heatmaps")
    coords = SoftArgmax(temperature, name="coords")(logits)
    return keras.Model(image, {"coords": coords, "latent_heatmaps": logits}, name="softargmax")
