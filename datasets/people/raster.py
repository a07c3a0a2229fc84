"""A z-buffer painter of tapered, flattened capsules.

Exact ray intersections, per-pixel normals, procedural cloth, one light.

Only operations that IEEE 754 rounds correctly (+ - * / sqrt, comparisons, floor) touch a pixel, so every machine draws
the same bits.
"""

import dataclasses
import math

import numpy as np

from kzoo.datasets.people.vectors import add, apply, cross, dot, norm, unit


@dataclasses.dataclass(frozen=True)
class Material:
    """A surface: `pattern` (a key of PATTERNS) mixes two RGB colours in 0..1; `frequency` in repeats per metre."""

    colour: tuple
    second: tuple = (0.0, 0.0, 0.0)
    pattern: str = "plain"
    frequency: float = 20.0
    gloss: float = 0.05


@dataclasses.dataclass(frozen=True)
class Solid:
    """A capsule from `start` along `axes[1]`, its radius going from `radius[0]` to `radius[1]`.

    Its cross section is stretched by `stretch` along axes[0] and axes[2]. Where the axis is past the fraction `cut` of
    its length, the colour is `beyond` (a bare arm below a sleeve).
    """

    start: tuple
    axes: tuple
    length: float
    radius: tuple
    material: Material
    label: int = 0
    stretch: tuple = (1.0, 1.0)
    cut: float = 2.0
    beyond: tuple = (0.0, 0.0, 0.0)


def capsule(frame, start, end, radius, material, side=(1.0, 0.0, 0.0), **options):
    """The Solid between two points of a bone's frame; `side` is the bone's direction that `stretch[0]` widens."""
    side = apply(frame.rotation, side)
    start, end = frame.at(start), frame.at(end)
    axis = add(end, start, -1.0)
    length = norm(axis)
    y = unit(axis)
    x = unit(add(side, y, -dot(side, y)))
    radius = radius if isinstance(radius, tuple) else (radius, radius)
    return Solid(start, (x, y, cross(x, y)), length, radius, material, **options)


def ellipsoid(frame, centre, radii, material, label=0):
    """The Solid with half axes `radii` (metres) along a frame's x, y and z."""
    axes = tuple(zip(*frame.rotation, strict=True))
    return Solid(
        frame.at(centre), axes, 0.0, (radii[1],) * 2, material, label, (radii[0] / radii[1], radii[2] / radii[1])
    )


def bilinear(lattice, height, width):
    """Resizes a (h, w) lattice to (height, width), corners to corners."""
    for axis, size in ((0, height), (1, width)):
        position = np.arange(size, dtype=np.float32) * np.float32((lattice.shape[axis] - 1) / size)
        index = np.floor(position).astype(np.intp)
        fraction = position - index.astype(np.float32)
        fraction = fraction[:, None] if axis == 0 else fraction
        low, high = np.take(lattice, index, axis), np.take(lattice, index + 1, axis)
        lattice = low + (high - low) * fraction
    return lattice


def noise_tile(rng, size=64):
    """A (size, size) float32 tile of two octaves of noise in 0..1."""
    coarse = bilinear(rng.random((9, 9)).astype(np.float32), size, size)
    fine = rng.random((size, size)).astype(np.float32)
    return coarse * np.float32(0.65) + fine * np.float32(0.35)


def parity(x):
    """1 where floor(x) is odd, else 0."""
    half = x * 0.5
    return (half - np.floor(half) >= 0.5).astype(np.float32)


def blotches(x, y, z, tile):
    """The noise tile looked up along a slanted plane of the solid."""
    size = tile.shape[0]
    rows = np.floor((y + 0.5 * z) * 8).astype(np.intp) % size
    return tile[rows, np.floor((x - 0.5 * z) * 8).astype(np.intp) % size]


