"""The room: four walls that differ, floor, ceiling, and where everything stands. World axes as in camera.py."""

import functools

import numpy as np

from kzoo.datasets.people.vectors import apply, rot_z
from kzoo.datasets.room import furniture, textures
from kzoo.datasets.room.caster import Room
from kzoo.datasets.room.furniture import CLASSES, DAY, block, placed

LENGTH, DEPTH, HEIGHT = 6.0, 5.0, 2.7  # metres along x, y, z
LAMPS = ((2.45, 0.85, 1.6), (-1.9, -0.6, 1.9))  # the middles of the shades
PANE = (-0.5, 2.3, 1.5)  # where daylight comes in


def walls():
    """The textures of the sides at -x, -y, -z, x, y, z."""
    west = textures.wainscot(
        textures.generator(10),
        DEPTH,
        HEIGHT,
        1.0,
        ((0.62, 0.45, 0.28), (0.42, 0.28, 0.16), (0.42, 0.60, 0.80), (0.90, 0.92, 0.95)),
    )
    south = textures.diamonds(
        textures.generator(11), LENGTH, HEIGHT, ((0.92, 0.82, 0.50), (0.78, 0.62, 0.30), (0.70, 0.25, 0.20)), 0.5
    )
    floor = textures.laid(
        textures.generator(12),
        LENGTH,
        DEPTH,
        (1.3, 0.14),
        ((0.72, 0.52, 0.32), (0.55, 0.36, 0.20)),
        (0.25, 0.16, 0.10),
        (0.012, 0.1),
    )
    east = textures.laid(
        textures.generator(13),
        DEPTH,
        HEIGHT,
        (0.34, 0.12),
        ((0.72, 0.36, 0.27), (0.55, 0.26, 0.20)),
        (0.80, 0.76, 0.70),
        (0.07, 0.17),
    )
    north = textures.wallpaper(
        textures.generator(14), LENGTH, HEIGHT, ((0.86, 0.90, 0.80), (0.70, 0.80, 0.66), (0.45, 0.60, 0.45)), 0.4
    )
    ceiling = textures.beams(textures.generator(15), LENGTH, DEPTH, ((0.93, 0.92, 0.88), (0.45, 0.32, 0.22)), 1.2)
    return west, south, floor, east, north, ceiling


def on_the_walls():
    """Window, curtains, door and pictures: the pieces look along -y from y = 0 and are turned to their wall."""

    def rng(key):
        return textures.generator(20, key)

    gold = (0.75, 0.60, 0.28)
    black = (0.10, 0.09, 0.09)
    white = (0.92, 0.92, 0.90)

    # North: the window that lets the day in, with its curtains, and two pictures.
    view = textures.landscape(rng(0), 1.8, 1.3, (3, 2))
    north = placed(furniture.hung("window", 1.8, 0.95, 2.25, view, white, source=DAY), PANE[0], DEPTH / 2)
    for side in (-1.12, 1.12):
        drape = textures.folds(rng(1), 0.42, 2.1, ((0.72, 0.22, 0.25), (0.45, 0.10, 0.14)), 5)
        north += placed([block("curtain", (-0.21, -0.13, 0.30), (0.21, -0.04, 2.42), drape)], PANE[0] + side, DEPTH / 2)
    rod = block("curtain", (-1.45, -0.12, 2.40), (1.45, -0.06, 2.46), (0.30, 0.20, 0.12))
    north += placed([rod], PANE[0], DEPTH / 2)
    portrait = textures.portrait(rng(2), 0.7, 0.95, ((0.35, 0.30, 0.22), (0.12, 0.16, 0.35), (0.25, 0.14, 0.08)))
    north += placed(furniture.hung("picture", 0.7, 1.15, 2.1, portrait, gold), 1.75, DEPTH / 2)
    rings = textures.rings(rng(3), 0.5, 0.5, ((0.95, 0.93, 0.85), (0.20, 0.35, 0.65)))
    north += placed(furniture.hung("picture", 0.5, 1.35, 1.85, rings, black), -2.5, DEPTH / 2)

    # West: the door and two pictures.
    leaf = textures.panels(0.95, 2.05, ((0.90, 0.88, 0.82), (0.70, 0.68, 0.60), (0.82, 0.80, 0.72)), 2, 3)
    door = furniture.hung("door", 0.95, 0.0, 2.05, leaf, (0.55, 0.40, 0.25))
    door += [furniture.round_("ellipsoid", "door", (0.38, -0.07), 0.04, 1.0, 1.08, (0.85, 0.75, 0.35))]
    west = placed(door, -LENGTH / 2, 1.45, 90)
    sea = textures.seascape(rng(4), 1.3, 0.8)
    west += placed(furniture.hung("picture", 1.3, 1.3, 2.1, sea, (0.30, 0.18, 0.10)), -LENGTH / 2, -0.6, 90)
    blocks = textures.blocks(rng(5), 0.6, 0.8, 9)
    west += placed(furniture.hung("picture", 0.6, 1.35, 2.15, blocks, black), -LENGTH / 2, -1.9, 90)

    # East: a picture and a small window.
    blocks = textures.blocks(rng(6), 1.1, 0.85, 14)
    east = placed(furniture.hung("picture", 1.1, 1.2, 2.05, blocks, white), LENGTH / 2, -1.55, -90)
    view = textures.landscape(rng(7), 0.75, 1.2, (2, 3))
    window = furniture.hung("window", 0.75, 1.0, 2.2, view, (0.25, 0.35, 0.30), source=DAY)
    east += placed(window, LENGTH / 2, 1.75, -90)

    # South: one picture.
    rings = textures.rings(rng(8), 0.9, 0.8, ((0.85, 0.30, 0.20), (0.98, 0.85, 0.35)))
    south = placed(furniture.hung("picture", 0.9, 1.2, 2.0, rings, gold), -0.4, -DEPTH / 2, 180)
    return north + west + east + south


