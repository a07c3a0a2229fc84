"""What varies between two takes of one action: pace, size, side, heading, and slow noise on every angle.

Times in seconds, angles in degrees, lengths in metres. A phase counts cycles.
"""

import dataclasses
import math

from kzoo.datasets.people.skeleton import SIDES, choice, uniform
from kzoo.datasets.people.vectors import sin_cos

# How far slow noise moves angles.
TREMBLE = {"spine": 2.0, "head": 4.0, "shoulder": 4.0, "elbow": 5.0, "wrist": 8.0, "turn": 1.0}
TREMBLE_HZ = (0.25, 0.9)
OFFSET = 0.7  # the same angles' constant offsets, as a share of twice their noise
SWAY = 0.006  # of the pelvis


@dataclasses.dataclass(frozen=True)
class Style:
    """One person's way of doing an action once.

    speed and amplitude scale; start: share of a cycle (of the duration, for sitting down) that has passed at time 0;
    hand: the side that acts; width, variety: 0 to 1, of the stance and of what each action makes of it; noise: {angle:
    (offset, ((size, Hz, phase), ...))}; heading: from the stage's front; spot: where on the stage.
    """

    speed: float
    amplitude: float
    start: float
    hand: str
    heading: float
    spot: tuple
    width: float
    variety: tuple
    noise: dict


def sine(phase):
    """Sine of a phase."""
    return sin_cos((phase - math.floor(phase)) * 360)[0]


def upper_body(**changes):
    """All angles above the hips: standing with arms hanging, but for the changes."""
    angles = {
        "spine_bend": 2.0,
        "spine_side": 0.0,
        "spine_twist": 0.0,
        "head_yaw": 0.0,
        "head_pitch": 0.0,
        "head_roll": 0.0,
    }
    for side in SIDES:
        arm = {"shoulder_side": 10.0, "shoulder_forward": 3.0, "shoulder_twist": -10.0, "elbow": 16.0, "wrist": 0.0}
        angles.update({f"{side}_{name}": angle for name, angle in arm.items()})
    return {**angles, **changes}


def sample_style(rng):
    """A random Style."""
    noise = {}
    for name in (*upper_body(), "turn_yaw", "turn_tilt", "turn_roll", "sway_x", "sway_z"):
        size = next((degrees for part, degrees in TREMBLE.items() if part in name), SWAY)
        waves = tuple((size * uniform(rng, 0.2, 0.6), uniform(rng, *TREMBLE_HZ), uniform(rng, 0, 1)) for _ in range(2))
        noise[name] = uniform(rng, -2, 2) * OFFSET * size, waves
    return Style(
        speed=uniform(rng, 0.85, 1.15),
        amplitude=uniform(rng, 0.8, 1.2),
        start=uniform(rng, 0, 1),
        hand=choice(rng, tuple(SIDES)),
        heading=uniform(rng, -35, 35),
        spot=(uniform(rng, -0.3, 0.3), uniform(rng, -0.3, 0.3)),
        width=uniform(rng, 0, 1),
        variety=tuple(uniform(rng, 0, 1) for _ in range(3)),
        noise=noise,
    )


def noise_at(style, time):
    """{angle: degrees to add}, and metres for the pelvis's sway, at one moment."""
    noise = {}
    for name, (offset, waves) in style.noise.items():
        noise[name] = offset + math.fsum(size * sine(rate * time + phase) for size, rate, phase in waves)
    return noise
