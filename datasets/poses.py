"""Pictures whose camera's pose is known.

Pose matrices, unit quaternions, runs of frames, windows over them, pictures as stored bytes.

A pose is camera to world: the camera's centre (3,) in metres and a unit quaternion (4,) in the order w, x, y, z with w
>= 0; the camera's axes are x right, y down, z forward. A broken file is refused by one line that names it: ValueError.
"""

import dataclasses
import pathlib
from collections.abc import Callable, Iterable, Iterator

import numpy as np
import tensorflow_datasets as tfds

from kzoo.datasets import encoded, pictures
from kzoo.datasets.pictures import one_line

# Of R Rᵀ - I. Rotations that were multiplied up frame by frame in float32 drift: 7-Scenes' by up to 4e-4 within 1000
# frames of the kitchen. Two decimals per number, a scale of one percent or two rows exchanged by a wrong layout miss by
# 1e-2 and more.
ORTHONORMAL = 5e-3
UNIT = 5e-3  # of a quaternion's length, for the same reason
COLUMNS = ("x", "y", "z", "qw", "qx", "qy", "qz")  # of a pose as one vector
FRAMES = 10**6  # frame numbers of a sequence; example keys count in them


@dataclasses.dataclass(eq=False)
class Config(tfds.core.BuilderConfig):
    """What an example is; give another one another name, under which TFDS keeps it.

    Attributes:
      steps: frames of a window; 1: single frames, without a time axis.
      skip: from one frame of a window to the next, in frames.
      depth: whether single frames have their depth; the source must have it.
    """

    steps: int = 1
    skip: int = 1
    depth: bool = False


# MapNet's windows: Brahmbhatt et al., CVPR 2018, section 4
FRAMES_CONFIG = Config(name="frames", description="Single frames.")
WINDOWS_CONFIG = Config(name="windows", description="Three frames, ten apart, around each frame.", steps=3, skip=10)


@dataclasses.dataclass(frozen=True, eq=False)
class Frame:
    """A picture and the pose of its camera.

    Attributes:
      sequence, number: of the recording and of the frame in it.
      picture: file.
      position: (3,) float32, metres.
      rotation: (4,) float32.
      label, depth: files, where there are such.
    """

    sequence: int
    number: int
    picture: pathlib.Path
    position: np.ndarray
    rotation: np.ndarray
    label: pathlib.Path | None = None
    depth: pathlib.Path | None = None

    @property
    def key(self) -> int:
        """Unique within a split."""
        return self.sequence * FRAMES + self.number


def pose_features(config: Config) -> dict:
    """TFDS features that every example has: the pose (of all frames of a window), sequence and frame."""
    time = () if config.steps == 1 else (config.steps,)
    return {
        "position": tfds.features.Tensor(
            shape=(*time, 3), dtype=np.float32, doc="the camera's centre, metres, world coordinates"
        ),
        "rotation": tfds.features.Tensor(
            shape=(*time, 4), dtype=np.float32, doc="unit quaternion w, x, y, z, w >= 0, camera to world"
        ),
        "sequence": tfds.features.Scalar(np.int64),
        "frame": tfds.features.Scalar(np.int64, doc="number in its sequence; of a window the middle one's"),
    }


def pose_example(frame: Frame) -> dict:
    """What `pose_features` has of a single frame."""
    return {"position": frame.position, "rotation": frame.rotation, "sequence": frame.sequence, "frame": frame.number}


def read_matrix(path: pathlib.Path) -> tuple[np.ndarray, np.ndarray]:
    """Position and rotation of a text file that holds a 4x4 matrix, camera to world, in metres; see `pose_of`."""
    rows = [line.split() for line in read_text(path).splitlines() if line.strip()]
    if len(rows) != 4 or any(len(row) != 4 for row in rows):
        raise ValueError(
            f"{path}: pose has rows of {[len(row) for row in rows[:9]]} numbers; expected 4 rows of 4: a 4x4 matrix"
        )
    try:
        matrix = np.array(rows, np.float64)
    except ValueError as error:
        raise ValueError(f"{path}: pose holds no numbers ({one_line(error)})") from error
    return pose_of(matrix, path)


def pose_of(matrix: np.ndarray, name) -> tuple[np.ndarray, np.ndarray]:
    """Position and rotation of a pose matrix.

    Args:
      matrix: (4, 4) camera to world, metres.
      name: of what holds it, for messages.

    Returns:
      Position (3,) float32 and the unit quaternion (4,) float32 of the nearest rotation.

    Raises:
      ValueError: not finite, last row not 0 0 0 1, mirrored, or further than ORTHONORMAL from a rotation.
    """
    if not np.isfinite(matrix).all():
        raise ValueError(
            f"{name}: pose is not finite: {np.array2string(matrix.ravel(), max_line_width=10**4, precision=4)}"
        )
    if (np.abs(matrix[3] - [0, 0, 0, 1]) > 1e-6).any():
        raise ValueError(
            f"{name}: last row of the pose is {matrix[3].tolist()}; expected 0 0 0 1: a matrix from camera to world"
        )
    rotation = matrix[:3, :3]
    determinant = np.linalg.det(rotation)
    if determinant < 0:
        raise ValueError(f"{name}: pose is mirrored: its rotation has the determinant {determinant:.4f}; expected 1")
    error = np.abs(rotation @ rotation.T - np.eye(3)).max()
    if error > ORTHONORMAL:
        raise ValueError(
            f"{name}: pose holds no rotation: R Rᵀ differs from the identity by {error:.4g} "
            f"(determinant {determinant:.4g}); allowed: {ORTHONORMAL:g}"
        )
    return matrix[:3, 3].astype(np.float32), quaternion_of(nearest_rotation(rotation))


