"""Casts a ray through every sample of a picture: boxes, cylinders and ellipsoids in a box-shaped room, all at once.

Only operations that IEEE 754 rounds correctly (+ - * / sqrt, comparisons, floor) touch a sample, so every machine draws
the same bits.
"""

import dataclasses

import numpy as np

from kzoo.datasets.people.vectors import add, apply, compose, dot, rot_z, transposed

NEAR = 0.05  # metres before the camera: what is nearer is not looked for
EDGES = np.array([(a, a | bit) for a in range(8) for bit in (1, 2, 4) if not a & bit])  # (12, 2) corners of a box


@dataclasses.dataclass(frozen=True)
class Solid:
    """A box, cylinder (its axis upright) or ellipsoid.

    `half` is its extent from `centre` (metres) along its own x, y, z, turned by `yaw`.

    `texture` (h, w, 3) covers each of its sides once, or is laid out by metres where `scale` says how many texels one
    takes. `source`: what makes it visible, for who shades it to tell; 0 of a room's walls.
    """

    kind: str
    label: int
    centre: tuple
    half: tuple
    texture: np.ndarray
    yaw: float = 0.0
    scale: float = 0.0
    source: int = 0


@dataclasses.dataclass(frozen=True)
class Room:
    """The shell, `half` its extent from `centre`, and what is in it.

    Textures and labels are of its sides at -x, -y, -z, x, y, z.
    """

    centre: tuple
    half: tuple
    textures: tuple
    labels: tuple
    solids: tuple


@dataclasses.dataclass
class Samples:
    """What the rays meet, planes (H, W).

    `depth`: z in the camera's frame, metres; `point`, `normal`, `colour`: three planes each.
    """

    depth: np.ndarray  # float64
    label: np.ndarray  # uint8
    source: np.ndarray  # uint8
    point: list  # world coordinates, float32
    normal: list  # world axes, float32
    colour: list  # without light, float32


def slabs(rays, start):
    """Depths at which each ray enters and leaves the three slabs of the box of half extent 1."""
    inverse = [1 / ray for ray in rays]
    middle = [-s * i for s, i in zip(start, inverse, strict=True)]
    reach = [np.abs(i) for i in inverse]
    enter = [m - r for m, r in zip(middle, reach, strict=True)]
    leave = [m + r for m, r in zip(middle, reach, strict=True)]
    return enter, leave


def box(rays, start):
    """Depth of the box of half extent 1; inf where a ray misses it, as for the others."""
    enter, leave = slabs(rays, start)
    first = np.maximum(np.maximum(enter[0], enter[1]), enter[2])
    last = np.minimum(np.minimum(leave[0], leave[1]), leave[2])
    return np.where((first <= last) & (first > NEAR), first, np.inf)


def cylinder(rays, start):
    """Depth of the upright cylinder of radius 1 and half height 1."""
    inverse = 1 / rays[2]
    low, high = -start[2] * inverse - np.abs(inverse), -start[2] * inverse + np.abs(inverse)
    square = rays[0] * rays[0] + rays[1] * rays[1]
    towards = rays[0] * start[0] + rays[1] * start[1]
    rest = towards * towards - square * (start[0] * start[0] + start[1] * start[1] - 1)
    root = np.sqrt(np.maximum(rest, 0.0))
    first, last = np.maximum(low, (-towards - root) / square), np.minimum(high, (root - towards) / square)
    return np.where((rest > 0) & (first <= last) & (first > NEAR), first, np.inf)


def ellipsoid(rays, start):
    """Depth of the ball of radius 1."""
    square, towards = dot(rays, rays), dot(rays, start)
    rest = towards * towards - square * (dot(start, start) - 1)
    first = (-towards - np.sqrt(np.maximum(rest, 0.0))) / square
    return np.where((rest > 0) & (first > NEAR), first, np.inf)


INTERSECT = {"box": box, "cylinder": cylinder, "ellipsoid": ellipsoid}


def largest(values):
    """Which of three arrays has the largest magnitude, element by element."""
    x, y, z = (np.abs(v) for v in values)
    return np.where((z >= x) & (z >= y), 2, (y > x).astype(np.intp))


