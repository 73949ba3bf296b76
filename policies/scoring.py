"""Potentials of episodes: the newest observations of all are judged in one pass as they are played.

Whoever plays does so in other processes meanwhile, if there are any. What is judged together does
not depend on that.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from robo_reward.errors import InputError, NoVerdictError
from robo_reward.protocols import ProgressModel, References, Verdict
from robo_reward.shaping import HeldPotential

from .trials import Moment, Trial

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


class Judging(Protocol):
    """Judges the episodes that are played at a time."""

    def see(self, moments: Sequence[Moment]) -> dict[int, float]:
        """Judge what episodes show; return number → Φ, where that is known."""

    def potentials(self, trials: Sequence[Trial]) -> list[Potentials]:
        """Return what was judged of episodes that are over, in the order of their numbers."""


class Scorer(Protocol):
    """Says how far episodes have got."""

    def begin(self) -> Judging:
        """Return what judges the next episodes."""


def judge(scorer: Scorer, trials: Sequence[Trial]) -> list[Potentials]:
    """Return what is said of episodes that are over, a decision of all of them in one pass."""
    judging = scorer.begin()
    for n in range(max(map(len, trials), default=-1) + 1):
        shown = [(number, trial) for number, trial in enumerate(trials) if n <= len(trial)]
        judging.see([trial.moment(number, n) for number, trial in shown])
    return judging.potentials(trials)


@dataclass(frozen=True, kw_only=True)
class Plain:
    """The simulator's truth, or nothing at all, as the potential: nothing is remembered."""

    truth: bool
    """Whether it is the truth."""

    def begin(self) -> Judging:
        """Return itself."""
        return self

    def see(self, moments: Sequence[Moment]) -> dict[int, float]:
        """Return number → true progress where it is known; nothing if that is not the potential."""
        if not self.truth:
            return {}
        return {one.number: one.truth for one in moments if np.isfinite(one.truth)}

    def potentials(self, trials: Sequence[Trial]) -> list[Potentials]:
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

    def begin(self) -> Judging:
        """Return what judges the next episodes, each in a session of its own."""
        return _Sessions(self)


@dataclass(kw_only=True)
class _Episode:
    """What was judged of an episode so far."""

    session: Any
    held: HeldPotential = field(default_factory=HeldPotential)
    progress: list[float] = field(default_factory=list)
    apart: list[float] = field(default_factory=list)
    declared: bool = False
    last: Verdict | None = None

    def add(self, verdict: Verdict | None) -> bool:
        """Take note of a verdict, None where a server gave none; return whether it counts, anew.

        Between two queries a model repeats its last one: the same object.
        """
        if verdict is None:
            self.progress.append(self.held.update(np.nan))
            self.apart.append(np.nan)
            return False
        fresh, self.last = verdict is not self.last, verdict
        self.progress.append(self.held.update(verdict.progress, valid=verdict.valid))
        self.apart.append(abs(verdict.forward - verdict.backward))
        self.declared |= verdict.success
        return fresh and verdict.valid and not np.isnan(verdict.progress)


class _Sessions:
    """Sessions of episodes, by their number; one pass judges what all of them show."""

    def __init__(self, judged: Judged) -> None:
        self._judged = judged
        self._episodes: dict[int, _Episode] = {}

    def see(self, moments: Sequence[Moment]) -> dict[int, float]:
        """Judge what episodes show; return number → Φ, where a new verdict counts."""
        for one in moments:
            if one.number not in self._episodes:
                self._episodes[one.number] = _Episode(session=self._session(one.instruction))
        episodes = [self._episodes[one.number] for one in moments]
        known = {}
        verdicts = self._verdicts([episode.session for episode in episodes], moments)
        for one, episode, verdict in zip(moments, episodes, verdicts, strict=True):
            if episode.add(verdict):
                known[one.number] = episode.held.value
        return known

    def _verdicts(
        self, sessions: Sequence[Any], moments: Sequence[Moment]
    ) -> Sequence[Verdict | None]:
        """Return the verdict on each moment; None where a reward server gave none."""
        views, times = [one.views for one in moments], [one.seconds for one in moments]
        try:
            return self._judged.model.score_many(sessions, views, times)
        except NoVerdictError as error:
            return error.verdicts

    def _session(self, instruction: str) -> Any:
        return self._judged.model.begin(instruction, self._judged.references(instruction))

    def potentials(self, trials: Sequence[Trial]) -> list[Potentials]:
        """Return what was judged of each; nothing is asked any more."""
        return [_potentials(self._episodes[number]) for number in range(len(trials))]


def _potentials(episode: _Episode) -> Potentials:
    return Potentials(
        progress=np.array(episode.progress),
        apart=np.array(episode.apart),
        declared=episode.declared,
        missing=episode.held.missing,
        invalid=episode.held.invalid,
    )
