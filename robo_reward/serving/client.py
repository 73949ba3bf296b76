"""The client of a reward server: a `ProgressModel` that waits for nothing without a deadline."""

import math
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Self

from ..errors import InputError, NoVerdictError, ServerError
from ..protocols import References, Verdict, Views
from .address import Address
from .answers import Answer, Scored, Unavailable
from .connection import AbsentError, Connection, Terms
from .messages import LONGEST_MS, Begin, Health, Reload, Reply, Score, encode, read_answer
from .session import ServedSession
from .wire import WireError

_PAUSE_S = 0.1
_ENDED_AT_ONCE = 1000
_BUSY = "another thread of this program was asking"
_ENDED = "the session ended with its connection; begin a new one"


type Question = tuple[ServedSession, Views, float]
"""A session, what it shows, and when, in seconds of its episode."""


class ServedModel:
    """The `ProgressModel` over a reward server; see `robo_reward.serving.connect`.

    Threads may share it; they ask in turn.
    """

    def __init__(self, address: Address, terms: Terms) -> None:
        """Connect; see `robo_reward.serving.connect`."""
        self.address, self.terms = address, terms
        self._lock = threading.Lock()
        self._connection = self._connect(time.monotonic() + terms.begin_s)
        self.about: Mapping[str, Any] = self._connection.about
        """What the server says of its model, see `robo_reward.serving.judge.Loaded`."""
        self.fingerprint = str(self.about.get("fingerprint"))
        """Which model judges."""

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the connection."""
        self.close()

    @property
    def training(self) -> Mapping[str, Any]:
        """What is known of the model's training: views, instructions, validation."""
        told: Mapping[str, Any] = self.about.get("training") or {}
        return told

    @property
    def image_size(self) -> int | None:
        """Side of the images that the model looks at, in pixels; larger ones are shrunk there."""
        size: int | None = self.about.get("image_size")
        return size

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
        deadline = time.monotonic() + self.terms.begin_s
        with self._turn(deadline) as mine:
            if not mine:
                raise ServerError(f"{self.address} began no session: {_BUSY}")
            reply = self._begun(instruction, references, deadline)
            connection = self._connection
        if reply.kind == "answer":
            raise ServerError(f"{self.address} began no session: {reply.told.get('why')}")
        session, fingerprint = reply.told.get("session"), reply.told.get("fingerprint")
        if reply.kind != "begun" or type(session) is not int:
            raise ServerError(f"{self.address} does not speak as a reward server does")
        if fingerprint != self.fingerprint and not self.terms.follow:
            connection.ended.append(session)
            raise ServerError(
                f"{self.address} now serves model {fingerprint}, and {self.fingerprint} was asked "
                "before: connect anew, or with follow=True to mix their verdicts"
            )
        self.fingerprint = str(fingerprint)
        begun = ServedSession(number=session, connection=connection)
        weakref.finalize(begun, connection.ended.append, session).atexit = False
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

        An answer is that to the frame that was shown; ``held`` says where no query was due yet.

        Args:
            sessions: What `begin` gave, each once.
            views: What each shows.
            times: When, in seconds of its episode.
            deadline_s: Seconds until all are answered; None: those of `connect`.

        Raises:
            InputError: If a frame shows nothing that can be judged, or a time is none.
        """
        if not all(math.isfinite(one) for one in times):
            raise InputError(f"times must be finite seconds, got {list(times)}")
        budget_s = self.terms.deadline_s if deadline_s is None else deadline_s
        if not budget_s <= LONGEST_MS / 1e3:
            raise InputError(f"deadline_s must be seconds, up to an hour, got {budget_s}")
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
            ServerError: If it does not answer within ``begin_s``, or is asked too often.
        """
        asked = partial(Reload, directory=str(directory), end=end)
        return str(self._request(asked).get("fingerprint"))

    def health(self) -> Mapping[str, Any]:
        """Return how the server does.

        Raises:
            ServerError: If it does not answer within ``begin_s``, or is asked too often.
        """
        return self._request(Health)

    def _request(self, asked: Callable[..., Reload | Health]) -> Mapping[str, Any]:
        deadline = time.monotonic() + self.terms.begin_s
        with self._turn(deadline) as mine:
            if not mine:
                raise ServerError(f"{self.address} was not asked: {_BUSY}")
            reply = self._told(asked(number=self._connection.next_number()), deadline)
        if reply.kind != "done":
            raise ServerError(f"{self.address} did not do it: {reply.told.get('why')}")
        return reply.told

    @contextmanager
    def _turn(self, deadline: float) -> Iterator[bool]:
        """Give whether it is this thread's turn by the deadline."""
        mine = self._lock.acquire(timeout=max(0.0, deadline - time.monotonic()))
        try:
            yield mine
        finally:
            if mine:
                self._lock.release()

    def _begun(self, instruction: str, references: References, deadline: float) -> Reply:
        """Return the reply to a request to begin; over a new connection if this one is lost."""
        if not self._connection.lost:
            try:
                return self._begun_here(instruction, references, deadline)
            except ServerError:
                if not self._connection.lost:  # it is there and hangs
                    raise
        self._connection = self._reconnect(deadline)
        return self._begun_here(instruction, references, deadline)

    def _begun_here(self, instruction: str, references: References, deadline: float) -> Reply:
        connection = self._connection
        ended = connection.ended  # others may add to its end meanwhile
        told = tuple(ended[place] for place in range(min(len(ended), _ENDED_AT_ONCE)))
        number = connection.next_number()
        asked = Begin(number=number, instruction=instruction, references=references, ended=told)
        reply = self._told(asked, deadline)
        if reply.kind == "begun":  # else the server may not know; to tell it again does no harm
            for _ in told:
                ended.popleft()
        return reply

    def _connect(self, deadline: float) -> Connection:
        return Connection(self.address, self.terms.tls, self.terms.token, deadline)

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
        replies, why = self._connection.ask({asked.number: encode(asked)}, deadline)
        if why:
            raise ServerError(
                f"{self.address} was asked and did not answer ({why}); see what ails the server"
            )
        reply = replies[asked.number]
        if reply.kind == "refused":
            raise InputError(f"{self.address}: {reply.told.get('why')}")
        return reply

    def _ask(self, asked: Sequence[Question], deadline: float) -> list[Answer]:
        connection = self._connection
        answers: list[Answer] = [Unavailable(why=_ENDED)] * len(asked)
        places: dict[int, int] = {}
        frames: dict[int, bytes] = {}
        budget_ms = math.ceil(1e3 * max(0.0, deadline - time.monotonic()))
        for place, (session, views, seconds) in enumerate(asked):
            if session.connection is connection and not connection.lost:
                number = connection.next_number()
                question = Score(
                    number=number,
                    session=session.number,
                    time=float(seconds),
                    budget_ms=min(budget_ms, LONGEST_MS),
                    views=views,
                )
                places[number], frames[number] = place, encode(question)
        replies, why = connection.ask(frames, deadline)
        refused = [reply.told.get("why") for reply in replies.values() if reply.kind == "refused"]
        for number, place in places.items():
            if number not in replies:
                answers[place] = Unavailable(why=why)
            elif replies[number].kind != "refused":
                answers[place] = asked[place][0].keep(self._answer(replies[number]))
        if refused:
            raise InputError(f"{self.address}: {refused[0]}")
        return answers

    def _answer(self, reply: Reply) -> Answer:
        try:
            return read_answer(reply)
        except WireError as error:
            self._connection.close()
            return Unavailable(
                why=f"{self.address} does not speak as a reward server does ({error})"
            )
