"""What a refresh of the reward model learns from and is judged by: kept rollouts, and rehearsal."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from data.evaluate import Case, judge, summary
from data.lerobot_dataset import LeRobotEpisodes
from data.mixture import MixedFrames, Mixture
from data.segmenting import by_change, is_unannotated, small_grey
from data.split import split_episodes
from data.validating import Split, Validation
from robo_reward.goals import episode_goals
from robo_reward.metrics import mean_error
from robo_reward.model import Labels, Model, query_stride
from robo_reward.plan import Known, PairSampler, SamplingConfig
from robo_reward.shaping import Floats, HeldPotential

from .mining import Outcome, Quality, chances, held_back, quality
from .scoring import FindReferences


class Material:
    """Episodes of rollouts, then those that are rehearsed: what is learnt of them, and judged."""

    def __init__(
        self,
        kept: Sequence[LeRobotEpisodes],
        rehearsed: Sequence[LeRobotEpisodes],
        references: FindReferences,
    ) -> None:
        """Read what is known of all episodes, but no pixel.

        Args:
            kept: Datasets that `policies.keeping` made.
            rehearsed: Datasets that the model was trained on.
            references: What the model is shown of start and goal of a rollout.
        """
        self.mixture = Mixture([*kept, *rehearsed])
        self.rollouts = len(Mixture(kept))
        """How many of the episodes are rollouts: the first ones."""
        self.episodes = [self.mixture.episode(i) for i in range(len(self.mixture))]
        self.goals = [episode_goals(episode) for episode in self.episodes]
        rows = [row for dataset in kept for row in dataset.facts.episodes.to_pylist()]
        self.outcomes = [
            Outcome(
                seed=int(row["seed"]),
                success=bool(row["success"]),
                declared=bool(row["declared"]),
                potential=float(row["potential_end"]),
                truth=_end(episode.truth),
            )
            for row, episode in zip(rows, self.episodes, strict=False)
        ]
        """Of the rollouts."""
        self._places = len(kept)
        self._references = references
        self.split = Split(training=[], validation=[], withheld=[])
        self.frames: MixedFrames

    def divide(self, share: float, rng: np.random.Generator, training: Mapping[str, Any]) -> None:
        """Draw what is judged and not learnt from.

        Of what is rehearsed it is what validated the model's own training, as far as ``training``,
        what its checkpoint says of that, tells the seed: no weight has seen it.
        """
        held = held_back(self.outcomes, share, rng)
        how = float(training.get("validation_share", 0.1)), int(training.get("seed", 0))
        for place in range(self._places, len(self.mixture.datasets)):
            begin = int(self.mixture.begins[place])
            held += [begin + n for n in split_episodes(len(self.mixture.datasets[place]), *how)[1]]
        learnt = sorted(set(range(len(self.mixture))) - set(held))
        self.split = Split(training=learnt, validation=held, withheld=[])

    def decode(self, apart: Path, cache: Path, *, size: int, cap_gb: float) -> None:
        """Decode all frames: those of rollouts to ``apart``, the others to the cache of every run.

        Progress that only images tell is found on the way.
        """
        roots = [apart] * self._places + [cache] * (len(self.mixture.datasets) - self._places)
        self.frames = MixedFrames(self.mixture, roots, size=size, cap_gb=cap_gb)
        self.frames.fill()
        for number, episode in enumerate(self.episodes):
            if is_unannotated(episode):
                grey = small_grey(self.frames, number, episode.length)
                self.goals[number] = (by_change(self.goals[number][0], grey),)

    def sampler(self, model: Model, share: float, own: Path) -> PairSampler:
        """Return what draws the pairs of a training step.

        Args:
            model: The one that learns.
            share: Share of rollouts in the episodes drawn, where anything is rehearsed.
            own: Dataset whose starts and goals stand for those of rollouts too.
        """
        learnt = self.split.training
        new = [number for number in learnt if number < self.rollouts]
        old = [number for number in learnt if number >= self.rollouts]
        share = share if old else 1.0
        weights = dict.fromkeys(old, (1.0 - share) / max(1, len(old)))
        drawn = chances([self.outcomes[number] for number in new])
        weights |= {number: share * chance for number, chance in zip(new, drawn, strict=True)}
        period, belief = model.settings.query_period_s, model.settings.belief
        known = {
            number: Known(
                goals=self.goals[number],
                usable=np.arange(episode.length),
                period=query_stride(period, episode.fps),
                present=self.frames.present(number),
                source=self._source(number, own),
                chance=weights[number],
                fps=episode.fps,
            )
            for number in learnt
            for episode in [self.episodes[number]]
        }
        return PairSampler(known, SamplingConfig(), history=model.settings.history, belief=belief)

    def _source(self, number: int, own: Path) -> int:
        """Return whose starts and goals an episode may be shown: all rollouts share theirs."""
        place = self.mixture.source(number)
        theirs = self.mixture.datasets[place].root
        shares = place < self._places or theirs.resolve() == own.resolve()
        return 0 if shares else place

    def judged(self, model: Model) -> tuple[Quality, dict[str, float]]:
        """Return how well a model judges what was held back, and the figures of validation."""
        judged = judge(model, self._cases())
        held = [held_potential(item.labels) for item in judged]
        outcomes, errors = [], []
        for number, item, progress in zip(self.split.validation, judged, held, strict=True):
            truth, known = item.case.truth, ~np.isnan(item.case.truth)
            errors.append(mean_error(progress[known], truth[known]) if known.any() else np.nan)
            outcomes.append(
                Outcome(
                    seed=number,
                    success=bool(self.episodes[number].outcome),
                    declared=bool(item.labels.success.any()),
                    potential=float(progress[-1]),
                    truth=float(truth[-1]),
                )
            )
        return quality(outcomes, errors), summary(held, [item.case for item in judged])

    def _cases(self) -> list[Case]:
        """Return what is held back, rollouts beside the references that the run shows."""
        found = Validation(self.mixture, self.episodes, self.goals, self.split, self.frames).cases()
        return [
            replace(case, references=self._references(case.instruction))
            if number < self.rollouts
            else case
            for number, case in zip(self.split.judged(), found, strict=True)
        ]


def held_potential(labels: Labels) -> Floats:
    """Return (T,) Φ as refinement takes it: the last valid one, 0 before the first."""
    held = HeldPotential()
    told = zip(labels.progress.tolist(), labels.valid.tolist(), strict=True)
    return np.array([held.update(progress, valid=valid) for progress, valid in told])


def _end(truth: Any) -> float:
    return float("nan") if truth is None else float(truth[-1])
