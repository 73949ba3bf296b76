"""Where rollouts begin: fresh seeds, groups from one start, or states that the policy reached."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from robo_reward.acting import Floats
from sim.seeds import seeds

from .config import StartConfig
from .scoring import Potentials
from .trials import Start, Trial

PASSED_OVER = 100_000
"""Training seeds that are left to demonstrations."""
KEPT = 512
"""States to begin again from, the latest."""


@dataclass(frozen=True)
class Reached:
    """A state of an earlier episode."""

    seed: int
    played: Floats
    """(t, A) the actions that lead there."""
    progress: float
    """Φ there."""


@dataclass(kw_only=True)
class Starts:
    """Draws the starts of a run; its fields are all that a resumed run needs."""

    config: StartConfig
    size: int
    """Episodes of a group."""
    begun: int = 0
    """Training seeds that were used."""
    groups: int = 0
    """Groups that were begun."""
    reached: deque[Reached] = field(default_factory=lambda: deque(maxlen=KEPT))
    """States to begin again from."""

    def draw(self, rng: np.random.Generator, *, groups: int | None = None) -> list[Start]:
        """Return the starts of an update, or of some groups of it."""
        config, found = self.config, list[Start]()
        count = config.rollouts // self.size if groups is None else groups
        again = rng.random(count) < config.restarts
        for group in range(count):
            if again[group] and self.reached:
                chosen = self._again(rng)
                start = Start(seed=chosen.seed, played=chosen.played, group=self.groups)
            else:
                start = Start(seed=self._fresh(), group=self.groups)
            found += [start] * self.size
            self.groups += 1
        return found

    def _fresh(self) -> int:
        """Return a training seed that was not used yet."""
        seed = seeds("train", 1, start=PASSED_OVER + self.begun)[0]
        self.begun += 1
        return seed

    def _again(self, rng: np.random.Generator) -> Reached:
        """Return an earlier state, drawn in proportion to Φ."""
        shares = np.array([one.progress for one in self.reached]) + 1e-3
        return self.reached[int(rng.choice(len(self.reached), p=shares / shares.sum()))]

    def remember(self, trials: Sequence[Trial], potentials: Sequence[Potentials]) -> None:
        """Keep the furthest state of every episode that went on after it."""
        for trial, judged in zip(trials, potentials, strict=True):
            inner = judged.progress[1:-1]  # after all decisions but the last
            if len(inner) and not trial.lost:
                best = int(inner.argmax())
                played = trial.played(best + 1)
                self.reached.append(Reached(trial.start.seed, played, float(inner[best])))
