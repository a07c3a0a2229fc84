"""Who stands there and how: random body proportions, joint angles within human limits, forward kinematics and a camera.

Body axes: x to the person's own left, y up, z forward. Camera axes: x right, y down, z away from the camera. Metres and
degrees.
"""

import dataclasses

from kzoo.datasets.people.vectors import IDENTITY, add, apply, compose, distance_to_segment, norm, rot_x, rot_y, rot_z

JOINTS = (
    "nose",
    "left_eye",
    "right_eye",
    "left_ear",
    "right_ear",
    "left_shoulder",
    "right_shoulder",
    "left_elbow",
    "right_elbow",
    "left_wrist",
    "right_wrist",
    "left_hip",
    "right_hip",
    "left_knee",
    "right_knee",
    "left_ankle",
    "right_ankle",
)
SIDES = {"left": 1.0, "right": -1.0}  # the sign of x, and of every angle that mirrors

# Lengths as a fraction of stature, after Drillis and Contini, "Body Segment Parameters" (1966), rounded.
PROPORTIONS = {
    "trunk": 0.288,
    "shoulder": 0.118,
    "hip": 0.062,
    "neck": 0.115,
    "head": 0.066,
    "upper_arm": 0.180,
    "forearm": 0.148,
    "hand": 0.100,
    "thigh": 0.245,
    "shank": 0.240,
    "foot": 0.135,
}
STATURE = (1.35, 1.98)
PROPORTION_SPREAD = 0.09  # each length varies by this fraction either way

# The limits of every angle, in degrees. A ball joint swings by `elevation` from hanging down within the vertical plane
# at `plane` (0 sideways, 90 forward, -90 backward), then turns by `twist` about its bone (positive outward).
LIMITS = {
    "spine_bend": (-15, 45),
    "spine_side": (-20, 20),
    "spine_twist": (-30, 30),
    "head_yaw": (-60, 60),
    "head_pitch": (-30, 30),
    "head_roll": (-20, 20),
    "shoulder_plane": (-90, 120),
    "shoulder_elevation": (0, 160),
    "shoulder_twist": (-90, 60),
    "elbow": (0, 145),
    "wrist": (-40, 40),
    "hip_plane": (-100, 110),
    "hip_elevation": (0, 105),
    "hip_twist": (-20, 35),
    "knee": (0, 135),
    "ankle": (-15, 40),
}
# The angles that each side has its own of.
LIMBS = (
    "shoulder_plane",
    "shoulder_elevation",
    "shoulder_twist",
    "elbow",
    "wrist",
    "hip_plane",
    "hip_elevation",
    "hip_twist",
    "knee",
    "ankle",
)

TRUNK_POSES = (
    {"spine_bend": (-6, 12), "spine_side": (-8, 8), "spine_twist": (-12, 12)},
    {"spine_bend": (-12, 40), "spine_side": (-20, 20), "spine_twist": (-30, 30)},
)
HEAD_POSES = (
    {"head_yaw": (-20, 20), "head_pitch": (-10, 12), "head_roll": (-8, 8)},
    {"head_yaw": (-60, 60), "head_pitch": (-28, 28), "head_roll": (-18, 18)},
)
ARM_POSES = {
    "hanging": {
        "shoulder_plane": (-60, 80),
        "shoulder_elevation": (8, 30),
        "shoulder_twist": (-40, 20),
        "elbow": (4, 45),
    },
    "held": {
        "shoulder_plane": (10, 90),
        "shoulder_elevation": (10, 45),
        "shoulder_twist": (-60, 30),
        "elbow": (60, 130),
    },
    "akimbo": {
        "shoulder_plane": (-40, -5),
        "shoulder_elevation": (38, 52),
        "shoulder_twist": (-88, -60),
        "elbow": (85, 110),
    },
    "sideways": {
        "shoulder_plane": (-20, 40),
        "shoulder_elevation": (50, 105),
        "shoulder_twist": (-60, 60),
        "elbow": (0, 110),
    },
    "forward": {
        "shoulder_plane": (60, 110),
        "shoulder_elevation": (45, 120),
        "shoulder_twist": (-40, 40),
        "elbow": (0, 70),
    },
    "raised": {
        "shoulder_plane": (-10, 70),
        "shoulder_elevation": (105, 155),
        "shoulder_twist": (-30, 50),
        "elbow": (0, 100),
    },
}
LEG_POSES = {
    "straight": {"hip_plane": (-20, 40), "hip_elevation": (2, 14), "hip_twist": (-5, 20), "knee": (0, 14)},
    "apart": {"hip_plane": (0, 40), "hip_elevation": (14, 35), "hip_twist": (0, 30), "knee": (0, 40)},
    "ahead": {"hip_plane": (75, 95), "hip_elevation": (12, 40), "hip_twist": (-5, 15), "knee": (0, 45)},
    "behind": {"hip_plane": (-95, -75), "hip_elevation": (5, 25), "hip_twist": (-5, 15), "knee": (5, 60)},
    "lifted": {"hip_plane": (55, 95), "hip_elevation": (40, 95), "hip_twist": (-5, 25), "knee": (20, 120)},
    "seated": {"hip_plane": (65, 88), "hip_elevation": (70, 98), "hip_twist": (-5, 20), "knee": (60, 110)},
    "crouched": {"hip_plane": (50, 85), "hip_elevation": (40, 100), "hip_twist": (0, 30), "knee": (70, 130)},
}
STANCES = (
    ("straight", "straight"),
    ("straight", "straight"),
    ("apart", "straight"),
    ("apart", "apart"),
    ("ahead", "behind"),
    ("ahead", "behind"),
    ("lifted", "straight"),
    ("seated", "seated"),
    ("crouched", "crouched"),
)

