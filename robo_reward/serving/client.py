"""The client of a reward server: a `ProgressModel` that waits for nothing without a deadline."""

import math
import threading
import time
import weakref
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import astuple, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from ..errors import InputError, NoVerdictError, ServerError
from ..protocols import References, Verdict, Views
from .address import Address, parse
from .answers import Answer, Scored, Unavailable
from .connection import AbsentError, Connection, LostError
from .messages import LONGEST_MS, Begin, Health, Reload, Reply, Score, encode, read_answer
from .trust import client_context, read_token
from .wire import WireError

_PAUSE_S = 0.1
_BUSY = "another thread of this program was asking"
_ENDED = "the session ended with its connection; begin a new one"


@dataclass(eq=False, kw_only=True)
class ServedSession:
    """What a client knows of one episode; the rest is with the server."""

    number: int
    """Which session it is there."""
    connection: Connection = field(repr=False)
    """It ends with this."""
    verdict: Verdict | None = None
    """The last one."""


type Question = tuple[ServedSession, Views, float]
"""A session, what it shows, and when, in seconds of its episode."""


class ServedModel:
    """The `ProgressModel` over a reward server; see `connect`. Threads may share it, in turn."""

    def __init__(
        self,
        address: Address,
        *,
        deadline_s: float,
        begin_s: float,
        token: str,
        trust: Path | None,
        follow: bool,
    ) -> None:
        """Connect; see `connect`."""
        self.address, self.deadline_s, self.begin_s = address, deadline_s, begin_s
        self._token, self._tls, self._follow = token, client_context(address, trust), follow
        self._lock = threading.Lock()
        self._ended: deque[int] = deque()
        self._connection = self._connect(time.monotonic() + begin_s)
        self.about: Mapping[str, Any] = self._connection.about
        """What the server says of its model: ``period_s``, ``image_size``, and of its training
        ``views``, ``instructions``, ``failures``, ``failures_claimed``, None where unknown."""
        self.fingerprint = str(self.about.get("fingerprint"))
        """Which model judges."""

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the connection."""
        self.close()

    def close(self) -> None:
        """Close the connection; its sessions end."""
        self._connection.close()

    def begin(self, instruction: str, references: References) -> ServedSession:
        """Return a new session. A connection that was lost is made anew; its sessions are lost.

        Raises:
            InputError: If the model cannot use what is given.
            ServerError: If the server does not begin one within ``begin_s``, or serves another
                model by now.
        """
        deadline = time.monotonic() + self.begin_s
        with self._turn(deadline) as mine:
            if not mine:
                raise ServerError(f"{self.address} began no session: {_BUSY}")
            if self._connection.lost:
                self._ended.clear()
                self._connection = self._reconnect(deadline)
            connection = self._connection
            ended = tuple(self._ended.popleft() for _ in range(min(len(self._ended), 1000)))
            number = connection.next_number()
            asked = Begin(
                number=number, instruction=instruction, references=references, ended=ended
            )
            reply = self._told(asked, deadline)
        if reply.kind == "answer":
            raise ServerError(f"{self.address} began no session: {reply.told.get('why')}")
        session, fingerprint = reply.told.get("session"), reply.told.get("fingerprint")
        if reply.kind != "begun" or type(session) is not int:
            raise ServerError(f"{self.address} does not speak as a reward server does")
        if fingerprint != self.fingerprint and not self._follow:
            raise ServerError(
                f"{self.address} now serves model {fingerprint}, and {self.fingerprint} was asked "
                "before: begin anew, so that nobody mixes their verdicts"
            )
        self.fingerprint = str(fingerprint)
        begun = ServedSession(number=session, connection=connection)
        weakref.finalize(begun, self._ended.append, session).atexit = False
        return begun

    def score(self, session: ServedSession, views: Views, time: float) -> Verdict:
        """Return the verdict on a frame; see `robo_reward.protocols.ProgressModel`.

        Raises:
            InputError: If the frame shows nothing that can be judged.
            NoVerdictError: If there is none.
        """
        return self.score_many([session], [views], [time])[0]

    def score_many(
        self, sessions: Sequence[ServedSession], views: Sequence[Views], times: Sequence[float]
    ) -> list[Verdict]:
        """Return `score` of each; on the server they share passes, with those of others.

        Raises:
            InputError: If a frame shows nothing that can be judged.
            NoVerdictError: If one has none; its ``verdicts`` hold those of the others.
        """
        answers = self.ask(sessions, views, times)
        verdicts = [one.verdict if isinstance(one, Scored) else None for one in answers]
        missing = [one for one in answers if not isinstance(one, Scored)]
        if missing:
            raise NoVerdictError(
                f"{self.address} gave no verdict on {len(missing)} of {len(answers)} frames: "
                f"{missing[0].why}",
                verdicts,
            )
        return [verdict for verdict in verdicts if verdict is not None]

    def ask(
        self,
        sessions: Sequence[ServedSession],
        views: Sequence[Views],
        times: Sequence[float],
        *,
        deadline_s: float | None = None,
    ) -> list[Answer]:
        """Return what the server answers to a frame of each session, or `Unavailable`.

        An answer is of the frame that was shown, never of an earlier one.

        Args:
            sessions: What `begin` gave, each once.
            views: What each shows.
            times: When, in seconds of its episode.
            deadline_s: Seconds until all are answered; None: those of `connect`.

        Raises:
            InputError: If a frame shows nothing that can be judged.
        """
        if not all(math.isfinite(one) for one in times):
            raise InputError(f"times must be finite seconds, got {list(times)}")
        budget_s = self.deadline_s if deadline_s is None else deadline_s
        deadline = time.monotonic() + budget_s
        asked = list(zip(sessions, views, times, strict=True))
        with self._turn(deadline) as mine:
            if not mine:
                return [Unavailable(why=_BUSY) for _ in asked]
            return self._ask(asked, deadline)

    def reload(self, directory: str | Path = "", *, end: bool = False) -> str:
        """Have the server go on with another checkpoint; return its fingerprint.

        Args:
            directory: As the server sees it; empty: the one that it serves, read again.
            end: Whether sessions that run end; else they keep their model.

        Raises:
            InputError: If the server refuses it; the old one then stays.
            ServerError: If it does not answer within ``begin_s``.
        """
        number = self._connection.next_number()
        asked = Reload(number=number, directory=str(directory), end=end)
        return str(self._request(asked).told.get("fingerprint"))

    def health(self) -> Mapping[str, Any]:
        """Return how the server does.

        Raises:
            ServerError: If it does not answer within ``begin_s``.
        """
        return self._request(Health(number=self._connection.next_number())).told

    def _request(self, asked: Reload | Health) -> Reply:
        deadline = time.monotonic() + self.begin_s
        with self._turn(deadline) as mine:
            if not mine:
                raise ServerError(f"{self.address} was not asked: {_BUSY}")
            return self._told(asked, deadline)

    @contextmanager
    def _turn(self, deadline: float) -> Iterator[bool]:
        """Give whether it is this thread's turn by the deadline."""
        mine = self._lock.acquire(timeout=max(0.0, deadline - time.monotonic()))
        try:
            yield mine
        finally:
            if mine:
                self._lock.release()

    def _connect(self, deadline: float) -> Connection:
        return Connection(self.address, self._tls, self._token, deadline)

    def _reconnect(self, deadline: float) -> Connection:
        """Return a new connection; a server that starts again is waited for."""
        while True:
            try:
                return self._connect(deadline)
            except AbsentError:
                if time.monotonic() + _PAUSE_S > deadline:
                    raise
            time.sleep(_PAUSE_S)

    def _told(self, asked: Begin | Reload | Health, deadline: float) -> Reply:
        """Return the reply to a request that is no question about a frame."""
        connection = self._connection
        try:
            connection.send(asked, deadline)
            while (reply := connection.receive(deadline)).number != asked.number:
                pass  # an answer that nobody waits for any more
        except TimeoutError as error:
            raise ServerError(
                f"{self.address} did not answer within {self.begin_s:g} s; see what ails the server"
            ) from error
        if reply.kind == "refused":
            raise InputError(f"{self.address}: {reply.told.get('why')}")
        return reply

    def _ask(self, asked: Sequence[Question], deadline: float) -> list[Answer]:
        connection = self._connection
        answers: list[Answer] = [Unavailable(why=_ENDED)] * len(asked)
        frames: dict[int, tuple[int, bytes]] = {}
        for place, (session, views, seconds) in enumerate(asked):
            if session.connection is connection and not connection.lost:
                number = connection.next_number()
                budget_ms = math.ceil(1e3 * max(0.0, deadline - time.monotonic()))
                question = Score(
                    number=number,
                    session=session.number,
                    time=float(seconds),
                    budget_ms=min(budget_ms, LONGEST_MS),
                    views=views,
                )
                frames[number] = (place, encode(question))
        refused, why = "", ""
        try:
            for _, frame in frames.values():
                connection.send(frame, deadline)
            while frames:
                reply = connection.receive(deadline)
                if reply.number not in frames:
                    continue  # an answer that nobody waits for any more
                place = frames.pop(reply.number)[0]
                if reply.kind == "refused":
                    refused = str(reply.told.get("why"))
                else:
                    answers[place] = self._kept(asked[place][0], read_answer(reply))
        except TimeoutError:
            why = "no answer came within the deadline"
        except LostError as error:
            why = str(error)
        except WireError as error:
            connection.close()
            why = f"{self.address} does not speak as a reward server does ({error})"
        for place, _ in frames.values():
            answers[place] = Unavailable(why=why)
        if refused:
            raise InputError(f"{self.address}: {refused}")
        return answers

    def _kept(self, session: ServedSession, answer: Answer) -> Answer:
        """Return an answer; a verdict that is only repeated is the same object again."""
        if isinstance(answer, Scored):
            if answer.held and session.verdict and _same(session.verdict, answer.verdict):
                return Scored(verdict=session.verdict, held=True)
            session.verdict = answer.verdict
        return answer


