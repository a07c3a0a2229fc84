"""What is behind and before the person: walls, noise, stripes, clutter, limb-like distractors and occluders."""

import numpy as np

from kzoo.datasets.people.body import SKINS, random_cloth, random_colour
from kzoo.datasets.people.raster import Material, bilinear, capsule, ellipsoid, parity
from kzoo.datasets.people.skeleton import Frame, choice, uniform
from kzoo.datasets.people.vectors import compose, lerp, rot_x, rot_y, rot_z


def random_frame(rng, origin):
    """A Frame at a point, turned at random."""
    return Frame(
        origin, compose(rot_z(uniform(rng, -180, 180)), rot_x(uniform(rng, -60, 60)), rot_y(uniform(rng, -180, 180)))
    )


def background(rng, size):
    """A (3, size, size) float32 picture: a gradient, noise, and sometimes stripes, a floor and flat clutter."""
    corners = np.array([[random_colour(rng) for _ in range(2)] for _ in range(2)], np.float32)  # (2, 2, 3)
    flat = float(rng.random())
    corners = corners[:1, :1] + (corners - corners[:1, :1]) * np.float32(flat)
    picture = double(np.stack([bilinear(corners[..., k], size // 2, size // 2) for k in range(3)]))
    y, x = np.arange(size, dtype=np.float32)[:, None] / size, np.arange(size, dtype=np.float32)[None, :] / size
    if rng.random() < 0.35:
        floor = np.array(random_colour(rng), np.float32)[:, None, None]
        edge = y + np.float32(uniform(rng, -0.3, 0.3)) * x > uniform(rng, 0.45, 0.95)
        picture = np.where(edge, floor + (picture - floor) * np.float32(0.25), picture)
    if rng.random() < 0.25:
        weight = parity(x * uniform(rng, -16, 16) + y * uniform(rng, -16, 16)) * np.float32(uniform(rng, 0.1, 0.6))
        picture += (np.array(random_colour(rng), np.float32)[:, None, None] - picture) * weight
    for _ in range(int(rng.random() * 6)):
        clutter(rng, picture, x, y)
    return picture + double(texture(rng, size // 2))


def double(picture):
    """Every pixel of a (3, H, W) picture twice along both axes."""
    return picture.repeat(2, axis=1).repeat(2, axis=2)


def texture(rng, size):
    """Noise (3, size, size) around zero, at several scales and in shades of one colour each."""
    noise = np.zeros((3, size, size), np.float32)
    for cells in (4, 10, 24, 64):
        strength = np.float32(uniform(rng, 0, 0.24) * uniform(rng, 0, 1))
        grey = bilinear(rng.random((cells, cells)).astype(np.float32) - np.float32(0.5), size, size) * strength
        noise += grey * np.array([uniform(rng, 0.5, 1.5) for _ in range(3)], np.float32)[:, None, None]
    return noise


def clutter(rng, picture, x, y):
    """Draws one slanted box or ellipse over a picture, in place.

    x and y are its pixels' places as fractions (a row and a column).
    """
    centre = (float(rng.random()), float(rng.random()))
    radius = (uniform(rng, 0.02, 0.3), uniform(rng, 0.02, 0.3))
    slant = uniform(rng, -0.7, 0.7)
    # Of the unslanted shape, within a factor 2.
    reach = [r + abs(slant) * other for r, other in zip(radius, radius[::-1], strict=True)]
    window = []  # its columns and its rows
    for c, r in zip(centre, reach, strict=True):
        first = int(min(max(c - 1.7 * r, 0.0), 1.0) * x.size)
        last = int(min(max(c + 1.7 * r, 0.0), 1.0) * x.size)
        window.append(slice(first, last))
    u, v = x[:, window[0]] - np.float32(centre[0]), y[window[1]] - np.float32(centre[1])
    u, v = (u + np.float32(slant) * v) / np.float32(radius[0]), (v - np.float32(slant) * u) / np.float32(radius[1])
    inside = u * u + v * v < 1 if rng.random() < 0.5 else np.maximum(np.abs(u), np.abs(v)) < 1
    colour = np.array(random_colour(rng), np.float32)[:, None, None]
    part = picture[:, window[1], window[0]]
    part += (colour - part) * (inside * np.float32(uniform(rng, 0.4, 1.0)))


def at_depth(rng, focal, depth):
    """A point at a depth (metres) that is seen anywhere in the picture; focal as a fraction of its width."""
    return tuple(uniform(rng, -0.6, 0.6) / focal * depth for _ in range(2)) + (depth,)


def distractors(rng, focal, person_depth):
    """Solids beside and behind the person: balls, poles, and chains of two or three bones in skin or cloth."""
    solids = []
    for _ in range(int(rng.random() * 4)):
        depth = person_depth * uniform(rng, 1.15, 2.2)
        reach = 0.5 * depth / focal / 2  # a quarter of the picture
        frame = random_frame(rng, at_depth(rng, focal, depth))
        kind = choice(rng, ("ball", "pole", "ball", "limb"))
        if kind == "ball":
            radii = tuple(reach * uniform(rng, 0.1, 0.6) for _ in range(3))
            solids.append(ellipsoid(frame, (0, 0, 0), radii, random_cloth(rng)))
        elif kind == "pole":
            radius = reach * uniform(rng, 0.04, 0.2)
            solids.append(capsule(frame, (0, -4 * reach, 0), (0, 4 * reach, 0), radius, random_cloth(rng)))
        else:
            solids += limb(rng, frame, reach)
    return solids


def limb(rng, frame, reach):
    """A chain of tapered bones that belongs to nobody."""
    tone = Material(lerp(choice(rng, SKINS), choice(rng, SKINS), float(rng.random())), gloss=0.1)
    cloth = random_cloth(rng) if rng.random() < 0.6 else tone
    thick = reach * uniform(rng, 0.12, 0.25)
    solids = []
    for _ in range(2 if rng.random() < 0.6 else 3):
        length = reach * uniform(rng, 0.4, 0.9)
        thin = thick * uniform(rng, 0.6, 0.95)
        solids.append(
            capsule(frame, (0, 0, 0), (0, -length, 0), (thick, thin), cloth, cut=uniform(rng, 0, 2), beyond=tone.colour)
        )
        frame = frame.child((0, -length, 0), rot_x(uniform(rng, -110, 110)))
        thick = thin
    return solids


def occluders(rng, joints):
    """Solids in front of the person: in one picture of six, one or two things that hide some of the joints."""
    solids = []
    for _ in range(int(rng.random() * 2.2) if rng.random() < 0.3 else 0):
        target = choice(rng, joints[5:])
        share = uniform(rng, 0.55, 0.8)  # of the way from the camera to the person
        centre = tuple(share * (c + uniform(rng, -0.15, 0.15)) for c in target[:2]) + (share * target[2],)
        frame = random_frame(rng, centre)
        radius = share * uniform(rng, 0.05, 0.17)
        if rng.random() < 0.5:
            solids.append(
                ellipsoid(frame, (0, 0, 0), (radius, radius * uniform(rng, 0.5, 1.6), radius), random_cloth(rng))
            )
        else:
            half = share * uniform(rng, 0.2, 1.2)
            material = random_cloth(rng) if rng.random() < 0.7 else Material(choice(rng, SKINS))
            solids.append(capsule(frame, (0, -half, 0), (0, half, 0), radius * 0.5, material))
    return solids