# How far the body is turned from facing the camera, to either side: (probability of this row or one above it, least,
# most).
TURNS = ((0.80, 0, 45), (0.94, 45, 110), (1.0, 110, 180))


@dataclasses.dataclass(frozen=True)
class Body:
    """Sizes of one person: `lengths` in metres by the names of PROPORTIONS; `girth` scales every radius."""

    stature: float
    girth: float
    lengths: dict


@dataclasses.dataclass(frozen=True)
class Frame:
    """A bone's coordinate frame in the camera frame: `at(v)` takes a point of the bone to the camera frame."""

    origin: tuple
    rotation: tuple

    def at(self, v):
        """The bone's point v (metres) in the camera frame."""
        return add(self.origin, apply(self.rotation, v))

    def child(self, v, rotation):
        """The frame at this bone's point v, turned by a rotation relative to this bone."""
        return Frame(self.at(v), compose(self.rotation, rotation))


def uniform(rng, low, high):
    """One number between low and high."""
    return low + (high - low) * float(rng.random())


def choice(rng, options):
    """One element of a sequence, each equally likely."""
    return options[int(rng.random() * len(options))]


def sample_body(rng):
    """A random Body."""
    stature = uniform(rng, *STATURE)
    lengths = {
        name: stature * share * uniform(rng, 1 - PROPORTION_SPREAD, 1 + PROPORTION_SPREAD)
        for name, share in PROPORTIONS.items()
    }
    return Body(stature, stature / 1.7 * uniform(rng, 0.9, 1.3), lengths)


def draw_angles(rng, ranges):
    """Draws every angle of a pose table, leaning to the middle of its range."""
    return {name: low + (high - low) * 0.5 * float(rng.random() + rng.random()) for name, (low, high) in ranges.items()}


def sample_pose(rng, body):
    """Random angles {name: degrees}, redrawn until no arm runs through the trunk, the head or a thigh."""
    for _ in range(30):
        angles = {**draw_angles(rng, choice(rng, TRUNK_POSES)), **draw_angles(rng, choice(rng, HEAD_POSES))}
        stance = choice(rng, STANCES)
        legs = dict(zip(SIDES, stance if rng.random() < 0.5 else stance[::-1], strict=True))
        shared = choice(rng, list(ARM_POSES))
        alike = rng.random() < 0.35
        for side in SIDES:
            arm = ARM_POSES[shared if alike else choice(rng, list(ARM_POSES))]
            own = draw_angles(rng, {**arm, **LEG_POSES[legs[side]], "wrist": (-30, 30), "ankle": (-10, 30)})
            angles.update({f"{side}_{name}": angle for name, angle in own.items()})
        frames = pose_frames(body, angles)
        if not collides(body, frames):
            break
    return angles


def swing_twist(side, plane, elevation, twist):
    """Rotation of a ball joint: swing away from hanging down, twist about the bone; mirrored for the right side."""
    sign = SIDES[side]
    return compose(rot_y(-sign * plane), rot_z(sign * elevation), rot_y(sign * (plane + twist)))


def pose_frames(body, angles, root=IDENTITY, position=(0.0, 0.0, 0.0)):
    """Forward kinematics: {bone: Frame}. Limb bones run along their own -y, the trunk along +y, feet along +z."""
    size = body.lengths
    pelvis = Frame(position, root)
    spine = compose(rot_y(angles["spine_twist"]), rot_z(angles["spine_side"]), rot_x(angles["spine_bend"]))
    chest = pelvis.child((0.0, 0.12 * size["trunk"], 0.0), spine)
    neck_base = (0.0, 0.88 * size["trunk"] + 0.25 * size["neck"], 0.0)
    turn = compose(rot_y(angles["head_yaw"]), rot_x(angles["head_pitch"]), rot_z(angles["head_roll"]))
    neck = chest.child(neck_base, turn)
    frames = {
        "pelvis": pelvis,
        "chest": chest,
        "neck": neck,
        "head": neck.child((0.0, 0.75 * size["neck"], 0.1 * size["head"]), IDENTITY),
    }
    for side, sign in SIDES.items():
        angle = {name: angles[f"{side}_{name}"] for name in LIMBS}
        ball = swing_twist(side, angle["shoulder_plane"], angle["shoulder_elevation"], angle["shoulder_twist"])
        upper = chest.child((sign * size["shoulder"], 0.88 * size["trunk"], 0.0), ball)
        fore = upper.child((0.0, -size["upper_arm"], 0.0), rot_x(-angle["elbow"]))
        hand = fore.child((0.0, -size["forearm"], 0.0), rot_x(angle["wrist"]))
        ball = swing_twist(side, angle["hip_plane"], angle["hip_elevation"], angle["hip_twist"])
        thigh = pelvis.child((sign * size["hip"], 0.0, 0.0), ball)
        shank = thigh.child((0.0, -size["thigh"], 0.0), rot_x(angle["knee"]))
        foot = shank.child((0.0, -size["shank"], 0.0), rot_x(angle["ankle"]))
        for name, frame in {
            "upper_arm": upper,
            "forearm": fore,
            "hand": hand,
            "thigh": thigh,
            "shank": shank,
            "foot": foot,
        }.items():
            frames[f"{side}_{name}"] = frame
    return frames


