"""One example of the data set `people`, from its seed to its picture and labels.

NumPy only: no TensorFlow in the worker processes.

python -m kzoo.datasets.people.render SPLIT START STOP STEP     pickles the examples of that range to standard output
"""

import pickle
import sys

import numpy as np

from kzoo.datasets.people import backdrop, skeleton
from kzoo.datasets.people.body import ARMS, HEAD, LEGS, TORSO, dress
from kzoo.datasets.people.raster import Canvas, noise_tile
from kzoo.datasets.people.vectors import unit

SEED = 20240501
SIZE = 128  # pixels of the square picture
SAMPLES = 2  # per pixel and axis
SPLIT_OFFSETS = {"train": 0, "val": 1_000_000}  # image_id of a split's first example

# How far (metres, at a stature of 1.7 m) a visible joint may lie below the surface that is seen at its place.
COVER = {
    "nose": 0.03,
    "eye": 0.035,
    "ear": 0.05,
    "shoulder": 0.11,
    "elbow": 0.075,
    "wrist": 0.06,
    "hip": 0.16,
    "knee": 0.10,
    "ankle": 0.08,
}


def part_of(joint):
    """The classes whose surface may show a joint ("left_hip" shows on the trunk and on the left leg)."""
    side, _, name = joint.rpartition("_")
    own = {
        "shoulder": (TORSO, ARMS),
        "hip": (TORSO, LEGS),
        "elbow": (ARMS,),
        "wrist": (ARMS,),
        "knee": (LEGS,),
        "ankle": (LEGS,),
    }
    return {part[side] if isinstance(part, dict) else part for part in own.get(name, (HEAD,))}


# Of rays that miss; set once, since setting it costs as much as ten operations.
@np.errstate(divide="ignore", invalid="ignore")
def render(split, index):
    """Draws one example: a dict of arrays as the builder's features name them (image and mask (128, 128, .) uint8)."""
    rng = np.random.Generator(np.random.PCG64([SEED, SPLIT_OFFSETS[split], index]))
    body = skeleton.sample_body(rng)
    angles = skeleton.sample_pose(rng, body)
    view = skeleton.sample_view(rng)
    offset, focal = skeleton.place(rng, body, skeleton.pose_frames(body, angles, view), SIZE)
    frames = skeleton.pose_frames(body, angles, view, offset)
    joints = skeleton.joint_positions(body, frames)
    canvas = new_canvas(rng, focal)
    for solid in (
        dress(rng, body, frames) + backdrop.distractors(rng, focal / SIZE, offset[2]) + backdrop.occluders(rng, joints)
    ):
        canvas.paint(solid)
    mask = vote(canvas.label)
    return {
        "image": develop(rng, canvas.colour),
        "mask": mask[..., None],
        "keypoints": keypoints(joints, canvas, body.stature / 1.7),
        "joints": np.array(joints, np.float32),
        "camera": np.array([[focal, 0, SIZE / 2], [0, focal, SIZE / 2], [0, 0, 1]], np.float32),
        "image_id": SPLIT_OFFSETS[split] + index,
        "area": np.float32(np.count_nonzero(mask)),
        "bbox": box_of(mask > 0),
        "head_box": box_of(mask == HEAD) / np.float32(SIZE),
    }


def new_canvas(rng, focal):
    """The canvas of one picture: its background, light and noise."""
    size = SIZE * SAMPLES
    light = unit((skeleton.uniform(rng, -1, 1), skeleton.uniform(rng, -1, 0.1), skeleton.uniform(rng, -1.1, -0.2)))
    tint = tuple(skeleton.uniform(rng, 0.85, 1.1) for _ in range(3))
    ambient = skeleton.uniform(rng, 0.45, 0.75)
    return Canvas(size, focal * SAMPLES, light, ambient, tint, noise_tile(rng), backdrop.background(rng, size))


def cells(array):
    """The SAMPLES x SAMPLES samples of every pixel of an array (..., H, W), one array per sample."""
    return [array[..., i::SAMPLES, j::SAMPLES] for i in range(SAMPLES) for j in range(SAMPLES)]


def vote(label):
    """(SIZE, SIZE) uint8: the class of most samples of each pixel, the lower class where two are equal."""
    samples = np.stack(cells(label))
    votes = np.stack([(samples == k).sum(axis=0, dtype=np.uint8) for k in range(7)])
    return np.argmax(votes, axis=0).astype(np.uint8)


def box_of(chosen):
    """(4,) float32: x, y, width, height of the chosen pixels of a (H, W) bool array, zeros where there is none."""
    rows, columns = np.nonzero(chosen.any(axis=1))[0], np.nonzero(chosen.any(axis=0))[0]
    if not len(rows):
        return np.zeros(4, np.float32)
    return np.array([columns[0], rows[0], columns[-1] + 1 - columns[0], rows[-1] + 1 - rows[0]], np.float32)


def develop(rng, colour):
    """(SIZE, SIZE, 3) uint8 from (3, H, W) float32: averages the samples, then contrast, gain and sensor noise."""
    picture = sum(cells(colour)) * np.float32(1 / SAMPLES**2)
    gain = skeleton.uniform(rng, 0.85, 1.15)
    contrast = skeleton.uniform(rng, 0.85, 1.1)
    picture = (picture - np.float32(0.5)) * np.float32(contrast) + np.float32(0.5 * gain)
    grain = skeleton.uniform(rng, 0, 0.05)
    noise = rng.random(picture.shape).astype(np.float32) + rng.random(picture.shape).astype(np.float32) - np.float32(1)
    picture = (picture + noise * np.float32(grain)) * np.float32(255) + np.float32(0.5)
    return np.ascontiguousarray(np.minimum(np.maximum(picture, 0), 255).astype(np.uint8).transpose(1, 2, 0))


def keypoints(joints, canvas, scale):
    """(17, 3) float32: x, y as fractions of the picture and v, 0 outside it, 1 hidden, 2 seen.

    Seen is judged by the depth at the joint's place.
    """
    points = []
    for name, (x, y, z) in zip(skeleton.JOINTS, joints, strict=True):
        u, v = (canvas.focal * c / z / canvas.size + 0.5 for c in (x, y))
        if not (0 <= u < 1 and 0 <= v < 1):
            points.append((0.0, 0.0, 0.0))
            continue
        place = int(v * canvas.size), int(u * canvas.size)
        buried = z - canvas.depth[place] > COVER[name.rpartition("_")[2]] * scale
        seen = canvas.label[place] in part_of(name) and not buried
        points.append((u, v, 2.0 if seen else 1.0))
    return np.array(points, np.float32)


def pickle_range(draw, split, start, stop, step):
    """Pickles the examples range(start, stop, step) of a split, each `draw(split, index)`, to standard output."""
    for index in range(int(start), int(stop), int(step)):
        pickle.dump(draw(split, index), sys.stdout.buffer)
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    pickle_range(render, *sys.argv[1:])
