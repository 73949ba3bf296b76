"""`FakeProgressModel`: a progress model without weights, for tests of what stands on one."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .errors import InputError
from .protocols import References, Verdict, Views
from .targets import hop
from .times import check_times
from .tracker import Reading, Tracker, TrackerSettings


def brightness(views: Views) -> float:
    """Return the mean grey of the views in [0, 1], the progress that a fake model sees."""
    return float(np.mean([np.mean(image) / 255.0 for image in views.values()]))


@dataclass(kw_only=True)
class _FakeSession:
    references: References
    tracker: Tracker
    match: float
    seen: float | None = None
    asked: float = -np.inf
    shown: float = -np.inf
    verdict: Verdict | None = None


@dataclass(frozen=True, kw_only=True)
class FakeProgressModel:
    """A `ProgressModel` that reads progress off the pixels: certain, consistent, without weights.

    Verdicts go through the real fusion. Success is certain from Φ = .95 on, match where the
    instruction is ``instruction`` (empty: any).
    """

    progress: Callable[[Views], float] = brightness
    """What a frame shows, in [0, 1]."""
    instruction: str = ""
    """The only instruction that is pursued; empty: all are."""
    query_period_s: float = 0.4
    """Seconds between queries."""
    tracker: TrackerSettings = field(default_factory=lambda: TrackerSettings(match_threshold=0.5))
    """From readings to verdicts."""

    def begin(self, instruction: str, references: References) -> Any:
        """Return a new session."""
        match = float(self.instruction in ("", instruction))
        return _FakeSession(references=references, tracker=Tracker(self.tracker), match=match)

    def score(self, session: Any, views: Views, time: float) -> Verdict:
        """Return the verdict on a frame, or the last one while no query is due."""
        check_times([time], [session.shown])
        if time >= session.asked + self.query_period_s - 1e-3:
            session.verdict = session.tracker.update(self._reading(session, views))
            session.asked = time
        session.shown = time
        verdict: Verdict = session.verdict
        return verdict

    def score_many(
        self, sessions: Sequence[Any], views: Sequence[Views], times: Sequence[float]
    ) -> list[Verdict]:
        """Return `score` of each."""
        return [self.score(*asked) for asked in zip(sessions, views, times, strict=True)]

    def _reading(self, state: _FakeSession, views: Views) -> Reading:
        if not views:
            raise InputError("a frame without any view cannot be judged; give at least one")
        phi = self.progress(views)
        step = 0.0 if state.seen is None else float(hop(state.seen, phi))
        start = 0.0 if state.references.start else np.nan
        goal = 0.0 if state.references.goal else np.nan
        state.seen = phi
        return Reading(
            hop_previous=step,
            hop_start=phi + start,
            hop_goal=phi - 1.0 + goal,
            spread_previous=0.0,
            spread_start=start,
            spread_goal=goal,
            success=float(phi >= 0.95),
            match=state.match,
        )
