"""How good a progress estimate is, against the truth and not against the clock. Pure."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .errors import InputError

type Floats = NDArray[np.float64]

BINS = 10
"""Equal bins of confidence in which it is compared with how often it is right."""


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
    """Return the mean |Φ − truth|; one value is enough."""
    a, b = _pair(estimate, truth, least=1)
    return float(np.mean(np.abs(a - b)))


def ccc(estimate: ArrayLike, truth: ArrayLike) -> float:
    """Return Lin's concordance: 2·cov / (var + var′ + (mean − mean′)²); NaN if both are constant.

    A correlation that also punishes another scale or offset (Lin, Biometrics 45, 1989); 0 for a
    constant estimate of what is not constant.
    """
    a, b = _pair(estimate, truth)
    below = float(a.var() + b.var() + (a.mean() - b.mean()) ** 2)
    shared = float(np.mean((a - a.mean()) * (b - b.mean())))
    return 2 * shared / below if below > 0 and (np.ptp(a) > 0 or np.ptp(b) > 0) else float("nan")


def reliability(confidence: ArrayLike, right: ArrayLike, *, bins: int = BINS) -> Floats:
    """Return (bins, 3): how many, sum of confidence, how many right, in equal bins of confidence.

    Sums, so that those of several episodes may be added.
    """
    p, y = _pair(confidence, right, least=1)
    number = np.minimum((p * bins).astype(int), bins - 1)
    columns = [np.bincount(number, weights, bins) for weights in (np.ones_like(p), p, y)]
    return np.stack(columns, axis=1).astype(np.float64)


def expected_calibration_error(sums: Floats) -> float:
    """Return the mean |confidence − share right| over the bins of `reliability`; NaN if empty."""
    count = float(sums[:, 0].sum())
    return float(np.abs(sums[:, 1] - sums[:, 2]).sum()) / count if count else float("nan")


def calibration_error(confidence: ArrayLike, right: ArrayLike, *, bins: int = BINS) -> float:
    """Return the expected calibration error: mean |confidence − share right| over equal bins."""
    return expected_calibration_error(reliability(confidence, right, bins=bins))


def _ranks(values: Floats) -> Floats:
    """Return 0-based ranks, ties sharing their mean."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts) - 1
    means: Floats = last - (counts - 1) / 2.0
    return means[inverse]


def _pair(first: ArrayLike, second: ArrayLike, *, least: int = 2) -> tuple[Floats, Floats]:
    a, b = np.asarray(first, np.float64), np.asarray(second, np.float64)
    if a.shape != b.shape or a.ndim != 1 or len(a) < least:
        shapes = f"{a.shape}, {b.shape}"
        raise InputError(f"need two lists of equal length, at least {least}; got {shapes}")
    return a, b
