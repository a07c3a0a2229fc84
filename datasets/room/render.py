"""One frame of the data set `room`, from its number to its picture and labels.

NumPy only: no TensorFlow in the worker processes.

python -m kzoo.datasets.room.render SPLIT START STOP STEP     pickles the frames of that range to standard output
"""

import sys

import numpy as np

from kzoo.datasets.people.render import pickle_range
from kzoo.datasets.people.vectors import dot
from kzoo.datasets.room import camera, scene
from kzoo.datasets.room.caster import cast
from kzoo.datasets.room.furniture import DAY

SEED = 20240603
GRAIN = 0.02  # of the sensor's noise, as a share of white
DRIFT = ((160.0, 0.7), (61.0, 0.3))  # (period in frames, share) of what changes the light
# Half a pixel apart, from border to border: every second is a pixel's centre.
SAMPLES = (2 * camera.HEIGHT + 1, 2 * camera.WIDTH + 1)
# Beyond: a wall, which is its own corner.
HALF = tuple(h - 0.02 for h in (scene.LENGTH / 2, scene.DEPTH / 2, scene.HEIGHT / 2))


def render(split, index):
    """Draws one frame: a dict of arrays as the builder's features name them (image and mask (96, 128, .) uint8)."""
    number, frame = divmod(index, camera.LENGTHS[split])
    sequence = camera.SEQUENCES[split][number]
    position, rotation = camera.pose(sequence, frame)
    samples = cast(scene.room(), camera.matrix(rotation), position, SAMPLES, 2 * camera.focal())
    noise = np.random.Generator(np.random.PCG64([SEED, 1, sequence, frame]))
    focal = camera.focal()
    return {
        "image": develop(noise, shade(samples, light_at(sequence, frame))),
        "mask": np.ascontiguousarray(samples.label[1::2, 1::2, None]),
        "depth": samples.depth[1::2, 1::2].astype(np.float32),
        "position": np.array(position, np.float32),
        "rotation": np.array(rotation, np.float32),
        "intrinsics": np.array([[focal, 0, camera.WIDTH / 2], [0, focal, camera.HEIGHT / 2], [0, 0, 1]], np.float32),
        "sequence": sequence,
        "frame": frame,
    }


def light_at(sequence, frame):
    """The light of a frame.

    The strength of day, lamps and their reflections, the tint of each, where the day comes in, and the exposure.

    A sequence has its own time of day, which drifts from frame to frame.
    """
    rng = np.random.Generator(np.random.PCG64([SEED, 0, sequence]))
    hour, evening, warmth, exposure = (float(rng.random()) for _ in range(4))
    drift = [camera.wave(rng, DRIFT)(frame) for _ in range(6)]
    day = 0.45 + 0.55 * hour + 0.12 * drift[0]
    lamp = 0.25 + 0.45 * evening + 0.08 * drift[1]
    warmth = 0.16 * (warmth - 0.5) + 0.04 * drift[2]
    place = (scene.PANE[0] + 0.8 * drift[3], scene.PANE[1], scene.PANE[2] + 0.3 * drift[4])
    tint = tuple(1 + warmth * k for k in (1.0, 0.1, -1.0))
    return {
        "day": (day, (0.96, 1.0, 1.05), place),
        "lamp": (lamp, (1.10, 0.98, 0.80), None),
        "ambient": 0.30 + 0.16 * day + 0.10 * lamp,
        "tint": tint,
        "exposure": 1.0 + 0.10 * (exposure - 0.5) + 0.06 * drift[5],
    }


def shade(samples, light):
    """(3, H, W) float32: the samples' colours in a light, darker towards the edges of the room."""
    level = (
        np.float32(light["ambient"]) * (np.float32(0.9) + np.float32(0.15) * samples.normal[2]) * corners(samples.point)
    )
    glow = [level * np.float32(tint) for tint in light["tint"]]
    for name, places in (("day", (light["day"][2],)), ("lamp", scene.LAMPS)):
        strength, tint, _ = light[name]
        for place in places:
            away = [np.float32(c) - p for c, p in zip(place, samples.point, strict=True)]
            squared = dot(away, away)
            facing = dot(away, samples.normal) / np.sqrt(squared + np.float32(1e-4))
            falling = (
                np.maximum(facing * np.float32(0.8) + np.float32(0.2), 0)
                / (1 + np.float32(0.35) * squared)
                * np.float32(strength)
            )
            glow = [g + falling * np.float32(t) for g, t in zip(glow, tint, strict=True)]
    planes = []
    for k, colour in enumerate(samples.colour):
        day, lamp = (np.float32(light[name][0] * light[name][1][k]) for name in ("day", "lamp"))
        shine = np.where(
            samples.source == DAY, np.float32(0.25) + day * np.float32(0.8), np.float32(0.6) + lamp * np.float32(0.7)
        )
        planes.append(colour * np.where(samples.source == 0, glow[k], shine) * np.float32(light["exposure"]))
    return np.stack(planes)


def corners(point):
    """How much of the light that is everywhere reaches points: less where walls, floor and ceiling meet."""
    gaps = [np.float32(h) - np.abs(p - np.float32(c)) for p, h, c in zip(point, HALF, scene.room().centre, strict=True)]
    # The second smallest gap: how near an edge is.
    first = np.minimum(gaps[0], gaps[1])
    second = np.maximum(gaps[0], gaps[1])
    near = np.minimum(np.maximum(first, np.minimum(second, gaps[2])) / np.float32(0.5), 1)
    near = 1 - np.maximum(near, 0)
    return 1 - np.float32(0.35) * near * near


def develop(rng, colour):
    """(96, 128, 3) uint8 from (3, H, W) float32.

    Each pixel is the mean of its nine samples with weights 1 2 1, then sensor noise.
    """
    wide = colour[:, :, :-1:2] + 2 * colour[:, :, 1::2] + colour[:, :, 2::2]
    picture = (wide[:, :-1:2] + 2 * wide[:, 1::2] + wide[:, 2::2]) * np.float32(1 / 16)
    noise = rng.random(picture.shape).astype(np.float32) + rng.random(picture.shape).astype(np.float32) - np.float32(1)
    picture = (picture + noise * np.float32(GRAIN)) * np.float32(255) + np.float32(0.5)
    return np.ascontiguousarray(np.minimum(np.maximum(picture, 0), 255).astype(np.uint8).transpose(1, 2, 0))


if __name__ == "__main__":
    pickle_range(render, *sys.argv[1:])
