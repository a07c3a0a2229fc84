"""What the person looks like: the solids of head, trunk and limbs over a skeleton, in random skin, hair and clothes."""

from kzoo.datasets.people.raster import Material, capsule, ellipsoid
from kzoo.datasets.people.skeleton import SIDES, choice, uniform
from kzoo.datasets.people.vectors import lerp

CLASSES = ("background", "head", "torso", "left_arm", "right_arm", "left_leg", "right_leg")
HEAD, TORSO = 1, 2
ARMS = {"left": 3, "right": 4}
LEGS = {"left": 5, "right": 6}

SKINS = (
    (0.96, 0.80, 0.70),
    (0.90, 0.69, 0.55),
    (0.78, 0.56, 0.41),
    (0.62, 0.42, 0.29),
    (0.45, 0.29, 0.19),
    (0.30, 0.19, 0.13),
)
HAIRS = (
    (0.07, 0.06, 0.06),
    (0.22, 0.13, 0.08),
    (0.40, 0.25, 0.13),
    (0.80, 0.63, 0.36),
    (0.55, 0.23, 0.10),
    (0.65, 0.65, 0.65),
    (0.90, 0.90, 0.88),
)
CLOTHS = ("plain", "plain", "plain", "plain", "hoops", "stripes", "checks", "diagonal", "noise", "spots")
# How far clothes reach along (upper bone, lower bone).
SLEEVES = ((0.12, 0.0), (0.6, 0.0), (0.6, 0.0), (1.0, 0.35), (1.0, 0.95), (1.0, 0.95))
TROUSERS = ((0.35, 0.0), (0.75, 0.0), (1.0, 0.5), (1.0, 0.93), (1.0, 0.93), (1.0, 0.93))


def random_colour(rng):
    """A random RGB colour: any hue, from grey to vivid, from dark to light."""
    raw = [float(rng.random()) for _ in range(3)]
    level = uniform(rng, 0.12, 0.92)
    vivid = uniform(rng, 0.1, 1.0)
    middle = (max(raw) + min(raw)) / 2
    return tuple(min(max(level + vivid * (c - middle), 0.02), 0.98) for c in raw)


def random_cloth(rng, patterns=CLOTHS):
    """A random cloth."""
    return Material(
        random_colour(rng), random_colour(rng), choice(rng, patterns), uniform(rng, 14, 45), uniform(rng, 0, 0.12)
    )


def dress(rng, body, frames):
    """The solids of a person (camera frame), each labelled with its class."""
    at = int(rng.random() * (len(SKINS) - 1))
    tone = lerp(SKINS[at], SKINS[at + 1], float(rng.random()))
    skin = Material(tone, gloss=0.10)
    top, bottom = random_cloth(rng), random_cloth(rng, CLOTHS + ("plain", "plain", "plain", "noise"))
    return (
        head(rng, body, frames, skin)
        + trunk(rng, body, frames, top, bottom)
        + arms(rng, body, frames, skin, top)
        + legs(rng, body, frames, skin, bottom)
    )


def head(rng, body, frames, skin):
    """Skull, jaw, face, ears, neck, and hair or a hat."""
    frame = frames["head"]
    r = body.lengths["head"]

    def ball(centre, radii, material):
        centre = tuple(r * c for c in centre)
        radii = tuple(r * a for a in radii)
        return ellipsoid(frame, centre, radii, material, HEAD)

    white = Material((0.95, 0.95, 0.93), gloss=0.3)
    dark = Material((0.08, 0.06, 0.06), gloss=0.3)
    lips = Material(tuple(c * f for c, f in zip(skin.colour, (0.85, 0.5, 0.5), strict=True)))
    hair = Material(choice(rng, HAIRS) if rng.random() < 0.92 else random_colour(rng), gloss=0.15)
    solids = [
        ball((0, 0.14, -0.06), (0.70, 0.84, 0.86), skin),
        ball((0, -0.38, 0.16), (0.52, 0.62, 0.64), skin),
        ball((0, -0.12, 0.86), (0.13, 0.20, 0.17), skin),
        ball((0, -0.50, 0.73), (0.22, 0.07, 0.08), lips),
    ]
    for sign in SIDES.values():
        solids += [
            ball((0.27 * sign, 0.08, 0.68), (0.16, 0.11, 0.12), white),
            ball((0.27 * sign, 0.08, 0.74), (0.08, 0.09, 0.09), dark),
            ball((0.27 * sign, 0.27, 0.72), (0.18, 0.045, 0.09), hair),
            ball((0.71 * sign, -0.02, -0.04), (0.09, 0.24, 0.15), skin),
        ]
    reach = body.lengths["neck"]
    solids.append(
        capsule(
            frames["neck"], (0.0, -0.25 * reach, 0.0), (0.0, 0.6 * reach, 0.0), (0.6 * r, 0.5 * r), skin, label=HEAD
        )
    )
    return solids + choice(rng, (bald, cropped, cropped, cropped, long, long, tail, hat))(rng, frame, r, ball, hair)


