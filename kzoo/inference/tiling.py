"""Answers for pictures of any size, put together from overlapping tiles. NumPy; the network is a function.

Tiles start at multiples of the network's stride, where its strided layers meet the same pixels as in the whole picture.
So a pixel's answer is the whole picture's, to rounding, if every tile that counts there saw the network's whole
receptive field around it (`seams` says how much they saw). That cannot be for networks that average whole maps
(DeepLab's image-level features, squeeze and excitation).

Along an axis a tile's weight is 0 in the outer quarter of its overlap with a neighbour, 1 beyond the inner quarter, and
sin^2 in between, which adds up to 1 with the neighbour's cos^2. Where tiles overlap by more than half, the weights are
divided by their sum. At the picture's own border it stays 1. As the weights of rows and columns sum to 1 each, so do
their products: there is no map of weights, and no division at the end. Besides the answer, (H, W, C) float32, only one
batch of tiles is in memory.
"""

import itertools
from collections.abc import Callable

import numpy as np
from tqdm.auto import tqdm

from kzoo import UserError


def _places(length: int, tile: int, overlap: int, multiple: int) -> tuple[np.ndarray, np.ndarray]:
    """The tiles along one axis: their starts (n,) and weights (n, length of the padded picture) float32."""
    if tile < multiple or tile % multiple:
        raise UserError(f"a tile's sides must be multiples of {multiple} (the network's stride), got {tile}")
    if not 0 <= overlap <= tile - multiple:
        raise UserError(
            f"overlap must be 0 to {tile - multiple} px (tile {tile} less the network's stride {multiple}), "
            f"got {overlap}"
        )

    # Where they start, spread evenly; in units of `multiple` first.
    padded = max(tile, -(-length // multiple) * multiple)
    step = (tile - overlap) // multiple
    steps = (padded - tile) // multiple
    count = -(-steps // step)
    starts = [index * steps // count for index in range(count + 1)] if count else [0]
    starts = multiple * np.array(starts)

    # What they weigh.
    weights = np.zeros((len(starts), padded))
    for row, start in zip(weights, starts, strict=True):
        row[start : start + tile] = 1
    for before, after, start, end in zip(weights, weights[1:], starts[1:], starts + tile, strict=False):
        ramp = _ramp(end - start)
        before[start:end] *= ramp[::-1]
        after[start:end] *= ramp
    return starts, (weights / weights.sum(axis=0)).astype("float32")


def _ramp(size: int) -> np.ndarray:
    """0 for a quarter, sin^2 for a half, 1 for a quarter, (size,): with its mirror image it sums to 1."""
    margin = size // 4
    share = np.clip((np.arange(size) + 0.5 - margin) / max(size - 2 * margin, 1), 0, 1)
    return np.sin(np.pi / 2 * share) ** 2


def _cut(image, top: int, left: int, tile: tuple[int, int]) -> np.ndarray:
    """The tile that starts there, black beyond the picture."""
    inside = image[top : top + tile[0], left : left + tile[1]]
    cut = np.zeros((*tile, 3), "uint8")
    cut[: inside.shape[0], : inside.shape[1]] = inside
    return cut


def predict_tiled(
    predict: Callable,
    image: np.ndarray,
    *,
    tile: tuple[int, int],
    overlap: int,
    classes: int,
    batch_size: int = 1,
    multiple: int = 32,
    progress: bool = False,
) -> np.ndarray:
    """Class probabilities of a picture of any size.

    Args:
        predict: (B, h, w, 3) uint8 -> (B, h, w, C) probabilities, h and w those of `tile`; the last B may be smaller.
        image: (H, W, 3) uint8 RGB. Below a multiple of `multiple`, or below the tile, black is added at its lower and
            right end, as beyond the picture in training, and cut off again.
        tile: (height, width) in pixels, multiples of `multiple`.
        overlap: pixels that neighbours share, at least. From four times the receptive field's radius on, the answer is
            the whole picture's everywhere.
        classes: C.
        batch_size: tiles at once.
        multiple: the network's stride.
        progress: show a bar.
    Returns:
        (H, W, C) float32, which sum to 1 over C as the network's do.
    Raises:
        UserError: tile, overlap, batch_size or picture not possible, or the network's answer has another shape.
    """
    image = np.asarray(image)
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[-1] != 3 or not image.size:
        raise UserError(f"tiles are cut from one uint8 picture (H, W, 3), got {image.dtype} {image.shape}")
    if batch_size < 1:
        raise UserError(f"batch_size must be at least 1, got {batch_size}")

    # Each tile's place: where it starts and what it weighs, along both axes.
    rows = zip(*_places(image.shape[0], tile[0], overlap, multiple), strict=True)
    columns = zip(*_places(image.shape[1], tile[1], overlap, multiple), strict=True)
    places = list(itertools.product(rows, columns))

    # The answers of a batch of tiles are added where they belong.
    answer = np.zeros((*image.shape[:2], classes), "float32")
    with tqdm(total=len(places), unit="tile", desc="predict", dynamic_ncols=True, disable=not progress) as bar:
        for first in range(0, len(places), batch_size):
            batch = places[first : first + batch_size]
            tiles = np.stack([_cut(image, top, left, tile) for (top, _), (left, _) in batch])
            answers = np.asarray(predict(tiles))
            expected = (len(batch), *tile, classes)
            if answers.shape != expected:
                raise UserError(f"the network must answer tiles with {expected} probabilities, got {answers.shape}")
            for ((top, down), (left, across)), maps in zip(batch, answers, strict=True):
                here = answer[top : top + tile[0], left : left + tile[1]]  # smaller than the tile where black was added
                height, width = here.shape[:2]
                weight = down[top : top + height, None] * across[left : left + width]
                here += weight[..., None] * maps[:height, :width]
            bar.update(len(batch))
    return answer


def seams(shape: tuple[int, int], tile: tuple[int, int], overlap: int, multiple: int = 32) -> np.ndarray:
    """How much of the picture the tiles of `predict_tiled` see around each pixel.

    Args:
        shape: (H, W) of the picture.
        tile, overlap, multiple: see `predict_tiled`.
    Returns:
        (H, W) float32: pixels between this one and the nearest end of a tile that counts here. The picture's own border
        is no end of a tile, so it is inf where a tile ends nowhere else.
    """
    rows = _contexts(shape[0], tile[0], overlap, multiple)
    columns = _contexts(shape[1], tile[1], overlap, multiple)
    return np.minimum(rows[:, None], columns)


def _contexts(length: int, tile: int, overlap: int, multiple: int) -> np.ndarray:
    """`seams` along one axis: (length,)."""
    starts, weights = _places(length, tile, overlap, multiple)
    pixels = np.arange(length, dtype="float32")
    nearest = np.full(length, np.inf, "float32")
    for start, weight in zip(starts, weights[:, :length], strict=True):
        before = pixels - start if start else np.inf
        after = start + tile - 1 - pixels if start + tile < weights.shape[1] else np.inf
        nearest = np.where(weight > 0, np.minimum(nearest, np.minimum(before, after)), nearest)
    return nearest
