"""Reward servers that tests run: in a thread of this process, with a model that can be held up."""

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgpack
import numpy as np

from robo_reward.errors import CheckpointError
from robo_reward.fake_model import FakeProgressModel
from robo_reward.protocols import References, Verdict, Views
from robo_reward.serving import connect
from robo_reward.serving.address import parse
from robo_reward.serving.caps import Caps
from robo_reward.serving.client import ServedModel
from robo_reward.serving.engine import Engine
from robo_reward.serving.judge import Loaded
from robo_reward.serving.metrics import Metrics
from robo_reward.serving.server import Server, listening
from robo_reward.serving.wire import LENGTHS

TEXT = "close the drawer"


def grey(level: float, *names: str) -> Views:
    """A frame whose progress a fake model reads off its brightness."""
    return {name: np.full((4, 6, 3), round(255 * level), np.uint8) for name in names or ("front",)}


GIVEN = References(start=grey(0.0), goal=grey(1.0))


@dataclass(frozen=True, kw_only=True)
class HeldUp(FakeProgressModel):
    """A fake model whose passes wait to be let through, and are remembered."""

    query_period_s: float = 0.1
    free: threading.Event = field(default_factory=threading.Event)
    """Passes wait for this."""
    began: threading.Event = field(default_factory=threading.Event)
    """A pass has begun."""
    passes: list[list[float]] = field(default_factory=list)
    """The times that were asked about in each."""

    def score_many(
        self, sessions: Sequence[Any], views: Sequence[Views], times: Sequence[float]
    ) -> list[Verdict]:
        self.passes.append(list(times))
        self.began.set()
        assert self.free.wait(20.0), "the test never let the pass through"
        if any(not shown for shown in views):
            raise RuntimeError("a fault of the model")
        return super().score_many(sessions, views, times)


def loaded(model: Any, fingerprint: str = "first", **training: Any) -> Loaded:
    about = {
        "fingerprint": fingerprint,
        "period_s": 0.1,
        "image_size": 4,
        "training": training,
    }
    return Loaded(model=model, about=about, place=Path(fingerprint))


def nothing_else(place: Path) -> Loaded:
    raise CheckpointError(f"{place} is no model")


@dataclass
class Running:
    """A server in a thread."""

    address: str
    engine: Engine
    server: Server
    loop: asyncio.AbstractEventLoop

    def call(self, work: Callable[[], object]) -> None:
        """Have the server's thread do something."""
        self.loop.call_soon_threadsafe(work)

    def count(self, name: str, **labels: str) -> float:
        """A number of the server's metrics."""
        found = self.engine.metrics.registry.get_sample_value(f"robo_reward_{name}", labels)
        return found or 0.0

    def connect(self, **how: Any) -> ServedModel:
        return connect(self.address, **{"deadline_s": 10.0, "begin_s": 10.0} | how)

    def raw(self) -> "Raw":
        return Raw(self.address)


@contextmanager
def running(
    model: Any,
    *,
    listen: str = "tcp://127.0.0.1:0",
    load: Callable[[Path], Loaded] = nothing_else,
    token: str = "",
    **caps: Any,
) -> Iterator[Running]:
    """Serve a model until the block ends; it must then end by itself."""
    started: Future[Running] = Future()
    given = model if isinstance(model, Loaded) else loaded(model)
    chosen = Caps(**caps)

    async def serve() -> None:
        async with listening(parse(listen, to="--listen"), None) as (became, accept):
            engine = Engine(given, load, Metrics(), caps=chosen)
            server = Server(engine, caps=chosen, token=token)
            await accept(server.connected)
            started.set_result(Running(str(became), engine, server, asyncio.get_running_loop()))
            await engine.run()
        await server.close()

    def run() -> None:
        try:
            asyncio.run(serve())
        except BaseException as error:
            if started.done():
                raise
            started.set_exception(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    made = started.result(20.0)
    try:
        yield made
    finally:
        free = getattr(given.model, "free", None)
        if free is not None:
            free.set()
        with suppress(RuntimeError):  # a test may have stopped it
            made.call(made.engine.stop)
        thread.join(20.0)
        assert not thread.is_alive(), "the server did not end"


def until(so: Any, seconds: float = 20.0) -> None:
    """Wait until something is so."""
    end = time.monotonic() + seconds
    while not so():
        assert time.monotonic() < end, "it never came about"
        time.sleep(0.005)


class Raw:
    """A client that sends what it likes."""

    def __init__(self, address: str) -> None:
        place = parse(address, to="the address")
        if place.kind == "unix":
            self.socket = socket.socket(socket.AF_UNIX)
            self.socket.connect(place.path)
        else:
            self.socket = socket.create_connection((place.host, place.port))
        self.socket.settimeout(20.0)

    def __enter__(self) -> "Raw":
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def bytes(self, content: bytes) -> None:
        self.socket.sendall(content)

    def say(self, pixels: bytes = b"", **header: Any) -> None:
        head = msgpack.packb(header)
        self.bytes(LENGTHS.pack(len(head), len(pixels)) + head + pixels)

    def greet(self, **how: Any) -> dict[str, Any]:
        self.say(**{"kind": "hello", "version": 1, "token": ""} | how)
        return self.hear()

    def hear(self) -> dict[str, Any]:
        """The next reply."""
        head, pixels = LENGTHS.unpack(self.exactly(LENGTHS.size))
        told: dict[str, Any] = msgpack.unpackb(self.exactly(head))
        self.exactly(pixels)
        return told

    def exactly(self, size: int) -> bytes:
        found = b""
        while len(found) < size:
            part = self.socket.recv(size - len(found))
            if not part:
                raise EOFError("the server closed the connection")
            found += part
        return found

    def ended(self) -> bool:
        """Whether the server has closed the connection."""
        try:
            return not self.socket.recv(1)
        except ConnectionError:
            return True
