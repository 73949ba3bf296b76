"""From the readings of successive queries to verdicts: fusion, debouncing, validity.

The memory of an episode, without the network: causal and deterministic.
"""

import math
from dataclasses import dataclass

import numpy as np

from .calibration import UNANCHORED_CAP, Calibration, unsure
from .progress import ALPHA, Anchors, Disagreement, backward_progress, forward_progress, fuse_step
from .protocols import Verdict
from .targets import apply_hop


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What the heads say at one query; NaN where the anchor is missing."""

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


@dataclass(frozen=True, kw_only=True)
class TrackerSettings:
    """How readings become verdicts; part of the checkpoint."""

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


class Tracker:
    """Turns the readings of one episode, in order, into verdicts."""

    def __init__(self, settings: TrackerSettings) -> None:
        self.settings = settings
        self._progress = math.nan
        self._incremental = 0.0
        self._success = 0.0
        self._match = 1.0
        self.features: list[float] = []

    def update(self, reading: Reading) -> Verdict:
        """Return the verdict of the next query."""
        settings = self.settings
        now = Anchors(
            forward=float(forward_progress(reading.hop_start)),
            backward=float(backward_progress(reading.hop_goal)),
            hop_previous=reading.hop_previous,
            spread_forward=reading.spread_start,
            spread_backward=reading.spread_goal,
        )
        self._progress, weight = fuse_step(
            self._progress, now, alpha=settings.alpha, disagreement=settings.disagreement
        )
        step = 0.0 if math.isnan(reading.hop_previous) else reading.hop_previous
        self._incremental = float(apply_hop(self._incremental, step))
        self.features = _features(reading, now, weight)
        confidence = self._confidence(now)
        success = min(self._success, reading.success)
        match = max(self._match, reading.match)
        self._success, self._match = reading.success, reading.match
        return Verdict(
            progress=self._progress,
            forward=now.forward,
            backward=now.backward,
            incremental=self._incremental,
            confidence=confidence,
            lower=self._lower(confidence),
            success_prob=success,
            match_prob=reading.match,
            success=success >= settings.success_threshold,
            valid=match >= settings.match_threshold,
        )

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


def _features(reading: Reading, now: Anchors, weight: float) -> list[float]:
    """Return what confidence is made of; one anchor's spread stands for all that is missing.

    `fuse_step` does the same: a missing anchor must not read as one that agrees.
    """
    gap, start, goal = abs(now.forward - now.backward), now.spread_forward, now.spread_backward
    if math.isnan(now.backward):
        gap = goal = start
    elif math.isnan(now.forward):
        gap = start = goal
    return [weight, gap, reading.spread_previous, start, goal]
