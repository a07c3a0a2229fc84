"""Eight actions as functions of time and style: where pelvis and feet are and how spine, head and arms are bent.

Times in seconds, angles in degrees, lengths in metres but where a share of the stature is named. A phase counts cycles.
"""

import dataclasses
import math

from kzoo.datasets.people.posture import Foot, Posture, solve
from kzoo.datasets.people.skeleton import SIDES, pose_frames
from kzoo.datasets.people.style import noise_at, sine, upper_body
from kzoo.datasets.people.vectors import add, apply, compose, rot_y

OTHER = {"left": "right", "right": "left"}
MIDDLE = 0.14  # when who walks or runs passes the style's spot: the middle of a clip


@dataclasses.dataclass(frozen=True)
class Gait:
    """What tells walking from running; phases of a leg's cycle, which begins as its heel strikes."""

    speed: float  # statures per second
    cadence: float  # steps per second
    duty: float  # the share of the cycle that a foot is on the floor
    centre: float  # the phase at which the hip passes over that foot
    pitch: tuple  # keys (phase, degrees) of the foot, toes down
    lift: tuple  # keys (phase, share of the stature) of the foot
    height: float  # of the hips, at most, as a share of the leg's length
    bounce: float  # share of the stature
    arms: tuple  # amplitude and middle of the shoulder's swing, middle and amplitude of the elbow's
    lean: float
    twist: float  # of the pelvis


WALK = Gait(
    speed=0.80,
    cadence=2.0,
    duty=0.62,
    centre=0.25,
    pitch=((0, -16), (0.1, 0), (0.36, 0), (0.62, 46), (0.82, 4), (1, -16)),
    lift=((0, 0), (0.62, 0), (0.78, 0.022), (1, 0)),
    height=1.0,
    bounce=0.0,
    arms=(21, 1, 20, 9),
    lean=3,
    twist=5,
)
RUN = Gait(
    speed=1.72,
    cadence=2.7,
    duty=0.34,
    centre=0.14,
    pitch=((0, -4), (0.06, 0), (0.16, 0), (0.34, 52), (0.55, 78), (0.8, 12), (1, -4)),
    lift=((0, 0), (0.34, 0), (0.55, 0.17), (0.72, 0.16), (0.88, 0.07), (1, 0)),
    height=0.95,
    bounce=0.022,
    arms=(34, -2, 92, 12),
    lean=9,
    twist=7,
)


def smooth(x):
    """Rises from 0 at 0 to 1 at 1, level at both and beyond."""
    x = min(max(x, 0.0), 1.0)
    return x * x * (3 - 2 * x)


def curve(keys, x):
    """The smooth curve through (x, value) keys, level at each."""
    for (left, low), (right, high) in zip(keys, keys[1:], strict=False):
        if x < right:
            return low + (high - low) * smooth((x - left) / (right - left))
    return keys[-1][1]


def pulse(phase):
    """Rises from 0 to 1 and falls again once per cycle."""
    return (1 - sine(phase + 0.25)) / 2


def arm(side, aside, forward, twist, elbow, wrist=0.0):
    """The angles of one arm."""
    names = ("shoulder_side", "shoulder_forward", "shoulder_twist", "elbow", "wrist")
    return {
        f"{side}_{name}": float(angle) for name, angle in zip(names, (aside, forward, twist, elbow, wrist), strict=True)
    }


def blend(first, second, share):
    """Angles between two sets of angles."""
    return {name: angle + (second[name] - angle) * share for name, angle in first.items()}


def standing(body, style, least=0.012, most=0.06, stagger=0.0):
    """Both feet flat beside the hips, the toes somewhat out, the acting side's foot back by `stagger`.

    How far beside is a share of the stature.
    """
    wide = body.lengths["hip"] + body.stature * (least + (most - least) * style.width)
    toes = 4 + 14 * style.width
    return {
        side: Foot(sign * wide, (-0.5 if side == style.hand else 0.5) * stagger, yaw=sign * toes)
        for side, sign in SIDES.items()
    }


def leg_length(body):
    """The height of the hips above the ankles of a straight leg, and of the ankles above the floor."""
    return body.lengths["thigh"] + body.lengths["shank"] + 0.075 * body.girth


