"""Keyframes of an episode that nobody annotated: where what is seen changes its kind."""

from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .errors import InputError

type Floats = NDArray[np.float64]

LEAST_GAIN = 0.05
"""A split that explains less than this share of the whole variance is not made."""


def segment(features: ArrayLike, *, most: int = 8, shortest: int = 5) -> list[int]:
    """Return keyframes that bound segments within which the features hardly change.

    Recursive splitting (Sermanet et al. 2017, arXiv 1612.06699, section 3.2, there by standard
    deviations): the segment whose best split takes away most of the sum of squared deviations
    from the segments' means is split, until there are ``most`` of them or a split would explain
    less than 5 % of the whole.

    Args:
        features: (T, D) of the frames.
        most: Segments at most.
        shortest: Frames of a segment at least.

    Returns:
        Rising frame numbers, the first 0 and the last T − 1; at least one segment.

    Raises:
        InputError: If there are fewer than two frames, or a feature is not finite.
    """
    values = np.asarray(features, np.float64)
    if values.ndim != 2 or len(values) < 2 or not np.isfinite(values).all():
        raise InputError(
            f"features must be finite, (T, D) with two frames or more, got {values.shape}"
        )
    bounds = [0, len(values)]
    whole = _deviation(values)
    while len(bounds) <= most and whole > 0:
        splits = [_best(values, a, b, shortest) for a, b in pairwise(bounds)]
        gain, at = max(splits)
        if gain < LEAST_GAIN * whole:
            break
        bounds = sorted([*bounds, at])
    return [*bounds[:-1], len(values) - 1]


def _best(values: Floats, begin: int, end: int, shortest: int) -> tuple[float, int]:
    """Return (gain, frame) of the best split of a segment; (0, begin) if it is too short."""
    part = values[begin:end]
    cuts = np.arange(shortest, len(part) - shortest + 1)
    if len(cuts) == 0:
        return 0.0, begin
    sums = np.cumsum(part, axis=0)
    left, right = sums[cuts - 1], sums[-1] - sums[cuts - 1]
    explained = (left**2).sum(1) / cuts + (right**2).sum(1) / (len(part) - cuts)
    best = int(np.argmax(explained))
    gain = explained[best] - (sums[-1] ** 2).sum() / len(part)
    return float(gain), begin + int(cuts[best])


def _deviation(values: Floats) -> float:
    """Return the sum of squared deviations from the mean."""
    return float(((values - values.mean(axis=0)) ** 2).sum())
