"""One question to a model about one frame, whoever answers it: a network here or a server there."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from .belief import UNKNOWN
from .protocols import Views
from .tracker import Reading


@dataclass(frozen=True)
class Seen:
    """One frame as its reader keeps it."""

    tokens: dict[str, Any] = field(default_factory=dict)
    """What the reader makes of each view, by name: a network its tokens (K, D), else a URL."""
    keys: tuple[tuple[str, str], ...] = ()
    """(view name, hash of its pixels), sorted."""

    def without(self, view: str) -> "Seen":
        """Return the frame as if this view were missing."""
        tokens = {name: token for name, token in self.tokens.items() if name != view}
        return Seen(tokens, tuple(key for key in self.keys if key[0] != view))


@dataclass(frozen=True, kw_only=True)
class Query:
    """One question: how far has ``frame`` got, coming from ``past``?"""

    instruction: str
    start: Seen
    goal: Seen
    past: tuple[Seen, ...]
    """Frames of the queries before, latest last, or what `history.kept` leaves of them; empty at
    the first."""
    frame: Seen
    belief: tuple[float, float] = UNKNOWN
    """What was judged before, see `robo_reward.belief`; asked for by models that have one."""

    def without(self, view: str) -> "Query":
        """Return the question as if this view were missing everywhere."""
        return Query(
            instruction=self.instruction,
            start=self.start.without(view),
            goal=self.goal.without(view),
            past=tuple(seen.without(view) for seen in self.past),
            frame=self.frame.without(view),
            belief=self.belief,
        )


class QueryReader(Protocol):
    """Answers queries: what `robo_reward.model.QueryModel` stands on."""

    def see(self, many: Sequence[Views]) -> list[Seen]:
        """Return frames as this reader keeps them."""

    def read(self, queries: Sequence[Query]) -> list[Reading]:
        """Return the reading of every query, in order."""
