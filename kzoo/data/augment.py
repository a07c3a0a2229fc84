"""Augmentation inside tf.data: one affine matrix for image, mask and keypoints, one 3x3 matrix for colour.

Matrices map homogeneous OUTPUT fractions to INPUT pixels (corner origin, see geometry.py), which is what a warp needs;
their inverse carries the labels. Random numbers are stateless: a sample depends on its seed only, so a resumed run
repeats an uninterrupted one.
"""

import dataclasses
import math

import cv2
import numpy as np
import tensorflow as tf

from kzoo.data.statistics import IMAGENET, ColourStatistics

# NTSC luma and chroma.
TO_YIQ = np.array([[0.299, 0.587, 0.114], [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]], "float32")
FROM_YIQ = np.linalg.inv(TO_YIQ)


@dataclasses.dataclass(frozen=True)
class Geometric:
    """Ranges of the random affine: all zero is the identity."""

    zoom: float = 0.25  # scale factor is drawn log-uniformly from [1 / (1 + zoom), 1 + zoom]
    rotation_deg: float = 30.0  # uniform in +-
    translate: float = 0.05  # uniform in +-, fraction of the picture
    aspect: float = 0.0  # ratio of the axes is drawn log-uniformly from [1 / (1 + aspect), 1 + aspect]
    crop: float = 0.0  # share of each side that a window at a random place leaves out, before all of the above
    flip: float = 0.5  # probability

    def scaled(self, strength: float) -> "Geometric":
        """The same ranges times `strength`; the probability of a flip stays."""
        ranges = {f.name: strength * getattr(self, f.name) for f in dataclasses.fields(self) if f.name != "flip"}
        return Geometric(**ranges, flip=self.flip)


@dataclasses.dataclass(frozen=True)
class Photometric:
    """Ranges of the colour jitter: all zero is the identity."""

    brightness: float = 0.15  # additive, fraction of the full range
    contrast: float = 0.25  # factor about mid-grey in [1 - c, 1 + c]
    saturation: float = 0.3  # factor about the pixel's luma in [1 - s, 1 + s]
    hue_deg: float = 12.0  # rotation in the chroma plane
    pca: float = 0.0  # Color PCA (kzoo/data/statistics.py): deviation of alpha, 0.1 in Krizhevsky et al. 2012
    colours: ColourStatistics = IMAGENET  # whose principal axes Color PCA shifts along

    def scaled(self, strength: float) -> "Photometric":
        """The same ranges times `strength`; the colours stay."""
        ranges = {f.name: strength * getattr(self, f.name) for f in dataclasses.fields(self) if f.name != "colours"}
        return Photometric(**ranges, colours=self.colours)


def _matrix(rows) -> tf.Tensor:
    def vector(row):
        return tf.stack([tf.cast(value, tf.float32) for value in row])

    return tf.stack([vector(row) for row in rows])


def fit_matrix(height, width, shape: tuple[int, int] = (1, 1)) -> tf.Tensor:
    """Fractions of an output of `shape` -> pixels of a picture of `height` x `width` (letterbox).

    All of the picture, centred, its aspect kept.

    Returns:
        (3, 3) float32.
    """
    height, width = tf.cast(height, tf.float32), tf.cast(width, tf.float32)
    scale = tf.maximum(height / shape[0], width / shape[1])  # pixels of the picture per pixel of the output
    h, w = scale * shape[0], scale * shape[1]
    return _matrix([[w, 0.0, (width - w) / 2], [0.0, h, (height - h) / 2], [0.0, 0.0, 1.0]])


def random_matrix(seed, ranges: Geometric, aspect: float = 1.0) -> tuple[tf.Tensor, tf.Tensor]:
    """One random affine of the unit square about its centre.

    Args:
        seed: (2,) int, of `tf.random.stateless_uniform`.
        aspect: width / height of the picture that the unit square stands for; angles are right on that.
    Returns:
        (3, 3) float32, output fraction -> input fraction; and a scalar bool, whether it mirrors.
    """
    draw = tf.random.stateless_uniform([6], seed)  # U[0, 1)
    signed = 2 * draw - 1
    scale = tf.exp(signed[0] * math.log1p(ranges.zoom))
    stretch = tf.exp(0.5 * signed[1] * math.log1p(ranges.aspect))
    angle = signed[2] * math.radians(ranges.rotation_deg)
    mirrored = draw[5] < ranges.flip
    sign = tf.where(mirrored, -1.0, 1.0)
    cos, sin = tf.cos(angle), tf.sin(angle)
    a, b = sign * cos / (scale * stretch), -sin / (scale / stretch) / aspect
    c, d = sign * sin / (scale * stretch) * aspect, cos / (scale / stretch)
    shift_x, shift_y = 0.5 + signed[3] * ranges.translate, 0.5 + signed[4] * ranges.translate
    matrix = _matrix([[a, b, shift_x - 0.5 * (a + b)], [c, d, shift_y - 0.5 * (c + d)], [0.0, 0.0, 1.0]])
    if ranges.crop:
        seed = tf.random.experimental.stateless_fold_in(seed, 1)
        left, top = tf.unstack(ranges.crop * tf.random.stateless_uniform([2], seed))
        matrix = _matrix([[1 - ranges.crop, 0.0, left], [0.0, 1 - ranges.crop, top], [0.0, 0.0, 1.0]]) @ matrix
    return matrix, mirrored


