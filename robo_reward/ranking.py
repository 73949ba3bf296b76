"""Whether progress orders what should be ordered: the frames of an episode, and episodes. Pure."""

from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .errors import InputError
from .metrics import spearman

type Floats = NDArray[np.float64]

FAILURE, PARTIAL, SUCCESS = 0, 1, 2
"""Outcome classes of episodes, the better the higher."""


def voc(progress: ArrayLike) -> float:
    """Return Spearman's correlation of Φ (T,) with time: value-order correlation.

    GVL, arXiv 2411.04549; VOC+ of Robo-Dopamine, arXiv 2512.23703. A constant Φ, or one that is
    NaN anywhere, orders nothing: 0. A clock has 1, so this says nothing alone.

    Raises:
        InputError: If there are fewer than two values.
    """
    values = np.asarray(progress, np.float64)
    rank = spearman(values, np.arange(len(values), dtype=np.float64))
    return 0.0 if np.isnan(values).any() or np.isnan(rank) else rank


def harmonic_mean(first: float, second: float) -> float:
    """Return 2ab / (a + b); 0 as soon as one is not positive, NaN if one is.

    VOC-F1 of VLAC, arXiv 2509.15937: of forward and reversed videos. A clock, 1 and −1, has 0.
    """
    if np.isnan(first) or np.isnan(second):
        return float("nan")
    return 2 * first * second / (first + second) if min(first, second) > 0 else 0.0


def concordance(scores: ArrayLike, classes: ArrayLike) -> float:
    """Return the share of pairs of different class whose better episode scores higher.

    Ties of the score count half. 1 can be reached and a coin has .5, whatever the mix of
    classes. NaN without such a pair.

    Raises:
        InputError: If the shapes differ.
    """
    won, lost, pairs, _ = _pairs(scores, classes)
    return (won + (pairs - won - lost) / 2) / pairs if pairs else float("nan")


def kendall_tau_a(scores: ArrayLike, classes: ArrayLike) -> float:
    """Return Kendall's tau_a: (concordant − discordant) / all pairs, those of one class included.

    As RBM-EVAL reports it (Robometer, arXiv 2603.02115), on last-frame scores. Its ceiling is
    `tau_a_ceiling`, not 1.

    Raises:
        InputError: If the shapes differ.
    """
    won, lost, _, every = _pairs(scores, classes)
    return (won - lost) / every if every else float("nan")


def tau_a_ceiling(classes: ArrayLike) -> float:
    """Return the tau_a of perfect scores: the share of pairs whose classes differ.

    Three equal classes allow no more than 2/3 · n / (n − 1).
    """
    values = np.asarray(classes, np.float64)
    _, _, pairs, every = _pairs(values, values)
    return pairs / every if every else float("nan")


def _pairs(scores: ArrayLike, classes: ArrayLike) -> tuple[int, int, int, int]:
    """Return how many pairs are concordant, discordant, of different class, and all."""
    s, c = np.asarray(scores, np.float64), np.asarray(classes, np.float64)
    if s.shape != c.shape or s.ndim != 1:
        raise InputError(f"need a score and a class per episode, got {s.shape} and {c.shape}")
    won = lost = pairs = 0
    groups = [np.sort(s[c == value]) for value in np.unique(c)]
    for worse, better in combinations(groups, 2):
        pairs += len(worse) * len(better)
        won += int(np.searchsorted(worse, better, "left").sum())
        lost += len(worse) * len(better) - int(np.searchsorted(worse, better, "right").sum())
    return won, lost, pairs, len(s) * (len(s) - 1) // 2
