"""Test-time augmentation of segmentation, in NumPy.

A picture is shown to the network in several ways, and the probabilities are averaged.

The families, each averaged with the answer for the picture as it is:

| family | pictures | the way back | forward passes |
|---|---|---|---|
| flip | mirrored | mirrored, left and right classes swapped | 1 |
| scales | at other sizes, by default 0.75 and 1.25 times as large | resized | 1 each |
| color_pca | RGB shifted along the principal axes of the training set's colours | as it is | 1 each |
| crops | four corners and the centre, enlarged | shrunk and pasted | 5 |

Crops are those of Krizhevsky, Sutskever and Hinton, NIPS 2012, §4.1, without the mirrored five; the shifts are theirs
too, in training only. Chen et al., Rethinking Atrous Convolution, 2017, average over six scales from 0.5 to 1.75,
mirrored as well.

`all` averages over all of these answers, not over their products: 0.75 times as large and mirrored is not shown. The
five crops make one answer, as no crop holds the whole picture. Resizing is bilinear with half-pixel centres (OpenCV's
INTER_LINEAR).
"""

import dataclasses
import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping

import cv2
import numpy as np

from kzoo import UserError, cli
from kzoo.nn.decoding import unflip_maps

TTA = ("none", "flip", "scales", "color_pca", "crops", "all")


@dataclasses.dataclass(frozen=True)
class Variant:
    """One way to show pictures to a network, and the way back."""

    name: str
    forward: Callable  # (B, H, W, 3) uint8 -> (passes B, h, w, 3) uint8, the first pass of all pictures first
    backward: Callable  # (passes B, h, w, C) probabilities -> (B, H, W, C)
    passes: int = 1  # forward passes of the network for one picture

    def answer(self, predict_at: Callable, images) -> np.ndarray:
        """Probabilities (B, H, W, C) float32; the network sees no more pictures at once than came in."""
        shown = self.forward(images)
        network = predict_at(shown.shape[1:3])
        answers = [np.asarray(network(batch), "float32") for batch in np.split(shown, self.passes)]
        return self.backward(np.concatenate(answers))


PLAIN = Variant("none", lambda images: images, lambda maps: maps)


CHANNELS = 64  # OpenCV resizes no more than 128 (from version 5 on) at a time


def _resize(stack, size: tuple[int, int]) -> np.ndarray:
    """(B, h, w, K) of uint8 or float32 -> (B, *size, K)."""
    resized = []
    for x in stack:
        channels = []
        for first in range(0, x.shape[-1], CHANNELS):
            some = np.ascontiguousarray(x[..., first : first + CHANNELS])
            channels.append(cv2.resize(some, (size[1], size[0]), interpolation=cv2.INTER_LINEAR))
        resized.append(np.dstack(channels))  # brings back an axis of one channel, which OpenCV drops
    return np.stack(resized)


def flip(permutation) -> tuple[Variant, ...]:
    """The mirrored picture.

    Args:
        permutation: (C,) class that each one becomes in a mirror, see `kzoo.nn.geometry.flip_permutation`.
    """

    def mirror(images):
        return np.ascontiguousarray(images[:, :, ::-1])  # PyTorch takes no array with negative strides

    return (Variant("flip", mirror, lambda maps: unflip_maps(maps, permutation)),)


def scales(size: tuple[int, int], factors: Iterable[float] = (0.75, 1.25), multiple: int = 32) -> tuple[Variant, ...]:
    """The picture at other sizes.

    Args:
        size: (H, W) of the pictures.
        factors: of both sides, each rounded to the nearest multiple of `multiple` (away from H, W where two are as
            near) and at least that.
        multiple: what the network's input must be a multiple of.
    Raises:
        UserError: a factor is not above 0, or its size is that of the pictures.
    """
    return tuple(_scale(size, factor, multiple) for factor in factors)


def _scale(size, factor, multiple) -> Variant:
    if not factor > 0:
        raise UserError(f"a scale must be above 0, got {factor}")

    def rounded(side):
        cells = side * factor / multiple
        return multiple * max(1, math.ceil(cells - 0.5) if factor < 1 else math.floor(cells + 0.5))

    scaled = tuple(rounded(side) for side in size)
    if scaled == tuple(size):
        raise UserError(
            f"scale {factor} of {size[0]}x{size[1]} px is that size again, in multiples of {multiple}; "
            "take other scales"
        )
    return Variant(f"scale {factor:g}", lambda images: _resize(images, scaled), lambda maps: _resize(maps, size))


def color_pca(shifts) -> tuple[Variant, ...]:
    """The picture in other colours.

    Args:
        shifts: (K, 3) grey levels to be added to RGB 0..255, of `kzoo.data.statistics.colour_pca_variants`; let K be
            even, for an odd one holds the picture as it is, which is averaged in any case.
    """
    shifts = np.asarray(shifts, "float32")
    if shifts.ndim != 2 or shifts.shape[1] != 3:
        raise UserError(f"colour shifts must be K rows of R, G and B, got shape {shifts.shape}")
    return tuple(_shifted(f"colour {index}", shift) for index, shift in enumerate(shifts))


def _shifted(name, shift) -> Variant:
    def forward(images):
        return np.clip(np.rint(images + shift), 0, 255).astype("uint8")

    return Variant(name, forward, lambda maps: maps)