def outward(solid, local):
    """Normal (three arrays, length 1, the solid's own axes) and axis of the side, at points in half extents."""
    axis = largest(local)
    if solid.kind == "box":
        return [np.where(axis == k, np.sign(local[k]), 0.0) for k in range(3)], axis
    steep = [p / h for p, h in zip(local, solid.half, strict=True)]
    if solid.kind == "cylinder":
        ends = local[0] * local[0] + local[1] * local[1] < np.abs(local[2]) * np.abs(local[2]) - 1e-9
        axis = np.where(ends, 2, (np.abs(steep[1]) > np.abs(steep[0])).astype(np.intp))
        steep = [np.where(ends, 0.0, steep[0]), np.where(ends, 0.0, steep[1]), np.where(ends, local[2], 0.0)]
    inverse = 1 / np.sqrt(dot(steep, steep))
    return [s * inverse for s in steep], axis


def lookup(texture, scale, half, local, axis):
    """Colours (n, 3) of points in units of the half extents, on sides of which `axis` is the normal's."""
    height, width = texture.shape[:2]
    if height == width == 1:
        return np.broadcast_to(texture[0, 0], (axis.size, 3))
    u = np.where(axis == 0, local[1], local[0])
    v = np.where(axis == 2, local[1], local[2])
    if scale:
        u, v = u * (np.where(axis == 0, half[1], half[0]) * scale), v * (np.where(axis == 2, half[1], half[2]) * scale)
    else:
        u, v = u * (width / 2), v * (height / 2)
    return texture[np.floor(v + height / 2).astype(np.intp) % height, np.floor(u + width / 2).astype(np.intp) % width]


def windows(room, rotation, position, size, focal):
    """The samples (N, 4: top, bottom, left, right) that each solid may cover; of `size` (height, width)."""
    # The corners in the camera's axes, (N, 8) each, and the two ends of their edges.
    corners = corners_of(room) - np.array(position)
    axes = [corners[..., 0] * a[0] + corners[..., 1] * a[1] + corners[..., 2] * a[2] for a in transposed(rotation)]
    starts = [a[:, EDGES[:, 0]] for a in axes]
    ends = [a[:, EDGES[:, 1]] for a in axes]

    # What they span on the picture, each edge cut at the near plane.
    bounds = []
    for this, other in ((starts, ends), (ends, starts)):
        # Of the edge, up to the near plane.
        share = np.where(this[2] < NEAR, (NEAR - this[2]) / (other[2] - this[2]), 0.0)
        x, y, z = (a + share * (b - a) for a, b in zip(this, other, strict=True))
        seen = np.maximum(this[2], other[2]) >= NEAR
        for axis, extent in ((y, size[0]), (x, size[1])):
            place = axis / np.maximum(z, NEAR) * focal + (extent - 1) / 2
            bounds += [np.where(seen, place, np.inf).min(axis=1), np.where(seen, place, -np.inf).max(axis=1)]
    top, left = np.minimum(bounds[0], bounds[4]), np.minimum(bounds[2], bounds[6])
    bottom, right = np.maximum(bounds[1], bounds[5]), np.maximum(bounds[3], bounds[7])

    # In whole samples of the picture.
    top = np.minimum(np.maximum(np.floor(top), 0), size[0])
    left = np.minimum(np.maximum(np.floor(left), 0), size[1])
    bottom = np.minimum(np.maximum(np.floor(bottom) + 2, 0), size[0])
    right = np.minimum(np.maximum(np.floor(right) + 2, 0), size[1])
    return np.stack([top, bottom, left, right], 1).astype(int)


def corners_of(room):
    """(N, 8, 3) float64: the corners of the boxes around the solids, in the order that EDGES counts on."""
    return np.array([[_corner_of(solid, corner) for corner in range(8)] for solid in room.solids])


def _corner_of(solid, corner):
    """One corner of the box around a Solid; the bits of its number say on which side of x, y and z it lies."""
    offset = [half if corner & bit else -half for half, bit in zip(solid.half, (1, 2, 4), strict=True)]
    return add(solid.centre, apply(rot_z(solid.yaw), offset))


