"""The body as a hierarchy: COCO's 17 joints make 14 limbs, these make 6 groups. And the pictures of such parts.

A limb is one bone (a pair of joints); a group is several limbs. Its picture is drawn from bones, so the state space of
a group stays that of a picture, and shows where it lies, how large it is and how it is turned (Tang, Yu and Wu, ECCV
2018, bone-based part representation).
"""

import itertools

from keras import ops

from kzoo.nn import geometry

# Pairs of COCO's joints. Left before right. The eyes lie on the way from the nose to the ears.
LIMBS = (
    (5, 7),  # 0 left upper arm
    (7, 9),  # 1 left lower arm
    (6, 8),  # 2 right upper arm
    (8, 10),  # 3 right lower arm
    (11, 13),  # 4 left upper leg
    (13, 15),  # 5 left lower leg
    (12, 14),  # 6 right upper leg
    (14, 16),  # 7 right lower leg
    (5, 6),  # 8 shoulders
    (11, 12),  # 9 hips
    (5, 11),  # 10 left side
    (6, 12),  # 11 right side
    (0, 3),  # 12 left half of the head
    (0, 4),  # 13 right half of the head
)
# Tuples of limbs: left arm, right arm, left leg, right leg, torso, head.
GROUPS = ((0, 1), (2, 3), (4, 5), (6, 7), (8, 9, 10, 11), (12, 13))

# Each part as a tuple of bones: the `parts` of `segment_maps`.
LIMB_BONES = tuple((limb,) for limb in LIMBS)
GROUP_BONES = tuple(tuple(LIMBS[limb] for limb in group) for group in GROUPS)


def segment_maps(positions, labelled, parts, height: int, width: int, sigma: float):
    """Draw parts: the maximum over a part's bones of a Gaussian of the distance to the bone, 1 on the bone itself.

    Args:
        positions: (B, J, 2) float32, fractions.
        labelled: (B, J) bool or number, 0 where a joint is not labelled.
        parts: P tuples of bones, a bone being a pair of joints: `LIMB_BONES`, `GROUP_BONES`.
        height, width: cells of the map.
        sigma: standard deviation in cells of the map.
    Returns:
        maps (B, height, width, P) float32 in 0..1, and valid (B, P) float32: 1 where all joints of the part are
        labelled, else 0.

    Reference: Tang, Yu and Wu, Deeply Learned Compositional Models for Human Pose Estimation, ECCV 2018, bone-based
    part representation.
    """
    # Each bone by itself: where it starts, and its vector, (B, 1, 1, bones, 2) in cells.
    bones = list(itertools.chain.from_iterable(parts))
    starts, ends = map(list, zip(*bones, strict=True))
    cells = ops.cast(positions, "float32") * ops.convert_to_tensor([width, height], "float32")
    start = ops.take(cells, starts, axis=1)[:, None, None]
    end = ops.take(cells, ends, axis=1)[:, None, None]
    along = end - start

    # From each cell to the foot on the bone, and the Gaussian of that distance: (B, h, w, bones).
    x, y = geometry.cell_centres(width) * width, geometry.cell_centres(height) * height
    from_x = x[None, None, :, None] - start[..., 0]  # (B, 1, w, bones)
    from_y = y[None, :, None, None] - start[..., 1]  # (B, h, 1, bones)
    squared_length = ops.maximum(ops.sum(ops.square(along), axis=-1), 1e-6)  # a bone may be seen end on
    share = ops.clip((from_x * along[..., 0] + from_y * along[..., 1]) / squared_length, 0.0, 1.0)
    squared = ops.square(from_x - share * along[..., 0]) + ops.square(from_y - share * along[..., 1])
    drawn = ops.exp(-0.5 * squared / sigma**2)

    # The maximum over the bones of each part; a part counts where all of its joints are labelled.
    labelled = ops.cast(ops.cast(labelled, "bool"), "float32")
    maps, valid = [], []
    first = 0
    for part in parts:
        joints = sorted(set(itertools.chain.from_iterable(part)))
        maps.append(ops.max(drawn[..., first : first + len(part)], axis=-1))
        valid.append(ops.min(ops.take(labelled, joints, axis=1), axis=-1))
        first += len(part)
    return ops.stack(maps, axis=-1), ops.stack(valid, axis=-1)
