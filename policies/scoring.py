"""Potentials of finished episodes: asked of the reward model afterwards, all episodes in step.

Nothing but the learner needs Φ, so frames at decisions are judged when the episodes are over, one
decision of every episode in one pass.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from robo_reward.errors import InputError
from robo_reward.protocols import ProgressModel, References
from robo_reward.shaping import HeldPotential

from .playing import Trial

type Floats = NDArray[np.float64]
type FindReferences = Callable[[str], References]
"""Instruction → what its start and goal look like."""


@dataclass(frozen=True, kw_only=True)
class Potentials:
    """What was judged of one episode with N decisions."""

    progress: Floats
    """(N + 1,) Φ, held where a verdict was missing or invalid; that of the final observation
    last."""
    apart: Floats
    """(N + 1,) how far the anchors disagree; NaN where that is not known."""
    declared: bool = False
    """Whether the model declared success at any decision."""
    missing: int = 0
    """Verdicts that were not there."""
    invalid: int = 0
    """Verdicts that did not count."""


class Scorer(Protocol):
    """Says how far episodes had got at each decision."""

    def score(self, trials: Sequence[Trial]) -> list[Potentials]:
        """Return the potentials of each."""


@dataclass(frozen=True, kw_only=True)
class Plain:
    """The simulator's truth, or nothing at all, as the potential."""

    truth: bool
    """Whether it is the truth."""

    def score(self, trials: Sequence[Trial]) -> list[Potentials]:
        """Return the potentials of each.

        Raises:
            InputError: If the truth is not known.
        """
        found = []
        for trial in trials:
            progress = trial.truth if self.truth else np.zeros(len(trial) + 1)
            if not np.isfinite(progress).all():
                raise InputError(
                    "--reward truth: this environment does not tell its progress; use a reward "
                    "model, or sparse"
                )
            unknown = np.full(len(trial) + 1, np.nan)
            found.append(Potentials(progress=np.clip(progress, 0.0, 1.0), apart=unknown))
        return found


class Judged:
    """A progress model as the potential."""

    def __init__(self, model: ProgressModel, references: FindReferences) -> None:
        self.model, self.references = model, references

    def score(self, trials: Sequence[Trial]) -> list[Potentials]:
        """Return the potentials of each; one pass judges a decision of all of them."""
        sessions = [
            self.model.begin(trial.instruction, self.references(trial.instruction))
            for trial in trials
        ]
        held = [HeldPotential() for _ in trials]
        progress = [np.zeros(len(trial) + 1) for trial in trials]
        apart = [np.full(len(trial) + 1, np.nan) for trial in trials]
        declared = [False] * len(trials)
        for n in range(max(len(trial) for trial in trials) + 1):
            alive = [i for i, trial in enumerate(trials) if n <= len(trial)]
            verdicts = self.model.score_many(
                [sessions[i] for i in alive],
                [{name: images[n] for name, images in trials[i].views.items()} for i in alive],
                [float(trials[i].seconds[n]) for i in alive],
            )
            for i, verdict in zip(alive, verdicts, strict=True):
                progress[i][n] = held[i].update(verdict.progress, valid=verdict.valid)
                apart[i][n] = abs(verdict.forward - verdict.backward)
                declared[i] |= verdict.success
        return [
            Potentials(
                progress=progress[i],
                apart=apart[i],
                declared=declared[i],
                missing=held[i].missing,
                invalid=held[i].invalid,
            )
            for i in range(len(trials))
        ]
