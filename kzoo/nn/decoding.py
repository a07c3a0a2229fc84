"""From network outputs to answers, in NumPy.

Logits become probabilities first (`activate` in the task's row); all below takes those.
"""

import cv2
import numpy as np

from kzoo import UserError, cli
from kzoo.nn.geometry import cell_centres

# Outputs that decoders read; of those that a network emits, the first one.
MAPS = ("heatmaps", "disc_logits", "latent_heatmaps")
OWN = "coords"  # stands for a network's own coordinates where a decoder is named
DEFAULT_DECODER = "dark"  # of networks that emit maps alone


def softmax(logits) -> np.ndarray:
    """Over the last axis, float32."""
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def sigmoid(logits) -> np.ndarray:
    """Of each number, float32, without overflow."""
    return 0.5 * (1 + np.tanh(0.5 * np.asarray(logits)))


def unflip_coords(coords, permutation):
    """(..., J, 2) fractions of the mirrored picture -> of the picture: x mirrored, left and right joints swapped."""
    mirrored = coords[..., permutation, :]
    return np.stack([1 - mirrored[..., 0], mirrored[..., 1]], axis=-1)


def unflip_maps(maps, permutation):
    """Maps (B, h, w, K) of the mirrored picture -> maps of the picture."""
    return maps[:, :, ::-1][..., permutation]


def spatial_softmax(maps) -> np.ndarray:
    """(B, h, w, J) logits -> probabilities over (h, w)."""
    batch, height, width, joints = maps.shape
    flat = softmax(maps.reshape(batch, height * width, joints).swapaxes(1, 2))
    return flat.swapaxes(1, 2).reshape(maps.shape)


def _scaled(maps) -> np.ndarray:
    """Maps (B, h, w, J) in 0..1: negative cells are 0, the peak is 1.

    A map without positive cells is lifted to a minimum of 0.
    """
    maps = np.asarray(maps, "float32")
    peak, lowest = maps.max(axis=(1, 2), keepdims=True), maps.min(axis=(1, 2), keepdims=True)
    lift = np.where(peak > 0, 0, lowest)
    return np.maximum(maps - lift, 0) / np.maximum(peak - lift, np.finfo("float32").tiny)


def _highest(maps) -> tuple[np.ndarray, np.ndarray]:
    """Column and row (B, J) of the highest cell; the first one in reading order where several are."""
    batch, height, width, joints = maps.shape
    cells = maps.reshape(batch, height * width, joints).argmax(axis=1)
    return cells % width, cells // width


def _neighbours(maps, x, y):
    """Function (dx, dy) -> values (B, J) of the cells at (x + dx, y + dy); outside, of the nearest cell."""
    _, height, width, _ = maps.shape
    batch, joints = np.ogrid[: maps.shape[0], : maps.shape[3]]
    return lambda dx, dy: maps[batch, np.clip(y + dy, 0, height - 1), np.clip(x + dx, 0, width - 1), joints]


def _fractions(x, y, step, maps) -> np.ndarray:
    """Centres of the cells (x, y), moved by `step` (B, J, 2) cells, as (B, J, 2) float32 fractions."""
    return ((np.stack([x, y], axis=-1) + 0.5 + step) / (maps.shape[2], maps.shape[1])).astype("float32")


def argmax(maps) -> np.ndarray:
    """Centre of the highest cell: (B, h, w, J) -> (B, J, 2) fractions.

    Off by 0.383 cells on average where nothing else is wrong.
    """
    return _fractions(*_highest(maps), 0.0, maps)


def quarter(maps) -> np.ndarray:
    """Highest cell, moved by a quarter of a cell towards the higher neighbour of each axis.

    (B, h, w, J) -> (B, J, 2) fractions, equal to `geometry.peak_position`: not moved along an axis at whose border the
    cell lies.

    Reference: Newell et al., ECCV 2016, §3.3.
    """
    x, y = _highest(maps)
    at = _neighbours(maps, x, y)
    inside = np.stack([(x > 0) & (x < maps.shape[2] - 1), (y > 0) & (y < maps.shape[1] - 1)], axis=-1)
    slope = np.stack([at(1, 0) - at(-1, 0), at(0, 1) - at(0, -1)], axis=-1)
    return _fractions(x, y, 0.25 * inside * np.sign(slope), maps)


