"""Alignment of skeletons, frame by frame: by the root, by a scale, by a similarity (Procrustes).

It comes before their distance is measured.

Everything stays in sums of products: `ops.matmul` runs in TF32 on recent GPUs, which costs tenths of a millimetre.
"""

from keras import ops

POINT = (
    1e-6  # metres; a skeleton that is no larger (root of the summed squares of its coordinates) is taken for a point
)


def _size(joints):
    """Root of the summed squares of (…, J, 3), at least POINT: (…, 1, 1)."""
    return ops.maximum(ops.sqrt(ops.sum(ops.square(joints), axis=(-2, -1), keepdims=True)), POINT)


def _product(a, b):
    """Matrix product of (…, N, K) and (…, K, M)."""
    return ops.sum(a[..., :, :, None] * b[..., None, :, :], axis=-2)


def _determinant(matrix):
    """Of (…, 3, 3): the triple product of its rows; `ops.det` does not compile under TensorFlow's XLA."""
    return ops.sum(ops.cross(matrix[..., 0, :], matrix[..., 1, :], axis=-1) * matrix[..., 2, :], axis=-1)


def root_aligned(joints):
    """Joints relative to joint 0 of their own frame: (…, J, 3) -> the same shape."""
    return joints - joints[..., :1, :]


def scale_aligned(predicted, target):
    """`predicted` times the factor that minimises the squared distance to `target`, one factor per frame.

    Args:
        predicted, target: (…, J, 3) float, root-relative, in one unit (metres).
    Returns:
        (…, J, 3). A prediction that is a point at the root stays there.

    Reference: Rhodin et al., Unsupervised Geometry-Aware Representation for 3D Human Pose Estimation, ECCV 2018,
    N-MPJPE: the factor is <predicted, target> / <predicted, predicted>; no sign is forced upon it.
    """
    unit = predicted / _size(predicted)
    return ops.sum(unit * target, axis=(-2, -1), keepdims=True) * unit


def procrustes_aligned(predicted, target):
    """`predicted` scaled, rotated and moved, never mirrored: its squared distance to `target` is smallest, per frame.

    Args:
        predicted, target: (…, J, 3) float, metres.
    Returns:
        (…, J, 3). A prediction whose joints lie in one point goes to the centre of the target; NaN where an input is
        not finite.

    Reference: Umeyama, Least-Squares Estimation of Transformation Parameters Between Two Point Patterns, PAMI 1991,
    eq. 34-43; the rotation is that of Kabsch 1976.
    """
    centre = ops.mean(target, axis=-2, keepdims=True)
    predicted = predicted - ops.mean(predicted, axis=-2, keepdims=True)
    target = target - centre
    size = _size(target)
    predicted, target = predicted / _size(predicted), target / size  # both of size 1: float32 then serves all units
    covariance = _product(ops.swapaxes(predicted, -1, -2), target)  # (…, 3, 3)
    # Some backends raise where it is not finite; the frame becomes NaN in the last line.
    covariance = ops.where(ops.isfinite(covariance), covariance, 0.0)
    u, singular, vh = ops.svd(covariance)
    # Umeyama's S (eq. 39): the axis of the smallest singular value turns round where the best orthogonal matrix would
    # mirror.
    last = ops.where(_determinant(u) * _determinant(vh) < 0, -1.0, 1.0)
    signs = ops.stack([ops.ones_like(last), ops.ones_like(last), last], axis=-1)
    rotation = _product(u * signs[..., None, :], vh)
    scale = ops.sum(singular * signs, axis=-1)[..., None, None] * size
    return scale * _product(predicted, rotation) + centre


ALIGNMENTS = {  # after the root
    "none": lambda predicted, target: predicted,
    "scale": scale_aligned,
    "procrustes": procrustes_aligned,
}
