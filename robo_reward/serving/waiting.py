"""Who waits for a pass, and who goes into the next one: pure, told the time.

Of a stream at most one request waits, the newest. What waits longer than it may is not judged. A
pass begins as soon as the model is free and as many wait as took part in the last one, or when the
oldest has waited for others long enough: so a lone client never waits, and many share passes.
"""

from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from typing import Any

from .answers import Answer, Stale, Unavailable

FULL = "the server is full; ask less often"


@dataclass(frozen=True, kw_only=True)
class Asked:
    """One request that waits."""

    stream: Hashable
    """Whose it is; a newer one of the same stream replaces it."""
    number: int
    arrived: float
    """When, in seconds of a monotonic clock."""
    budget_s: float
    """How long it may wait."""
    size: int
    """Bytes that it holds."""
    item: Any = None
    """What is asked."""

    @property
    def deadline(self) -> float:
        """When it is too late."""
        return self.arrived + self.budget_s


type Told = tuple[Asked, Answer]
"""A request that is answered without being judged, and how."""


class Waiting:
    """The requests that wait."""

    def __init__(self, *, most: int, gather_s: float, most_bytes: int) -> None:
        """Let requests wait.

        Args:
            most: Requests of a pass.
            gather_s: How long the oldest waits for others.
            most_bytes: What all that wait may hold.
        """
        self.most, self.gather_s, self.most_bytes = most, gather_s, most_bytes
        self.bytes = 0
        """What all that wait hold."""
        self._waiting: dict[Hashable, Asked] = {}  # oldest first
        self._last = 1

    def __len__(self) -> int:
        """Return how many wait."""
        return len(self._waiting)

    @property
    def soonest(self) -> float | None:
        """When the next of them is too late; None while nobody waits."""
        return min((one.deadline for one in self._waiting.values()), default=None)

    def put(self, asked: Asked) -> list[Told]:
        """Let a request wait; return who is answered at once: the one it replaces, or itself."""
        told: list[Told] = []
        old = self._waiting.get(asked.stream)
        if old is not None:
            self._remove([old])
            told.append((old, Stale(why="a newer frame of the same session came before it")))
        if self.bytes + asked.size > self.most_bytes:
            return [*told, (asked, Unavailable(why=FULL))]
        self._waiting[asked.stream] = asked
        self.bytes += asked.size
        return told

    def hold(self, size: int) -> bool:
        """Count bytes that wait for something else than a pass; return whether they fit."""
        fits = self.bytes + size <= self.most_bytes
        self.bytes += size if fits else 0
        return fits

    def release(self, size: int) -> None:
        """Count bytes no more that `hold` counted."""
        self.bytes -= size

    def expire(self, now: float) -> list[Told]:
        """Return those whose time is over; they wait no more."""
        over = [one for one in self._waiting.values() if now >= one.deadline]
        self._remove(over)
        return [
            (one, Stale(why=f"it waited longer than its {1e3 * one.budget_s:.0f} ms"))
            for one in over
        ]

    def drop(self, streams: Iterable[Hashable], why: str) -> list[Told]:
        """Return the requests of streams that have ended; they wait no more."""
        gone = [self._waiting[one] for one in streams if one in self._waiting]
        self._remove(gone)
        return [(one, Unavailable(why=why)) for one in gone]

    def drop_all(self, why: str) -> list[Told]:
        """Return all that wait; none does any more."""
        return self.drop(list(self._waiting), why)

    def due_in(self, now: float) -> float | None:
        """Return in how many seconds the next pass is to begin; None while nobody waits."""
        if not self._waiting:
            return None
        if len(self._waiting) >= min(self.most, self._last):
            return 0.0
        oldest = next(iter(self._waiting.values()))
        return max(0.0, oldest.arrived + self.gather_s - now)

    def take(self) -> list[Asked]:
        """Return the requests of the next pass, those that waited longest."""
        chosen = list(self._waiting.values())[: self.most]
        self._remove(chosen)
        self._last = max(1, len(chosen))
        return chosen

    def _remove(self, some: Iterable[Asked]) -> None:
        for one in some:
            del self._waiting[one.stream]
            self.bytes -= one.size