def _blurred(maps, sigma: float) -> np.ndarray:
    """Maps smoothed by a Gaussian of `sigma` cells, 0 outside.

    It is cut at 2.5 sigma: 11 cells for 2, 17 for 3, as in DARK's code.
    """
    side = 2 * int(np.ceil(2.5 * sigma)) + 1
    smooth = [cv2.GaussianBlur(one, (side, side), sigma, borderType=cv2.BORDER_CONSTANT) for one in maps]
    return _scaled(np.reshape(smooth, maps.shape))  # OpenCV drops a last axis of 1


def _newton(maps, sigma: float, floor: float, derivatives):
    """The peak's cell x, y (B, J) and the step (B, J, 2) in cells from its centre to the maximum.

    The maximum is that of the parabola that has the derivatives of the blurred map's logarithm there.

    The peak is where map x blurred map is highest: for a smooth map that is the map's highest cell, while on the
    plateau of a disc, or among noise, the surroundings decide. A step that is not finite or longer than a cell along an
    axis is not taken.
    """
    maps = _scaled(maps)
    blurred = _blurred(maps, sigma)
    x, y = _highest(maps * blurred)
    dx, dy, dxx, dxy, dyy = derivatives(_neighbours(np.log(np.maximum(blurred, floor)), x, y))
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        step = np.stack([dxy * dy - dyy * dx, dxy * dx - dxx * dy], axis=-1) / (dxx * dyy - dxy**2)[..., None]
        taken = (np.abs(step) <= 1).all(axis=-1)
    return x, y, np.where(taken[..., None], step, 0.0)


def dark(maps, sigma: float = 2.0) -> np.ndarray:
    """Distribution-aware decoding: one Newton step on the logarithm of the blurred map.

    Args:
        maps: (B, h, w, J), non-negative but for noise.
        sigma: of the blur, in cells: that of the Gaussians the network learnt.
    Returns:
        (B, J, 2) fractions; the centre of the peak's cell where that is within two cells of the border, or see
        `_newton`.

    Reference: Zhang et al., DARK, CVPR 2020, §3.2.
    """

    def derivatives(at):  # of second order over two cells
        dx, dy = 0.5 * (at(1, 0) - at(-1, 0)), 0.5 * (at(0, 1) - at(0, -1))
        dxx = 0.25 * (at(-2, 0) - 2 * at(0, 0) + at(2, 0))
        dyy = 0.25 * (at(0, -2) - 2 * at(0, 0) + at(0, 2))
        dxy = 0.25 * (at(1, 1) - at(-1, 1) - at(1, -1) + at(-1, -1))
        return dx, dy, dxx, dxy, dyy

    x, y, step = _newton(maps, sigma, 1e-10, derivatives)
    inside = (np.minimum(x, y) > 1) & (x < maps.shape[2] - 2) & (y < maps.shape[1] - 2)
    return _fractions(x, y, np.where(inside[..., None], step, 0.0), maps)


def udp(maps, sigma: float = 2.0) -> np.ndarray:
    """`dark` with the derivatives over one cell, up to the border, and a floor of 1e-3 of the peak.

    Args and returns as `dark`. The Hessian is made regular by adding float32's epsilon to its diagonal.

    Reference: Huang et al., UDP, CVPR 2020.
    """

    def derivatives(at):
        centre = at(0, 0)
        epsilon = np.finfo("float32").eps
        dx, dy = 0.5 * (at(1, 0) - at(-1, 0)), 0.5 * (at(0, 1) - at(0, -1))
        dxx = at(1, 0) - 2 * centre + at(-1, 0) + epsilon
        dyy = at(0, 1) - 2 * centre + at(0, -1) + epsilon
        # From one diagonal's curvature.
        dxy = 0.5 * (at(1, 1) + at(-1, -1) - at(1, 0) - at(-1, 0) - at(0, 1) - at(0, -1) + 2 * centre)
        return dx, dy, dxx, dxy, dyy

    return _fractions(*_newton(maps, sigma, 1e-3, derivatives), maps)


