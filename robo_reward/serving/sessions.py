"""The sessions of a server, and how often clients may ask: pure, told the time."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from .messages import Reply


class Client(Protocol):
    """Whoever asks."""

    number: int
    """Which one."""
    beginning: bool
    """Whether a session is being begun for it."""
    gone: bool
    """Whether it has left."""

    def send(self, reply: Reply) -> None:
        """Tell it something."""


@dataclass(kw_only=True, eq=False)
class Stream:
    """One session: the frames of an episode, in order."""

    number: int
    owner: int
    """Number of the connection that began it; it ends with it."""
    model: Any
    """What judges it, to the end."""
    session: Any
    """What the model remembers of it."""
    used: float
    """When it was last asked about, in seconds of a monotonic clock."""
    newest: int = 0
    """Number of its newest request."""
    last: Any = None
    """Its last verdict."""


class Sessions:
    """Sessions by their number; at most so many, of all and of one connection."""

    def __init__(self, *, most: int, most_each: int, idle_s: float) -> None:
        """Keep none yet.

        Args:
            most: Sessions.
            most_each: Sessions of one connection.
            idle_s: Seconds after which one that is not asked about ends.
        """
        self.most, self.most_each, self.idle_s = most, most_each, idle_s
        self._streams: dict[int, Stream] = {}
        self._next = 1

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._streams)

    def room(self, owner: int) -> str:
        """Return why a connection may begin no session, or nothing if it may."""
        if len(self._streams) >= self.most:
            return f"the server holds {self.most} sessions, and no more; end some"
        if sum(one.owner == owner for one in self._streams.values()) >= self.most_each:
            return f"a connection holds at most {self.most_each} sessions; end some"
        return ""

    def add(self, owner: int, model: Any, session: Any, now: float) -> Stream:
        """Return a new session."""
        stream = Stream(number=self._next, owner=owner, model=model, session=session, used=now)
        self._streams[stream.number] = stream
        self._next += 1
        return stream

    def find(self, number: int, owner: int, now: float) -> Stream | None:
        """Return a session of a connection, which is then in use; None if it has none such."""
        stream = self._streams.get(number)
        if stream is None or stream.owner != owner:
            return None
        stream.used = now
        return stream

    def end(self, which: Callable[[Stream], bool]) -> list[Stream]:
        """Return the sessions of which this is so; they are no more."""
        gone = [one for one in self._streams.values() if which(one)]
        for one in gone:
            del self._streams[one.number]
        return gone

    def expire(self, now: float) -> list[Stream]:
        """Return the sessions that nobody asked about for too long; they are no more."""
        return self.end(lambda one: now - one.used > self.idle_s)


class Rate:
    """Lets a client ask so often a second, and as much at once (a token bucket)."""

    def __init__(self, per_s: float, now: float) -> None:
        """Begin with a full bucket."""
        self.per_s, self._left, self._at = per_s, per_s, now

    def allows(self, now: float) -> bool:
        """Return whether one more request is allowed, and count it."""
        self._left = min(self.per_s, self._left + (now - self._at) * self.per_s)
        self._at = now
        if self._left < 1.0:
            return False
        self._left -= 1.0
        return True
