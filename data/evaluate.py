"""How well a model judges episodes whose truth is known."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from robo_reward.calibration import (
    Calibration,
    fit_calibration,
    fit_margin,
    match_threshold,
    success_threshold,
    unsure,
)
from robo_reward.decisions import DONE
from robo_reward.errors import InputError
from robo_reward.goals import Goal
from robo_reward.metrics import auroc, ccc, mean_error, spearman
from robo_reward.model import Labels, QueryModel
from robo_reward.protocols import References, Views
from robo_reward.ranking import FAILURE, PARTIAL, SUCCESS
from robo_reward.targets import time_to_go
from robo_reward.tracker import TrackerSettings

type Floats = NDArray[np.float64]

CONSTANT = 0.1
"""Truth that moves by less than this gives no order to compare with."""
AGREEMENT = ("spearman_success", "spearman_failure", "mae", "constant_max", "ccc")
"""What `agreement` says of an episode."""
PARTLY = 0.4
"""True progress at the end from which on an episode that did not succeed is a partial success."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """One episode under one instruction, with the truth of it. T frames."""

    name: str
    instruction: str
    references: References
    frames: Callable[[int], Iterable[Views]]
    """Yields every n-th frame's views, from frame 0."""
    fps: float
    truth: Floats
    """(T,) true progress; NaN where unknown or not to be compared."""
    done: Floats
    """(T,) 1 where the task is done, 0 where not, NaN where unknown."""
    match: float
    """1 if the behaviour pursues the instruction, 0 if not, NaN if unknown."""
    clean: bool = True
    """Whether the episode is a success made without disturbance."""
    number: int = -1
    """Number of the episode in its dataset; −1 if it has none."""
    dataset: str = ""
    """Name of its dataset, where there are several."""
    source: str = ""
    """Where its truth comes from, in words."""
    graded: float = float("nan")
    """Outcome class that somebody gave the episode; NaN: it follows from truth and done."""
    behaviour: str = ""
    """How the episode was made, where recorded."""
    paraphrases: tuple[str, ...] = ()
    """Other ways to say the instruction."""
    rivals: tuple[Goal, ...] = ()
    """Goals that the behaviour does not pursue; progress is NaN where it is unknown."""

    @property
    def outcome(self) -> float:
        """Failure, partial or success; NaN where nobody knows."""
        if not np.isnan(self.graded):
            return self.graded
        if self.done[-1] == 1.0:
            return SUCCESS
        if np.isnan(self.truth[-1]):
            return FAILURE if self.done[-1] == 0.0 else float("nan")
        return PARTIAL if self.truth[-1] >= PARTLY else FAILURE


@dataclass(frozen=True, kw_only=True)
class Judged:
    """A case with the model's labels of it."""

    case: Case
    labels: Labels
    every: int = 1
    """Frames between two queries; the rows between them hold the last verdict."""


def judge(model: QueryModel, cases: Iterable[Case]) -> list[Judged]:
    """Return the labels of every case."""
    judged = []
    for case in cases:
        every = model.stride(case.fps)
        query = np.arange(len(case.truth)) // every
        labels = model.label_queries(
            case.frames(every), case.instruction, case.references, query=query
        )
        judged.append(Judged(case=case, labels=labels, every=every))
    return judged


def calibrate(settings: TrackerSettings, judged: Sequence[Judged]) -> TrackerSettings:
    """Return the settings with confidence and thresholds fitted to validation cases.

    Raises:
        InputError: If no frame has a known truth.
    """
    errors, features, success, done, match = [], [], [], [], []
    for item in judged:
        labels, case = item.labels, item.case
        known = ~np.isnan(case.truth)
        errors.append(np.abs(labels.progress - case.truth)[known])
        features.append(labels.features[known])
        told = ~np.isnan(case.done)
        success.append(labels.success_prob[told])
        done.append(case.done[told] > 0.5)
        if case.match == 1.0:
            asked = labels.match_prob[:: item.every]
            match.append(np.maximum(asked[1:], asked[:-1]))
    if not sum(map(len, errors)):
        raise InputError("no validation frame has a known progress to calibrate with")
    fitted = fit_calibration(np.concatenate(features), np.concatenate(errors))
    excess = [_excess(item, fitted) for item in judged]
    happened = np.concatenate(done)
    threshold = settings.success_threshold
    if happened.any():
        threshold = success_threshold(np.concatenate(success), happened)
    return replace(
        settings,
        calibration=fitted,
        margin=fit_margin(excess),
        success_threshold=threshold,
        match_threshold=match_threshold(np.concatenate(match)) if match else 0.0,
    )