def _mean_position(weights) -> np.ndarray:
    """Weighted mean of the cells' centres: (B, h, w, J) -> (B, J, 2) fractions.

    The picture's centre where no cell has weight.
    """
    columns, rows = weights.sum(axis=1), weights.sum(axis=2)  # (B, w, J), (B, h, J)
    sums = [np.einsum("bnj,n->bj", side, cell_centres(side.shape[1]) - 0.5) for side in (columns, rows)]
    total = np.maximum(columns.sum(axis=1), 1e-6)
    return (0.5 + np.stack(sums, axis=-1) / total[..., None]).astype("float32")


def softargmax(maps, beta: float = 10.0) -> np.ndarray:
    """Mean of the cells' centres under the weights exp(beta h), h the map scaled to a peak of 1.

    (B, h, w, J) -> (B, J, 2) fractions. Empty cells weigh exp(0) = 1 each, which draws the answer to the picture's
    centre.

    Reference: Sun et al., ECCV 2018, eq. 2.
    """
    return _mean_position(np.exp(beta * _scaled(maps)))


def debiased_softargmax(maps, beta: float = 10.0) -> np.ndarray:
    """`softargmax` without the draw to the centre.

    They subtract from the mean what a background of h = 0 adds to it:
    sum(x exp(beta h)) - sum(x), over sum(exp(beta h)) - sum(1).
    That is the mean under the weights exp(beta h) - 1. (B, h, w, J) -> (B, J, 2) fractions.

    Reference: Gu et al., Removing the Bias of Integral Pose Regression, ICCV 2021, §4.
    """
    return _mean_position(np.expm1(beta * _scaled(maps)))


DECODERS = {f.__name__: f for f in (argmax, quarter, dark, udp, softargmax, debiased_softargmax)}


def sources(output_names) -> tuple[str, ...]:
    """The outputs that `decode_pose` reads: a network's own coordinates and its first maps."""
    maps = [name for name in MAPS if name in output_names]
    return (OWN, *maps[:1]) if OWN in output_names else tuple(maps[:1])


def applicable(output_names) -> tuple[str, ...]:
    """Names of the decoders that serve a network with these outputs, its default first.

    None where it is no network for 2-D pose.
    """
    read = sources(output_names)
    own = (OWN,) if OWN in read else ()
    if not set(read) & set(MAPS):
        return own
    return (*own, *sorted(DECODERS, key=lambda name: name != DEFAULT_DECODER))


def decode_pose(outputs: dict, decoder: str | None = None) -> dict:
    """Joints of a batch of outputs.

    Args:
        outputs: {"coords": (B, J, 2)} or maps (B, h, w, J) or both.
        decoder: key of DECODERS for the maps, "coords" for the network's own coordinates, None for the network's
            default.
    Returns:
        {"coords": (B, J, 2), "confidence": (B,)}: confidence is the mean over the joints of `raw_scores`.
    Raises:
        UserError: the decoder is unknown or needs what the network does not emit.
    """
    allowed = applicable(outputs)
    decoder = decoder or next(iter(allowed), None)
    if decoder not in allowed:
        raise UserError(
            f"no decoder {decoder!r} for a network that emits {', '.join(outputs)}; allowed: {', '.join(allowed)}"
            f"{cli.meant(decoder, allowed)}"
        )
    maps = next((outputs[name] for name in sources(outputs) if name in MAPS), None)
    coords = outputs[OWN] if decoder == OWN else DECODERS[decoder](maps)
    return {"coords": coords, "confidence": raw_scores(outputs).mean(axis=-1).astype("float32")}


def raw_scores(outputs: dict) -> np.ndarray:
    """Of outputs as of `decode_pose` each joint's raw score (B, J): the height of its peak in 0..1, 1 without maps."""
    maps = next((outputs[name] for name in sources(outputs) if name in MAPS), None)
    return np.ones(outputs[OWN].shape[:2], "float32") if maps is None else np.clip(maps.max(axis=(1, 2)), 0, 1)


def decode_seg(outputs: dict) -> dict:
    """{"classes": (B, H, W) uint8}."""
    return {"classes": outputs["logits"].argmax(axis=-1).astype("uint8")}
