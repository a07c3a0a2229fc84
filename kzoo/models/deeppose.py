"""DeepPose: joints from the whole picture, then each again from a crop around it (Toshev and Szegedy, CVPR 2014).

Differs from the paper: any encoder with global average pooling instead of an AlexNet in the first stage, a small
convolutional network in the later ones; the stages learn together instead of one after the other, and of the paper's
simulated errors (eq. 7) remains a jitter of the estimates in training, isotropic and without a mean; positions are
fractions of the picture instead of multiples of the person's box.
Measured on 2 CPU cores (x86-64, AVX-512), seed 0, float32:
    python train.py --task=pose --arch=deeppose
    people, val MPJPE 13.7 px of a 256-px picture (mean pose: 43.0), no flip, decoder: coords; 6.6 CPU-min
"""

import keras
from keras import layers, ops

from kzoo.nn import geometry
from kzoo.nn.encoders import encode
from kzoo.nn.layers import BATCH_NORM_MOMENTUM, conv_norm_relu, named

COCO_TORSO = (5, 12)  # left shoulder and right hip
# Bounds of the person's diameter as a fraction of the picture's longer side: stages start untrained.
SMALLEST = 0.2
LARGEST = 1.0


def _hats(samples, n: int):
    """Weights of n cells for samples at pixels: (B, J, c) -> (B, J, c, n), 1 at a sample, 0 from one pixel off."""
    return ops.relu(1 - ops.abs(ops.subtract(samples[..., None], geometry.cell_centres(n) * n)))


@keras.saving.register_keras_serializable("kzoo")
class JointCrops(layers.Layer):
    """Square crops around joints by bilinear interpolation, 0 outside the picture, in float32 whatever the policy.

    Args:
        crop: c, pixels of a crop's side.
        sigma: a crop's side in diameters of the person.
        torso: two joints of which the distance is the person's diameter; without them it is half the longer side of all
            joints' box.

    Call: picture (B, H, W, K), positions (B, J, 2) fractions -> crops (B * J, c, c, K), sides (B, 1, 2) as fractions of
    the picture.

    Reference: Toshev and Szegedy, CVPR 2014, §3.2, eq. 5.
    """

    def __init__(self, crop: int = 32, sigma: float = 1.0, torso: tuple[int, ...] = (), **kwargs):
        super().__init__(**{**kwargs, "dtype": "float32"})
        self.crop = crop
        self.sigma = sigma
        self.torso = tuple(torso)

    def call(self, picture, positions):
        _, height, width, channels = picture.shape
        size = ops.convert_to_tensor([width, height], "float32")
        pixels = positions * size
        longer = max(height, width)
        side = self.sigma * ops.clip(self._diameter(pixels), SMALLEST * longer, LARGEST * longer)  # (B, 1, 1)
        steps = ops.convert_to_tensor(geometry.cell_centres(self.crop) - 0.5)
        sampled = pixels[..., None] + side[..., None] * steps  # (B, J, 2, c)
        # A hat of width 1 around each sample, (B, J, c, n): bilinear interpolation is linear in rows and in columns.
        weights_x = _hats(sampled[:, :, 0], width)
        weights_y = _hats(sampled[:, :, 1], height)
        rows = ops.einsum("bjyh,bhkw->bjykw", weights_y, ops.transpose(picture, (0, 1, 3, 2)))
        crops = ops.einsum("bjykw,bjxw->bjyxk", rows, weights_x)
        return ops.reshape(crops, (-1, self.crop, self.crop, channels)), side / size

    def _diameter(self, pixels):
        """(B, 1, 1) pixels."""
        if self.torso:
            across = pixels[:, self.torso[0]] - pixels[:, self.torso[1]]
            return ops.sqrt(ops.sum(ops.square(across), axis=-1))[:, None, None]
        return 0.5 * ops.max(ops.max(pixels, axis=1) - ops.min(pixels, axis=1), axis=-1)[:, None, None]

    def get_config(self):
        return {**super().get_config(), "crop": self.crop, "sigma": self.sigma, "torso": self.torso}


