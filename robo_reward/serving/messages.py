"""What clients ask of a reward server, and what it replies: typed, and checked field by field."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from ..protocols import References, Verdict, Views
from .answers import Answer, Scored, Stale, Unavailable
from .wire import VERSION, WireError, described, pack, seen, unpack

MOST_TEXT = 16 << 10
"""Bytes of an instruction, a token, a path or a reason."""
MOST_NUMBER = 1 << 53
"""Numbers of requests and sessions lie below."""
LONGEST_MS = 3_600_000
"""Most milliseconds that an answer may be waited for."""


@dataclass(frozen=True, kw_only=True)
class Hello:
    """The first message of a connection."""

    version: int = VERSION
    token: str = field(default="", repr=False)


@dataclass(frozen=True, kw_only=True)
class Begin:
    """Begins a session."""

    number: int
    instruction: str
    references: References
    ended: tuple[int, ...] = ()
    """Sessions that are not needed any more."""


@dataclass(frozen=True, kw_only=True)
class Score:
    """Asks about one frame of a session."""

    number: int
    """Larger than those of all requests before on this connection."""
    session: int
    time: float
    """Seconds of the episode."""
    budget_ms: int
    """How long the answer is of use, from when this was received."""
    views: Views = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class Reload:
    """Asks the server to go on with another checkpoint."""

    number: int
    directory: str
    """Empty: the one that it serves, read again."""
    end: bool = False
    """Whether sessions that run end; else they keep their model."""


@dataclass(frozen=True, kw_only=True)
class Health:
    """Asks how the server does."""

    number: int


type Request = Hello | Begin | Score | Reload | Health


def encode(request: Request) -> bytes:
    """Return the frame of a request.

    Raises:
        InputError: If an image is not uint8 (H, W, 3).
        WireError: If it is larger than a frame may be.
    """
    kind = type(request).__name__.lower()
    if isinstance(request, Begin):
        shown = [request.references.start, request.references.goal]
        told = {"instruction": request.instruction, "ended": list(request.ended)}
    elif isinstance(request, Score):
        shown = [request.views]
        told = {name: getattr(request, name) for name in ("session", "time", "budget_ms")}
    else:
        return pack({"kind": kind, **asdict(request)})
    images = [described(views) for views in shown]
    return pack({"kind": kind, "number": request.number, **told, "images": images}, shown)


def decode(head: bytes, pixels: bytes) -> Request:
    """Return the request in a frame.

    Raises:
        WireError: If there is none, or a field is not what it must be.
    """
    told = _Fields(unpack(head))
    kind = told.text("kind")
    if kind == "begin":
        start, goal = told.views(memoryview(pixels), groups=2)
        return Begin(
            number=told.whole("number"),
            instruction=told.text("instruction"),
            references=References(start=start, goal=goal),
            ended=told.numbers("ended"),
        )
    if kind == "score":
        return Score(
            number=told.whole("number"),
            session=told.whole("session"),
            time=told.finite("time"),
            budget_ms=told.whole("budget_ms", most=LONGEST_MS),
            views=told.views(memoryview(pixels), groups=1)[0],
        )
    if pixels:
        raise WireError(f"{kind[:40]!r} shows no images")
    if kind == "hello":
        return Hello(version=told.whole("version"), token=told.text("token"))
    if kind == "reload":
        return Reload(
            number=told.whole("number"), directory=told.text("directory"), end=told.flag("end")
        )
    if kind == "health":
        return Health(number=told.whole("number"))
    raise WireError(f"no request is called {kind[:40]!r}")


@dataclass(frozen=True, kw_only=True)
class Reply:
    """What comes back of a request."""

    kind: str
    """``welcome``, ``begun``, ``answer``, ``done``, or ``refused`` for what was asked wrongly."""
    number: int = 0
    """Of the request; 0 where it is the connection that is refused."""
    told: Mapping[str, Any] = field(default_factory=dict)
    """What it says."""

    def frame(self) -> bytes:
        """Return it as a frame."""
        return pack({"kind": self.kind, "number": self.number, "told": dict(self.told)})


def refused(why: str, number: int = 0) -> Reply:
    """Return the reply to a request that is wrong."""
    return Reply(kind="refused", number=number, told={"why": _short(why)})


def answered(answer: Answer, number: int) -> Reply:
    """Return the reply that carries an answer."""
    if isinstance(answer, Scored):
        told = {"verdict": asdict(answer.verdict), "held": answer.held}
    else:
        told = {"why": _short(answer.why)}
    kind = type(answer).__name__.lower()
    return Reply(kind="answer", number=number, told={"is": kind, **told})


def read_reply(head: bytes) -> Reply:
    """Return the reply in a frame.

    Raises:
        WireError: If there is none.
    """
    told = _Fields(unpack(head))
    said = told.all.get("told")
    if not isinstance(said, dict):
        raise WireError("a reply must tell something")
    return Reply(kind=told.text("kind"), number=told.whole("number"), told=said)


def read_answer(reply: Reply) -> Answer:
    """Return the answer that a reply carries.

    Raises:
        WireError: If it carries none.
    """
    told = _Fields(dict(reply.told))
    kind = told.text("is")
    if kind == "stale":
        return Stale(why=told.text("why"))
    if kind == "unavailable":
        return Unavailable(why=told.text("why"))
    said = told.all.get("verdict")
    if kind != "scored" or not isinstance(said, dict):
        raise WireError(f"no answer is called {kind[:40]!r}")
    parts = _Fields(said)
    flags = {name: parts.flag(name) for name in ("success", "valid")}
    numbers = [one.name for one in fields(Verdict) if one.name not in flags]
    values: dict[str, Any] = {name: parts.number(name) for name in numbers}
    return Scored(verdict=Verdict(**values, **flags), held=told.flag("held"))


def _short(why: str) -> str:
    return why if len(why) <= 1000 else why[:999] + "…"


@dataclass(frozen=True)
class _Fields:
    """A map that was received, its values taken out with their types checked."""

    all: dict[str, Any]

    def text(self, name: str) -> str:
        value = self.all.get(name)
        if not isinstance(value, str) or len(value.encode(errors="replace")) > MOST_TEXT:
            raise WireError(f"{name} must be a text of at most {MOST_TEXT} bytes")
        return value

    def whole(self, name: str, *, most: int = MOST_NUMBER) -> int:
        return self._whole(name, self.all.get(name), most)

    def numbers(self, name: str) -> tuple[int, ...]:
        value = self.all.get(name)
        if not isinstance(value, list):
            raise WireError(f"{name} must be a list of numbers")
        return tuple(self._whole(name, one, MOST_NUMBER) for one in value)

    def _whole(self, name: str, value: Any, most: int) -> int:
        if type(value) is not int or not 0 <= value <= most:
            raise WireError(f"{name} must be a whole number from 0 to {most}")
        return value

    def number(self, name: str) -> float:
        value = self.all.get(name)
        if type(value) is not float:
            raise WireError(f"{name} must be a number")
        return value

    def finite(self, name: str) -> float:
        value = self.number(name)
        if not math.isfinite(value):
            raise WireError(f"{name} must be finite")
        return value

    def flag(self, name: str) -> bool:
        value = self.all.get(name)
        if type(value) is not bool:
            raise WireError(f"{name} must be true or false")
        return value

    def views(self, pixels: memoryview, *, groups: int) -> list[dict[str, Any]]:
        told = self.all.get("images")
        if not isinstance(told, list) or len(told) != groups:
            raise WireError(f"images must be {groups} lists")
        return seen(told, pixels)
