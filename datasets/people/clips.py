"""One clip of `people/clips`, from its number to its frames and labels.

NumPy only: no TensorFlow in the worker processes.

python -m kzoo.datasets.people.clips SPLIT START STOP STEP     pickles the clips of that range to standard output
"""

import math
import sys

import numpy as np

from kzoo.datasets.people import motion, studio
from kzoo.datasets.people.body import dress
from kzoo.datasets.people.raster import Canvas, noise_tile
from kzoo.datasets.people.render import cells, pickle_range
from kzoo.datasets.people.skeleton import SIDES, uniform
from kzoo.datasets.people.style import sample_style
from kzoo.datasets.people.vectors import lerp
from kzoo.nn.skeletons import H36M_JOINTS

SEED = 20240503
SIZE = 96  # pixels of a square frame
SAMPLES = 2  # per pixel and axis
LENGTH = 8
FPS = 25
SPLIT_OFFSETS = {"train": 0, "val": 1_000_000}  # clip_id of a split's first clip
GRAIN = 0.008  # sensor noise
GAIN = 0.02  # how far the exposure of a frame wanders
BONES = {"shoulder": "upper_arm", "elbow": "forearm", "wrist": "hand", "hip": "thigh", "knee": "shank", "ankle": "foot"}


def take_of(split, index):
    """(subject, action, take, camera) of a split's clip.

    All cameras of a take follow one another, then come other actions and subjects.
    """
    subjects = studio.SUBJECTS[split]
    actions = list(motion.ACTIONS)
    cameras = list(studio.CAMERAS)
    take, number = divmod(index // len(cameras), len(subjects) * len(actions))
    lap, action = divmod(number, len(actions))
    return subjects[(lap + action) % len(subjects)], actions[action], take, cameras[index % len(cameras)]


@np.errstate(divide="ignore", invalid="ignore")  # rays that miss
def render(split, index):
    """Draws one clip: a dict of arrays as the builder's features name them."""
    subject, action, take, camera = take_of(split, index)
    key = [SEED, subject, list(motion.ACTIONS).index(action), take]
    body, moments = moments_of(key, subject, action)
    places = zip(*(frames["pelvis"].origin for frames in moments), strict=True)
    middle = tuple(math.fsum(coordinates) / LENGTH for coordinates in places)
    view = studio.CAMERAS[camera].view(middle)
    noise = np.random.Generator(np.random.PCG64([*key, 2, list(studio.CAMERAS).index(camera)]))
    pictures = []
    joints = []
    for frames in moments:
        frames = studio.seen_by(view, frames)
        joints.append(joint_positions(body, frames))
        pictures.append(develop(noise, paint(key, body, frames, camera, view)))
    joints = np.array(joints)
    focal = studio.CAMERAS[camera].focal * SIZE
    return {
        "frames": np.stack(pictures),
        "keypoints_2d": (joints[..., :2] / joints[..., 2:] * (focal / SIZE) + 0.5).astype(np.float32),
        "joints": (joints - joints[:, :1]).astype(np.float32),
        "root": joints[:, 0].astype(np.float32),
        "intrinsics": np.array([[focal, 0, SIZE / 2], [0, focal, SIZE / 2], [0, 0, 1]], np.float32),
        "subject": subject,
        "action": action,
        "camera": camera,
        "clip_id": SPLIT_OFFSETS[split] + index,
    }


def moments_of(key, subject, action):
    """The Body of a take, and its bones in the stage's axes at each frame."""
    body = studio.body_of(subject)
    style = sample_style(np.random.Generator(np.random.PCG64([*key, 0])))
    return body, [motion.bones_at(action, frame / FPS, style, body) for frame in range(LENGTH)]


def joint_positions(body, frames):
    """The 17 joints of Human3.6M, a list of (x, y, z) in the order of H36M_JOINTS."""
    r = body.lengths["head"]
    hip = frames["pelvis"].origin
    thorax = frames["chest"].at((0.0, 0.88 * body.lengths["trunk"], 0.0))
    positions = {"hip": hip, "spine": lerp(hip, thorax, 0.5), "thorax": thorax}
    positions["nose"] = frames["head"].at((0.0, -0.14 * r, 0.92 * r))
    positions["head"] = frames["head"].at((0.0, 0.98 * r, -0.06 * r))
    for side in SIDES:
        for joint, bone in BONES.items():
            positions[f"{side}_{joint}"] = frames[f"{side}_{bone}"].origin
    return [positions[name] for name in H36M_JOINTS]


def paint(key, body, frames, camera, view):
    """The samples of one frame, (3, H, W) float32.

    Its clothes are drawn from the take's own seed: the same in every frame and camera.
    """
    rng = np.random.Generator(np.random.PCG64([*key, 1]))
    size = SIZE * SAMPLES
    light, ambient, tint = studio.lamp(camera)
    canvas = Canvas(
        size,
        studio.CAMERAS[camera].focal * size,
        light,
        ambient,
        tint,
        noise_tile(rng),
        studio.background(camera, size, view),
    )
    for solid in dress(rng, body, frames):
        canvas.paint(solid)
    return canvas.colour


def develop(rng, colour):
    """(SIZE, SIZE, 3) uint8 from (3, H, W) float32: averages the samples, then gain and sensor noise."""
    picture = sum(cells(colour)) * np.float32(uniform(rng, 1 - GAIN, 1 + GAIN) / SAMPLES**2)
    noise = rng.random(picture.shape, np.float32) - np.float32(0.5)
    picture = (picture + noise * np.float32(GRAIN)) * np.float32(255) + np.float32(0.5)
    return np.ascontiguousarray(np.minimum(np.maximum(picture, 0), 255).astype(np.uint8).transpose(1, 2, 0))


if __name__ == "__main__":
    pickle_range(render, *sys.argv[1:])