def bald(rng, frame, r, ball, hair):
    """No hair."""
    return []


def cropped(rng, frame, r, ball, hair):
    """Short hair: a cap over the skull, clear of the face."""
    return [ball((0, 0.26, -0.14), (0.75, 0.80, 0.86), hair), ball((0, -0.05, -0.38), (0.68, 0.62, 0.60), hair)]


def long(rng, frame, r, ball, hair):
    """Hair down to the shoulders, behind."""
    drop = uniform(rng, 0.9, 1.7)
    back = capsule(
        frame,
        (0.0, 0.1 * r, -0.42 * r),
        (0.0, -drop * r, -0.58 * r),
        (0.66 * r, 0.5 * r),
        hair,
        label=HEAD,
        stretch=(1.1, 0.8),
    )
    return [*cropped(rng, frame, r, ball, hair), back]


def tail(rng, frame, r, ball, hair):
    """Short hair and a pony tail."""
    back = capsule(
        frame, (0.0, 0.45 * r, -0.95 * r), (0.0, -0.7 * r, -1.25 * r), (0.26 * r, 0.10 * r), hair, label=HEAD
    )
    return [*cropped(rng, frame, r, ball, hair), back]


def hat(rng, frame, r, ball, hair):
    """A cap with a brim, above the eyes."""
    cloth = random_cloth(rng)
    return [
        ball((0, 0.42, -0.08), (0.78, 0.66, 0.90), cloth),
        ball((0, 0.38, 0.62), (0.55, 0.06, 0.62), cloth),
        ball((0, -0.1, -0.35), (0.69, 0.55, 0.60), hair),
    ]


def trunk(rng, body, frames, top, bottom):
    """Chest, shoulders, waist and pelvis."""
    size = body.lengths
    girth = body.girth
    chest = frames["chest"]
    pelvis = frames["pelvis"]
    length = size["trunk"]
    wide = size["shoulder"]
    depth = 0.112 * girth * uniform(rng, 0.9, 1.12)
    waist = uniform(rng, 0.74, 1.0)
    hips = uniform(rng, 0.95, 1.15)
    belly = uniform(rng, 0.8, 1.15)
    shoulder = (0.0, 0.84 * length, -0.01)
    return [
        # The chest down to the waist.
        capsule(
            chest,
            (0.0, 0.66 * length, 0.0),
            (0.0, 0.18 * length, 0.0),
            (depth, depth * 0.9 * waist),
            top,
            label=TORSO,
            stretch=(0.86 * wide / depth + 0.25, 1.0),
        ),
        # Across both shoulders.
        capsule(
            chest,
            (-0.78 * wide, *shoulder[1:]),
            (0.78 * wide, *shoulder[1:]),
            0.062 * girth,
            top,
            (0.0, 0.0, 1.0),
            label=TORSO,
            stretch=(1.15, 1.0),
        ),
        # From there up to the neck.
        capsule(
            chest,
            (0.0, 0.80 * length, -0.01),
            (0.0, 0.80 * length + 0.35 * size["neck"], -0.01),
            (0.085 * girth, 0.055 * girth),
            top,
            label=TORSO,
            stretch=(1.35, 0.9),
        ),
        # The belly.
        ellipsoid(chest, (0.0, 0.16 * length, 0.01), (depth * waist * 1.3, 0.24 * length, depth * belly), top, TORSO),
        # The pelvis.
        capsule(
            pelvis,
            (0.0, 0.16 * length, 0.0),
            (0.0, -0.02 * length, -0.01),
            (depth * 0.95, depth * hips),
            bottom,
            label=TORSO,
            stretch=(size["hip"] / depth + 0.68, 1.0),
        ),
    ]