def moving_on_foot(gait, time, style, body):
    """Walking or running to the front at an even pace."""
    pace = math.sqrt(style.speed)
    stride = 2 * gait.speed / gait.cadence * body.stature * pace
    rate = gait.cadence / 2 * pace
    phase = style.start + rate * time
    passing = style.start + rate * MIDDLE
    wide = body.lengths["hip"] + 0.012 * body.stature * style.width
    feet = {}
    angles = {}
    swing, middle, elbow, elbow_swing = gait.arms
    twist = gait.twist * style.amplitude * -sine(phase + 0.25)
    for side, sign in SIDES.items():
        own = phase + (0.0 if side == "left" else 0.5)
        steps = math.floor(own)
        p = own - steps
        place = steps + gait.centre + smooth((p - gait.duty) / (1 - gait.duty)) - (own - phase) - passing
        feet[side] = Foot(
            sign * wide, place * stride, curve(gait.lift, p) * body.stature, sign * 5, curve(gait.pitch, p)
        )
        back = sine(p + 0.25)  # the arm is back as the leg of its side is ahead
        forward = middle - swing * style.amplitude * back + 10 * (style.variety[0] - 0.5)
        bent = elbow * (0.7 + 0.6 * style.variety[1]) - elbow_swing * back
        angles.update(arm(side, 9 + 6 * style.variety[2], forward, -18, bent))
    angles = upper_body(
        spine_bend=gait.lean * 0.5,
        spine_twist=-2.2 * twist,
        head_yaw=1.2 * twist,
        head_pitch=-gait.lean * 0.5,
        **angles,
    )
    up = gait.height * leg_length(body) - gait.bounce * body.stature * sine(2 * (phase - gait.centre) + 0.25)
    pelvis = 0.012 * body.stature * sine(phase), up, (phase - passing) * stride
    return Posture(pelvis, (twist, gait.lean, 2.5 * sine(phase)), feet, angles)


def walk(time, style, body):
    """Walks."""
    return moving_on_foot(WALK, time, style, body)


def run(time, style, body):
    """Runs, with both feet off the floor between steps."""
    return moving_on_foot(RUN, time, style, body)


def wave(time, style, body):
    """Stands with one hand up and moves it from side to side."""
    beat = sine(style.start + 1.7 * style.speed * time)
    high = 108 + 20 * style.variety[0]
    elbow = 68 + 18 * (style.variety[1] - 0.5) + 27 * style.amplitude * beat
    raised = arm(style.hand, high, 22 + 18 * style.variety[2], 48 + 8 * beat, elbow)
    sign = SIDES[style.hand]
    angles = upper_body(spine_side=-sign * (3 + 2 * beat), spine_twist=sign * 3, head_roll=sign * 3, **raised)
    return Posture((-sign * 0.015, leg_length(body), 0.0), (0.0, 1.0, 0.0), standing(body, style), angles)


def sit_down(time, style, body):
    """Sits down on a seat as high as the knees: backwards and down, leaning forward on the way."""
    progress = style.start + style.speed * time / 1.5
    down = curve(((0.12, 0.0), (0.85, 1.0)), progress)
    lean = curve(((0.0, 0.0), (0.5, 1.0), (1.05, 0.1)), progress) * style.amplitude
    seat = (0.262 + 0.02 * style.variety[0]) * body.stature + 0.05 * body.girth
    up = leg_length(body)
    pelvis = 0.0, up + (seat - up) * down, -0.9 * body.lengths["thigh"] * down
    ahead = upper_body()
    thighs = upper_body()
    for side in SIDES:
        ahead.update(arm(side, 14, 30 + 40 * style.variety[2], -20, 30))
        thighs.update(arm(side, 8 + 8 * style.variety[1], 24, -30, 52 + 20 * style.variety[2]))
    angles = blend(blend(upper_body(), ahead, lean), thighs, smooth(2 * down - 1))
    angles.update(spine_bend=4 + 25 * lean, head_pitch=-10 * lean)
    return Posture(pelvis, (0.0, 10 * lean - 5 * down, 0.0), standing(body, style), angles)


def squat(time, style, body):
    """Bends the knees deeply and rises again, the arms held forward for balance."""
    depth = pulse(style.start + 0.42 * style.speed * time)
    bottom = (0.62 + 0.12 * style.variety[0]) * min(style.amplitude, 1.05)
    up = leg_length(body)
    pelvis = 0.0, up * (1 - (1 - bottom * 0.72) * depth), -0.09 * body.stature * depth
    angles = upper_body(spine_bend=3 + 32 * depth, head_pitch=-16 * depth)
    for side in SIDES:
        angles.update(
            blend(
                arm(side, 10, 8, -15, 16),
                arm(side, 12 + 20 * style.variety[1], 116, -20, 12 + 50 * style.variety[2]),
                depth,
            )
        )
    return Posture(pelvis, (0.0, 8 * depth, 0.0), standing(body, style, 0.03, 0.09), angles)


