"""What the surfaces of the room look like.

Pictures (h, w, 3) float32 in 0..1, made from random numbers, their first row at the bottom.
"""

import numpy as np

from kzoo.datasets.people.raster import bilinear, parity

TEXELS = 48  # per metre
SEED = 20240601


def generator(*key):
    """A generator of its own for every surface."""
    return np.random.Generator(np.random.PCG64([SEED, *key]))


def grid(width, height):
    """Places of the texels of a surface in metres: x (1, w) and y (h, 1), float32."""
    columns, rows = (max(2, round(side * TEXELS)) for side in (width, height))
    x = (np.arange(columns, dtype=np.float32) + np.float32(0.5)) * np.float32(width / columns)
    y = (np.arange(rows, dtype=np.float32) + np.float32(0.5)) * np.float32(height / rows)
    return x[None, :], y[:, None]


def plain(colour):
    """One texel."""
    return np.array(colour, np.float32)[None, None]


def mix(first, second, weight):
    """Colours or pictures, `second` where the weight (h, w) is 1."""
    first = np.asarray(first, np.float32)
    second = np.asarray(second, np.float32)
    return first + (second - first) * np.asarray(weight, np.float32)[..., None]


def noise(rng, shape, cells):
    """(h, w) float32 in 0..1: random numbers on a lattice of (rows, columns), interpolated."""
    return bilinear(rng.random((cells[0] + 1, cells[1] + 1)).astype(np.float32), *shape)


def stained(rng, picture, strength=0.25, cells=(5, 8)):
    """A picture, lighter and darker in places."""
    shape = picture.shape[:2]
    level = noise(rng, shape, cells) * np.float32(0.6) + noise(rng, shape, tuple(4 * n for n in cells)) * np.float32(
        0.4
    )
    return picture * (1 + np.float32(strength) * (level - np.float32(0.5)))[..., None]


def laid(rng, width, height, piece, colours, joint, shares):
    """Bricks or planks: rows of pieces (length, height in metres), toned between two colours, `shares` of it joints."""
    x, y = grid(width, height)
    row = np.floor(y / np.float32(piece[1]))
    count = int(row.max()) + 1
    along = x / np.float32(piece[0]) + rng.random(count).astype(np.float32)[row.astype(np.intp)]
    column = np.floor(along)
    tone = rng.random((count, int(column.max()) + 1)).astype(np.float32)[row.astype(np.intp), column.astype(np.intp)]
    gap = (along - column < shares[0]) | (y / np.float32(piece[1]) - row < shares[1])
    return stained(rng, mix(mix(*colours, tone), joint, gap), 0.3, (6, 10))


def wallpaper(rng, width, height, colours, period):
    """Broad and narrow stripes."""
    x, y = grid(width, height)
    place = x / np.float32(period)
    place = place - np.floor(place) + 0 * y
    return stained(
        rng, mix(mix(colours[0], colours[1], place < 0.5), colours[2], np.abs(place - np.float32(0.75)) < 0.07), 0.15
    )


def diamonds(rng, width, height, colours, period):
    """A lattice of diamonds with a dot in each."""
    x, y = grid(width, height)
    places = [(sum_ - np.floor(sum_)) for sum_ in ((x + y) / np.float32(period), (x - y) / np.float32(period))]
    edge = (places[0] < 0.12) | (places[1] < 0.12)
    dot = (np.abs(places[0] - np.float32(0.56)) < 0.15) & (np.abs(places[1] - np.float32(0.56)) < 0.15)
    return stained(rng, mix(mix(colours[0], colours[1], edge), colours[2], dot), 0.15)


def wainscot(rng, width, height, panelling, colours):
    """Wooden boards up to a height, paint with a stencilled band above."""
    x, y = grid(width, height)
    boards = mix(colours[0], colours[1], (x / np.float32(0.16) - np.floor(x / np.float32(0.16)) < 0.12) + 0 * y)
    picture = np.where((y < panelling)[..., None], boards, np.asarray(colours[2], np.float32))
    rail = (np.abs(y - np.float32(panelling)) < 0.04) + 0 * x > 0
    band = (np.abs(y - np.float32(height - 0.35)) < 0.09) & (parity(x / np.float32(0.22) + y / np.float32(0.18)) > 0)
    return stained(rng, mix(mix(picture, colours[1], rail), colours[3], band), 0.2)


