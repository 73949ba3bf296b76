"""Which frames to encode and which pairs to form from them: stratified, from one generator.

Each sampled frame is encoded once per training step and shared by many pairs, so frames are
drawn first and pairs from among them. Pure functions of their arguments and the generator.
"""

import numpy as np
from numpy.typing import NDArray

from .errors import InputError
from .targets import hop

type Floats = NDArray[np.float64]
type Ints = NDArray[np.int64]

HOP_BINS = 25
GAP_BINS = 4
ZERO_SHARE = 0.05


def sample_frames(usable: Ints, count: int, period: int, rng: np.random.Generator) -> Ints:
    """Return up to ``count`` frame numbers, sorted, at irregular times.

    Half are drawn at random, half follow one of those by one query period, so that pairs at
    the spacing of inference are among the pairs that can be formed.

    Args:
        usable: (U,) frame numbers that may be drawn, sorted.
        count: How many to draw, at least 2.
        period: Query period in frames, at least 1.
        rng: Source of randomness.

    Raises:
        InputError: If no frame may be drawn or the count is below 2.
    """
    if len(usable) == 0 or count < 2:
        raise InputError(
            f"need frames to draw and a count of at least 2, got {len(usable)}, {count}"
        )
    first = rng.choice(usable, size=min(count - count // 2, len(usable)), replace=False)
    following = np.intersect1d(first + period, usable)
    rest = np.setdiff1d(usable, np.union1d(first, following))
    chosen = np.union1d(first, rng.permutation(following)[: count - len(first)])
    missing = min(count - len(chosen), len(rest))
    if missing > 0:
        chosen = np.union1d(chosen, rng.choice(rest, size=missing, replace=False))
    return chosen.astype(np.int64)


def strata(progress: Floats, times: Floats, period: float) -> Ints:
    """Return the stratum of every ordered pair (p, q) of n frames, shape (n, n).

    25 hop bins over [−1, 1] × 4 bins of |time gap|: up to 1.5 query periods, then the thirds
    of what remains (Robo-Dopamine's 25 × 4 bins, arXiv 2512.23703, section 3.1). Where
    progress is unknown (NaN) only the direction in time and the gap stratify.
    """
    gaps = np.abs(times[None, :] - times[:, None])
    far = max(float(gaps.max()), 1.5 * period + 1e-9)
    edges = 1.5 * period + (far - 1.5 * period) * np.array([0.0, 1 / 3, 2 / 3])
    gap_bin = np.searchsorted(edges, gaps, side="left")
    hops = hop(progress[:, None], progress[None, :])
    direction = np.sign(times[None, :] - times[:, None]) * 0.5
    hops = np.where(np.isnan(hops), direction, hops)
    hop_bin = np.minimum(((hops + 1.0) / 2.0 * HOP_BINS).astype(np.int64), HOP_BINS - 1)
    result: Ints = hop_bin * GAP_BINS + np.minimum(gap_bin, GAP_BINS - 1)
    return result


def sample_pairs(
    progress: Floats, times: Floats, count: int, period: float, rng: np.random.Generator
) -> tuple[Ints, Ints]:
    """Return (before, after): positions into the n frames, each of shape (count,).

    The strata that occur are served in turn, in random order, a random pair of each; so rare
    hops (large losses, say) are as frequent as common ones. Pairs run forward and backward in
    time: the latter are the reversed and rewound pairs. A share of 5 % compares a frame with
    itself, whose hop is exactly zero.

    Args:
        progress: (n,) Φ of the frames; NaN where unknown.
        times: (n,) times of the frames, in the unit of ``period``.
        count: Pairs to form.
        period: Query period.
        rng: Source of randomness.
    """
    n = len(progress)
    zeros = rng.random(count) < ZERO_SHARE
    before = rng.integers(0, n, size=count)
    after = before.copy()
    if n < 2:
        return before, after
    moving = ~np.eye(n, dtype=bool).ravel()
    cells = np.where(moving, strata(progress, times, period).ravel(), -1)
    present = np.unique(cells[moving])
    rounds = -(-count // len(present))
    order = np.concatenate([rng.permutation(present) for _ in range(rounds)])[:count]
    for i in np.flatnonzero(~zeros):
        flat = rng.choice(np.flatnonzero(cells == order[i]))
        before[i], after[i] = divmod(int(flat), n)
    return before, after
