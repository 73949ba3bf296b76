"""A causal Bayes filter over Φ: which of the answers that a frame allows follows from the last one.

Where a task's end looks like its start, the heads put mass on both, and the mean is neither. So the
filter keeps a distribution over 51 values of Φ: each query moves it as the hop from the last query
says, and weighs it by what the two anchors say. Everything here is a pure function, and causal.

How much each counts was chosen on validation episodes of 21 simulated tasks (docs/results.md).
"""

import numpy as np
from numpy.typing import NDArray

from .errors import InputError
from .targets import apply_hop

type Floats = NDArray[np.float64]

BINS = 51
"""Bins of a hop from −1 to 1 (those of `robo_reward.bins`, which needs torch), and states."""
POWER = 2.0
"""Exponent of the mean of the anchors' distributions: as if each had answered by itself."""
FLOOR = 0.003
"""What every Φ keeps of the likelihood of the likeliest."""
REACH, RISE, FALL = 0.12, 1.0, 0.4
"""Where the hop does not tell, a rise by Δ is RISE · exp(−Δ / REACH) times as likely as standing
still, a fall FALL · exp(−Δ / REACH) times."""
LEAK = 0.001
"""Chance that a frame has nothing to do with the last: Φ may then be anything."""
STILL = 0.05
"""A hop of less says that nothing has moved."""
LEAST = 0.2
"""How far a frame in which nothing has moved is still new evidence."""

GRID = np.linspace(0.0, 1.0, BINS)
"""The values of Φ, called states."""
_HOPS = np.linspace(-1.0, 1.0, BINS)
_ZERO = BINS // 2


def _between(values: Floats) -> Floats:
    """Return the shares (…, 51) of values in [0, 1] that fall to the states next to them."""
    shares: Floats = np.maximum(1.0 - np.abs(values[..., None] - GRID) * (BINS - 1), 0.0)
    return shares


def _usual() -> Floats:
    """Return how likely each change of Φ is beside none, (51, 51)."""
    change = GRID[None, :] - GRID[:, None]
    usual: Floats = np.where(change > 0, RISE, FALL) * np.exp(-np.abs(change) / REACH)
    np.fill_diagonal(usual, 1.0)
    return usual


_AFTER = _between(apply_hop(GRID, _HOPS[:, None])).reshape(BINS, -1)
_USUAL = _usual()
_FINER = np.maximum(1.0 - np.abs(_HOPS[_ZERO:, None] - GRID) * _ZERO, 0.0)


def hop_kernel(hop: Floats) -> Floats:
    """Return P(Φ′ | Φ) in rows (51, 51) from the bins of a hop (51,) and what changes are usual."""
    kernel = (hop @ _AFTER).reshape(BINS, BINS) * _USUAL + 1e-30 * np.eye(BINS)
    rows: Floats = kernel / kernel.sum(axis=1, keepdims=True)
    return rows


def anchor_density(start: Floats, goal: Floats) -> tuple[Floats, float] | None:
    """Return what the anchors say of each state (51,), and how far they say nothing, in [0, 1].

    Φ is the hop from the start, and 1 + the hop from the goal; half of the bins (51,) of each stand
    for no Φ. In training, a frame that shows nothing is answered evenly (`robo_reward.hiding`): so
    twice the mass in that half tells how far nothing is shown. None without either anchor (NaN).
    """
    densities, nothing = [], []
    for bins, way in ((start, 1), (goal[::-1], -1)):  # the goal's anchor is the start's mirrored
        if not np.isnan(bins).any():
            density = bins[_ZERO:] @ _FINER + 1e-30
            densities.append((density / density.sum())[::way])
            nothing.append(2.0 * bins[:_ZERO].sum())
    if not densities:
        return None
    return np.mean(densities, axis=0), min(float(np.mean(nothing)), 1.0)


def filter_step(previous: Floats | None, hops: Floats) -> Floats:
    """Return the distribution over the states after a query (51,).

    A frame in which nothing has moved is hardly new evidence, else looking long enough would make
    sure of anything. A frame that shows nothing changes nothing. Without anchors the hops alone
    move Φ, from 0.

    Args:
        previous: (51,) what this returned at the last query; None at the first.
        hops: (3, 51) probabilities of hop_previous, hop_start and hop_goal over their bins; NaN
            in the row of a missing reference. At the first query hop_previous is not read.

    Raises:
        InputError: If the shape is another.
    """
    if hops.shape != (3, BINS):
        raise InputError(f"a query has three hops over {BINS} bins, got {hops.shape}")
    seen = anchor_density(hops[1], hops[2])
    if previous is None:
        previous = np.full(BINS, 1.0 / BINS) if seen else _between(np.zeros(()))
        hops = np.full_like(hops, np.nan)
    moved, expected = 1.0, previous
    if not np.isnan(hops[0]).any():
        moved = max(1.0 - float(hops[0][np.abs(_HOPS) < STILL].sum()), LEAST)
        expected = previous @ hop_kernel(hops[0])
    if seen is None:
        return expected
    density, nothing = seen
    expected = (1.0 - LEAK * moved) * expected + LEAK * moved / BINS
    expected = (1.0 - nothing) * expected + nothing * previous
    likelihood = density / density.max() + FLOOR
    weighed = expected * likelihood ** (POWER * moved * (1.0 - nothing))
    after: Floats = weighed / weighed.sum()
    return after


def median(states: Floats) -> float:
    """Return the median Φ of a distribution (51,), each state's mass even over its cell."""
    below = np.concatenate([[0.0], np.cumsum(states)])
    edges = np.clip((np.arange(BINS + 1) - 0.5) / (BINS - 1), 0.0, 1.0)
    return float(np.interp(0.5 * below[-1], below, edges))


def mass(states: Floats, low: float, high: float) -> float:
    """Return the probability of low ≤ Φ ≤ high."""
    return float(states[(low - 1e-9 <= GRID) & (high + 1e-9 >= GRID)].sum())