def arms(rng, body, frames, skin, top):
    """Both arms: shoulder ball, upper arm, forearm, hand and thumb."""
    size = body.lengths
    girth = body.girth
    sleeve = choice(rng, SLEEVES)
    loose = uniform(rng, 1.0, 1.25)
    glove = skin if rng.random() < 0.93 else random_cloth(rng, ("plain",))
    solids = []
    for side, sign in SIDES.items():
        upper, fore, hand = (frames[f"{side}_{bone}"] for bone in ("upper_arm", "forearm", "hand"))
        common = {"label": ARMS[side], "beyond": skin.colour}
        thick = []  # radii at the shoulder, the elbow and the wrist, wider in a loose sleeve
        for radius, reach in ((0.062, sleeve[0]), (0.053, sleeve[0]), (0.041, sleeve[1])):
            thick.append(girth * radius * (loose if reach > 0.3 else 1.0))
        palm = 0.55 * size["hand"]
        solids += [
            # Upper arm and forearm.
            capsule(upper, (0, 0, 0), (0, -size["upper_arm"], 0), tuple(thick[:2]), top, cut=sleeve[0], **common),
            capsule(
                fore, (0, 0, 0), (0, -size["forearm"], 0), (thick[1] * 0.98, thick[2]), top, cut=sleeve[1], **common
            ),
            # Palm, fingers and thumb.
            capsule(
                hand,
                (0, -0.1 * palm, 0),
                (0, -palm, 0),
                (0.03 * girth, 0.033 * girth),
                glove,
                (0, 0, 1),
                label=ARMS[side],
                stretch=(1.35, 0.7),
            ),
            capsule(
                hand,
                (0, -palm, 0),
                (0, -1.6 * palm, -0.015),
                (0.027 * girth, 0.016 * girth),
                glove,
                (0, 0, 1),
                label=ARMS[side],
                stretch=(1.3, 0.7),
            ),
            capsule(
                hand,
                (0, -0.35 * palm, 0.01),
                (-sign * 0.01, -1.05 * palm, 0.055 * girth),
                0.014 * girth,
                glove,
                label=ARMS[side],
            ),
        ]
    return solids


def legs(rng, body, frames, skin, bottom):
    """Both legs: thigh, shank and shoe."""
    size = body.lengths
    girth = body.girth
    reach = choice(rng, TROUSERS)
    loose = uniform(rng, 1.0, 1.25)
    shoe = skin if rng.random() < 0.08 else Material(random_colour(rng), gloss=0.2)
    solids = []
    for side in SIDES:
        thigh, shank, foot = (frames[f"{side}_{bone}"] for bone in ("thigh", "shank", "foot"))
        common = {"label": LEGS[side], "beyond": skin.colour}
        slim = loose if reach[1] > 0.3 else 1.0
        ankle = 0.04 * girth * slim
        solids += [
            # Thigh, shank and calf.
            capsule(
                thigh,
                (0, 0, 0),
                (0, -size["thigh"], 0),
                (0.088 * girth * min(loose, 1.1), 0.056 * girth * slim),
                bottom,
                cut=reach[0],
                **common,
            ),
            capsule(
                shank, (0, 0, 0), (0, -size["shank"], 0), (0.057 * girth * slim, ankle), bottom, cut=reach[1], **common
            ),
            ellipsoid(
                shank,
                (0, -0.3 * size["shank"], -0.022 * girth),
                (0.048 * girth, 0.28 * size["shank"], 0.05 * girth),
                bottom if reach[1] > 0.5 else skin,
                LEGS[side],
            ),
            # The shoe.
            capsule(
                foot,
                (0, -0.025, -0.02),
                (0, -0.045, 0.75 * size["foot"]),
                (0.046 * girth, 0.034 * girth),
                shoe,
                label=LEGS[side],
                stretch=(1.0, 0.9),
            ),
        ]
    return solids