def on_the_floor():
    """Furniture."""
    oak = (0.66, 0.48, 0.28)
    dark = (0.30, 0.19, 0.12)
    pieces = placed(furniture.sofa(0, 2.1, ((0.25, 0.38, 0.55), (0.33, 0.47, 0.65))), -0.45, 1.98)
    pieces += placed(furniture.bookshelf(0, 1.7, 2.05, 5, oak), 2.82, -0.15, -90)
    pieces += placed(furniture.table(0, 0.85, 1.5, (oak, dark)), -2.15, -0.6)
    for key, (x, y, yaw, seat) in enumerate((
        (-2.15, 0.42, 8, ((0.75, 0.30, 0.25), (0.85, 0.50, 0.40))),
        (-2.2, -1.6, 172, ((0.30, 0.55, 0.35), (0.45, 0.70, 0.50))),
        (-1.68, -0.75, -80, ((0.85, 0.75, 0.30), (0.95, 0.88, 0.55))),
    )):  # fmt: skip
        pieces += placed(furniture.chair(key, dark if key != 1 else (0.85, 0.83, 0.78), seat), x, y, yaw)
    pieces += placed(
        furniture.cupboard(1.5, 1.75, ((0.35, 0.50, 0.45), (0.25, 0.36, 0.33), (0.55, 0.68, 0.60))), 1.6, -2.27
    )
    pieces += placed(furniture.floor_lamp((1.0, 0.90, 0.68)), *LAMPS[0][:2])
    pieces += placed(furniture.ceiling_lamp(0.66, HEIGHT, (1.0, 0.95, 0.85)), *LAMPS[1][:2])
    pieces += placed(
        furniture.plant(0, 1.5, 17, (0.75, 0.40, 0.25), ((0.12, 0.35, 0.14), (0.40, 0.62, 0.25))), 2.35, 2.05
    )
    pieces += placed(
        furniture.plant(1, 0.8, 13, (0.90, 0.88, 0.85), ((0.25, 0.45, 0.20), (0.60, 0.75, 0.35))), -2.6, 2.1
    )
    rug = textures.carpet(
        textures.generator(30), 2.4, 1.7, ((0.62, 0.16, 0.18), (0.85, 0.72, 0.50), (0.15, 0.20, 0.40))
    )
    pieces += placed([block("rug", (-1.2, -0.85, 0.0), (1.2, 0.85, 0.012), rug)], 0.1, 0.35, 12)
    return pieces


def shaded(floor, solids):
    """The floor, darker under and around what stands on it."""
    height, width = floor.shape[:2]
    x = ((np.arange(width) + 0.5) / width - 0.5)[None, :] * LENGTH
    y = ((np.arange(height) + 0.5) / height - 0.5)[:, None] * DEPTH
    light = np.ones((height, width))
    for solid in solids:
        low = solid.centre[2] - solid.half[2]
        if low > 0.8 or solid.half[2] < 0.02:
            continue
        (ax, ay, _), (bx, by, _) = apply(rot_z(-solid.yaw), (1.0, 0.0, 0.0)), apply(rot_z(-solid.yaw), (0.0, 1.0, 0.0))
        dx, dy = x - solid.centre[0], y - solid.centre[1]
        u, v = np.abs(ax * dx + bx * dy) - solid.half[0], np.abs(ay * dx + by * dy) - solid.half[1]
        outside = np.sqrt(np.maximum(u, 0) ** 2 + np.maximum(v, 0) ** 2)
        light = np.minimum(light, 1 - (0.5 - 0.4 * low) * np.maximum(1 - outside / (0.12 + 0.3 * low), 0))
    return (floor * light[..., None]).astype(np.float32)


@functools.cache
def room():
    """The Room, made once."""
    west, south, floor, *rest = walls()
    standing = on_the_floor()
    labels = [CLASSES.index(name) for name in ("wall", "wall", "floor", "wall", "wall", "ceiling")]
    solids = (*standing, *on_the_walls())
    return Room(
        (0.0, 0.0, HEIGHT / 2),
        (LENGTH / 2, DEPTH / 2, HEIGHT / 2),
        (west, south, shaded(floor, standing), *rest),
        tuple(labels),
        solids,
    )
