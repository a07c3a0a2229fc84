"""Where the clips of `people` are taken: seven persons, and four cameras around a stage.

Each camera has its light and its background.
"""

import dataclasses
import functools

import numpy as np

from kzoo.datasets.people.backdrop import double, texture
from kzoo.datasets.people.skeleton import Body, Frame, sample_body, uniform
from kzoo.datasets.people.vectors import add, apply, compose, cross, rot_y, unit

SEED = 20240502  # of the studio: bodies, tones and lamps
STATURES = (1.62, 1.74, 1.86, 1.56, 1.80, 1.69, 1.77)  # metres, of subjects 1 to 7
SUBJECTS = {"train": (1, 2, 3, 4, 5), "val": (6, 7)}
CENTRE = (0.0, 0.95, 0.0)  # what a camera looks at that follows nobody
MARGIN = 1.75  # how many times a frame's width of the studio a camera may see as it follows a person


@dataclasses.dataclass(frozen=True)
class Camera:
    """A camera around the stage: yaw from the stage's front to its left, height, distance, height of its field."""

    yaw: float
    height: float
    distance: float
    field: float  # metres at its distance

    @property
    def focal(self):
        """The focal length as a fraction of the picture's width."""
        return self.distance / self.field

    def view(self, target):
        """The rotation from the stage's axes to those of a camera that looks at a point, and its position."""
        position = apply(rot_y(self.yaw), (0.0, self.height, self.distance))
        away = unit(add(target, position, -1.0))
        right = unit(cross(away, (0.0, 1.0, 0.0)))
        return (right, cross(away, right), away), position


CAMERAS = {  # left and right are those of a person who faces the stage's front
    "front_left": Camera(38.0, 1.45, 5.2, 2.45),
    "front_right": Camera(-42.0, 1.60, 5.0, 2.50),
    "back_right": Camera(-141.0, 1.35, 5.4, 2.50),
    "back_left": Camera(140.0, 1.75, 4.8, 2.45),
}


def generator(*key):
    """A generator of its own for everything of the studio that is drawn once."""
    return np.random.Generator(np.random.PCG64([SEED, *key]))


@functools.cache
def body_of(subject):
    """The Body of subject 1 to 7."""
    stature = STATURES[subject - 1]
    drawn = sample_body(generator(0, subject))
    lengths = {name: length * (stature / drawn.stature) for name, length in drawn.lengths.items()}
    return Body(stature, drawn.girth * (stature / drawn.stature), lengths)


@functools.cache
def lamp(camera):
    """What lights a camera's picture: a unit vector to the lamp in its axes, the ambient share, the tint."""
    rng = generator(1, list(CAMERAS).index(camera))
    light = unit((uniform(rng, -0.7, 0.7), uniform(rng, -1.0, -0.5), uniform(rng, -1.0, -0.4)))
    return light, uniform(rng, 0.55, 0.7), tuple(uniform(rng, 0.94, 1.04) for _ in range(3))


@functools.cache
def surroundings(camera, size):
    """The studio as a camera sees it: a wall with panels, a skirting and a floor.

    (3, MARGIN * size, MARGIN * size) float32.
    """
    seen = CAMERAS[camera]
    wide = int(size * MARGIN)
    rng = generator(2, list(CAMERAS).index(camera))
    # 0 to 1: the frame that looks at CENTRE.
    at = (np.arange(wide, dtype=np.float32) - np.float32((wide - size) / 2)) / np.float32(size)
    x, y = at[None, :], at[:, None]
    edge = 0.5 + seen.focal * (seen.height / (seen.distance + 3.2) - (seen.height - CENTRE[1]) / seen.distance)
    depth = y - np.float32(edge) + np.float32(uniform(rng, -0.03, 0.03)) * x
    wall, floor, panel = (tones(rng, low, high) for low, high in ((0.55, 0.8), (0.3, 0.5), (0.45, 0.85)))
    picture = wall * (np.float32(1.05) - np.float32(uniform(rng, 0.1, 0.3)) * (x if rng.random() < 0.5 else 1 - x))
    for _ in range(5):
        left = uniform(rng, -0.4, 1.4)
        inside = (x > left) & (x < left + uniform(rng, 0.03, 0.2)) & (y < uniform(rng, 0.2, 1.0))
        picture = picture + (panel - picture) * (inside * np.float32(uniform(rng, 0.2, 0.7)))
    picture = np.where(depth > -0.015, wall * np.float32(0.6), picture)
    picture = np.where(depth > 0, floor * (np.float32(0.85) + np.float32(0.6) * depth), picture)
    return picture + double(texture(rng, wide // 2)) * np.float32(0.3)


def background(camera, size, view):
    """What of the surroundings is behind the stage for a view: a copy of (3, size, size) float32."""
    picture = surroundings(camera, size)
    rotation, position = view
    x, y, z = apply(rotation, add(CENTRE, position, -1.0))
    slack = picture.shape[1] - size
    left, top = (min(max(int(slack / 2 - CAMERAS[camera].focal * size * c / z), 0), slack) for c in (x, y))
    return picture[:, top : top + size, left : left + size].copy()


def tones(rng, low, high):
    """A greyish colour (3, 1, 1) float32."""
    level = uniform(rng, low, high)
    return np.array([level + uniform(rng, -0.06, 0.06) for _ in range(3)], np.float32)[:, None, None]


def seen_by(view, frames):
    """{bone: Frame} in a camera's axes, of frames in the stage's."""
    rotation, position = view
    return {
        name: Frame(apply(rotation, add(f.origin, position, -1.0)), compose(rotation, f.rotation))
        for name, f in frames.items()
    }
