"""Statistics of a training set, in NumPy.

Its colours (input normalisation, Color PCA), its classes (weights of the loss), the bounds of its joints, the places of
its camera.

Units: the mean and the covariance are those of RGB in 0..255, so eigenvalues are variances in grey levels squared.

Color PCA adds sum_k p_k alpha_k lambda_k to every pixel of a picture, with p_k and lambda_k the eigenvectors and
eigenvalues of the covariance of RGB and alpha_k ~ N(0, 0.1) (Krizhevsky, Sutskever and Hinton, ImageNet Classification
with Deep Convolutional Neural Networks, NIPS 2012, §4.1). lambda is a variance, so the shift depends on the unit of
colour, which the paper does not name. The constants in use tell it: lambda = (.2175, .0188, .0045), for RGB in 0..1. As
variances along their axes they give the channels deviations of .284, .276, .290, and .281, .274, .288 were measured
over ImageNet's pixels (pytorch/vision issue 1439; the usual .229, .224, .225 average the deviations within pictures);
as deviations they would give .12 to .13. So lambda is a variance of RGB in 0..1, and RGB in 0..255 is shifted by alpha
* lambda / 255 with the eigenvalues of this file. Where alpha's deviation is 0.1, ImageNet's three shifts have
deviations of 5.5, 0.5 and 0.1 grey levels: nearly all of it is brightness.
"""

import dataclasses
from collections.abc import Callable, Iterable

import numpy as np

from kzoo import UserError, cli

# Variance of rounding to whole grey levels; no spread is taken to be smaller, or whitening would blow up noise.
ROUNDING = 1 / 12


@dataclasses.dataclass(frozen=True)
class ColourStatistics:
    """First and second moments of RGB in 0..255 over all pixels of a set of pictures."""

    mean: tuple[float, ...]  # 3 grey levels
    covariance: tuple[tuple[float, ...], ...]  # 3x3 grey levels squared, divided by the number of pixels
    pixels: int = 0  # that were counted; 0: published numbers

    def __post_init__(self):
        mean, covariance = np.asarray(self.mean, "float64"), np.asarray(self.covariance, "float64")
        if mean.shape != (3,) or covariance.shape != (3, 3):
            raise UserError(
                f"colour statistics need 3 means and a 3x3 covariance, got shapes {mean.shape} and {covariance.shape}"
            )
        # Tuples: can be hashed and compared, and JSON brings them back.
        object.__setattr__(self, "mean", tuple(mean.tolist()))
        object.__setattr__(self, "covariance", tuple(map(tuple, covariance.tolist())))

    @property
    def std(self) -> np.ndarray:
        """Standard deviation of each channel: (3,) grey levels."""
        return np.sqrt(np.diag(self.covariance))

    @property
    def eigenvalues(self) -> np.ndarray:
        """Variances along the principal axes, descending: (3,) grey levels squared."""
        return np.maximum(np.linalg.eigvalsh(self.covariance)[::-1], 0.0)

    @property
    def eigenvectors(self) -> np.ndarray:
        """Principal axes as columns, in the order of `eigenvalues`: (3, 3), rows R, G, B.

        The largest entry of each is positive.
        """
        vectors = np.linalg.eigh(self.covariance)[1][:, ::-1]
        largest = vectors[np.abs(vectors).argmax(axis=0), range(3)]
        return vectors * np.sign(largest)

    @property
    def pca_shifts(self) -> np.ndarray:
        """Shift of RGB, 0..255, by alpha_k = 1 in column k: (3, 3), p_k lambda_k / 255.

        `pca_shifts @ alpha` is Color PCA (see above).
        """
        return self.eigenvectors * self.eigenvalues / 255

    def to_dict(self) -> dict:
        """Plain numbers and lists, for JSON; `ColourStatistics(**them)` is the same again."""
        return {"mean": list(self.mean), "covariance": [list(row) for row in self.covariance], "pixels": self.pixels}


