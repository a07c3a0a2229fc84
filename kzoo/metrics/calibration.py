"""Scores that mean something: from the raw score of a joint, the height of its peak, to the probability that it is
right, by isotonic regression on the validation set.

Reference: Zadrozny and Elkan, Transforming Classifier Scores into Accurate Multiclass Probability Estimates, KDD 2002;
the expected calibration error: Guo et al., On Calibration of Modern Neural Networks, ICML 2017, eq. 3.
"""

import dataclasses
import itertools
import math

import numpy as np

from kzoo import UserError

BINS = 32  # of equally many scores, which the regression sees: at most so many knots
ECE_BINS = 10  # of equal width
FEWEST = 50  # answers that a table is made of


@dataclasses.dataclass(frozen=True)
class Calibration:
    """A table from raw scores to probabilities, linear between its knots.

    scores: ascending; shares: in 0..1, not descending; right: what counts as right, in words; split: and counted: how
    many answers on it the table was made of; ece_raw, ece: expected calibration error before and after, of tables made
    on one half of the split's examples and measured on the other; network: see `kzoo.runs.Run.network`.
    """

    scores: tuple[float, ...]
    shares: tuple[float, ...]
    right: str
    split: str = ""
    counted: int = 0
    ece_raw: float = math.nan
    ece: float = math.nan
    network: str = ""

    def __call__(self, raw) -> np.ndarray:
        """Probabilities of raw scores, of any shape; NaN stays."""
        return np.interp(np.asarray(raw, "float64"), self.scores, self.shares)

    def to_json(self) -> dict:
        return {**dataclasses.asdict(self), "scores": list(self.scores), "shares": list(self.shares)}

    @classmethod
    def from_json(cls, value, path) -> "Calibration":
        """Of an entry of the file at `path`.

        Raises:
            UserError: it is no table.
        """
        wrong = f"{path} holds no table from scores to shares, rising numbers in lists of one length"
        if not isinstance(value, dict) or not {"scores", "shares", "right"} <= set(value):
            raise UserError(wrong)
        scores, shares = value["scores"], value["shares"]
        if not isinstance(scores, list) or not isinstance(shares, list) or not 0 < len(scores) == len(shares):
            raise UserError(wrong)
        if not all(isinstance(x, int | float) and math.isfinite(x) for x in (*scores, *shares)):
            raise UserError(wrong)
        rises = all(a < b for a, b in itertools.pairwise(scores)) and all(a <= b for a, b in itertools.pairwise(shares))
        if not rises or not 0 <= shares[0] <= shares[-1] <= 1:
            raise UserError(wrong)
        texts = {name: value[name] for name in ("right", "split", "network") if name in value}
        told = {name: value[name] for name in ("counted", "ece_raw", "ece") if name in value}
        if not all(isinstance(x, str) for x in texts.values()):
            raise UserError(f"{path} is damaged: right, split and network must be texts")
        if not all(isinstance(x, int | float) for x in told.values()):
            raise UserError(f"{path} is damaged: counted, ece_raw and ece must be numbers")
        return cls(tuple(map(float, scores)), tuple(map(float, shares)), **texts, **told)


def knots(raw, right) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Isotonic regression of `right` on `raw`, both (K,): scores and shares.

    Neighbouring scores are first put together, BINS of equally many; each counts one right and one wrong answer more
    than it has (Laplace), so that no share is 0 or 1.
    """
    from sklearn.isotonic import IsotonicRegression  # slow

    raw, right = np.asarray(raw, "float64"), np.asarray(right, "float64")
    edges = np.unique(np.quantile(raw, np.linspace(0, 1, BINS + 1)[:-1], method="nearest"))
    places = np.searchsorted(edges, raw, side="right")
    groups = [places == place for place in np.unique(places)]
    means = [float(raw[group].mean()) for group in groups]
    counts = [int(group.sum()) for group in groups]
    shares = [(float(right[group].sum()) + 1) / (count + 2) for group, count in zip(groups, counts, strict=True)]
    fitted = IsotonicRegression(y_min=0, y_max=1).fit_transform(means, shares, sample_weight=counts)
    return tuple(means), tuple(map(float, fitted))


def expected_error(probabilities, right) -> float:
    """Expected calibration error of (K,) probabilities: |mean probability - share that is right| in bins of equal
    width, weighted by how many fall into each."""
    probabilities, right = np.asarray(probabilities, "float64"), np.asarray(right, "float64")
    places = np.minimum((probabilities * ECE_BINS).astype(int), ECE_BINS - 1)
    gaps = [abs((probabilities[places == i] - right[places == i]).sum()) for i in range(ECE_BINS)]
    return float(sum(gaps) / len(probabilities))


def fit(raw, right, words: str, **told) -> Calibration | None:
    """A table of all answers of a split; None where there are too few of them.

    Args:
        raw: (N, J) scores in 0..1; right: (N, J), 1 or 0, NaN where nobody knows; words: what counts as right; told:
        further fields of `Calibration`.
    """
    raw, right = np.asarray(raw, "float64"), np.asarray(right, "float64")
    known = np.isfinite(right) & np.isfinite(raw)
    if known.sum() < FEWEST:
        return None
    scores, shares = knots(raw[known], right[known])

    # Every second example is held out, once each half
    errors, errors_raw = [], []
    for first in (0, 1):
        seen, held = np.zeros_like(known), np.zeros_like(known)
        seen[first::2], held[1 - first :: 2] = True, True
        seen, held = seen & known, held & known
        if seen.any() and held.any():
            half = knots(raw[seen], right[seen])
            errors.append(expected_error(np.interp(raw[held], *half), right[held]))
            errors_raw.append(expected_error(raw[held], right[held]))
    means = [float(np.mean(values)) if values else math.nan for values in (errors_raw, errors)]
    return Calibration(scores, shares, words, counted=int(known.sum()), ece_raw=means[0], ece=means[1], **told)
