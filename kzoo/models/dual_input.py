"""A camera's pose from a picture and its labels: two encoders, one regressor.

The dual-input model of a lab report on localisation with semantics (its §2.1), on MapNet (Brahmbhatt et al., CVPR
2018): labels are shown as an RGB picture, as in visualisation, and an encoder with weights of its own reads it; both
encoders' features are concatenated. The report found this better than its other two ways: one encoder for both
pictures, or labels as a fourth channel of the first convolution, whose kernel there starts as the mean of its other
three. The labels must be known when the network answers: those of the data set, or a segmentation network's.
Differs from the report: one picture instead of a window, since masks belong to single pictures; the two relative terms
of the loss, and their weights, are not used then. Its colours are not given: here they are PASCAL VOC's, and on the
fourth channel, which is grey, an id's bits in reverse, so that the first ids, those in use, lie far apart. The position
is regressed in units of `spread` from `centre`, because metres far from 0 learn slowly.
Measured on 2 CPU cores (x86-64, AVX-512), seed 0, float32:
    python train.py --task=loc --arch=dual_input
    room/labelled, val median 0.322 m, 7.9 degrees, given the true labels, encoder small, 96x128 px, 10 epochs; mean
    pose 0.921 m and 61.7 degrees, retrieval 0.471 m and 9.6 degrees; 7.0 CPU-min
"""

import keras
import numpy as np
from keras import layers, ops

from kzoo.nn.camera_heads import log_quaternion_pose, regressor
from kzoo.nn.encoders import encode
from kzoo.nn.layers import named, pooling


def _from_bits(places) -> np.ndarray:
    """(256,) uint8: of every id the bits at `places`, the first one as the highest of 8."""
    ids = np.arange(256)
    return sum(((ids >> place) & 1) << (7 - rank) for rank, place in enumerate(places)).astype("uint8")


# (256, 3) of each id; "colour" is the colour map of PASCAL VOC (Everingham et al., devkit 2012).
COLOURS = {
    "colour": np.stack([_from_bits((0, 3, 6)), _from_bits((1, 4, 7)), _from_bits((2, 5))], axis=-1),
    "grey": np.repeat(_from_bits(range(8))[:, None], 3, axis=-1),
}


@keras.saving.register_keras_serializable("kzoo")
class LabelPicture(layers.Layer):
    """Labels shown as a picture, a colour for each id; no two ids have the same.

    Args:
        colours: key of COLOURS.

    Call: (B, H, W) uint8 ids -> (B, H, W, 3) uint8 RGB.
    """

    def __init__(self, colours: str = "colour", **kwargs):
        super().__init__(**kwargs)
        self.colours = colours

    def call(self, ids):
        colours = ops.convert_to_tensor(COLOURS[self.colours], "uint8")
        return ops.take(colours, ops.cast(ids, "int32"), axis=0)

    def get_config(self):
        return {**super().get_config(), "colours": self.colours}


def _encoder(shape, name: str, encoder: str, weights: str, **options) -> keras.Model:
    """The last map of an encoder as a network inside a network, for layers of two encoders have the same names."""
    picture = keras.Input(shape, dtype="uint8")
    return keras.Model(picture, encode(picture, encoder, weights, **options)[-1], name=name)


def _separate(image, mask, *encoder, scaling=None, **options):
    labels = LabelPicture(name="labels")(mask)
    labels = _encoder(image.shape[1:], "labels_encoder", *encoder, **options)(labels)
    picture = encode(image, *encoder, scaling=scaling, **options)[-1]
    return layers.Concatenate(name="both")([picture, labels])


def _shared(image, mask, *encoder, **options):
    shared = _encoder(image.shape[1:], "encoder", *encoder, **options)
    picture = shared(image)
    labels = shared(LabelPicture(name="labels")(mask))
    return layers.Concatenate(name="both")([picture, labels])


