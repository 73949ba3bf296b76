"""The connections of a reward server: who may ask, and how much."""

import asyncio
import contextlib
import fcntl
import logging
import os
import socket
import stat
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from ..errors import InputError, RoboRewardError
from .address import Address
from .answers import Unavailable
from .caps import Caps
from .engine import Engine
from .link import Link
from .messages import Begin, Health, Hello, Reload, Reply, Request, Score, answered, refused
from .sessions import Rate
from .trust import Context, same_token
from .wire import VERSION, WireError

log = logging.getLogger(__name__)

HELLO_S = 5.0
"""Seconds that a connection has to say who it is."""
HELLO_BYTES = 4096
"""Most that it may send before that."""
STRANGERS = 64
"""Connections that may be open before they say who they are; one more ends the oldest of them."""
_BACKLOG = 128


class Server:
    """Lets clients ask an engine."""

    def __init__(self, engine: Engine, *, caps: Caps, token: str = "") -> None:
        """Serve an engine to those who know the token; empty: to all who can connect."""
        self.engine, self.caps, self._token = engine, caps, token
        self._links: dict[int, Link] = {}
        self._strangers: dict[int, Link] = {}  # who has not said who it is; oldest first
        self._count = 0
        self._reloads: set[asyncio.Task[None]] = set()
        gauge = engine.metrics.gauge
        gauge("connections", "Clients that are connected", lambda: len(self._links))
        gauge("sessions", "Sessions that run", lambda: len(engine.sessions))
        gauge("waiting", "Requests that wait for a pass", lambda: len(engine.waiting))

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Talk with a client until it leaves, or sends what may not be sent."""
        self._count += 1
        rate = Rate(self.caps.rate, self.engine.clock())
        link = Link(self._count, reader, writer, rate)
        if len(self._strangers) >= STRANGERS:  # strangers must not keep out who has the token
            self._strangers.pop(next(iter(self._strangers))).abort()
        self._strangers[link.number] = link
        try:
            await self._greet(link)
            while True:
                self._take(link, *await link.receive())
        except (WireError, TimeoutError) as error:
            self.engine.metrics.refused.inc()
            link.send(refused(str(error) or "the rest of a frame did not come"))
        except (EOFError, OSError):
            pass
        finally:
            self._strangers.pop(link.number, None)
            self._links.pop(link.number, None)
            self.engine.leave(link)
            await link.close()

    async def close(self) -> None:
        """Close all connections, after what is still to be sent."""
        links = [*self._strangers.values(), *self._links.values()]
        await asyncio.gather(*(link.close() for link in links))

    def reload(self) -> None:
        """Read the checkpoint's directory again; what is wrong with it is logged."""

        async def load() -> None:
            with contextlib.suppress(RoboRewardError):
                await self.engine.reload(Reload(number=0, directory=""))

        self._spawn(load())

    async def _greet(self, link: Link) -> None:
        """Let a client say who it is.

        Raises:
            WireError: If it speaks otherwise, or may not ask.
        """
        async with asyncio.timeout(HELLO_S):
            hello, _ = await link.receive(most=HELLO_BYTES)
        if not isinstance(hello, Hello):
            raise WireError("the first message must be hello")
        if hello.version != VERSION:
            raise WireError(
                f"this server speaks version {VERSION} of the protocol and the client version "
                f"{hello.version}: use the same robo-reward on both sides"
            )
        if self._token and not same_token(hello.token, self._token):
            raise WireError("the token is missing or wrong")
        if len(self._links) >= self.caps.connections:
            raise WireError(f"the server has {self.caps.connections} connections, and no more")
        self._strangers.pop(link.number, None)
        self._links[link.number] = link
        about = {**self.engine.loaded.about, "version": VERSION}
        link.send(Reply(kind="welcome", told=about))

    def _take(self, link: Link, request: Request, size: int) -> None:
        if isinstance(request, Hello):
            raise WireError("hello is said once")
        if not link.rate.allows(self.engine.clock()):
            why = f"more than {self.caps.rate:g} requests a second; ask less often"
            self.engine.metrics.answers.labels("unavailable").inc()
            link.send(answered(Unavailable(why=why), request.number))
        elif isinstance(request, Score):
            self.engine.score(link, request, size)
        elif isinstance(request, Begin):
            self.engine.begin(link, request, size)
        elif isinstance(request, Health):
            told = {**self.engine.health(), "connections": len(self._links)}
            link.send(Reply(kind="done", number=request.number, told=told))
        else:
            self._reload(link, request)

    def _reload(self, link: Link, request: Reload) -> None:
        if not (link.local and (link.by_unix or self._token)):
            why = "only clients of this machine reload, over a unix socket or with a token"
            link.send(refused(why, request.number))
            return

        async def load() -> None:
            try:
                await self.engine.reload(request)
            except RoboRewardError as error:
                link.send(refused(f"the old model stays: {error}", request.number))
            else:
                told = {"fingerprint": self.engine.loaded.fingerprint}
                link.send(Reply(kind="done", number=request.number, told=told))

        self._spawn(load())

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._reloads.add(task)
        task.add_done_callback(self._reloads.discard)


