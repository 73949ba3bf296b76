"""Which rollouts fooled a reward model, how often each is drawn, which of two versions is better.

Pure functions. A failure is what the environment says, never the model.
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from .observing import HIGH

type Kind = Literal["fooled", "failed", "succeeded"]

MARGIN = 0.1
"""Φ that is no further above the true progress is no false claim, however high."""
WEIGHTS: dict[Kind, float] = {"fooled": 0.5, "failed": 0.25, "succeeded": 0.25}
"""Shares of the kinds in what is drawn of rollouts, where there are all."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How an episode ended, and what was said of it."""

    seed: int
    """Of the episode: those of one seed show the same scene."""
    success: bool
    """The truth of the environment."""
    declared: bool
    """Whether the model declared success at any time."""
    potential: float
    """Φ at the end."""
    truth: float = math.nan
    """True progress at the end, NaN where it is not known."""

    @property
    def kind(self) -> Kind:
        """What it is to the model: a failure taken for a success, another failure, a success."""
        if self.success:
            return "succeeded"
        near = self.potential <= self.truth + MARGIN  # an unknown truth excuses nothing
        return "fooled" if self.declared or (self.potential > HIGH and not near) else "failed"


def chances(outcomes: Sequence[Outcome]) -> list[float]:
    """Return how likely each episode is drawn: adding up to 1, `WEIGHTS` between the kinds."""
    counts = Counter(outcome.kind for outcome in outcomes)
    total = sum(WEIGHTS[kind] for kind in counts)
    return [WEIGHTS[one.kind] / counts[one.kind] / total for one in outcomes]


def held_back(outcomes: Sequence[Outcome], share: float, rng: np.random.Generator) -> list[int]:
    """Return the numbers of the episodes to judge by and not to learn from, sorted.

    Whole seeds are drawn, since episodes of one seed look alike: of those with an episode that
    fooled the model, of those with a success, and of the rest ``share`` each, at least one of two.
    """
    kinds: dict[int, set[Kind]] = {}
    for outcome in outcomes:
        kinds.setdefault(outcome.seed, set()).add(outcome.kind)
    order: tuple[Kind, ...] = ("fooled", "succeeded", "failed")
    first = {seed: next(k for k in order if k in found) for seed, found in kinds.items()}
    chosen: set[int] = set()
    for kind in order:
        seeds = sorted(seed for seed, found in first.items() if found == kind)
        count = max(1, round(share * len(seeds))) if len(seeds) > 1 else 0
        chosen.update(rng.permutation(seeds)[:count].tolist())
    return [number for number, outcome in enumerate(outcomes) if outcome.seed in chosen]


@dataclass(frozen=True, kw_only=True)
class Quality:
    """How well a version judges what was held back."""

    failures: int
    """Episodes that failed."""
    fooled: int
    """How many of them are false positives."""
    potential: float
    """Mean Φ at their ends; NaN without any."""
    error: float
    """Mean over successes of the mean |Φ − truth|; NaN without any whose truth is known."""

    def __str__(self) -> str:
        """Return it in words."""
        return (
            f"{self.fooled} false positives in {self.failures} failures, which end at Φ "
            f"{self.potential:.3f}, and an error of {self.error:.3f} on successes"
        )


def quality(outcomes: Sequence[Outcome], errors: Sequence[float]) -> Quality:
    """Return how well episodes were judged; ``errors`` has the mean |Φ − truth| of each."""
    failed = [one for one in outcomes if not one.success]
    known = [e for e, one in zip(errors, outcomes, strict=True) if one.success and e == e]
    return Quality(
        failures=len(failed),
        fooled=sum(one.kind == "fooled" for one in failed),
        potential=float(np.mean([one.potential for one in failed])) if failed else math.nan,
        error=float(np.mean(known)) if known else math.nan,
    )


def improves(old: Quality, new: Quality, tolerance: float) -> bool:
    """Return whether there are fewer false positives, and successes are judged as well.

    Without a success to compare by nothing improves: a model that always says 0 is never fooled.
    """
    return new.fooled < old.fooled and new.error <= old.error + tolerance
