"""How good a progress estimate is, against the truth and not against the clock. Pure."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .errors import InputError

type Floats = NDArray[np.float64]


def spearman(estimate: ArrayLike, truth: ArrayLike) -> float:
    """Return Spearman's rank correlation, ties by average rank; NaN if either is constant.

    Raises:
        InputError: If the shapes differ or there are fewer than two values.
    """
    a, b = _pair(estimate, truth)
    ranks = [_ranks(values) for values in (a, b)]
    if any(np.ptp(values) == 0 for values in ranks):
        return float("nan")
    return float(np.corrcoef(ranks[0], ranks[1])[0, 1])


def auroc(scores: ArrayLike, labels: ArrayLike) -> float:
    """Return the probability that a positive scores above a negative, ties counting half.

    NaN if either class is empty.

    Raises:
        InputError: If the shapes differ or there are fewer than two values.
    """
    values, truth = _pair(scores, labels)
    positive = truth > 0.5
    n, m = int(positive.sum()), int((~positive).sum())
    if not n or not m:
        return float("nan")
    return float((_ranks(values)[positive].sum() - n * (n - 1) / 2) / (n * m))


def mean_error(estimate: ArrayLike, truth: ArrayLike) -> float:
    """Return the mean |Φ − truth|."""
    a, b = _pair(estimate, truth)
    return float(np.mean(np.abs(a - b)))


def calibration_error(confidence: ArrayLike, right: ArrayLike, *, bins: int = 10) -> float:
    """Return the expected calibration error: mean |confidence − share right| over equal bins."""
    p, y = _pair(confidence, right)
    number = np.minimum((p * bins).astype(int), bins - 1)
    gaps = [
        abs(float(p[number == k].mean() - y[number == k].mean())) * float((number == k).mean())
        for k in np.unique(number)
    ]
    return float(sum(gaps))


def _ranks(values: Floats) -> Floats:
    """Return 0-based ranks, ties sharing their mean."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts) - 1
    means: Floats = last - (counts - 1) / 2.0
    return means[inverse]


def _pair(first: ArrayLike, second: ArrayLike) -> tuple[Floats, Floats]:
    a, b = np.asarray(first, np.float64), np.asarray(second, np.float64)
    if a.shape != b.shape or a.ndim != 1 or len(a) < 2:
        raise InputError(f"need two lists of equal length, at least 2; got {a.shape}, {b.shape}")
    return a, b
