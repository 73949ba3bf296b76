"""Rewards made of progress that are in use elsewhere and *do* change which policy is best.

They are kept for comparison, under names that say so. Each is what is paid for a decision beside
the task reward; what else that pays for is in its docstring.

All take Φ of the state before and of the state after a decision (N,), how many steps it executed
(N,), whether the task terminated in it (N,), and γ.
"""

from collections.abc import Callable

import numpy as np

from robo_reward.shaping import Bools, Floats, Ints

type Unsound = Callable[[Floats, Floats, Ints, Bools, float], Floats]

RISE, FALL = 1.0, -0.2
"""What `trend` pays for a rise and for a fall."""


def kept_at_the_end(
    now: Floats, following: Floats, steps: Ints, terminated: Bools, gamma: float
) -> Floats:
    """Return γ^k Φ(s′) − Φ(s), Φ kept where the task terminates: pays for ending near the goal."""
    return gamma**steps * following - now


def undiscounted_difference(
    now: Floats, following: Floats, steps: Ints, terminated: Bools, gamma: float
) -> Floats:
    """Return Φ(s′) − Φ(s), 0 after the end: pays (1 − γ) Φ a step for hovering where Φ is high."""
    return np.where(terminated, 0.0, following) - now


def progress_as_reward(
    now: Floats, following: Floats, steps: Ints, terminated: Bools, gamma: float
) -> Floats:
    """Return Φ(s′): pays for hovering before the goal, and for never ending."""
    return np.where(terminated, 0.0, following)


def trend(now: Floats, following: Floats, steps: Ints, terminated: Bools, gamma: float) -> Floats:
    """Return +1 for a rise of Φ, −.2 for a fall: pays .8 for every retreat and advance."""
    paid: Floats = np.where(following > now, RISE, 0.0) + np.where(following < now, FALL, 0.0)
    return paid


def centred(now: Floats, following: Floats, steps: Ints, terminated: Bools, gamma: float) -> Floats:
    """Return F less its mean over the batch: pays for long or for short episodes."""
    shaped: Floats = gamma**steps * np.where(terminated, 0.0, following) - now
    return shaped - float(shaped.mean())


def one_step_discount(
    now: Floats, following: Floats, steps: Ints, terminated: Bools, gamma: float
) -> Floats:
    """Return γ Φ(s′) − Φ(s) for decisions of k steps: pays for hovering in long chunks."""
    return gamma * np.where(terminated, 0.0, following) - now


UNSOUND: dict[str, Unsound] = {
    "kept at the end": kept_at_the_end,
    "undiscounted difference": undiscounted_difference,
    "progress as reward": progress_as_reward,
    "trend": trend,
    "centred": centred,
    "discounted once a chunk": one_step_discount,
}
"""Every one by its name."""
