"""How far a figure would move had other episodes been drawn: intervals. Pure."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from .errors import InputError

type Floats = NDArray[np.float64]
type Ints = NDArray[np.int64]

LEVEL = 0.95
"""Share of the draws that an interval holds."""
ENOUGH = 0.5
"""Share of draws in which a figure must have a value, for there to be an interval."""


def resamples(count: int, draws: int, *, seed: int) -> Ints:
    """Return (draws, count) numbers of episodes, drawn with replacement.

    All that is compared must be figured on the same draws: that is what pairs it (Efron and
    Tibshirani, An Introduction to the Bootstrap, chapters 8 and 13).

    Raises:
        InputError: If there is nothing to draw from.
    """
    if count < 1 or draws < 1:
        raise InputError(f"need at least one episode and one draw, got {count} and {draws}")
    return np.random.default_rng(seed).integers(0, count, size=(draws, count))


def figured(figure: Callable[[Ints], float], draws: Ints) -> Floats:
    """Return a figure's value on every draw."""
    return np.array([figure(numbers) for numbers in draws], np.float64)


def interval(values: Floats) -> tuple[float, float]:
    """Return the bounds between which the middle 95 % of the values lie.

    Draws in which a figure has no value (no failure among them, say) are left out; NaN where
    that is most of them.
    """
    known = values[~np.isnan(values)]
    if len(known) <= ENOUGH * len(values):
        return float("nan"), float("nan")
    tail = 100 * (1 - LEVEL) / 2
    low, high = np.percentile(known, [tail, 100 - tail])
    return float(low), float(high)


def share_interval(hits: int, count: int) -> tuple[float, float]:
    """Return the exact (Clopper-Pearson) interval of a share of independent episodes.

    A bootstrap of 40 passes out of 40 would be sure that there are no others; this is not.
    NaN without an episode.

    Raises:
        InputError: If there are more hits than episodes.
    """
    from scipy.stats import binomtest

    if not 0 <= hits <= count:
        raise InputError(f"{hits} of {count} episodes is no share")
    if not count:
        return float("nan"), float("nan")
    bounds = binomtest(hits, count).proportion_ci(LEVEL, method="exact")
    return float(bounds.low), float(bounds.high)
