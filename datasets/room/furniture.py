"""What stands in the room, each piece a list of Solids.

Its middle is on the floor at (x, y), turned by `yaw` degrees about the vertical.
"""

from kzoo.datasets.people.skeleton import uniform
from kzoo.datasets.people.vectors import add, apply, rot_z
from kzoo.datasets.room import textures
from kzoo.datasets.room.caster import Solid

CLASSES = (
    "wall", "floor", "ceiling", "door", "window", "curtain", "picture", "table", "chair", "sofa", "shelf", "book",
    "cupboard", "lamp", "plant", "rug",
)  # fmt: skip
LIT, DAY, LAMP = range(3)  # sources: a surface that is lit, one that glows as the day outside, one that glows as a lamp


def placed(solids, x, y, yaw=0.0):
    """Solids turned about the vertical through the origin, then moved along the floor."""
    turn = rot_z(yaw)
    moved = []
    for s in solids:
        centre = add(apply(turn, s.centre), (x, y, 0.0))
        moved.append(Solid(s.kind, s.label, centre, s.half, s.texture, (s.yaw + yaw) % 360, s.scale, s.source))
    return moved


def solid(kind, name, low, high, texture, **options):
    """A Solid of a class between two corners, with a texture or one colour."""
    centre = tuple((a + b) / 2 for a, b in zip(low, high, strict=True))
    half = tuple((b - a) / 2 for a, b in zip(low, high, strict=True))
    if isinstance(texture, tuple):
        texture = textures.plain(texture)
    return Solid(kind, CLASSES.index(name), centre, half, texture, **options)


def block(name, low, high, texture, **options):
    """A box between two corners."""
    return solid("box", name, low, high, texture, **options)


def round_(kind, name, centre, radius, low, high, texture, **options):
    """An upright cylinder or an ellipsoid, of a radius around (x, y) and between two heights."""
    x, y = centre
    return solid(kind, name, (x - radius, y - radius, low), (x + radius, y + radius, high), texture, **options)


def legs(name, wide, deep, top, thick, colour):
    """Four legs at the corners of something wide and deep."""
    places = [(sx * (wide - thick) / 2, sy * (deep - thick) / 2) for sx in (-1, 1) for sy in (-1, 1)]
    return [
        block(name, (x - thick / 2, y - thick / 2, 0), (x + thick / 2, y + thick / 2, top), colour) for x, y in places
    ]


def chair(key, wood, seat):
    """A chair that looks along -y, with three slats in its back."""
    cushion = textures.cloth(textures.generator(1, key), 0.42, 0.42, seat, 0.07)
    posts = [block("chair", (x - 0.02, 0.18, 0.42), (x + 0.02, 0.22, 0.92), wood) for x in (-0.19, 0.19)]
    slats = [block("chair", (-0.19, 0.19, z), (0.19, 0.21, z + 0.09), wood) for z in (0.54, 0.68, 0.82)]
    return [
        block("chair", (-0.22, -0.22, 0.42), (0.22, 0.22, 0.47), cushion),
        *legs("chair", 0.44, 0.44, 0.42, 0.045, wood),
        *posts,
        *slats,
    ]


def table(key, wide, deep, wood):
    """A table with a striped runner, a bowl and two books."""
    rng = textures.generator(2, key)
    top = textures.laid(rng, wide, deep, (wide, 0.12), wood, tuple(c * 0.5 for c in wood[0]), (0.0, 0.08))
    runner = textures.cloth(rng, 0.3, deep, ((0.85, 0.83, 0.75), (0.65, 0.15, 0.15)), 0.1)
    return [
        block("table", (-wide / 2, -deep / 2, 0.70), (wide / 2, deep / 2, 0.75), top),
        *legs("table", wide - 0.1, deep - 0.1, 0.70, 0.07, wood[0]),
        block("table", (-0.15, -deep / 2, 0.75), (0.15, deep / 2, 0.756), runner),
        round_("ellipsoid", "table", (0.0, 0.1), 0.13, 0.74, 0.88, (0.20, 0.45, 0.60)),
        *placed([block("book", (-0.1, -0.14, 0.75), (0.1, 0.14, 0.79), (0.75, 0.25, 0.15))], 0.25, -0.3, 20),
        *placed([block("book", (-0.09, -0.12, 0.79), (0.09, 0.12, 0.82), (0.15, 0.35, 0.30))], 0.25, -0.3, -8),
    ]


def sofa(key, wide, colours):
    """A sofa that looks along -y, with seats and cushions."""
    rng = textures.generator(3, key)
    cover, seats = (textures.cloth(rng, side, 0.5, colours, 0.04) for side in (wide, wide / 2 - 0.2))
    dark = textures.cloth(rng, 0.8, 0.6, tuple(tuple(c * 0.8 for c in colour) for colour in colours), 0.04)
    x = wide / 2
    pieces = [
        block("sofa", (-x, -0.42, 0.08), (x, 0.42, 0.34), cover),
        block("sofa", (-x, 0.20, 0.34), (x, 0.42, 0.82), cover),
        block("sofa", (-x, -0.42, 0.34), (-x + 0.18, 0.22, 0.60), dark),
        block("sofa", (x - 0.18, -0.42, 0.34), (x, 0.22, 0.60), dark),
        block("sofa", (-x + 0.19, -0.44, 0.34), (-0.005, 0.20, 0.46), seats),
        block("sofa", (0.005, -0.44, 0.34), (x - 0.19, 0.20, 0.46), seats),
    ]
    for at, colour, turn in (
        (-x + 0.42, (0.90, 0.70, 0.15), -15),
        (x - 0.40, (0.15, 0.45, 0.50), 20),
        (x - 0.75, (0.85, 0.85, 0.80), -5),
    ):
        pieces += placed([solid("ellipsoid", "sofa", (-0.2, -0.08, 0.45), (0.2, 0.08, 0.80), colour)], at, 0.10, turn)
    return pieces