def nearest_rotation(matrix: np.ndarray) -> np.ndarray:
    """(3, 3) orthogonal matrix with the least squared difference from one of positive determinant.

    U Vᵀ of its singular vectors.

    Reference: Schönemann, A generalized solution of the orthogonal Procrustes problem, Psychometrika 1966, equation
    1.7.
    """
    u, _, v = np.linalg.svd(matrix)
    return u @ v


def quaternion_of(rotation: np.ndarray) -> np.ndarray:
    """(3, 3) rotation to unit quaternion (4,) float32, w >= 0.

    R is quadratic in q = (w, x, y, z), so that 4 q qᵀ is linear in R. Every row of it is q times 4 of one of its
    elements; that of the largest element, which is at least 1/2, divides by no small number, at half turns neither.

    Reference: Shepperd, Quaternion from rotation matrix, Journal of Guidance and Control 1978.
    """
    (a, b, c), (d, e, f), (g, h, i) = rotation
    products = np.array(
        [
            [1 + a + e + i, h - f, c - g, d - b],
            [h - f, 1 + a - e - i, b + d, c + g],
            [c - g, b + d, 1 - a + e - i, f + h],
            [d - b, c + g, f + h, 1 - a - e + i],
        ]
    )
    return unit_quaternion(products[np.diag(products).argmax()])


def unit_quaternion(values: np.ndarray) -> np.ndarray:
    """(4,) not all 0 to (4,) float32 of length 1 with w >= 0, which is the same rotation."""
    values = np.asarray(values, np.float64)
    return (values / np.linalg.norm(values) * np.where(values[0] < 0, -1, 1)).astype(np.float32)


def runs(frames: Iterable[Frame], gap: int = 1) -> list[list[Frame]]:
    """Frames in order of (sequence, number), cut where the sequence changes or numbers leave a gap above `gap`."""
    cut = []
    last = None
    for frame in sorted(frames, key=lambda frame: frame.key):
        if last and last.sequence == frame.sequence and frame.number - last.number <= gap:
            cut[-1].append(frame)
        else:
            cut.append([frame])
        last = frame
    return cut


def window(place: int, count: int, steps: int, skip: int) -> list[int]:
    """Places of the frames of a window around `place` in a run of `count`, those beyond its ends moved to them.

    Reference: Brahmbhatt et al., Geometry-aware learning of maps for camera localization, CVPR 2018, section 4.
    """
    return np.clip(place + skip * (np.arange(steps) - steps // 2), 0, count - 1).tolist()


def windows(run: list[Frame], config: Config, read: Callable[[Frame], bytes]) -> Iterator[tuple[int, dict]]:
    """(key, example) of the window around each frame of a run.

    No file is read twice, and no more than a window's span is kept.
    """
    pictures = {}
    for place, middle in enumerate(run):
        places = window(place, len(run), config.steps, config.skip)
        # All places up to the window's end were or will be needed; nothing before its beginning will be again.
        for number in range(max(pictures, default=-1) + 1, places[-1] + 1):
            pictures[number] = read(run[number])
        for number in [number for number in pictures if number < places[0]]:
            del pictures[number]
        frames = [pictures[number] for number in places]
        position = np.stack([run[number].position for number in places])
        rotation = np.stack([run[number].rotation for number in places])
        example = {"frames": frames, "position": position, "rotation": rotation}
        yield middle.key, {**example, "sequence": middle.sequence, "frame": middle.number}


def read_picture(
    path: pathlib.Path, counts: dict, size: tuple[int, int] | None = None
) -> tuple[bytes, tuple[int, int]]:
    """A picture as JPEG or PNG, the file's own bytes where they are an RGB one already, and its (width, height).

    Args:
      path: the file.
      counts: "converted_pictures" and "turned_pictures" are counted.
      size: (width, height) that it must have; None: any.
    """
    picture = pictures.open_picture(path)
    width, height = picture.image.size
    if size and (width, height) != size:
        raise ValueError(f"{path}: picture is {width}x{height}; others of its scene are {size[0]}x{size[1]}")
    content = encoded.own_bytes(picture, ("JPEG", "PNG"), counts) or encoded.png(picture.image)
    return content, (width, height)


def read_text(path: pathlib.Path) -> str:
    """A text file's text."""
    try:
        return path.read_text("utf-8")
    except (OSError, ValueError) as error:
        raise ValueError(f"{path}: not a readable text file ({one_line(error)})") from error


def contents(folder: pathlib.Path) -> str:
    """Names of what lies in a folder, for messages."""
    names = sorted(path.name for path in folder.iterdir())
    if not names:
        return "nothing"
    more = f" and {len(names) - 8} more" if len(names) > 8 else ""
    return ", ".join(names[:8]) + more