def crops(size: tuple[int, int], fraction: float = 7 / 8) -> tuple[Variant, ...]:
    """The four corners and the centre, enlarged to the size of the picture; one answer.

    Args:
        size: (H, W) of the pictures.
        fraction: of H and W that a crop keeps, from 0.5 so that the corners cover the picture, to below 1.
    Raises:
        UserError: fraction not in that range, or a crop of this size is the picture.
    """
    if not 0.5 <= fraction < 1:
        raise UserError(f"a crop must keep 0.5 to below 1 of the sides, got {fraction}")
    window = tuple(math.ceil(fraction * side) for side in size)
    if window == tuple(size):
        raise UserError(f"a crop of {fraction:g} of {size[0]}x{size[1]} px is the picture; take a smaller fraction")
    corners, weights = crop_weights(size, window)
    height, width = window

    def forward(images):
        shown = [_resize(images[:, top : top + height, left : left + width], size) for top, left in corners]
        return np.concatenate(shown)

    def backward(maps):
        batch = len(maps) // len(corners)
        answer = np.zeros((batch, *size, maps.shape[-1]), "float32")
        for index, ((top, left), weight) in enumerate(zip(corners, weights, strict=True)):
            here = np.s_[top : top + height, left : left + width]
            of_crop = maps[index * batch : (index + 1) * batch]
            answer[:, *here] += weight[here][..., None] * _resize(of_crop, window)
        return answer

    return (Variant("crops", forward, backward, passes=len(corners)),)


def crop_weights(size: tuple[int, int], window: tuple[int, int]) -> tuple[list[tuple[int, int]], np.ndarray]:
    """Where the five crops lie, and what their answers count.

    Args:
        size: (H, W) of the picture.
        window: (height, width) of a crop.
    Returns:
        their five upper left corners (row, column), and weights (5, H, W) float32 that sum to 1 at every pixel: 0
        outside a crop, falling linearly towards its ends inside the picture, so that its answer has no visible border.
    """
    rest = [side - kept for side, kept in zip(size, window, strict=True)]
    corners = [(0, 0), (0, rest[1]), (rest[0], 0), (rest[0], rest[1]), (rest[0] // 2, rest[1] // 2)]
    weights = []
    for top, left in corners:
        row = _taper(size[0], window[0], top)
        column = _taper(size[1], window[1], left)
        weights.append(row[:, None] * column)
    weights = np.stack(weights)
    return corners, (weights / weights.sum(axis=0)).astype("float32")


def _taper(side: int, kept: int, start: int) -> np.ndarray:
    """Weights (side,) of a crop along one axis: 1 within, down to 0 where it ends before the picture does.

    That is over side - kept pixels.
    """
    pixels = np.arange(side) + 0.5
    length = max(side - kept, 1)
    before = np.clip((pixels - start) / length, 0, 1) if start else 1.0
    after = np.clip((start + kept - pixels) / length, 0, 1) if start + kept < side else 1.0
    return np.minimum(before, after) * np.ones(side)


def families(size: tuple[int, int], permutation, shifts) -> dict[str, tuple[Variant, ...]]:
    """All families of variants by their name in TTA, as the functions above make them by default.

    Args:
        size: (H, W) of the pictures.
        permutation: see `flip`.
        shifts: see `color_pca`.
    """
    return {"flip": flip(permutation), "scales": scales(size), "color_pca": color_pca(shifts), "crops": crops(size)}


def variants_of(tta: str, known: Mapping[str, tuple[Variant, ...]]) -> tuple[Variant, ...]:
    """What is averaged, the picture as it is first.

    Args:
        tta: "none", "all" or a key of `known`.
        known: of `families`.
    Raises:
        UserError: another name.
    """
    if tta not in ("none", "all", *known):
        raise UserError(f"unknown tta {tta!r}; allowed: none, {', '.join(known)}, all{cli.meant(tta, known)}")
    if tta == "none":
        return (PLAIN,)
    wanted = known.values() if tta == "all" else [known[tta]]
    return PLAIN, *itertools.chain.from_iterable(wanted)


def average(predictions: Iterable) -> np.ndarray:
    """Mean of arrays of the same shape, float32, as they come: two of them are in memory at once."""
    total = None
    count = 0
    for prediction in predictions:
        total = np.array(prediction, "float32") if total is None else np.add(total, prediction, out=total)
        count += 1
    if total is None:
        raise UserError("an average needs at least one prediction, got none")
    return np.divide(total, count, out=total)


def predict(predict_at: Callable, images, variants: Iterable[Variant]) -> np.ndarray:
    """Probabilities of pictures, averaged over variants.

    Args:
        predict_at: (h, w) -> the network at that size: a function (B, h, w, 3) uint8 -> (B, h, w, C) probabilities. It
            is asked for one batch after the other, so it should keep what it has built.
        images: (B, H, W, 3) uint8.
        variants: of `variants_of`.
    Returns:
        (B, H, W, C) float32.
    """
    return average(variant.answer(predict_at, images) for variant in variants)


def gains(predict_at: Callable, images, known: Mapping[str, tuple[Variant, ...]]) -> Iterator[tuple[str, np.ndarray]]:
    """What every family brings, and all of them together, with each variant predicted once.

    Args:
        predict_at, images: see `predict`.
        known: of `families`.
    Yields:
        (name, (B, H, W, C) float32 probabilities): "none"; every family, averaged with that; "all". Equal to `predict`
        of `variants_of` each.
    """
    plain = PLAIN.answer(predict_at, images)
    everything = plain.copy()
    count = 1
    yield "none", plain.copy()
    for name, variants in known.items():
        total = plain.copy()
        for variant in variants:
            answer = variant.answer(predict_at, images)
            total += answer
            everything += answer
        count += len(variants)
        yield name, np.divide(total, 1 + len(variants), out=total)
    yield "all", np.divide(everything, count, out=everything)


def passes(known: Mapping[str, tuple[Variant, ...]]) -> dict[str, int]:
    """Forward passes for one picture of every name that `gains` yields."""
    counts = {}
    for name in ("none", *known, "all"):
        counts[name] = sum(variant.passes for variant in variants_of(name, known))
    return counts