def reach(time, style, body):
    """Reaches for something with one hand, somewhere between the knees and above the head, and draws back."""
    out = pulse(style.start + 0.5 * style.speed * time)
    sign = SIDES[style.hand]
    height = style.variety[0]
    low = 1 - smooth(height / 0.6)  # 1 for what lies low
    across = 30 * (style.variety[1] - 0.3)
    stretched = arm(style.hand, 22 + across, 62 + 78 * height, -5, 10, 10)
    drawn = arm(style.hand, 12, 14, -20, 60)
    angles = upper_body(
        spine_bend=4 + (12 + 26 * low) * out * style.amplitude,
        spine_twist=-sign * 16 * out,
        spine_side=-sign * 7 * height * out,
        head_pitch=(16 * low - 14 * height) * out,
        head_yaw=sign * 8 * out,
        **blend(drawn, stretched, out),
        **blend(arm(OTHER[style.hand], 10, 3, -10, 16), arm(OTHER[style.hand], 16, -16, -10, 25), out),
    )
    pelvis = 0.0, leg_length(body) * (0.985 - 0.20 * low * out), (0.05 - 0.09 * low) * out * body.stature
    return Posture(
        pelvis, (-sign * 6 * out, 12 * low * out, 0.0), standing(body, style, 0.015, 0.06, stagger=0.16), angles
    )


def turn(time, style, body):
    """Turns on the spot, stepping."""
    sign = SIDES[style.hand]
    rate = 105 * style.speed
    cadence = 2.0
    duty = 0.6
    phase = style.start + cadence / 2 * time
    sweep = sign * rate / (cadence / 2)  # degrees per cycle
    feet = {}
    angles = {}
    begin = sign * 140 * (style.variety[0] - 0.6)
    for side, other in SIDES.items():
        own = phase + (0.0 if side == "left" else 0.5)
        steps = math.floor(own)
        p = own - steps
        place = steps + duty / 2 + smooth((p - duty) / (1 - duty)) - (own - phase) - style.start
        yaw = begin + sweep * place
        x, _, z = apply(
            rot_y(yaw), (other * (body.lengths["hip"] + (0.012 + 0.03 * style.width) * body.stature), 0.0, 0.0)
        )
        raised = curve(((duty, 0.0), ((1 + duty) / 2, 1.0), (1.0, 0.0)), p)
        feet[side] = Foot(x, z, 0.05 * body.stature * raised * style.amplitude, yaw + other * 5, 14 * raised)
        angles.update(arm(side, 13, 4 - 7 * sine(p + 0.25), -15, 22 + 25 * style.variety[1]))
    angles = upper_body(spine_twist=sign * 9, head_yaw=sign * (10 + 18 * style.variety[2]), **angles)
    pelvis = 0.015 * body.stature * sine(phase), 0.97 * leg_length(body), 0.0
    return Posture(pelvis, (begin + sweep * (phase - style.start), 3.0, 2 * sine(phase)), feet, angles)


def punch(time, style, body):
    """Strikes with one fist from a boxer's guard, and takes it back."""
    phase = style.start + 1.05 * style.speed * time
    hit = curve(((0.1, 0.0), (0.32, 1.0), (0.42, 1.0), (0.8, 0.0)), phase - math.floor(phase))
    sign = SIDES[style.hand]
    guard = {side: arm(side, 16 + 10 * style.variety[0], 42 + 10 * style.variety[1], -30, 120) for side in SIDES}
    strike = arm(style.hand, 6, 88 + 8 * style.variety[2], -40, 6)
    angles = upper_body(
        spine_bend=10,
        spine_twist=sign * (10 - 30 * hit * style.amplitude),
        head_yaw=-sign * (14 - 28 * hit),
        head_pitch=4,
        **blend(guard[style.hand], strike, hit),
        **guard[OTHER[style.hand]],
    )
    pelvis = 0.0, leg_length(body) * (0.90 + 0.03 * style.width), (0.03 * hit - 0.015) * body.stature
    feet = standing(body, style, 0.01, 0.04, stagger=0.19)
    feet[style.hand] = dataclasses.replace(feet[style.hand], pitch=28 * hit)
    return Posture(pelvis, (sign * (16 - 26 * hit), 4.0, 0.0), feet, angles)


ACTIONS = {action.__name__: action for action in (walk, run, wave, sit_down, squat, reach, turn, punch)}


def moment(action, time, style, body):
    """One moment of an action: (angles {name: degrees}, rotation and position of the pelvis in the stage's axes)."""
    wanted = ACTIONS[action](time, style, body)
    noise = noise_at(style, time)
    pelvis = add(wanted.pelvis, (noise["sway_x"], 0.0, noise["sway_z"]))
    turned = (noise["turn_yaw"], noise["turn_tilt"], noise["turn_roll"])
    turn = tuple(angle + extra for angle, extra in zip(wanted.turn, turned, strict=True))
    angles = {name: angle + noise[name] for name, angle in wanted.angles.items()}
    posture = Posture(pelvis, turn, wanted.feet, angles)
    angles, rotation, position = solve(body, posture)
    heading = rot_y(style.heading)
    return angles, compose(heading, rotation), add(apply(heading, position), (style.spot[0], 0.0, style.spot[1]))


def bones_at(action, time, style, body):
    """{bone: Frame} in the stage's axes at one moment of an action."""
    angles, rotation, position = moment(action, time, style, body)
    return pose_frames(body, angles, rotation, position)
