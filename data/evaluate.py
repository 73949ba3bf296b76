"""How well a model judges episodes whose truth is known."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from robo_reward.calibration import fit_calibration, match_threshold, success_threshold
from robo_reward.errors import InputError
from robo_reward.metrics import auroc, mean_error, spearman
from robo_reward.model import Labels, Model
from robo_reward.protocols import References, Views
from robo_reward.tracker import TrackerSettings

type Floats = NDArray[np.float64]

CONSTANT = 0.1
"""Truth that moves by less than this gives no order to compare with."""


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


@dataclass(frozen=True, kw_only=True)
class Judged:
    """A case with the model's labels of it."""

    case: Case
    labels: Labels
    every: int = 1
    """Frames between two queries; the rows between them hold the last verdict."""


def judge(model: Model, cases: Iterable[Case]) -> list[Judged]:
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
    happened = np.concatenate(done)
    threshold = settings.success_threshold
    if happened.any():
        threshold = success_threshold(np.concatenate(success), happened)
    return replace(
        settings,
        calibration=fitted,
        success_threshold=threshold,
        match_threshold=match_threshold(np.concatenate(match)) if match else 0.0,
    )


def summary(progress: Sequence[NDArray[np.floating]], cases: Sequence[Case]) -> dict[str, float]:
    """Return how progress (T,) of each case compares with its truth.

    ``spearman_success`` and ``spearman_failure`` are means over episodes of the rank
    correlation with *true progress*, over undisturbed successes and over all others;
    ``mae`` is the mean over episodes of mean |Φ − truth|; ``constant_max`` is the largest Φ of
    episodes whose truth is constant (moves by less than .1), which have no rank correlation.
    NaN where there is no such episode. Frames without truth or Φ (NaN) are left out.
    """
    ranks: dict[bool, list[float]] = {True: [], False: []}
    errors, constant = [], [np.nan]
    for phi, case in zip(progress, cases, strict=True):
        known = ~np.isnan(case.truth) & ~np.isnan(phi)
        if not known.any():
            continue
        errors.append(mean_error(phi[known], case.truth[known]))
        if np.ptp(case.truth[known]) < CONSTANT:
            constant.append(float(phi[known].max()))
        else:
            rank = spearman(phi[known], case.truth[known])
            ranks[case.clean].append(0.0 if np.isnan(rank) else rank)
    return {
        "spearman_success": _mean(ranks[True]),
        "spearman_failure": _mean(ranks[False]),
        "mae": _mean(errors),
        "constant_max": float(np.nanmax(constant)) if len(constant) > 1 else float("nan"),
        "episodes": float(len(errors)),
        "constant_episodes": float(len(constant) - 1),
    }


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


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if len(values) else float("nan")