def bookshelf(key, wide, high, boards, wood):
    """A shelf that looks along -y: boards with rows of books, a vase and a gap here and there."""
    rng = textures.generator(4, key)
    x = wide / 2
    step = (high - 0.06) / boards
    pieces = [block("shelf", (-x, 0.13, 0), (x, 0.16, high), tuple(c * 0.6 for c in wood))]
    pieces += [
        block("shelf", (side - 0.02, -0.16, 0), (side + 0.02, 0.13, high), wood) for side in (-x, -x / 3, x / 3, x)
    ]
    for row in range(boards + 1):
        pieces.append(block("shelf", (-x, -0.16, row * step + 0.02), (x, 0.13, row * step + 0.05), wood))
    for row in range(boards):
        for column in (-1, 0, 1):
            left, bottom = column * 2 * x / 3 - x / 3 + 0.03, row * step + 0.05
            full = (2 * x / 3 - 0.06) * (1.0 if rng.random() < 0.6 else uniform(rng, 0.4, 0.8))
            if rng.random() < 0.12:
                colour = tuple(uniform(rng, 0.2, 0.9) for _ in range(3))
                pieces.append(
                    round_("ellipsoid", "shelf", (left + x / 3, -0.02), 0.09, bottom, bottom + step * 0.7, colour)
                )
                continue
            deep = uniform(rng, -0.15, -0.08)
            tall = step * uniform(rng, 0.7, 0.9)
            pieces.append(
                block(
                    "book", (left, deep, bottom), (left + full, 0.12, bottom + tall), textures.spines(rng, full, tall)
                )
            )
    return pieces


def cupboard(wide, high, colours):
    """A cupboard that looks along +y, with panelled doors and knobs."""
    x = wide / 2
    front = textures.panels(wide, high, colours, 3, 1)
    knobs = [
        round_("ellipsoid", "cupboard", (side, 0.23), 0.025, high / 2, high / 2 + 0.05, (0.85, 0.70, 0.30))
        for side in (-x / 3 + 0.06, x / 3 - 0.06)
    ]
    return [
        block("cupboard", (-x, -0.22, 0.06), (x, 0.22, high), front),
        block("cupboard", (-x, -0.23, high), (x, 0.25, high + 0.05), colours[0]),
        *knobs,
    ]


def floor_lamp(colour):
    """A standing lamp with a shade."""
    return [
        round_("cylinder", "lamp", (0.0, 0.0), 0.16, 0.0, 0.03, (0.15, 0.15, 0.16)),
        round_("cylinder", "lamp", (0.0, 0.0), 0.018, 0.03, 1.50, (0.60, 0.58, 0.55)),
        round_("cylinder", "lamp", (0.0, 0.0), 0.22, 1.42, 1.76, colour, source=LAMP),
    ]


def ceiling_lamp(drop, top, colour):
    """A ball that hangs from the ceiling, whose height is `top`."""
    return [
        round_("cylinder", "lamp", (0.0, 0.0), 0.012, top - drop, top, (0.1, 0.1, 0.1)),
        round_("ellipsoid", "lamp", (0.0, 0.0), 0.17, top - drop - 0.28, top - drop, colour, source=LAMP),
    ]


def plant(key, high, leaves, pot, greens):
    """A pot with a stem and leaves around it."""
    rng = textures.generator(5, key)
    pieces = [
        round_("cylinder", "plant", (0.0, 0.0), 0.17 * high, 0.0, 0.28 * high, pot),
        round_("cylinder", "plant", (0.0, 0.0), 0.02 * high, 0.28 * high, 0.8 * high, (0.35, 0.25, 0.15)),
    ]
    for leaf in range(leaves):
        middle = high * uniform(rng, 0.45, 0.92)
        out = high * uniform(rng, 0.14, 0.22)
        share = float(rng.random())
        colour = tuple(a + (b - a) * share for a, b in zip(*greens, strict=True))
        low, top = (0.02 * high, -0.05 * high, middle - 0.05 * high), (2 * out, 0.05 * high, middle + 0.05 * high)
        pieces += placed([solid("ellipsoid", "plant", low, top, colour)], 0.0, 0.0, leaf * 137.5 % 360)
    return pieces


def hung(name, wide, low, high, texture, frame, source=LIT):
    """A picture or window that looks along -y, its frame round it; the wall is at y = 0."""
    x = wide / 2
    edge = 0.05
    return [
        block(name, (-x - edge, -0.03, low - edge), (x + edge, 0.0, high + edge), frame),
        block(name, (-x, -0.04, low), (x, 0.0, high), texture, source=source),
    ]
