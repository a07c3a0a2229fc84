"""Answers that do not depend on the picture: how much a score is worth beside them, and networks that learned nothing
more."""

import numpy as np

STILL = 0.05  # of the truth's spread over the examples: answers that move by less are the same for every picture
FEWEST = 4  # examples, below which nothing is said


def spread(values) -> float:
    """Standard deviation over the examples of (N, …) numbers, its mean over the rest; NaN counts nowhere."""
    values = np.asarray(values, "float64").reshape(len(values), -1)
    values = values[:, np.isfinite(values).any(axis=0)]
    return float(np.nanstd(values, axis=0).mean()) if values.size else 0.0


def is_still(answers, truth) -> bool:
    """Do answers (N, …) hardly differ from example to example, where the truth does?"""
    if len(truth) < FEWEST or not np.isfinite(np.asarray(answers, "float64")).any():
        return False
    of_truth = spread(truth)
    return of_truth > 0 and spread(answers) < STILL * of_truth