def _fourth_channel(image, mask, *encoder, **options):
    """The encoder with one more channel: labels as a grey picture, scaled as pictures are, its three channels' mean."""
    base = _encoder(image.shape[1:], "three_channels", *encoder, **options)
    first = next(layer for layer in base.layers if layer.weights)
    if type(first) is not layers.Conv2D:
        raise ValueError(f"fourth_channel needs an encoder whose first weights are a convolution's, got {encoder[0]}")
    scale = keras.Model(base.input, first.input, name="scaled")
    rest = keras.Model(first.input, base.output, name="encoder")
    labels = scale(LabelPicture("grey", name="labels")(mask))
    labels = ops.mean(labels, axis=-1, keepdims=True)
    x = layers.Concatenate(name="four_channels")([scale(image), labels])
    widened = keras.models.clone_model(rest, keras.Input(x.shape[1:]))
    for layer in rest.layers[1:]:  # not the input
        weights = layer.get_weights()
        if layer is first:
            weights[0] = np.concatenate([weights[0], weights[0].mean(axis=2, keepdims=True)], axis=2)
        widened.get_layer(layer.name).set_weights(weights)
    return widened(x)


VARIANTS = {"separate": _separate, "shared": _shared, "fourth_channel": _fourth_channel}


def dual_input(
    input_shape: tuple[int, int, int],
    num_outputs: int,
    *,
    variant: str = "separate",
    encoder: str = "resnet34",
    encoder_weights: str = "none",
    init: str = "he_normal",
    norm: str = "batch",
    scaling: dict | None = None,
    features: int = 2048,
    dropout: float = 0.5,
    pool: str = "average",
    centre: tuple[float, float, float] = (0.0, 0.0, 0.0),
    spread: float = 1.0,
    initial_weights: tuple[float, float, float, float] = (0.0, -3.0, 0.0, -3.0),
) -> keras.Model:
    """Build the network.

    Args:
        input_shape: (H, W, 3) of a uint8 RGB picture, H and W multiples of 32.
        num_outputs: not used, a pose has 7 numbers.
        variant: "separate" encoders for picture and labels, one that is "shared", or labels as its "fourth_channel".
        encoder, encoder_weights, init, norm: see `kzoo.nn.encoders.encode`; of both encoders.
        scaling: see there; of the picture, and of the labels where one encoder reads both.
        features, dropout: units and rate of the dense layer before the heads.
        pool: what becomes of the last maps: "average" over their cells, or "flatten", which keeps where features are.
        centre, spread: of the training set's positions, mean (3 numbers) and standard deviation in metres.
        initial_weights: where the learned weights of the loss start: trans_abs, rot_abs, trans_rel, rot_rel.
    Returns:
        model with inputs {"image": (B, H, W, 3) uint8 RGB, "mask": (B, H, W) uint8 ids, 255 = not labelled} and outputs
        {"position": (B, 3) float32 metres, "rotation": (B, 4) float32 unit quaternion w, x, y, z with w >= 0, camera to
        world; for training "pose_terms": (B, 10), position, logarithm of the quaternion, the four learned weights}.
    Raises:
        ValueError: a window of frames, unknown `variant` or `pool`, an encoder without a first convolution for a fourth
            channel, or numbers of another shape.
    """
    if len(input_shape) != 3:
        raise ValueError(f"input_shape must be (H, W, 3): masks belong to single pictures, got {input_shape}")
    if variant not in VARIANTS:
        raise ValueError(f"variant must be one of {', '.join(VARIANTS)}, got {variant!r}")

    image = keras.Input(input_shape, dtype="uint8", name="image")
    mask = keras.Input(input_shape[:2], dtype="uint8", name="mask")
    x = VARIANTS[variant](image, mask, encoder, encoder_weights, init=init, norm=norm, scaling=scaling)
    x = regressor(pooling(pool)(x), features, dropout, init=init)
    outputs = log_quaternion_pose(x, centre=centre, spread=spread, initial_weights=initial_weights)
    return keras.Model({"image": image, "mask": mask}, named(outputs), name="dual_input")