def beams(rng, width, height, colours, period):
    """A ceiling with beams across it."""
    x, y = grid(width, height)
    place = x / np.float32(period)
    return stained(rng, mix(*colours, (np.abs(place - np.floor(place) - np.float32(0.5)) < 0.09) + 0 * y), 0.15)


def panels(width, height, colours, columns, rows):
    """A door with sunk panels."""
    x, y = grid(width, height)
    places = [
        np.abs(n * p / np.float32(size) - np.floor(n * p / np.float32(size)) - np.float32(0.5))
        for p, n, size in ((x, columns, width), (y, rows, height))
    ]
    inner, outer = [(places[0] < edge) & (places[1] < edge + 0.04) for edge in (0.30, 0.36)]
    return mix(mix(colours[0], colours[1], outer), colours[2], inner)


def spines(rng, width, height):
    """The backs of books side by side, some lower than others, with titles."""
    x, y = grid(width, height)
    edges = [0.0]
    colours = []
    tops = []
    bands = []
    while edges[-1] < width:
        edges.append(edges[-1] + 0.025 + 0.04 * float(rng.random()))
        tone = rng.random(3) * (1.0, 0.85, 0.8)
        colours.append(0.1 + 0.5 * tone + 0.25 * tone[1])
        tops.append(height * (0.72 + 0.28 * float(rng.random())))
        bands.append(height * (0.35 + 0.3 * float(rng.random())))
    book = np.searchsorted(np.array(edges), x[0], side="right") - 1
    tops, bands = (np.array(values, np.float32)[book][None, :] for values in (tops, bands))
    picture = np.broadcast_to(np.array(colours, np.float32)[book][None], (y.size, x.size, 3))
    gap = x[0] - np.array(edges, np.float32)[book] < 0.008
    picture = mix(picture, (0.9, 0.85, 0.7), np.abs(y - bands) < 0.03)
    return mix(picture, (0.08, 0.06, 0.05), (y > tops) | gap[None, :])


def cloth(rng, width, height, colours, period):
    """A woven cloth with checks."""
    x, y = grid(width, height)
    weight = (parity(x / np.float32(period)) + parity(y / np.float32(period))) * np.float32(0.5)
    return stained(rng, mix(*colours, weight), 0.3, (8, 8))


def folds(rng, width, height, colours, count):
    """A curtain: folds that are light and dark, a hem."""
    x, y = grid(width, height)
    place = x * np.float32(count / width) + (noise(rng, (y.size, x.size), (2, 4)) - np.float32(0.5)) * np.float32(0.5)
    wave = np.abs(place - np.floor(place) - np.float32(0.5)) * 2
    return mix(mix(*colours, wave), np.asarray(colours[1]) * 0.6, (y < 0.08) | (y > height - 0.06))


def carpet(rng, width, height, colours):
    """A border, and nested diamonds around the middle."""
    x, y = grid(width, height)
    u, v = np.abs(x / np.float32(width / 2) - 1), np.abs(y / np.float32(height / 2) - 1)
    picture = mix(colours[0], colours[1], parity((u + v) * np.float32(4.5)))
    picture = mix(picture, colours[2], (u + v < 0.22) | (np.abs(u + v - np.float32(1.35)) < 0.06))
    rim = np.maximum(u - 1 + np.float32(0.36 / width), v - 1 + np.float32(0.36 / height))
    picture = mix(picture, colours[2], rim > 0)
    return stained(rng, mix(picture, colours[0], np.abs(rim - np.float32(0.09)) < 0.04), 0.3, (10, 14))