# Mean, eigenvalues and eigenvectors for RGB in 0..1 that facebook/fb.resnet.torch (datasets/imagenet.lua) publishes;
# the sign of the first vector is turned. The vectors are columns, with rows R, G, B.
_IMAGENET_VALUES = np.array([0.2175, 0.0188, 0.0045])
_IMAGENET_VECTORS = np.array([[0.5675, 0.7192, 0.4009], [0.5808, -0.0045, -0.8140], [0.5836, -0.6948, 0.4203]])
IMAGENET = ColourStatistics(
    mean=255 * np.array([0.485, 0.456, 0.406]),
    covariance=255**2 * (_IMAGENET_VECTORS * _IMAGENET_VALUES) @ _IMAGENET_VECTORS.T,
)


def fit_colours(images: Iterable) -> ColourStatistics:
    """Colour statistics of pictures in one pass, without rounding: the sums are whole numbers.

    Args:
        images: (H, W, 3) uint8 each, of any sizes, or batches (B, H, W, 3). Every pixel counts once, so feed them
            without padding.
    Raises:
        UserError: a picture of another type or shape, or no pixel at all.
    """
    count = 0
    first = np.zeros(3, object)  # object: Python's integers, which do not overflow
    second = np.zeros((3, 3), object)
    for image in images:
        image = np.asarray(image)
        if image.dtype != np.uint8 or image.ndim not in (3, 4) or image.shape[-1] != 3:
            raise UserError(
                "colours are counted in uint8 pictures (H, W, 3) or batches (B, H, W, 3), "
                f"got {image.dtype} {image.shape}"
            )
        # Products of bytes sum exactly in float64, up to 10^11 pixels a picture.
        pixels = image.reshape(-1, 3).astype("float64")
        count += len(pixels)
        first += pixels.sum(axis=0).astype("int64").astype(object)
        second += (pixels.T @ pixels).astype("int64").astype(object)
    if not count:
        raise UserError("colour statistics need at least one picture, got none")
    covariance = (count * second - np.outer(first, first)) / count**2
    return ColourStatistics(first / count, covariance, count)


# name -> function of the statistics: what is subtracted, (3,), and what then multiplies, (3, 3).
NORMALISATIONS: dict[str, Callable] = {
    "none": lambda _: (np.zeros(3), np.eye(3) / 255),
    "mean": lambda s: (s.mean, np.eye(3) / 255),
    "zscore": lambda s: (s.mean, np.diag(1 / np.sqrt(np.maximum(np.diag(s.covariance), ROUNDING)))),
    "whiten": lambda s: (s.mean, s.eigenvectors / np.sqrt(np.maximum(s.eigenvalues, ROUNDING))),
}


def scaling(statistics: ColourStatistics | None, mode: str) -> dict:
    """Arguments of `kzoo.nn.layers.ColourTransform` that normalise RGB in 0..255.

    Args:
        statistics: of the training set; "none" needs none.
        mode: "none": RGB / 255. "mean": (RGB - mean) / 255. "zscore": (RGB - mean) / deviation, by channel.
            "whiten": RGB - mean along the principal axes, each divided by its deviation (PCA whitening); the channels
            are then the axes, the most spread first. A deviation below that of rounding to whole grey levels counts as
            that.
    Returns:
        {"matrix": 3 lists of 3 numbers, "offset": 3 numbers}, for rgb @ matrix + offset.
    Raises:
        UserError: unknown mode, or no statistics where it needs some.
    """
    if mode not in NORMALISATIONS:
        raise UserError(
            f"unknown normalisation {mode!r}; allowed: {', '.join(NORMALISATIONS)}{cli.meant(mode, NORMALISATIONS)}"
        )
    if statistics is None and mode != "none":
        raise UserError(f"normalisation {mode!r} needs the colour statistics of the training set, got none")
    centre, matrix = NORMALISATIONS[mode](statistics)
    return {"matrix": matrix.tolist(), "offset": (-(np.asarray(centre) @ matrix) + 0.0).tolist()}


