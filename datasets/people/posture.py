"""From where pelvis and feet are wanted to joint angles: legs by inverse kinematics, all angles within human limits.

Axes of the stage: x to the left of who faces its front, y up from the floor, z to the front. Metres and degrees.
"""

import dataclasses
import math

from kzoo.datasets.people.skeleton import LIMITS, SIDES, pose_frames
from kzoo.datasets.people.vectors import (
    add,
    apply,
    arc_tangent,
    compose,
    cross,
    dot,
    norm,
    rot_x,
    rot_y,
    rot_z,
    transposed,
    unit,
)

REACH = 0.998  # of a leg's length: a knee never locks
SOFTNESS = 0.005  # metres over which one bound of the pelvis's height takes over from another


@dataclasses.dataclass(frozen=True)
class Foot:
    """Where a foot is wanted: the point of the floor below its ankle while it is flat, and how it is raised and turned.

    `lift` is the height of its lowest point. It rolls by `pitch` (toes down) about its toes, or about its heel where
    that is negative.
    """

    x: float
    z: float
    lift: float = 0.0
    yaw: float = 0.0
    pitch: float = 0.0


@dataclasses.dataclass(frozen=True)
class Posture:
    """What an action wants at one moment.

    pelvis: x, y, z; y is lowered to what the legs can reach. turn: its yaw, tilt (forward) and roll (left side up).
    feet: {side: Foot}. angles: of spine, head and arms as skeleton.LIMITS names them, but for the shoulders: these
    swing by `shoulder_side` and `shoulder_forward`, which pass smoothly through hanging down.
    """

    pelvis: tuple
    turn: tuple
    feet: dict
    angles: dict


def solve(body, posture):
    """({name: degrees}, rotation, position of the pelvis) of a posture whose lowest foot is on the floor."""
    yaw, tilt, roll = posture.turn
    rotation = compose(rot_y(yaw), rot_x(tilt), rot_z(roll))
    hips = {side: apply(rotation, (sign * body.lengths["hip"], 0.0, 0.0)) for side, sign in SIDES.items()}
    ankles = {side: ankle_of(body, foot) for side, foot in posture.feet.items()}
    x, height, z = posture.pelvis
    leg = REACH * (body.lengths["thigh"] + body.lengths["shank"])
    for side, (hip_x, hip_y, hip_z) in hips.items():
        across = ankles[side][0] - x - hip_x, 0.0, ankles[side][2] - z - hip_z
        height = softer_minimum(height, ankles[side][1] - hip_y + math.sqrt(max(leg * leg - dot(across, across), 0.0)))
    angles = {name: angle for name, angle in posture.angles.items() if "shoulder" not in name}
    for side, foot in posture.feet.items():
        aside, ahead = (posture.angles[f"{side}_shoulder_{way}"] for way in ("side", "forward"))
        angles[f"{side}_shoulder_plane"] = arc_tangent(ahead, aside)
        angles[f"{side}_shoulder_elevation"] = math.sqrt(aside * aside + ahead * ahead)
        angles[f"{side}_shoulder_twist"] = posture.angles[f"{side}_shoulder_twist"]
        target = add(ankles[side], add((x, height, z), hips[side]), -1.0)
        angles.update(leg_angles(side, body, rotation, target, foot))
    angles = {name: within_limits(name, angle) for name, angle in angles.items()}
    lowest = min(sole_heights(body, pose_frames(body, angles, rotation)).values())
    return angles, rotation, (x, min(foot.lift for foot in posture.feet.values()) - lowest, z)


def softer_minimum(a, b):
    """The smaller of two numbers, and smoothly less where they are about equal."""
    return (a + b - math.sqrt((a - b) * (a - b) + SOFTNESS * SOFTNESS)) / 2


def within_limits(name, angle):
    """An angle of one side or of the trunk, cut off at its limits."""
    low, high = LIMITS[name.removeprefix("left_").removeprefix("right_")]
    return min(max(angle, float(low)), float(high))


def sole_points(body):
    """Heel and toes of a shoe as `body.legs` draws it: two (point, distance of the sole below it).

    Points are in the foot's axes.
    """
    return (
        ((0.0, -0.025, -0.02), 0.9 * 0.046 * body.girth),
        ((0.0, -0.045, 0.75 * body.lengths["foot"]), 0.9 * 0.034 * body.girth),
    )


def sole_heights(body, frames):
    """{side: height of the lowest point of that foot}, for frames with y up."""
    heights = {}
    for side in SIDES:
        heights[side] = min(frames[f"{side}_foot"].at(point)[1] - depth for point, depth in sole_points(body))
    return heights


def ankle_of(body, foot):
    """The ankle's position for a wanted Foot."""
    pivot = sole_points(body)[1 if foot.pitch > 0 else 0][0]
    turned = apply(rot_x(foot.pitch), pivot)
    below = min(apply(rot_x(foot.pitch), point)[1] - depth for point, depth in sole_points(body))
    shift = apply(rot_y(foot.yaw), (0.0, 0.0, pivot[2] - turned[2]))
    return foot.x + shift[0], foot.lift - below, foot.z + shift[2]


def leg_angles(side, body, rotation, target, foot):
    """Angles of a leg whose ankle is at `target` from its hip joint, whose knee points as the foot does.

    The target is in the stage's axes.
    """
    thigh, shank = body.lengths["thigh"], body.lengths["shank"]
    reached = min(norm(target), REACH * (thigh + shank))
    cosine = (reached * reached - thigh * thigh - shank * shank) / (2 * thigh * shank)
    cosine = min(max(cosine, -1.0), 1.0)
    knee = min(arc_tangent(math.sqrt(1 - cosine * cosine), cosine), float(LIMITS["knee"][1]))
    # To the ankle, in the thigh's axes.
    _, down, back = unit(add((0.0, -thigh, 0.0), apply(rot_x(knee), (0.0, -shank, 0.0))))
    to_pelvis = transposed(rotation)
    along = apply(to_pelvis, unit(target))
    ahead = apply(to_pelvis, apply(rot_y(foot.yaw), (0.0, 0.0, 1.0)))
    hinge = unit(cross(ahead, along))
    front = cross(along, hinge)
    # (0, down, back) goes to `along` and (0, back, -down), at right angles to it, to `front`: the images of the thigh's
    # y and z follow
    y = tuple(down * a + back * f for a, f in zip(along, front, strict=True))
    z = tuple(back * a - down * f for a, f in zip(along, front, strict=True))
    ball = tuple(zip(hinge, y, z, strict=True))
    plane, elevation, twist = swing_twist_angles(side, ball)
    below_knee = compose(rotation, ball, rot_x(knee))
    tilt = arc_tangent(-below_knee[1][2], below_knee[1][1])
    names = ("hip_plane", "hip_elevation", "hip_twist", "knee", "ankle")
    return {
        f"{side}_{name}": angle
        for name, angle in zip(names, (plane, elevation, twist, knee, foot.pitch - tilt), strict=True)
    }


def swing_twist_angles(side, rotation):
    """Plane, elevation and twist of a ball joint's rotation: the inverse of skeleton.swing_twist."""
    sign = SIDES[side]
    x, y, z = (-row[1] for row in rotation)  # where the bone points
    plane = arc_tangent(z, sign * x)
    elevation = arc_tangent(math.sqrt(x * x + z * z), -y)
    twist = compose(rot_y(-sign * plane), rot_z(-sign * elevation), rot_y(sign * plane), rotation)
    return plane, elevation, sign * arc_tangent(twist[0][2], twist[0][0])