PATTERNS = {  # (x, y, z in repeats, noise tile) -> weight of the second colour
    "plain": lambda x, y, z, tile: np.zeros(x.shape, np.float32),
    "hoops": lambda x, y, z, tile: parity(y),
    "stripes": lambda x, y, z, tile: parity(x),
    "checks": lambda x, y, z, tile: (parity(x) + parity(y)) * np.float32(0.5),
    "diagonal": lambda x, y, z, tile: parity(x + y),
    "noise": blotches,
    "spots": lambda x, y, z, tile: (blotches(x, y, z, tile) > 0.58).astype(np.float32),
}


@dataclasses.dataclass
class Canvas:
    """What has been painted so far, `size` pixels square; planar colours.

    `depth` is z in metres, `light` a unit vector to the lamp.
    """

    size: int
    focal: float
    light: tuple
    ambient: float
    tint: tuple
    tile: np.ndarray
    colour: np.ndarray  # (3, size, size) float32
    depth: np.ndarray = None
    label: np.ndarray = None

    def __post_init__(self):
        self.depth = np.full((self.size, self.size), np.inf)
        self.label = np.zeros((self.size, self.size), np.uint8)

    def window(self, solid, first=0.0, last=1.0):
        """The pixels (top, bottom, left, right) that a solid may touch from one fraction of its axis to another."""
        far = max(1.0, *solid.stretch) * max(solid.radius)
        centres = [add(solid.start, solid.axes[1], solid.length * fraction) for fraction in (first, last)]
        if min(c[2] for c in centres) - far < 0.1:
            return 0, 0, 0, 0  # at or behind the camera
        edges = []
        for axis in (1, 0):
            rays = [(c[axis] + a * far) / (c[2] + b * far) for c in centres for a in (-1, 1) for b in (-1, 1)]
            low, high = (math.floor(edge * self.focal + self.size / 2) for edge in (min(rays), max(rays)))
            edges += [min(max(low, 0), self.size), min(max(high + 1, 0), self.size)]
        return tuple(edges)

    def windows(self, solid):
        """The windows of a solid that must be drawn.

        Pieces of it where one would be large; none where nearer solids hide it.
        """
        whole = self.window(solid)
        top, bottom, left, right = whole
        area = (bottom - top) * (right - left)
        if area == 0:
            return []
        nearest = min(solid.start[2], solid.start[2] + solid.axes[1][2] * solid.length)
        front = nearest - max(1.0, *solid.stretch) * max(solid.radius)
        if front >= self.depth[top:bottom, left:right].max():
            return []
        pieces = min(8, math.ceil(solid.length / max(solid.radius) / 2)) if area > 4000 else 1
        if pieces == 1:
            return [whole]
        return [self.window(solid, k / pieces, (k + 1) / pieces) for k in range(pieces)]

    def rays(self, first, last):
        """Ray slopes (float64) of the pixel centres first to last - 1."""
        return (np.arange(first, last) + (0.5 - self.size / 2)) / self.focal

    def paint(self, solid):
        """Draws one Solid where it is nearer than what is there."""
        scale = 1 / solid.stretch[0], 1.0, 1 / solid.stretch[1]
        # Camera to stretched solid.
        rows = [tuple(s * a for a in axis) for s, axis in zip(scale, solid.axes, strict=True)]
        for window in self.windows(solid):
            self.paint_window(solid, rows, *window)

    def paint_window(self, solid, rows, top, bottom, left, right):
        """Draws what of a Solid is in a window of pixels; `rows` takes camera axes to its stretched frame."""
        region = slice(top, bottom), slice(left, right)
        x, y = self.rays(left, right)[None, :], self.rays(top, bottom)[:, None]
        rays = [row[0] * x + (row[1] * y + row[2]) for row in rows]
        start = tuple(dot(row, solid.start) for row in rows)
        depth = intersect(rays, start, solid)
        hit = np.flatnonzero(depth < self.depth[region])
        if hit.size == 0:
            return
        row, column = hit // (right - left) + top, hit % (right - left) + left
        depth = depth.reshape(-1)[hit]
        local = [depth * ray.reshape(-1)[hit] - s for ray, s in zip(rays, start, strict=True)]
        self.depth[row, column] = depth
        self.label[row, column] = solid.label
        for plane, values in zip(self.colour, self.shade(solid, rows, local), strict=True):
            plane[row, column] = values

    def shade(self, solid, rows, local):
        """RGB (three float32 arrays) of points given in the stretched frame of a solid (three float64 arrays)."""
        taper = slope(solid)
        along = np.minimum(np.maximum((local[1] - solid.radius[0] * taper) / (1 - taper * taper), 0.0), solid.length)
        normal = local[0], local[1] - along, local[2]
        normal = [rows[0][k] * normal[0] + rows[1][k] * normal[1] + rows[2][k] * normal[2] for k in range(3)]
        inverse = 1 / np.sqrt(dot(normal, normal))
        halfway = unit(add(self.light, (0.0, 0.0, -1.0)))
        lambert = (np.maximum(dot(normal, self.light), 0.0) * inverse).astype(np.float32)
        shine = (np.maximum(dot(normal, halfway), 0.0) * inverse).astype(np.float32)
        for _ in range(4):
            shine = shine * shine
        facing = (np.maximum(-normal[2], 0.0) * inverse).astype(np.float32)
        glow = (np.float32(self.ambient) + np.float32(1.15 - self.ambient) * lambert) * (
            np.float32(0.7) + np.float32(0.3) * facing
        )
        material = solid.material
        points = [
            p * (s * material.frequency) for p, s in zip(local, (solid.stretch[0], 1.0, solid.stretch[1]), strict=True)
        ]
        weight = PATTERNS[material.pattern](*points, self.tile)
        bare = along > solid.cut * solid.length if solid.cut < 1 else None
        shine = shine * np.float32(material.gloss)
        planes = []
        for first, second, beyond, tint in zip(material.colour, material.second, solid.beyond, self.tint, strict=True):
            albedo = np.float32(first) + np.float32(second - first) * weight
            albedo = albedo if bare is None else np.where(bare, np.float32(beyond), albedo)
            planes.append(albedo * (glow * np.float32(tint)) + shine)
        return planes