@np.errstate(divide="ignore", invalid="ignore")  # rays that are parallel to a side or miss
def cast(room, rotation, position, size, focal):
    """Casts the rays of a camera.

    Args:
        room: a Room.
        rotation: three rows, camera to world.
        position: of the camera, metres.
        size: (height, width) in samples, of which the middle one lies on the optical axis.
        focal: focal length in samples.
    Returns:
        Samples.
    """
    x, y = ((np.arange(extent) - (extent - 1) / 2) / focal for extent in (size[1], size[0]))
    x, y = x[None, :], y[:, None]
    samples = shell(room, rotation, position, x, y)
    for solid, (top, bottom, left, right) in zip(
        room.solids, windows(room, rotation, position, size, focal), strict=True
    ):
        if top < bottom and left < right:
            paint(samples, solid, rotation, position, x[:, left:right], y[top:bottom], (top, left))
    return samples


def shell(room, rotation, position, x, y):
    """The Samples of an empty room."""
    rays = [(row[0] * x + (row[1] * y + row[2])) for row in rotation]
    start = [(p - c) / h for p, c, h in zip(position, room.centre, room.half, strict=True)]
    _, leave = slabs([ray / h for ray, h in zip(rays, room.half, strict=True)], start)
    depth = np.minimum(np.minimum(leave[0], leave[1]), leave[2])
    axis = np.where(leave[2] <= depth, 2, (leave[1] <= depth).astype(np.intp))
    along = np.where(axis == 0, rays[0], np.where(axis == 1, rays[1], rays[2]))
    side = axis + 3 * (along > 0)
    point = [p + depth * ray for p, ray in zip(position, rays, strict=True)]
    local = [(p - c) / h for p, c, h in zip(point, room.centre, room.half, strict=True)]
    normal = [np.where(axis == k, -np.sign(rays[k]), 0.0).astype(np.float32) for k in range(3)]
    colour = np.empty((*depth.shape, 3), np.float32)
    for k, texture in enumerate(room.textures):
        chosen = side == k
        colour[chosen] = lookup(texture, 0.0, room.half, [a[chosen] for a in local], axis[chosen])
    label = np.array(room.labels, np.uint8)[side]
    source = np.zeros(depth.shape, np.uint8)
    point = [p.astype(np.float32) for p in point]
    planes = [colour[..., k].copy() for k in range(3)]
    return Samples(depth, label, source, point, normal, planes)


def paint(samples, solid, rotation, position, x, y, corner):
    """Draws one Solid into a window of the samples, where it is nearer than what is there.

    `corner` is the window's first row and column.
    """
    turn = rot_z(-solid.yaw)
    rows = [tuple(a / h for a in row) for row, h in zip(compose(turn, rotation), solid.half, strict=True)]
    start = [a / h for a, h in zip(apply(turn, add(position, solid.centre, -1.0)), solid.half, strict=True)]
    rays = [row[0] * x + (row[1] * y + row[2]) for row in rows]
    depth = INTERSECT[solid.kind](rays, start)
    region = slice(corner[0], corner[0] + y.size), slice(corner[1], corner[1] + x.size)
    hit = np.flatnonzero(depth < samples.depth[region])
    if not hit.size:
        return
    depth = depth.reshape(-1)[hit]
    local = [s + depth * ray.reshape(-1)[hit] for s, ray in zip(start, rays, strict=True)]
    normal, axis = outward(solid, local)
    row, column = hit // x.size, hit % x.size
    place = row + corner[0], column + corner[1]
    samples.depth[place] = depth
    samples.label[place] = solid.label
    samples.source[place] = solid.source
    x, y = x[0, column], y[row, 0]
    back = transposed(turn)
    colour = lookup(solid.texture, solid.scale, solid.half, local, axis)
    for k in range(3):
        samples.point[k][place] = position[k] + depth * (rotation[k][0] * x + rotation[k][1] * y + rotation[k][2])
        samples.normal[k][place] = dot(back[k], normal)
        samples.colour[k][place] = colour[:, k]