def index_to_fraction(shape: tuple[int, int]) -> np.ndarray:
    """Pixel indices of a picture of `shape`, whose centres lie at index + 0.5, -> fractions: (3, 3)."""
    height, width = shape
    return np.array([[1 / width, 0, 0.5 / width], [0, 1 / height, 0.5 / height], [0, 0, 1]])


def warp(image, matrix, shape: tuple[int, int], *, interpolation: str, fill: int):
    """Resample a picture: output pixel p takes the input at `matrix` @ p.

    Args:
        image: (H, W, K) uint8.
        matrix: (3, 3) float32, output fractions -> input pixels.
        shape: (height, width) of the output in pixels.
        interpolation: "BILINEAR" or "NEAREST".
        fill: value outside the input.
    Returns:
        (height, width, K) uint8.
    """
    to_fraction = tf.constant(index_to_fraction(shape), tf.float32)
    to_index = tf.constant([[1, 0, -0.5], [0, 1, -0.5], [0, 0, 1]], tf.float32)
    transform = tf.reshape(to_index @ matrix @ to_fraction, [1, 9])[:, :8]
    warped = tf.raw_ops.ImageProjectiveTransformV3(
        images=tf.cast(image, tf.float32)[None],  # on uint8 the kernel would cut off instead of rounding
        transforms=transform,
        output_shape=shape,
        fill_value=float(fill),
        interpolation=interpolation,
        fill_mode="CONSTANT",
    )[0]
    return tf.ensure_shape(tf.cast(warped + 0.5, tf.uint8), (*shape, image.shape[-1]))


def _warp_and_jitter(image, matrix, colour, offset, shape):
    """OpenCV's warp and colour map of a picture (H, W, 3) or of a clip (T, H, W, 3), uint8.

    The other arguments as in `warp` and from `colour_matrix`, NumPy.
    """
    if image.ndim == 4:
        return np.stack([_warp_and_jitter(frame, matrix, colour, offset, shape) for frame in image])
    transform = matrix[:2] @ index_to_fraction(shape) - [[0, 0, 0.5], [0, 0, 0.5]]  # OpenCV counts pixel centres
    size = (int(shape[1]), int(shape[0]))
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    border = {"borderMode": cv2.BORDER_CONSTANT, "borderValue": 0}
    warped = cv2.warpAffine(image, transform, size, flags=flags, **border)
    return cv2.transform(warped, np.concatenate([colour.T, offset[:, None]], axis=1))


def warp_and_jitter(image, matrix, shape: tuple[int, int], seed, ranges: Photometric | None):
    """`warp` (bilinear, black outside), then the map of `colour_matrix` if there are ranges.

    By OpenCV, which is several times as fast as TensorFlow's kernels and places a sample to 1/32 pixel. It releases
    Python's lock while it works, so calls run beside one another.

    Args:
        image: (H, W, 3) uint8, or (T, H, W, 3), whose frames are all treated alike.
        matrix: (3, 3) float32, output fractions -> input pixels.
        shape: (height, width) of the output in pixels.
        seed: (2,) int.
        ranges: of the colour jitter, or None.
    Returns:
        ([T,] height, width, 3) uint8.
    """
    colour, offset = colour_matrix(seed, ranges) if ranges else (tf.eye(3), tf.zeros(3))
    warped = tf.numpy_function(_warp_and_jitter, [image, matrix, colour, offset, shape], tf.uint8, stateful=False)
    return tf.ensure_shape(warped, (*image.shape[:-3], *shape, 3))


def warp_points(positions, matrix, source_size):
    """Carry positions along with `warp`.

    Args:
        positions: (..., 2) float32, fractions of the source.
        matrix: (3, 3) float32, output fractions -> source pixels.
        source_size: (width, height) of the source in pixels.
    Returns:
        (..., 2) float32, fractions of the output.
    """
    pixels = positions * tf.cast(tf.stack(source_size), tf.float32)
    homogeneous = tf.concat([pixels, tf.ones_like(pixels[..., :1])], axis=-1)
    return tf.einsum("...k,ik->...i", homogeneous, tf.linalg.inv(matrix)[:2])