def _same(one: Verdict, two: Verdict) -> bool:
    return np.array_equal(
        np.array(astuple(one), float), np.array(astuple(two), float), equal_nan=True
    )


def connect(
    address: str,
    *,
    deadline_s: float = 2.0,
    begin_s: float = 30.0,
    token_file: Path | None = None,
    trust: Path | None = None,
    follow: bool = False,
) -> ServedModel:
    """Return the model that a reward server serves (``robo-reward serve``).

    Args:
        address: Of the server: ``unix:PATH``, ``tcp://127.0.0.1:PORT`` or ``tls://HOST:PORT``.
        deadline_s: Seconds until a frame is answered; after them the answer is `Unavailable`.
        begin_s: Seconds to connect and to begin a session.
        token_file: Holds the token that the server asks for; None: ``ROBO_REWARD_TOKEN``, if set.
        trust: Certificates to trust with ``tls://``; None: those of the system.
        follow: Go on when the server has replaced its model; else `begin` then refuses.

    Raises:
        InputError: If something that is given is unusable.
        ServerError: If no server is there, or it refuses us.
    """
    for name, seconds in (("deadline_s", deadline_s), ("begin_s", begin_s)):
        if not 0.0 < seconds <= LONGEST_MS / 1e3:
            raise InputError(f"{name} must be seconds, above 0 and up to an hour, got {seconds}")
    return ServedModel(
        parse(address, to="the address"),
        deadline_s=deadline_s,
        begin_s=begin_s,
        token=read_token(token_file),
        trust=trust,
        follow=follow,
    )