type Connected = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def listening(
    address: Address, tls: Context
) -> AsyncIterator[tuple[Address, Callable[[Connected], Awaitable[None]]]]:
    """Hold an address; give what it became, and what lets clients connect.

    It is held before the model is loaded, so that one which is in use is told at once.

    Raises:
        InputError: If it is in use, or cannot be listened on.
    """
    with _bound(address) as (bound, became), contextlib.ExitStack() as opened:

        async def accept(connected: Connected) -> None:
            more: dict[str, Any] = {"ssl": tls, "ssl_handshake_timeout": HELLO_S} if tls else {}
            made = await asyncio.start_server(
                connected, sock=bound, backlog=_BACKLOG, limit=1 << 20, **more
            )
            opened.callback(made.close)

        yield became, accept


@contextmanager
def _bound(address: Address) -> Iterator[tuple[socket.socket, Address]]:
    if address.kind == "unix":
        with _bound_unix(Path(address.path)) as bound:
            yield bound, address
        return
    try:
        found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
        bound = socket.create_server(found[0][4][:2], family=found[0][0])
    except OSError as error:
        raise InputError(
            f"--listen {address} cannot be listened on ({_reason(error)}); choose another port, or "
            "end what uses it"
        ) from error
    with bound:
        yield bound, Address(address.kind, host=address.host, port=bound.getsockname()[1])


@contextmanager
def _bound_unix(path: Path) -> Iterator[socket.socket]:
    """Give a socket that only its user reaches; one that a killed server left is replaced."""
    with socket.socket(socket.AF_UNIX) as bound, contextlib.ExitStack() as held:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            held.enter_context(_locked(path))
            _clear(path)
            mask = os.umask(0o177)
            try:
                bound.bind(str(path))
            finally:
                os.umask(mask)
            bound.listen(_BACKLOG)
        except OSError as error:
            raise InputError(
                f"--listen unix:{path} cannot be listened on ({_reason(error)}); give another path"
            ) from error
        mine = path.stat().st_ino
        try:
            yield bound
        finally:
            with contextlib.suppress(OSError):
                if path.stat().st_ino == mine:
                    path.unlink()


def _reason(error: OSError) -> str:
    return os.strerror(error.errno) if error.errno and error.errno > 0 else str(error)


def _clear(path: Path) -> None:
    """Remove a socket on which nobody listens any more.

    Raises:
        InputError: If somebody does, or it is something else.
        OSError: If it cannot be looked at or removed.
    """
    try:
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise InputError(f"--listen unix:{path}: there is a file that is no socket; move it")
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(2.0)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
        else:
            raise _in_use(path)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Be the only server that takes a path: others are refused, also while none listens yet.

    The lock is on a file beside it, which stays: to remove it would let two have it.

    Raises:
        InputError: If another one has it.
    """
    place = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        try:
            fcntl.flock(place, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise _in_use(path) from error
        yield
    finally:
        os.close(place)


def _in_use(path: Path) -> InputError:
    return InputError(
        f"--listen unix:{path} is in use by another server; end it, or give another path"
    )