def turn_joints(joints, random, shape: tuple[int, int]):
    """Joints in camera coordinates as the camera sees them whose picture was warped by `random`.

    They are turned about the optical axis and mirrored. Zoom and translation change what the camera's lens does and
    leave the joints where they are (the principal point is near the middle).

    Args:
        joints: (..., 3) float32, x right, y down, z away from the camera.
        random: (3, 3) float32, output fractions -> fractions of the picture before; the same scale on both axes.
        shape: (height, width) of the picture.
    Returns:
        (..., 3) float32.
    """
    turned = tf.einsum("...k,ik->...i", joints[..., :2], _turn(random, shape))
    return tf.concat([turned, joints[..., 2:]], axis=-1)


def turn_pose(pose, random, shape: tuple[int, int]):
    """A camera's pose when it was turned about its optical axis as `random` turns the picture.

    Exact where that only rotates about the principal point.

    Args:
        pose: (..., 7) float32, position and unit quaternion w, x, y, z, camera to world.
        random, shape: see `turn_joints`.
    Returns:
        (..., 7) float32, w >= 0.
    """
    # Points in the camera before -> in the camera after, so that the new camera's axes are the old ones turned back.
    turn = _turn(random, shape)
    half = -0.5 * tf.atan2(turn[1, 0], turn[0, 0])
    w, x, y, z = tf.unstack(pose[..., 3:], axis=-1)
    cos, sin = tf.cos(half), tf.sin(half)  # the quaternion (cos, 0, 0, sin), on the right
    turned = tf.stack([w * cos - z * sin, x * cos + y * sin, y * cos - x * sin, z * cos + w * sin], axis=-1)
    return tf.concat([pose[..., :3], tf.where(turned[..., :1] < 0, -turned, turned)], axis=-1)


def _turn(random, shape: tuple[int, int]):
    """The rotation, with a reflection if it mirrors, of pixels before -> pixels after: (2, 2) float32."""
    to_pixels = tf.constant([shape[1], shape[0]], tf.float32)
    linear = tf.linalg.inv(random[:2, :2] * to_pixels[:, None] / to_pixels[None, :])
    return linear / tf.sqrt(tf.abs(tf.linalg.det(linear)))


def warp_keypoints(keypoints, matrix, source_size, *, drop_outside: bool):
    """Carry keypoints along with `warp`.

    Args:
        keypoints: (J, 3) float32; x, y as fractions of the source, v.
        matrix: (3, 3) float32, output fractions -> source pixels.
        source_size: (width, height) of the source in pixels.
        drop_outside: joints that leave the picture become unlabelled (v = 0).
    Returns:
        (J, 3) float32; unlabelled rows are zero.
    """
    moved = warp_points(keypoints[:, :2], matrix, source_size)
    inside = tf.reduce_all((moved >= 0.0) & (moved <= 1.0), axis=1)
    labelled = (keypoints[:, 2] > 0) & (inside | (not drop_outside))
    return tf.where(labelled[:, None], tf.concat([moved, keypoints[:, 2:]], axis=1), tf.zeros_like(keypoints))


def colour_matrix(seed, ranges: Photometric) -> tuple[tf.Tensor, tf.Tensor]:
    """Brightness, contrast, saturation and hue, then Color PCA's shift, as one affine map of RGB in 0..255.

    Returns:
        A (3, 3) and b (3,) float32, to be used as rgb @ A + b.
    """
    signed = 2 * tf.random.stateless_uniform([4], seed) - 1
    contrast, saturation = 1 + signed[1] * ranges.contrast, 1 + signed[2] * ranges.saturation
    angle = signed[3] * math.radians(ranges.hue_deg)
    cos, sin = saturation * tf.cos(angle), saturation * tf.sin(angle)
    chroma = _matrix([[1.0, 0.0, 0.0], [0.0, cos, -sin], [0.0, sin, cos]])
    colour = contrast * (FROM_YIQ @ chroma @ TO_YIQ)
    offset = 127.5 - tf.linalg.matvec(colour, tf.fill([3], 127.5)) + 255.0 * signed[0] * ranges.brightness
    if ranges.pca:  # a seed of its own: the draws above stay what they are without
        alpha = ranges.pca * tf.random.stateless_normal([3], tf.random.fold_in(seed, 1))
        offset += tf.linalg.matvec(tf.constant(ranges.colours.pca_shifts, tf.float32), alpha)
    return tf.transpose(colour), offset