def _excess(item: Judged, fitted: Calibration) -> Floats:
    """Return (q,) by how much Φ is above the truth at each query, in units of what is unsure."""
    rows = slice(None, None, item.every)
    phi, truth = item.labels.progress[rows], item.case.truth[rows]
    scale = unsure(fitted.confidence(item.labels.features[rows]))
    known = ~np.isnan(truth)
    excess: Floats = np.asarray((phi - truth) / scale, np.float64)[known]
    return excess


def summary(progress: Sequence[NDArray[np.floating]], cases: Sequence[Case]) -> dict[str, float]:
    """Return how progress (T,) of each case compares with its truth.

    ``spearman_success`` and ``spearman_failure`` are means over episodes of the rank
    correlation with *true progress*, over undisturbed successes and over all others;
    ``mae`` is the mean over episodes of mean |Φ − truth|; ``constant_max`` is the largest Φ of
    episodes whose truth is constant (moves by less than .1), which have no rank correlation.
    NaN where there is no such episode. Frames without truth or Φ (NaN) are left out.
    In ``failures_claimed`` of the ``failures``, where nothing was ever done, Φ comes to claim
    success (above .8).
    """
    rows = [agreement(phi, case) for phi, case in zip(progress, cases, strict=True)]
    told = {name: [row[name] for row in rows if not np.isnan(row[name])] for name in AGREEMENT}
    failed = [
        bool((phi > DONE).any())
        for phi, case in zip(progress, cases, strict=True)
        if case.done[-1] == 0.0 and not (case.done == 1.0).any() and not np.isnan(phi).all()
    ]
    constant = told["constant_max"]
    return {
        "spearman_success": _mean(told["spearman_success"]),
        "spearman_failure": _mean(told["spearman_failure"]),
        "mae": _mean(told["mae"]),
        "constant_max": max(constant) if constant else float("nan"),
        "episodes": float(len(told["mae"])),
        "constant_episodes": float(len(constant)),
        "failures": float(len(failed)),
        "failures_claimed": float(sum(failed)),
    }


def agreement(phi: NDArray[np.floating], case: Case) -> dict[str, float]:
    """Return what one episode adds to `summary`, and its ``ccc``; NaN for what it does not tell."""
    row = dict.fromkeys(AGREEMENT, float("nan"))
    known = ~np.isnan(case.truth) & ~np.isnan(phi)
    if not known.any():
        return row
    told, truth = phi[known], case.truth[known]
    row["mae"] = mean_error(told, truth)
    if np.ptp(truth) < CONSTANT:
        return row | {"constant_max": float(told.max())}
    rank = spearman(told, truth)
    row["spearman_success" if case.clean else "spearman_failure"] = 0.0 if np.isnan(rank) else rank
    return row | {"ccc": ccc(told, truth)}


def success_auroc(scores: Sequence[float], cases: Sequence[Case]) -> float:
    """Return the AUROC, per episode, of a score for whether the episode ended in success.

    Cases whose end is unknown or that have no score are left out; NaN where no success and
    failure remain.
    """
    ended = np.array([case.done[-1] for case in cases])
    known = ~np.isnan(ended) & ~np.isnan(scores)
    if known.sum() < 2:
        return float("nan")
    return auroc(np.asarray(scores)[known], ended[known])


def seconds_error(judged: Sequence[Judged]) -> float:
    """Return the mean over successes of the mean |seconds until success − truth|.

    Frames after a success count, with a truth of 0; NaN where no moment of success is known.
    """
    errors = []
    for item in judged:
        truth = time_to_go(item.case.done, item.case.fps)
        known = ~np.isnan(truth) & ~np.isnan(item.labels.time_to_go)
        if known.any():
            errors.append(mean_error(item.labels.time_to_go[known], truth[known]))
    return _mean(errors)


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if len(values) else float("nan")
