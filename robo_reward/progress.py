"""From the model's hops to one progress: reconstruction of the three anchors, and fusion.

Letters: Φ progress, H hop, F forward (anchor start), B backward (anchor goal), t a query.
Everything here is a pure function, and causal: the value at t depends on queries up to t.
NaN marks a missing anchor or hop, never a value.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .errors import InputError
from .targets import apply_hop

type Floats = NDArray[np.float64]
type Disagreement = Literal["scaled", "published"]

ALPHA = 20.0
"""Sharpness of the consistency weight (Robo-Dopamine, arXiv 2512.23703, LIBERO setting)."""
_PUBLISHED_EPSILON = 1e-6


def forward_progress(hop_start: ArrayLike) -> Floats:
    """Return Φ_F = H(start, t), clamped to [0, 1]."""
    return np.clip(np.asarray(hop_start, np.float64), 0.0, 1.0)


def backward_progress(hop_goal: ArrayLike) -> Floats:
    """Return Φ_B = 1 + H(goal, t), clamped to [0, 1]."""
    return np.clip(1.0 + np.asarray(hop_goal, np.float64), 0.0, 1.0)


def incremental_progress(hop_previous: ArrayLike) -> Floats:
    """Return Φ_I, the running application of the hops between consecutive queries, from 0.

    ``hop_previous[t]`` leads from query t − 1 to t; NaN there moves nothing. Shape kept.
    """
    hops = np.nan_to_num(np.asarray(hop_previous, np.float64), nan=0.0)
    out = np.empty_like(hops)
    phi = 0.0
    for t, step in enumerate(hops):
        phi = out[t] = float(apply_hop(phi, step))
    return out


def mean_fusion(incremental: ArrayLike, forward: ArrayLike, backward: ArrayLike) -> Floats:
    """Return (Φ_I + Φ_F + Φ_B) / 3 over those that are not NaN (arXiv 2512.23703, eq. 8)."""
    stack = np.stack([np.asarray(x, np.float64) for x in (incremental, forward, backward)])
    known = ~np.isnan(stack)
    total = np.where(known, stack, 0.0).sum(axis=0)
    count = known.sum(axis=0)
    mean: Floats = np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)
    return mean


def _scaled(gap: float, mean: float) -> float:
    return gap / max(mean, 1.0 - mean, 0.25)


def _published(gap: float, mean: float) -> float:
    return gap / (mean + _PUBLISHED_EPSILON)


_DISAGREEMENT: dict[str, Callable[[float, float], float]] = {
    "scaled": _scaled,
    "published": _published,
}


@dataclass(frozen=True, kw_only=True)
class Anchors:
    """What one query says of progress; NaN where an anchor is missing."""

    forward: float
    """Φ_F in [0, 1]."""
    backward: float
    """Φ_B in [0, 1]."""
    hop_previous: float
    """Hop from the previous query in [−1, 1]."""
    spread_forward: float = 0.0
    """Standard deviation of the forward head, used as disagreement where Φ_B is missing."""
    spread_backward: float = 0.0
    """Standard deviation of the backward head, used likewise."""


def fuse_step(
    previous: float, now: Anchors, *, alpha: float = ALPHA, disagreement: Disagreement = "scaled"
) -> tuple[float, float]:
    """Return (Φ(t), w): one causal step of consistency-weighted fusion.

    Φ(t) = Φ(t−1) + (w/2)·[(Φ̄ − Φ(t−1)) + ΔΦ] with Φ̄ = (Φ_F + Φ_B)/2, ΔΦ the hop applied to
    the *fused* Φ(t−1), w = exp(−α d²), Φ(0) = Φ̄(0) (arXiv 2512.23703, eqs. 9–11).

    ``disagreement``: ``scaled`` d = |Φ_B − Φ_F| / max(Φ̄, 1 − Φ̄, .25); ``published``
    d = |Φ_B − Φ_F| / (Φ̄ + ε), which freezes near Φ̄ = 0. With one anchor missing, Φ̄ is the
    other and d its own spread; with both, Φ follows the hops alone and w is 0.

    Args:
        previous: Φ(t − 1), or NaN at the first query.
        now: The anchors of this query; values outside their ranges are clamped.
        alpha: Sharpness of the weight.
        disagreement: Which d.

    Raises:
        InputError: If ``disagreement`` is not one of the two names.
    """
    if disagreement not in _DISAGREEMENT:
        raise InputError(f"no disagreement {disagreement!r}; there are {sorted(_DISAGREEMENT)}")
    step = 0.0 if math.isnan(now.hop_previous) else now.hop_previous
    forward, backward = float(np.clip(now.forward, 0, 1)), float(np.clip(now.backward, 0, 1))
    mean, gap = anchor_mean(forward, backward, now)
    if math.isnan(mean):
        start = 0.0 if math.isnan(previous) else previous
        return float(apply_hop(start, step)), 0.0
    weight = math.exp(-alpha * _DISAGREEMENT[disagreement](gap, mean) ** 2)
    if math.isnan(previous):
        return mean, weight
    change = float(apply_hop(previous, step)) - previous
    fused = previous + weight / 2.0 * ((mean - previous) + change)
    return float(np.clip(fused, 0.0, 1.0)), weight


def anchor_mean(forward: float, backward: float, now: Anchors) -> tuple[float, float]:
    """Return (Φ̄, gap) of the anchors that are there; NaN mean if none is.

    The gap is how far they disagree, or the spread of the one that is there.
    """
    if math.isnan(forward) and math.isnan(backward):
        return math.nan, math.nan
    if math.isnan(backward):
        return forward, now.spread_forward
    if math.isnan(forward):
        return backward, now.spread_backward
    return (forward + backward) / 2.0, abs(backward - forward)