def deeppose(
    input_shape: tuple[int, int, int],
    num_outputs: int,
    *,
    encoder: str = "resnet50",
    encoder_weights: str = "none",
    init: str = "he_normal",
    stages: int = 3,
    sigma: float = 2.0,
    torso: tuple[int, ...] | None = None,
    crop: int = 48,
    refine_widths: tuple[int, ...] = (32, 64, 128),
    refine_features: int = 256,
    jitter: float = 0.02,
) -> keras.Model:
    """Build the network.

    Args:
        input_shape: (H, W, 3) of a uint8 RGB picture.
        num_outputs: J joints.
        encoder, encoder_weights, init: of the first stage, see `kzoo.nn.encoders.encode`.
        stages: S, the first one included; the paper's is 3.
        sigma: side of a crop in diameters of the person; the paper takes 1 for upper bodies (FLIC) and 2 for whole ones
            (LSP).
        torso: indices of two opposing joints of the trunk, their distance is the diameter; () takes half the longer
            side of all joints' box, None takes left shoulder and right hip where J is COCO's 17, else ().
        crop: pixels of a crop's side, a multiple of 2**len(refine_widths).
        refine_widths: filters of the later stages' convolutions, 3x3 and stride 2 each.
        refine_features: F, units of the later stages' dense layer, shared by the joints.
        jitter: standard deviation, as a fraction of the picture, of noise on the estimates that later stages start from
            in training.
    Returns:
        model with outputs {"coords": (B, J, 2) float32, fractions of the picture, of the last stage; "aux_coords":
        (B, S-1, J, 2), earlier ones}.
    """
    if torso is None:
        torso = COCO_TORSO if num_outputs == 17 else ()
    torso = tuple(torso)
    if torso and (len(torso) != 2 or not all(0 <= joint < num_outputs for joint in torso)):
        raise ValueError(f"torso must be two joints below {num_outputs} or (), got {torso}")
    if stages < 1 or crop % 2 ** len(refine_widths):
        raise ValueError(
            f"stages must be 1 or more and crop a multiple of {2 ** len(refine_widths)}, got {stages} and {crop}"
        )

    # The first stage: joints from the whole picture.
    image = keras.Input(input_shape, dtype="uint8", name="image")
    x = encode(image, encoder, encoder_weights, init=init)[-1]
    x = layers.GlobalAveragePooling2D(dtype="float32", name="pool")(x)
    # Small kernels: first estimates in the middle of the picture, first displacements of nearly 0.
    x = layers.Dense(
        2 * num_outputs,
        kernel_initializer=keras.initializers.RandomNormal(stddev=0.01),
        bias_initializer=keras.initializers.Constant(0.5),
        dtype="float32",
        name="joints",
    )(x)
    estimates = [layers.Reshape((num_outputs, 2), dtype="float32", name="estimate1")(x)]

    # The later stages: a displacement of each joint from a crop around it.
    picture = layers.Rescaling(1 / 127.5, offset=-1.0, dtype="float32", name="picture")(image)
    for stage in range(2, stages + 1):
        name = f"refine{stage}"
        # The paper trains a stage on given estimates of the one before: each loss reaches its own stage's weights and
        # no others.
        start = ops.stop_gradient(estimates[-1])
        start = layers.GaussianNoise(jitter, dtype="float32", name=f"{name}_start")(start)
        x, sides = JointCrops(crop, sigma, torso, name=f"{name}_crops")(picture, start)
        for step, filters in enumerate(refine_widths, start=1):
            x = conv_norm_relu(x, filters, strides=2, init=init, name=f"{name}_{step}")
        x = layers.Flatten(name=f"{name}_flat")(x)
        x = layers.Dense(refine_features, use_bias=False, kernel_initializer=init, name=f"{name}_dense")(x)
        x = layers.BatchNormalization(momentum=BATCH_NORM_MOMENTUM, name=f"{name}_dense_bn")(x)
        x = layers.ReLU(name=f"{name}_dense_relu")(x)
        x = ops.reshape(x, (-1, num_outputs, refine_features))
        # All of that is shared by the joints, each joint reads its own pair of outputs (eq. 6): (B, J, F) -> (B, J, 2),
        # in crops' sides.
        x = layers.EinsumDense(
            "bjf,jfk->bjk",
            (num_outputs, 2),
            bias_axes="jk",
            kernel_initializer=keras.initializers.RandomNormal(stddev=0.01),
            dtype="float32",
            name=f"{name}_displacement",
        )(x)
        estimates.append(layers.Add(dtype="float32", name=f"estimate{stage}")([start, sides * x]))
    outputs = {"coords": estimates[-1]}
    if stages > 1:
        outputs["aux_coords"] = ops.stack(estimates[:-1], axis=1)
    return keras.Model(image, named(outputs), name="deeppose")
