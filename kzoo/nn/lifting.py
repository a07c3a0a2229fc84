"""What networks of 3-D pose share: joints in the frames, given or estimated by a trained 2-D network, and root-relative
answers."""

import keras
from keras import layers, ops

from kzoo import UserError
from kzoo.nn import skeletons
from kzoo.nn.decoding import MAPS, OWN
from kzoo.nn.geometry import peak_position
from kzoo.nn.layers import named, per_frame


def pose_network(network: keras.Model, joints: list[str]) -> keras.Model:
    """A network of 2-D pose with its decoder, frozen: the model "pose_2d", which a lifter holds within itself.

    Maps are decoded by `geometry.peak_position`.

    Args:
        network: one picture in, "coords" or maps out, built in float32; joints: names of its joints, COCO's or
        Human3.6M's.
    Returns:
        model from (B, h, w, 3) uint8 to (B, 17, 2) float32, Human3.6M's joints as fractions of the picture.
    Raises:
        UserError: it emits neither coordinates nor maps.
        ValueError: its joints do not make Human3.6M's.
    """
    to_h36m = skeletons.h36m_from(joints)
    name = next((name for name in (OWN, *MAPS) if name in network.output_names), None)
    if name is None:
        emitted = ", ".join(network.output_names)
        raise UserError(f"pose_run must emit one of {', '.join((OWN, *MAPS))}; its network emits {emitted}")
    answer = network.output[name]
    positions = answer if name == OWN else peak_position(answer)
    network = keras.Model(network.input, ops.einsum("kj,bjc->bkc", to_h36m, positions), name="pose_2d")
    network.trainable = False
    return network


def estimated_keypoints(frames, network: keras.Model):
    """Human3.6M's joints in every frame, by a frozen 2-D network.

    Frames are resized to the network's input, whatever their aspect ratio.

    Args:
        frames: (B, T, H, W, 3) uint8 keras tensor, RGB 0..255; network: of `pose_network`.
    Returns:
        (B, T, 17, 2) float32 keras tensor, fractions of the frame.
    """
    size = tuple(network.input.shape[1:3])

    def estimate(pictures):
        if tuple(pictures.shape[1:3]) != size:  # not layers.Resizing: see `layers.upsample_to`
            pictures = ops.image.resize(ops.cast(pictures, "float32"), size, interpolation="bilinear")
            pictures = ops.cast(ops.round(pictures), "uint8")
        # also where the networks around it train: no dropout, BatchNorm's moving averages
        return network(pictures, training=False)

    return per_frame(estimate, frames)


def observed_keypoints(
    input_shape: tuple[int, int, int, int], num_outputs: int, pose_run: keras.Model | None = None
) -> tuple:
    """A lifter's input and the joints that it lifts, in units that do not depend on the frame's size.

    Args:
        input_shape: (T, H, W, 3) of the clip.
        num_outputs: J joints.
        pose_run: None where the joints are given, else a network of `pose_network`.
    Returns:
        the model's input, "keypoints_2d" (B, T, J, 2) float32 fractions or "frames" (B, T, H, W, 3) uint8;
        (B, T, J, 2) float32, relative to the frame's middle, in halves of its width on both axes: pixels stay square.
    Raises:
        ValueError: a `pose_run` where J is not 17.
    """
    clip_length, height, width, _ = input_shape
    if pose_run is not None:
        if not isinstance(pose_run, keras.Model):
            raise ValueError(f"pose_run must be a network, see lifting.pose_network, got {pose_run!r}")
        if num_outputs != len(skeletons.H36M_JOINTS):
            raise ValueError(
                f"pose_run gives Human3.6M's {len(skeletons.H36M_JOINTS)} joints, got num_outputs={num_outputs}"
            )
        inputs = keras.Input(input_shape, dtype="uint8", name="frames")
        keypoints = estimated_keypoints(inputs, pose_run)
    else:
        inputs = keypoints = keras.Input((clip_length, num_outputs, 2), dtype="float32", name="keypoints_2d")
    aspect = height / width
    return inputs, layers.Rescaling([2.0, 2 * aspect], offset=[-1.0, -aspect], dtype="float32", name="from_middle")(
        keypoints
    )


def near_hip() -> keras.initializers.Initializer:
    """Of the last kernel: the first answers lie within centimetres of the hip. Metres are large units: He's would start
    at metres."""
    return keras.initializers.RandomNormal(stddev=0.001)


def root_relative(x, num_outputs: int) -> dict:
    """The answer of a 3-D pose network: (B, T, 3 J) float32 metres -> {"joints": (B, T, J, 3) float32}, joint 0 at
    0."""
    joints = layers.Reshape((x.shape[1], num_outputs, 3), dtype="float32", name="absolute_joints")(x)
    return named({"joints": joints - joints[:, :, :1]})
