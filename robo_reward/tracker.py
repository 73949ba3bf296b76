"""From the readings of successive queries to verdicts: fusion, debouncing, validity.

The memory of an episode, without the network: causal and deterministic.
"""

import math
from dataclasses import dataclass, field
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from .belief import UNSURE
from .calibration import CLOSE, UNANCHORED_CAP, Calibration, unsure
from .errors import InputError
from .filtering import filter_step, mass, median
from .progress import (
    ALPHA,
    Anchors,
    Disagreement,
    anchor_mean,
    backward_progress,
    forward_progress,
    fuse_step,
)
from .protocols import Verdict
from .targets import apply_hop, hop

type Fusion = Literal["weighted", "filter"]

COMPLETE = 0.9
"""Under the filter, success is as likely as its head says and as Φ is to be at least this."""


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What is said at one query; NaN where an anchor is missing, or nothing is said of it."""

    hop_previous: float
    hop_start: float
    hop_goal: float
    spread_previous: float
    spread_start: float
    spread_goal: float
    success: float
    """Probability."""
    match: float
    """Probability."""
    progress: float = math.nan
    """Φ where it is said outright: ``hop_previous`` is then what leads there."""
    time_to_go: float = math.nan
    """Seconds until success; NaN from a model that does not tell."""
    view_disagreement: float | None = None
    """How far Φ moves when a view is left out; None where that was not tried."""
    hops: NDArray[np.float64] | None = field(default=None, compare=False, repr=False)
    """(3, 51) distributions of the hops, NaN as `robo_reward.filtering.filter_step` says; None
    from a model that says numbers alone."""


@dataclass(frozen=True, kw_only=True)
class TrackerSettings:
    """How readings become verdicts; part of the checkpoint."""

    fusion: Fusion = "weighted"
    """How Φ is made of three hops: by consistency weights (`robo_reward.progress.fuse_step`), or by
    a filter over their distributions (`robo_reward.filtering`)."""
    alpha: float = ALPHA
    """Sharpness of the consistency weight."""
    disagreement: Disagreement = "scaled"
    """Which measure of disagreement the weight uses."""
    success_threshold: float = 0.5
    """Success needs this probability at two queries in a row."""
    match_threshold: float = 0.0
    """Below this match probability at two queries in a row, the verdict is invalid."""
    calibration: Calibration | None = None
    """From disagreement and spreads to confidence; None: confidence is NaN."""
    margin: float | None = None
    """How far below Φ the lower bound is, by what confidence lacks; None: it is NaN."""

    def __post_init__(self) -> None:
        """Refuse a fusion that there is not."""
        known = get_args(Fusion.__value__)
        if self.fusion not in known:
            raise InputError(f"no fusion {self.fusion!r}; there are {', '.join(known)}")


class Tracker:
    """Turns the readings of one episode, in order, into verdicts."""

    def __init__(self, settings: TrackerSettings) -> None:
        self.settings = settings
        self._progress = math.nan
        self._states: NDArray[np.float64] | None = None
        self._anchored = math.nan
        self._largest = math.nan
        self._incremental = 0.0
        self._success = 0.0
        self._match = 1.0
        self.features: list[float] = []

    @property
    def belief(self) -> tuple[float, float]:
        """Φ̄ of the anchors at the last query and the largest so far; NaN before the first.

        Not the fused Φ, which lags behind them; and of queries that were answered one way or
        another, not of those at which nothing could be told (`robo_reward.belief.UNSURE`).
        """
        return self._anchored, self._largest

    def update(self, reading: Reading) -> Verdict:
        """Return the verdict of the next query."""
        settings = self.settings
        step = reading.hop_previous
        if not math.isnan(reading.progress):
            step = float(hop(self._incremental, reading.progress))
        now = Anchors(
            forward=float(forward_progress(reading.hop_start)),
            backward=float(backward_progress(reading.hop_goal)),
            hop_previous=step,
            spread_forward=reading.spread_start,
            spread_backward=reading.spread_goal,
        )
        if np.isnan([step, now.forward, now.backward]).all():
            return self._silent(reading)
        self._progress, agreed = self._fused(reading, now)
        mean, gap = anchor_mean(now.forward, now.backward, now)
        if gap <= UNSURE:
            self._anchored = mean
            self._largest = float(np.fmax(self._largest, mean))
        if not math.isnan(step):
            self._incremental = float(apply_hop(self._incremental, step))
        self.features = _features(reading, now, agreed)
        confidence = self._confidence(now)
        success, match = self._debounced(reading)
        return Verdict(
            progress=self._progress,
            forward=now.forward,
            backward=now.backward,
            incremental=math.nan if math.isnan(step) else self._incremental,
            confidence=confidence,
            lower=self._lower(confidence),
            success_prob=success,
            match_prob=reading.match,
            success=success >= settings.success_threshold,
            valid=not match < settings.match_threshold,
            time_to_go=reading.time_to_go,
            view_disagreement=_number(reading.view_disagreement),
        )

    def _fused(self, reading: Reading, now: Anchors) -> tuple[float, float]:
        """Return Φ, and the first number that confidence is made of."""
        settings = self.settings
        if settings.fusion == "weighted":
            return fuse_step(
                self._progress, now, alpha=settings.alpha, disagreement=settings.disagreement
            )
        if reading.hops is None:
            raise InputError(
                "this model says hops as numbers, and the filter needs distributions; give "
                "TrackerSettings(fusion='weighted')"
            )
        self._states = filter_step(self._states, reading.hops)
        phi = median(self._states)
        return phi, mass(self._states, phi - CLOSE, phi + CLOSE)

    def _silent(self, reading: Reading) -> Verdict:
        """Return the verdict where no anchor was answered: nothing is known, and all is kept."""
        self.features = [math.nan] * 5
        success, _ = self._debounced(reading)
        unknown = ("progress", "forward", "backward", "incremental", "confidence", "lower")
        return Verdict(
            **dict.fromkeys(unknown, math.nan),
            success_prob=success,
            match_prob=reading.match,
            success=False,
            valid=False,
        )

    def _debounced(self, reading: Reading) -> tuple[float, float]:
        """Return success and match over this query and the last; NaN where either is unknown."""
        done = reading.success
        if self._states is not None:
            done *= mass(self._states, COMPLETE, 1.0)
        success = float(np.minimum(self._success, done))
        match = float(np.maximum(self._match, reading.match))
        self._success, self._match = done, reading.match
        return success, match

    def _lower(self, confidence: float) -> float:
        if self.settings.margin is None:
            return math.nan
        return max(0.0, self._progress - self.settings.margin * float(unsure(np.array(confidence))))

    def _confidence(self, now: Anchors) -> float:
        if self.settings.calibration is None:
            return math.nan
        confidence = float(self.settings.calibration.confidence(np.array([self.features]))[0])
        if math.isnan(now.forward) and math.isnan(now.backward):
            return min(confidence, UNANCHORED_CAP)
        return confidence


def _features(reading: Reading, now: Anchors, agreed: float) -> list[float]:
    """Return what confidence is made of; one anchor's spread stands for all that is missing.

    `fuse_step` does the same: a missing anchor must not read as one that agrees.
    """
    gap, start, goal = abs(now.forward - now.backward), now.spread_forward, now.spread_backward
    if math.isnan(now.backward):
        gap = goal = start
    elif math.isnan(now.forward):
        gap = start = goal
    views = [] if reading.view_disagreement is None else [reading.view_disagreement]
    return [agreed, gap, reading.spread_previous, start, goal, *views]


def _number(value: float | None) -> float:
    return math.nan if value is None else value


def anchored(reading: Reading) -> float:
    """Return Φ̄ = (Φ_F + Φ_B) / 2, the one whose anchor is there, or NaN without any.

    This is what fusion says at an episode's first query (`robo_reward.progress.fuse_step`).
    """
    forward = float(forward_progress(reading.hop_start))
    backward = float(backward_progress(reading.hop_goal))
    known = [phi for phi in (forward, backward) if not math.isnan(phi)]
    return sum(known) / len(known) if known else math.nan
