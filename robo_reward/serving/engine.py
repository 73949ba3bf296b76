"""Sessions and passes: what is asked waits on the event loop, the model is on its own thread.

So health is told, and requests expire, while a pass runs. Whenever the model is free it begins the
sessions that are asked for, then judges the next pass.
"""

import asyncio
import logging
import math
import time
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import RoboRewardError
from .answers import Answer, Unavailable
from .caps import Caps
from .judge import Load, Loaded, Refusal, begin, load_another, score
from .messages import Begin, Reload, Reply, Score, answered, refused
from .sessions import Client, Sessions, Stream
from .waiting import FULL, Asked, Told, Waiting

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .metrics import Metrics

log = logging.getLogger(__name__)

STUCK_S = 30.0
"""Work of the model that takes longer is told as not healthy."""
GRACE_S = 20.0
"""Seconds that the pass which runs has to end when the server is stopped."""
_SWEEP_S = 1.0
_BEGINS = "another session of this connection is being begun; try again"
_REPLACED = "its model was replaced; begin a new session"
_EXPIRED = "the session is not there: it has ended, or nobody asked about it for too long"


class Engine:
    """The model that is served, the sessions that it judges, and who waits for it."""

    def __init__(
        self,
        loaded: Loaded,
        load: Load,
        metrics: "Metrics",
        *,
        caps: Caps,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Serve a model.

        Args:
            loaded: It.
            load: Loads another one.
            metrics: Counts.
            caps: How much is taken on.
            clock: Tells the time, in seconds.
        """
        self.loaded, self.metrics, self.clock = loaded, metrics, clock
        self.sessions = Sessions(most=caps.sessions, most_each=caps.sessions_each, idle_s=caps.idle)
        self.waiting = Waiting(
            most=caps.together, gather_s=caps.gather, most_bytes=caps.waiting_mb << 20
        )
        self._load = load
        self._begins: deque[tuple[Client, Begin, int]] = deque()
        self._retired = 0  # how often all sessions have ended with their model
        self._timer: asyncio.TimerHandle | None = None
        self._rings = math.inf  # when the timer does
        self._busy_since: float | None = None
        self._awake, self._stop = asyncio.Event(), asyncio.Event()
        self._loading = asyncio.Lock()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="model")
        metrics.model.info({"fingerprint": loaded.fingerprint})

    def health(self) -> dict[str, Any]:
        """Return how the server does; may be asked from any thread."""
        since = self._busy_since
        busy = 0.0 if since is None else self.clock() - since
        return {
            "status": "ok" if busy < STUCK_S else "stuck",
            "fingerprint": self.loaded.fingerprint,
            "model": str(self.loaded.place),
            "sessions": len(self.sessions),
            "waiting": len(self.waiting),
            "busy_s": round(busy, 3),
        }

    def stop(self) -> None:
        """Finish the pass that runs, and then end."""
        self._stop.set()
        self._awake.set()

    def begin(self, client: Client, asked: Begin, size: int) -> None:
        """Begin a session, of ``size`` bytes, when the model is free; those that are named end."""
        self._end(lambda one: one.owner == client.number and one.number in asked.ended)
        why = _BEGINS if client.beginning else ""
        if not why and not self.waiting.hold(size):
            why = FULL
        if why:
            self._tell(client, asked.number, Unavailable(why=why))
            return
        client.beginning = True
        self._begins.append((client, asked, size))
        self._awake.set()

    def score(self, client: Client, asked: Score, size: int) -> None:
        """Let a frame wait for a pass of ``size`` bytes, or answer at once that it will not."""
        now = self.clock()
        stream = self.sessions.find(asked.session, client.number, now)
        if stream is None:
            self._tell(client, asked.number, Unavailable(why=_EXPIRED))
            return
        if asked.number <= stream.newest:
            client.send(refused("requests must be numbered upwards", asked.number))
            return
        stream.newest = asked.number
        budget_s = asked.budget_ms / 1e3
        one = Asked(
            stream=stream.number,
            number=asked.number,
            arrived=now,
            budget_s=budget_s,
            size=size,
            item=(client, stream, asked),
        )
        self._answer(self.waiting.put(one))
        self._watch()
        self._awake.set()

    def leave(self, client: Client) -> None:
        """End all of a client that has gone."""
        client.gone = True
        self.waiting.release(sum(size for one, _, size in self._begins if one is client))
        self._begins = deque(item for item in self._begins if item[0] is not client)
        self._end(lambda one: one.owner == client.number)

    async def reload(self, asked: Reload) -> None:
        """Load a checkpoint beside the one that is served, and go on with it.

        Sessions keep the model that they began with, unless they are told to end. If it cannot be
        loaded the old one stays.

        Raises:
            RoboRewardError: If it cannot be loaded, and why.
        """
        async with self._loading:
            place = Path(asked.directory) if asked.directory else self.loaded.place
            try:
                loaded = await asyncio.to_thread(load_another, self._load, place)
            except RoboRewardError as error:
                self.metrics.reloads.labels("refused").inc()
                log.warning("the old model stays: %s", error)
                raise
            self.loaded = loaded
            if asked.end:
                self._retired += 1
                self._end(lambda one: one.model is not loaded, why=_REPLACED)
            self.metrics.reloads.labels("done").inc()
            self.metrics.model.info({"fingerprint": loaded.fingerprint})
            log.info("model %s from %s now begins sessions", loaded.fingerprint, place)

    async def run(self) -> bool:
        """Judge until `stop`; those that wait then are told.

        Returns:
            Whether the pass that ran has ended; else the model's thread hangs.
        """
        sweep = asyncio.create_task(self._sweep())
        work = asyncio.create_task(self._work())
        stop = asyncio.create_task(self._stop.wait())
        await asyncio.wait({work, stop}, return_when=asyncio.FIRST_COMPLETED)
        await asyncio.wait({work}, timeout=GRACE_S)
        for task in (sweep, stop):
            task.cancel()
        why = "the server was stopped"
        self._answer(self.waiting.drop_all(why))
        for client, asked, _ in self._begins:
            self._tell(client, asked.number, Unavailable(why=why))
        self._thread.shutdown(wait=False, cancel_futures=True)
        if work.done():
            work.result()
        else:
            log.warning("the pass that ran did not end in %g s", GRACE_S)
        return work.done()

    async def _work(self) -> None:
        while not self._stop.is_set():
            self._awake.clear()
            if self._begins:
                await self._begin_next()
            due = self.waiting.due_in(self.clock())
            if due == 0.0:
                await self._judge()
            elif not self._begins:
                await self._slept(due)

    async def _slept(self, seconds: float | None) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._awake.wait()
        except TimeoutError:
            pass

    async def _begin_next(self) -> None:
        client, asked, size = self._begins.popleft()
        loaded, retired, made = self.loaded, self._retired, None
        why = self.sessions.room(client.number)
        if not why:
            work = partial(begin, loaded, asked.instruction, asked.references)
            made = await self._on_thread(work)
            why = _REPLACED if self._retired > retired else ""
        self.waiting.release(size)
        client.beginning = False
        if why:
            self._tell(client, asked.number, Unavailable(why=why))
            return
        if isinstance(made, Refusal):
            self.metrics.refused.inc()
            client.send(refused(made.why, asked.number))
        elif not client.gone:
            stream = self.sessions.add(client.number, loaded, made, self.clock())
            told = {"session": stream.number, "fingerprint": loaded.fingerprint}
            client.send(Reply(kind="begun", number=asked.number, told=told))

    async def _judge(self) -> None:
        self._expire()
        asked = self.waiting.take()
        now = self.clock()
        for one in asked:
            self.metrics.waited.observe(now - one.arrived)
        items = [one.item for one in asked]
        questions = [(stream, told.views, told.time) for _, stream, told in items]
        if not questions:
            return
        said = await self._on_thread(partial(score, questions))
        self.metrics.passes.observe(self.clock() - now)
        self.metrics.queries.observe(len(asked))
        for (client, _, told), answer in zip(items, said, strict=True):
            if isinstance(answer, Refusal):
                self.metrics.refused.inc()
                client.send(refused(answer.why, told.number))
            else:
                self._tell(client, told.number, answer)

    async def _on_thread[T](self, work: Callable[[], T]) -> T:
        with self._busy():
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    @contextmanager
    def _busy(self) -> "Iterator[None]":
        self._busy_since = self.clock()
        try:
            yield
        finally:
            self._busy_since = None

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(_SWEEP_S)
            gone = self.sessions.expire(self.clock())
            self._answer(self.waiting.drop([one.number for one in gone], _EXPIRED))

    def _watch(self) -> None:
        """Have the next request whose time is over answered then, also while a pass runs."""
        soonest = self.waiting.soonest
        if soonest is None or soonest >= self._rings:
            return
        if self._timer:
            self._timer.cancel()
        self._rings = soonest
        wait = max(0.0, soonest - self.clock())
        self._timer = asyncio.get_running_loop().call_later(wait, self._late)

    def _late(self) -> None:
        self._timer, self._rings = None, math.inf
        self._expire()
        self._watch()

    def _expire(self) -> None:
        self._answer(self.waiting.expire(self.clock()))

    def _end(self, which: Callable[[Stream], bool], why: str = "the session has ended") -> None:
        gone = self.sessions.end(which)
        self._answer(self.waiting.drop([one.number for one in gone], why))

    def _answer(self, told: Iterable[Told]) -> None:
        for asked, answer in told:
            self._tell(asked.item[0], asked.number, answer)

    def _tell(self, client: Client, number: int, answer: Answer) -> None:
        self.metrics.answers.labels(type(answer).__name__.lower()).inc()
        client.send(answered(answer, number))
