"""Fakes of the seams in `protocols` and `acting`, and checks of what any implementation promises.

For tests of your own backbone, progress model or policy: a check returns quietly, or raises an
``AssertionError`` that says which promise is broken. Torch is imported when it is needed.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from importlib import import_module
from typing import TYPE_CHECKING

import numpy as np

from .errors import InputError
from .fake_model import FakeProgressModel, brightness
from .protocols import ProgressModel, References, Verdict, Views

if TYPE_CHECKING:
    from .backbone_check import HARD_TEXTS, check_backbone
    from .fake_backbone import FakeBackbone
    from .fake_policy import FakePolicy
    from .policy_check import check_policy

__all__ = [
    "HARD_TEXTS",
    "FakeBackbone",
    "FakePolicy",
    "FakeProgressModel",
    "brightness",
    "check_backbone",
    "check_policy",
    "check_progress_model",
]

_HOME = {
    "HARD_TEXTS": "backbone_check",
    "FakeBackbone": "fake_backbone",
    "FakePolicy": "fake_policy",
    "check_backbone": "backbone_check",
    "check_policy": "policy_check",
}


def __getattr__(name: str) -> object:
    """Import what needs torch the first time it is asked for."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOME[name]}", __package__), name)


def check_progress_model(
    model: ProgressModel,
    frames: Sequence[Views],
    references: References,
    *,
    query_period_s: float,
    tolerance: float = 1e-5,
) -> None:
    """Check that a progress model keeps the promises of `ProgressModel`.

    Args:
        model: What to check.
        frames: At least 4 frames, one a query; two of them must look different.
        references: Start and goal, both with views.
        query_period_s: The model's seconds between queries.
        tolerance: Most by which equal questions may differ.

    Raises:
        AssertionError: With the promise that is broken.
    """
    assert len(frames) >= 4, "give at least 4 frames"
    assert references.start, "give a start reference with views"
    assert references.goal, "give a goal reference with views"
    check = _ModelCheck(model, list(frames), references, query_period_s, tolerance)
    alone = check.run(references)
    for verdict in alone:
        _check_ranges(verdict)
    check.anchors()
    check.holding(alone)
    check.sessions(alone)
    check.onward()
    check.same(check.run(references, count=2), alone[:2], "verdicts do not depend on the future")


@dataclass(frozen=True)
class _ModelCheck:
    model: ProgressModel
    frames: list[Views]
    references: References
    period: float
    tolerance: float
    text: str = "close the drawer"

    def run(self, references: References, count: int | None = None) -> list[Verdict]:
        """Return the verdicts of a session of its own, one query a frame."""
        session = self.model.begin(self.text, references)
        shown = enumerate(self.frames[:count])
        return [self.model.score(session, views, i * self.period) for i, views in shown]

    def anchors(self) -> None:
        """Check that an anchor is NaN exactly where its reference is missing."""
        both = self.references
        for start, goal in ((False, False), (True, False), (False, True)):
            told = References(start=both.start if start else {}, goal=both.goal if goal else {})
            for verdict in self.run(told):
                _check_ranges(verdict)
                for name, given in (("forward", start), ("backward", goal)):
                    missing = bool(np.isnan(getattr(verdict, name)))
                    assert missing != given, f"{name} is NaN exactly where its reference is missing"

    def holding(self, alone: list[Verdict]) -> None:
        session = self.model.begin(self.text, self.references)
        first = self.model.score(session, self.frames[0], 0.0)
        held = self.model.score(session, self.frames[-1], 0.25 * self.period)
        self.same([held], [first], "between queries the last verdict is held")
        later = self.model.score(session, self.frames[1], self.period)
        self.same([later], [alone[1]], "a frame between queries leaves no trace")

    def onward(self) -> None:
        """Check that a frame from before the newest is refused, and one of its time is not."""
        session = self.model.begin(self.text, self.references)
        for time in (10 * self.period, 10 * self.period):
            last = self.model.score(session, self.frames[0], time)
        try:
            self.model.score(session, self.frames[1], 0.0)
        except InputError:
            held = self.model.score(session, self.frames[1], 10 * self.period)
            self.same([held], [last], "a frame that is refused leaves no trace")
        else:
            raise AssertionError("a time that goes back is refused with an InputError")

    def sessions(self, alone: list[Verdict]) -> None:
        """Check that sessions scored together give what each gives alone."""
        first, second, other = (
            self.model.begin(text, self.references)
            for text in (self.text, self.text, "an instruction of another session")
        )
        for i, views in enumerate(self.frames):
            last = self.frames[-1 - i]
            time = i * self.period
            got = self.model.score_many([first, other], [views, last], [time, time + 100.0])
            assert len(got) == 2, "score_many returns one verdict a session, in their order"
            self.same(got[:1], alone[i : i + 1], "score_many is score, and sessions are apart")
            verdict = self.model.score(second, views, time)
            self.same([verdict], alone[i : i + 1], "sessions do not touch each other")

    def same(self, got: list[Verdict], expected: list[Verdict], promise: str) -> None:
        for one, two in zip(got, expected, strict=True):
            for column in fields(Verdict):
                a, b = float(getattr(one, column.name)), float(getattr(two, column.name))
                equal = abs(a - b) <= self.tolerance or (np.isnan(a) and np.isnan(b))
                assert equal, f"{promise}: {column.name} is {a}, not {b}"


def _check_ranges(verdict: Verdict) -> None:
    for name in ("progress", "incremental"):
        value = getattr(verdict, name)
        assert 0.0 <= value <= 1.0, f"{name} must lie in [0, 1], got {value}"
    assert not verdict.time_to_go < 0.0, f"time_to_go is {verdict.time_to_go}, before now"
    for name in ("forward", "backward", "confidence", "lower", "success_prob", "match_prob"):
        value = getattr(verdict, name)
        assert np.isnan(value) or 0.0 <= value <= 1.0, f"{name} must lie in [0, 1] or be NaN"
