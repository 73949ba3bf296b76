"""Pairs of training of which one frame shows nothing, and what they then teach."""

import math

import numpy as np

from .packing import NOTHING, Plan

AFTER = 2 / 3
"""Share of hidden pairs in which *after* shows nothing, not *before*."""
KINDS = 2
"""Different frames that show nothing in one step, each encoded once."""


def hide(plan: Plan, share: float, rng: np.random.Generator) -> None:
    """Let a share of a plan's pairs show nothing in *after* or in *before*.

    Without *after* no hop can be told and the task is not seen to be done; without *before* the
    hop between the two cannot be told, and all else is as it was. A hop that cannot be told is
    taught to be even over [−1, 1]: it then moves nothing, and the anchors disagree as much as they
    can, so that either fusion (`robo_reward.progress`, `robo_reward.filtering`) keeps what it had.

    Args:
        plan: Changed in place.
        share: Probability for each pair.
        rng: Source of randomness.
    """
    kinds = rng.integers(1 << 31, size=KINDS).tolist()
    for pair in np.flatnonzero(rng.random(len(plan.pairs)) < share).tolist():
        number, before, after, history = plan.pairs[pair]
        blank = plan.frame((NOTHING, kinds[int(rng.integers(KINDS))]))
        if rng.random() < AFTER:
            plan.pairs[pair] = (number, before, blank, history)
            plan.targets[pair] = (0.0, 0.0, 0.0, 0.0, math.nan, math.nan)
            plan.untold[pair] = (True, True, True)
        else:
            plan.pairs[pair] = (number, blank, after, history)
            plan.targets[pair] = (0.0, *plan.targets[pair][1:])
            plan.untold[pair] = (True, False, False)
