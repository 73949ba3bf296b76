"""Whatever estimates progress, asked in one way: the model, what it must beat, the truth itself."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from robo_reward.model import query_stride

from .baselines import clock, constant_hop, goal_distance, pixel_distance
from .evaluate import Case, judge

if TYPE_CHECKING:
    from robo_reward.model import Model, QueryModel
    from robo_reward.protocols import Views

type Floats = NDArray[np.float64]
type Estimator = Callable[[Case], "Track"]

MODEL, CLOCK, TRUTH = "model", "clock", "truth"
ARRIVED = 0.95
"""Φ from which on what has no success head declares success (δ = .05 of Robo-Dopamine)."""


@dataclass(frozen=True, kw_only=True)
class Track:
    """What an estimator says of the T frames of a case."""

    progress: Floats
    """(T,) Φ, NaN where it says nothing."""
    confidence: Floats
    """(T,) NaN where it has none."""
    declared: NDArray[np.bool_]
    """(T,) whether success is declared."""
    valid: NDArray[np.bool_]
    """(T,) false where the behaviour is said not to match the instruction."""
    success_score: float
    """The higher, the more likely the episode is a success."""
    every: int
    """Frames between two queries."""
    judges_match: bool = False
    """Whether it says anything of match; if not, all frames count as valid."""

    def at_queries(self) -> "Track":
        """Return the same with a row a query in place of a row a frame."""
        rows = slice(None, None, self.every)
        return replace(
            self,
            progress=self.progress[rows],
            confidence=self.confidence[rows],
            declared=self.declared[rows],
            valid=self.valid[rows],
            every=1,
        )

    @property
    def asked(self) -> Floats:
        """Φ at the queries."""
        return self.progress[:: self.every]

    @property
    def claim(self) -> float:
        """What is claimed of the end: the last Φ, 1 if success is declared, 0 if invalid."""
        if self.declared[-1]:
            return 1.0
        return float(self.progress[-1]) if self.valid[-1] else 0.0


def model_estimator(model: "QueryModel") -> Estimator:
    """Return the estimator that asks a model.

    One that says nothing of success declares it as baselines do, from `ARRIVED` on.
    """

    def estimate(case: Case) -> Track:
        (judged,) = judge(model, [case])
        labels = judged.labels
        progress = labels.progress.astype(np.float64)
        mute = bool(np.isnan(labels.success_prob).all())
        return Track(
            progress=progress,
            confidence=labels.confidence.astype(np.float64),
            declared=progress >= ARRIVED if mute else labels.success,
            valid=labels.valid,
            success_score=float(progress[-1] if mute else labels.success_prob.max()),
            every=judged.every,
            judges_match=not np.isnan(labels.match_prob).all(),
        )

    return estimate


def trivial_estimators(period_s: float) -> dict[str, Estimator]:
    """Return what needs no learning, by name, asked once a query period."""

    def pixels(case: Case, every: int) -> Floats:
        query = np.arange(len(case.truth)) // every
        return pixel_distance(case.frames(every), case.references, query=query)

    return {
        CLOCK: _plain(lambda case, every: clock(len(case.truth)), period_s),
        "constant_hop": _plain(lambda case, every: constant_hop(len(case.truth), every), period_s),
        "pixel_distance": _plain(pixels, period_s),
    }


def embedding_distance(model: "Model") -> Estimator:
    """Return the estimator 1 − ‖φ(frame) − φ(goal)‖ / ‖φ(first) − φ(goal)‖.

    The value of VIP (arXiv 2210.00030) from 0 at the first frame to 1 at the goal; φ are the
    tokens of the model's own vision, so what the model is better by, its heads have learnt.
    """

    def embed(views: "Views") -> dict[str, Floats]:
        seen = model.reader.see([views])[0]
        return {name: token.double().cpu().numpy().ravel() for name, token in seen.tokens.items()}

    def estimate(case: Case, every: int) -> Floats:
        query = np.arange(len(case.truth)) // every
        frames = [embed(views) for views in case.frames(every)]
        distances = np.array([_distance(frame, embed(case.references.goal)) for frame in frames])
        return goal_distance(distances, query)

    return _plain(estimate, model.settings.query_period_s)


def truth_estimator(period_s: float) -> Estimator:
    """Return the truth as if somebody had estimated it: no figure can be better than its."""

    def tell(case: Case) -> Track:
        every = query_stride(period_s, case.fps)
        return _track(case.truth, every, declared=case.done == 1.0)

    return tell


def _plain(estimate: Callable[[Case, int], Floats], period_s: float) -> Estimator:
    def asked(case: Case) -> Track:
        every = query_stride(period_s, case.fps)
        progress = estimate(case, every)
        return _track(progress, every, declared=progress >= ARRIVED)

    return asked


def _track(progress: Floats, every: int, *, declared: NDArray[np.bool_]) -> Track:
    return Track(
        progress=progress,
        confidence=np.full(len(progress), np.nan),
        declared=declared,
        valid=np.ones(len(progress), np.bool_),
        success_score=float(progress[-1]),
        every=every,
    )


def _distance(first: dict[str, Floats], second: dict[str, Floats]) -> float:
    """Return the Euclidean distance over the views that both show; NaN where none is."""
    gaps = [np.sum((first[name] - second[name]) ** 2) for name in first.keys() & second.keys()]
    return float(np.sqrt(np.sum(gaps))) if gaps else float("nan")
