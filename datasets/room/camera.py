"""Where the camera is: smooth walks through the room, as hands hold it.

World: metres, x to the right, y ahead, z up, the origin on the floor in the room's middle. Camera: x right, y down, z
ahead.
"""

import math  # fsum: the built-in sum rounds differently since Python 3.12

import numpy as np

from kzoo.datasets.people.skeleton import uniform
from kzoo.datasets.people.vectors import sin_cos

SEED = 20240602
HEIGHT, WIDTH = 96, 128  # pixels
FIELD = 70.0  # degrees that a picture is wide
VAL = (13, 14)  # two whose ways lead past everything
LEFT_OUT = (10,)  # comes within half a metre of the furniture
SEQUENCES = {"train": tuple(number for number in range(27) if number not in (*VAL, *LEFT_OUT)), "val": VAL}
LENGTHS = {"train": 100, "val": 125}  # frames of a sequence
LEVEL = (0.5, -0.5, 0.5, -0.5)  # quaternion w, x, y, z, camera to world, of a camera that looks along +x

# What moves: (middle, reach) in metres and degrees, and the (period in frames, share) of the waves that it is the sum
# of.
WALK = ((160.0, 0.67), (75.0, 0.23), (33.0, 0.09), (9.0, 0.01))
TURN = ((190.0, 0.74), (83.0, 0.20), (31.0, 0.055), (8.0, 0.005))
NOD = ((90.0, 0.6), (41.0, 0.25), (17.0, 0.12), (6.0, 0.03))
MOTIONS = {
    "x": (0.25, 1.45, WALK),
    "y": (-0.35, 1.2, WALK),
    "z": (1.45, 0.3, NOD),
    # From +x towards +y; so w is never below 0.3, and no rotation is near where w >= 0 makes the sign jump.
    "yaw": (90.0, 125.0, TURN),
    "pitch": (-7.0, 11.0, NOD),
    "roll": (0.0, 6.0, NOD),
}


def focal():
    """The focal length in pixels."""
    sine, cosine = sin_cos(FIELD / 2)
    return WIDTH / 2 * cosine / sine


def wave(rng, waves):
    """A function of the frame's number, in -1..1: a sum of sines with random periods (within 15 percent) and phases."""
    drawn = [(period * uniform(rng, 0.85, 1.15), float(rng.random()), share) for period, share in waves]

    def at(frame):
        turns = [(frame / period + phase, share) for period, phase, share in drawn]
        return math.fsum(share * sin_cos(360 * (turn - math.floor(turn)))[0] for turn, share in turns)

    return at


def product(a, b):
    """Hamilton product of two quaternions w, x, y, z."""
    return (
        a[0] * b[0] - a[1] * b[1] - a[2] * b[2] - a[3] * b[3],
        a[0] * b[1] + a[1] * b[0] + a[2] * b[3] - a[3] * b[2],
        a[0] * b[2] - a[1] * b[3] + a[2] * b[0] + a[3] * b[1],
        a[0] * b[3] + a[1] * b[2] - a[2] * b[1] + a[3] * b[0],
    )


def matrix(q):
    """Three rows, camera to world, of a unit quaternion w, x, y, z."""
    w, x, y, z = q
    return (
        (1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)),
        (2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)),
        (2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)),
    )


def quaternion(yaw, pitch, roll):
    """Unit quaternion w, x, y, z, w >= 0, camera to world, of yaw from +x to +y, pitch up and roll in degrees."""
    half = {name: sin_cos(angle / 2) for name, angle in {"yaw": yaw, "pitch": pitch, "roll": roll}.items()}
    about_z = (half["yaw"][1], 0.0, 0.0, half["yaw"][0])
    about_x = (half["pitch"][1], half["pitch"][0], 0.0, 0.0)  # of the camera: raises the optical axis
    about_axis = (half["roll"][1], 0.0, 0.0, half["roll"][0])
    q = product(product(product(about_z, LEVEL), about_x), about_axis)
    sign = (1.0 if q[0] >= 0 else -1.0) / math.sqrt(math.fsum(c * c for c in q))
    return tuple(sign * c for c in q)


def pose(sequence, frame):
    """The position (x, y, z) in metres and the unit quaternion (w, x, y, z) of a frame, plain floats."""
    rng = np.random.Generator(np.random.PCG64([SEED, sequence]))
    place = {name: middle + reach * wave(rng, waves)(frame) for name, (middle, reach, waves) in MOTIONS.items()}
    return (place["x"], place["y"], place["z"]), quaternion(place["yaw"], place["pitch"], place["roll"])
