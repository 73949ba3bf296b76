"""What a reward server answers: a verdict, or why there is none; never a made-up number."""

from dataclasses import dataclass

from ..protocols import Verdict


@dataclass(frozen=True, kw_only=True)
class Scored:
    """The verdict on the frame that was shown."""

    verdict: Verdict
    held: bool = False
    """Whether no query was due yet, so that this is the session's last verdict again."""


@dataclass(frozen=True, kw_only=True)
class Stale:
    """The frame was not judged: it waited too long, or a newer one of its session came."""

    why: str


@dataclass(frozen=True, kw_only=True)
class Unavailable:
    """There is no answer: the server is gone, hangs, is full, or the session has ended."""

    why: str


type Answer = Scored | Stale | Unavailable
"""Exactly one of these for every frame that is asked about."""