def colour_pca_variants(statistics: ColourStatistics, count: int, sigma: float = 0.1, seed: int = 0) -> np.ndarray:
    """Color PCA at test time: shifts to be added to RGB, 0..255, of one picture; its predictions are averaged.

    Args:
        count: number of variants; an odd one begins with the picture as it is, the rest are pairs of a shift and its
            opposite.
        sigma: standard deviation of alpha.
        seed: of the draw.
    Returns:
        (count, 3) float64 grey levels that average to 0.
    """
    if count < 1 or sigma < 0:
        raise UserError(f"Color PCA needs a count of at least 1 and a sigma of at least 0, got {count} and {sigma}")
    alpha = np.random.default_rng(seed).normal(scale=sigma, size=(count // 2, 3))
    shifts = alpha @ statistics.pca_shifts.T
    pairs = np.stack([shifts, -shifts], axis=1).reshape(-1, 3)
    return np.concatenate([np.zeros((count % 2, 3)), pairs])


def fit_classes(masks: Iterable, classes: int, ignore: int = 255) -> tuple[np.ndarray, np.ndarray]:
    """Pixels of every class, in one pass.

    Args:
        masks: (H, W) integers each, of any sizes, or batches (B, H, W).
        classes: C; ids are 0..C-1 and `ignore`, which is not counted.
    Returns:
        counts: (C,) int64, pixels of the class; totals: (C,) int64, labelled pixels of the pictures in which the class
        occurs.
    Raises:
        UserError: an id that is no class.
    """
    counts, totals = np.zeros((2, classes), "int64")
    for batch in masks:
        batch = np.asarray(batch)
        for mask in batch.reshape(-1, *batch.shape[-2:]):
            ids = mask[mask != ignore]
            if ids.size and not 0 <= ids.min() <= ids.max() < classes:
                raise UserError(
                    f"a mask holds ids {ids.min()} to {ids.max()}; allowed: 0 to {classes - 1}, "
                    f"and {ignore} for unlabelled"
                )
            own = np.bincount(ids, minlength=classes)
            counts += own
            totals += np.where(own > 0, ids.size, 0)
    return counts, totals


def median_frequency(counts, totals) -> np.ndarray:
    """Class weights by median frequency balancing.

    freq(c) = pixels of c / pixels of the pictures in which c occurs; weight(c) = median of freq / freq(c).

    Args:
        counts, totals: (C,), of `fit_classes`.
    Returns:
        (C,) float64; 0 for classes that never occur, which do not enter the median.
    Raises:
        UserError: no class occurs.

    Reference: Eigen and Fergus, Predicting Depth, Surface Normals and Semantic Labels with a Common Multi-Scale
    Convolutional Architecture, ICCV 2015.
    """
    counts, totals = np.asarray(counts, "float64"), np.asarray(totals, "float64")
    present = counts > 0
    if not present.any():
        raise UserError("median-frequency weights need labelled pixels, got none")
    frequency = counts[present] / totals[present]
    weights = np.zeros(counts.shape)
    weights[present] = np.median(frequency) / frequency
    return weights


def fit_bounds(joints: Iterable) -> dict[str, list]:
    """Where the joints of a training set lie, for networks whose answers are bounded.

    Args:
        joints: arrays (T, J, 3) metres.
    Returns:
        {"low": (J, 3), "high": (J, 3)} lists, the least and the greatest value of each coordinate.
    """
    low = high = None
    for clip in joints:
        least, most = clip.min(axis=0), clip.max(axis=0)
        low = least if low is None else np.minimum(low, least)
        high = most if high is None else np.maximum(high, most)
    if low is None:
        raise UserError("the training split holds no joints")
    return {"low": low.tolist(), "high": high.tolist()}


def fit_places(positions: Iterable) -> dict:
    """Where the camera of a training set was.

    Args:
        positions: arrays (3,) or (T, 3) metres.
    Returns:
        {"centre": mean position, 3 numbers; "spread": deviation from it along an axis, mean over the axes}, metres.
    """
    places = np.concatenate([np.reshape(position, (-1, 3)) for position in positions]).astype("float64")
    spread = float(np.sqrt(places.var(axis=0).mean()))
    return {"centre": places.mean(axis=0).tolist(), "spread": spread or 1.0}