def joint_positions(body, frames):
    """The 17 joints, a list of (x, y, z) in the order of JOINTS."""
    r = body.lengths["head"]
    face = {
        "nose": (0.0, -0.14 * r, 0.92 * r),
        "left_eye": (0.29 * r, 0.08 * r, 0.80 * r),
        "right_eye": (-0.29 * r, 0.08 * r, 0.80 * r),
        "left_ear": (0.72 * r, -0.02 * r, -0.02 * r),
        "right_ear": (-0.72 * r, -0.02 * r, -0.02 * r),
    }
    bones = {
        "shoulder": "upper_arm",
        "elbow": "forearm",
        "wrist": "hand",
        "hip": "thigh",
        "knee": "shank",
        "ankle": "foot",
    }
    positions = {name: frames["head"].at(v) for name, v in face.items()}
    for side in SIDES:
        positions.update({f"{side}_{joint}": frames[f"{side}_{bone}"].origin for joint, bone in bones.items()})
    return [positions[name] for name in JOINTS]


def collides(body, frames):
    """Whether a hand or elbow is inside the trunk, the head or a thigh (frames with the pelvis at the origin)."""
    size = body.lengths
    chest = frames["chest"]
    skull = frames["head"].origin
    trunk = (frames["pelvis"].origin, chest.at((0.0, 0.75 * size["trunk"], 0.0)))
    ankles_cross = frames["left_foot"].origin[0] - frames["right_foot"].origin[0] < 0.07 * body.stature
    hands = {side: frames[f"{side}_hand"].at((0.0, -0.5 * size["hand"], 0.0)) for side in SIDES}
    if ankles_cross or norm(add(hands["left"], hands["right"], -1.0)) < 0.11 * body.girth:
        return True
    for side in SIDES:
        elbow = frames[f"{side}_forearm"].origin
        wrist = frames[f"{side}_hand"].origin
        hand = hands[side]
        limits = [
            (elbow, trunk, 0.15),
            (wrist, trunk, 0.17),
            (hand, trunk, 0.16),
            (hand, (skull, skull), 0.16),
            (wrist, (skull, skull), 0.15),
        ]
        limits += [(hand, (frames[f"{leg}_thigh"].origin, frames[f"{leg}_shank"].origin), 0.12) for leg in SIDES]
        if any(distance_to_segment(point, *segment) < least * body.girth for point, segment, least in limits):
            return True
    return False


def sample_view(rng):
    """A random rotation from body axes to camera axes."""
    draw = float(rng.random())
    _, least, most = next(turn for turn in TURNS if draw < turn[0])
    yaw = uniform(rng, least, most) * (1.0 if rng.random() < 0.5 else -1.0)
    pitch = uniform(rng, -10, 22)
    steep = 1.0 if rng.random() < 0.8 else 2.5
    roll = steep * 6.0 * float(rng.random() + rng.random() - 1.0) * 2
    return compose(rot_z(roll), rot_x(-pitch), rot_x(180.0), rot_y(yaw))


def place(rng, body, frames, size):
    """Where the person stands before the camera: (translation in metres, focal length in pixels).

    The focal length is that of an image `size` wide. Most people fill 82 to 99 percent of the picture's height or
    width, whichever they fill more; some are cut by its border.
    """
    reach = body.lengths["head"]
    points = joint_positions(body, frames) + [frames["head"].at((0.0, reach, 0.0))]
    for side in SIDES:
        points.append(frames[f"{side}_hand"].at((0.0, -body.lengths["hand"], 0.0)))
        points.append(frames[f"{side}_foot"].at((0.0, 0.0, body.lengths["foot"])))
    distance = uniform(rng, 2.4, 6.0)
    spans = []
    for axis in (0, 1):
        rays = [p[axis] / (p[2] + distance) for p in points]
        margin = 0.04 * body.stature / distance
        spans.append((min(rays) - margin, max(rays) + margin))
    extents = [high - low for low, high in spans]
    cut = rng.random() < 0.08
    fill = uniform(rng, 1.05, 1.45) if cut else uniform(rng, 0.82, 0.99)
    focal = fill / max(extents)
    shift = []
    for (low, high), extent in zip(spans, extents, strict=True):
        slack = abs(1.0 - extent * focal) / 2
        shift.append((uniform(rng, -slack, slack) / focal - (low + high) / 2) * distance)
    return (shift[0], shift[1], distance), focal * size