def landscape(rng, width, height, bars):
    """The view from a window: sky, clouds, hills, a field and trees, behind so many (columns, rows) of panes."""
    x, y = grid(width, height)
    shape, x, y = (y.size, x.size), x / np.float32(width), y / np.float32(height)
    sky = mix((0.92, 0.96, 1.0), (0.45, 0.68, 0.98), y + 0 * x)
    clouds = noise(rng, shape, (6, 5)) * np.float32(0.7) + noise(rng, shape, (14, 12)) * np.float32(0.3)
    picture = mix(sky, (1.0, 1.0, 1.0), np.minimum(np.maximum(clouds * 4 - np.float32(2.0), 0), 1))
    for level, rough, colour in (
        (0.46, 0.26, (0.50, 0.60, 0.72)),
        (0.30, 0.22, (0.38, 0.58, 0.34)),
        (0.12, 0.12, (0.72, 0.70, 0.34)),
    ):
        ridge = level + rough * (noise(rng, (1, shape[1]), (1, 6)) - np.float32(0.5))
        picture = mix(picture, colour, y < ridge)
    for _ in range(5):
        place = float(rng.random())
        size = 0.05 + 0.06 * float(rng.random())
        foot = 0.12 + 0.1 * float(rng.random())
        crown = ((x - np.float32(place)) / np.float32(size)) ** 2 + (
            (y - np.float32(foot + 0.12)) / np.float32(1.6 * size)
        ) ** 2 < 1
        trunk = (np.abs(x - np.float32(place)) < 0.012) & (np.abs(y - np.float32(foot)) < 0.08)
        picture = mix(mix(picture, (0.30, 0.22, 0.15), trunk), (0.16, 0.38, 0.16), crown)
    frame = [
        np.abs(p * n - np.floor(p * n) - np.float32(0.5)) > 0.5 - 0.022 * n / size
        for p, n, size in ((x, bars[0], width), (y, bars[1], height))
    ]
    return mix(picture, (0.93, 0.93, 0.9), frame[0] | frame[1])


def seascape(rng, width, height):
    """A painting: an evening sun over the sea, with a sail."""
    x, y = grid(width, height)
    x, y = x / np.float32(width), y / np.float32(height)
    picture = mix(
        (0.98, 0.62, 0.25), (0.35, 0.22, 0.50), np.minimum(np.maximum((y - np.float32(0.4)) * 2, 0), 1) + 0 * x
    )
    picture = mix(picture, (1.0, 0.93, 0.55), (x - np.float32(0.65)) ** 2 * 2 + (y - np.float32(0.52)) ** 2 < 0.02)
    picture = mix(picture, (0.10, 0.28, 0.45), (y < 0.4) + 0 * x)
    picture = mix(picture, (0.95, 0.70, 0.35), (y < 0.4) & (np.abs(x - np.float32(0.65)) < 0.1) & (parity(y * 22) > 0))
    return stained(
        rng,
        mix(
            picture,
            (0.95, 0.95, 0.9),
            (y > 0.3) & (y < 0.75) & (x > 0.2) & (x - np.float32(0.2) < (0.75 - y) * np.float32(0.45)),
        ),
        0.3,
    )


def blocks(rng, width, height, count):
    """An abstract painting: coloured rectangles with black edges."""
    x, y = grid(width, height)
    picture = np.broadcast_to(np.float32(0.92), (y.size, x.size, 3))
    for _ in range(count):
        left, bottom = float(rng.random()) * width * 0.8, float(rng.random()) * height * 0.8
        wide, high = (0.15 + 0.35 * float(rng.random()) for _ in range(2))
        inside = np.maximum(
            np.abs(x - left - wide * width / 2) - wide * width / 2,
            np.abs(y - bottom - high * height / 2) - high * height / 2,
        )
        vivid = rng.random(3) ** 2 * 0.95
        picture = mix(mix(picture, (0.05, 0.05, 0.06), inside < 0.015), vivid, inside < -0.005)
    return picture


def rings(rng, width, height, colours):
    """An abstract painting: rings around a point."""
    x, y = grid(width, height)
    squared = (x - np.float32(width * 0.42)) ** 2 + (y - np.float32(height * 0.55)) ** 2
    return stained(rng, mix(*colours, parity(np.sqrt(squared) / np.float32(0.085))), 0.5)


def portrait(rng, width, height, colours):
    """A painting: head and shoulders before a dark ground."""
    x, y = grid(width, height)
    x, y = x / np.float32(width) - np.float32(0.5), y / np.float32(height)
    picture = mix(colours[0], np.asarray(colours[0]) * 0.5, np.abs(x) * 2 + 0 * y)
    picture = mix(picture, colours[1], x**2 / np.float32(0.14) + (y - np.float32(0.02)) ** 2 / np.float32(0.16) < 1)
    picture = mix(picture, colours[2], x**2 / np.float32(0.028) + (y - np.float32(0.66)) ** 2 / np.float32(0.038) < 1)
    head = x**2 / np.float32(0.018) + (y - np.float32(0.60)) ** 2 / np.float32(0.028) < 1
    return stained(rng, mix(picture, (0.88, 0.68, 0.55), head), 0.4)
