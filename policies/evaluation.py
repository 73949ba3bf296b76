"""How good a policy is: its success on fixed seeds, with an interval."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from robo_reward.acting import Floats, Policy, Situation, Trace
from robo_reward.errors import InputError

from .playing import Bar, Player
from .trials import Start, Trial

CONFIDENCE = 0.95
"""Of the intervals."""


@dataclass(frozen=True, kw_only=True)
class Success:
    """How often a policy succeeded."""

    successes: int
    count: int
    """Episodes that were not lost; those that were given up count as failures."""
    low: float
    high: float
    """Wilson's 95 % interval (Wilson, JASA 1927) of the rate."""
    steps: float
    """Mean length of the successful episodes, in control steps; NaN without any."""
    lost: int
    """Episodes that were lost with a process; they are not counted."""

    @property
    def rate(self) -> float:
        """Share of successes."""
        return self.successes / self.count

    def __str__(self) -> str:
        """Return it in words."""
        return f"{self.rate:.3f} ({self.low:.2f}–{self.high:.2f}, {self.count} episodes)"


def wilson(successes: int, count: int) -> tuple[float, float]:
    """Return the 95 % interval of a rate (Wilson, JASA 1927).

    Raises:
        InputError: If nothing was tried.
    """
    from scipy.stats import binomtest

    if count < 1:
        raise InputError("no episode has an end that is known: there is no rate to tell")
    found = binomtest(successes, count).proportion_ci(CONFIDENCE, method="wilson")
    return float(found.low), float(found.high)


def summed_up(trials: Sequence[Trial]) -> Success:
    """Return how often trials succeeded.

    Raises:
        InputError: If every one was lost.
    """
    known = [trial for trial in trials if not trial.lost]
    won = [trial for trial in known if trial.success]
    low, high = wilson(len(won), len(known))
    lengths = [int(trial.decisions.steps.sum()) for trial in won]
    return Success(
        successes=len(won),
        count=len(known),
        low=low,
        high=high,
        steps=float(np.mean(lengths)) if lengths else float("nan"),
        lost=len(trials) - len(known),
    )


def evaluate(
    policy: Policy, player: Player, seeds: Sequence[int], bar: Bar = lambda *_, **__: None
) -> list[Trial]:
    """Return what a policy does without chance in an episode of each seed."""

    def act(seen: Situation) -> tuple[Floats, Trace]:
        return policy.act(seen), {}

    return player.play(act, [Start(seed=seed, group=seed) for seed in seeds], bar)