def slope(solid):
    """Sine of the half angle of a solid's taper (0 for an ellipsoid)."""
    return (solid.radius[0] - solid.radius[1]) / solid.length if solid.length > 0 else 0.0


def nearest_root(a, half_b, c):
    """The first t > 0 at which a t^2 - 2 half_b t + c falls to zero; inf where it never does."""
    square = half_b * half_b - a * c
    root = np.sqrt(np.maximum(square, 0.0))
    return np.where(square > 0, (half_b - root) / a, np.inf)


def intersect(rays, start, solid):
    """Depth of the first hit of each ray t * (x, y, z), in the stretched frame of a solid whose axis is y from `start`.

    The surface is the envelope of spheres whose radius falls linearly along the axis: two end spheres and the cone that
    touches both. With s the sine of its half angle and y measured from `start`, the cone is (1 - s^2) |p|^2 - y^2 + 2 r
    s y - r^2 = 0.
    """
    (r, r_end), length, s = solid.radius, solid.length, slope(solid)
    dx, dy, dz = rays
    dd = dx * dx + dy * dy + dz * dz
    da = dx * start[0] + dy * start[1] + dz * start[2]
    aa = dot(start, start)
    depth = nearest_root(dd, da, aa - r * r)
    if length == 0:
        return depth
    end = aa + length * (2 * start[1] + length)
    depth = np.minimum(depth, nearest_root(dd, da + length * dy, end - r_end * r_end))
    cc = 1 - s * s
    side = nearest_root(
        cc * dd - dy * dy, cc * da - dy * (start[1] + r * s), cc * aa - start[1] * (start[1] + 2 * r * s) - r * r
    )
    y = side * dy - start[1]
    valid = (y >= r * s) & (y <= length + r_end * s) & (side > 0)
    return np.where(valid, np.minimum(depth, side), depth)
