"""One connection to a reward server: frames out and in, each wait with a deadline."""

import itertools
import socket
import time
import weakref
from collections import deque
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

from ..errors import ServerError
from .address import Address
from .messages import Hello, Reply, encode, read_reply
from .trust import Context
from .wire import LENGTHS, WireError, lengths


@dataclass(frozen=True, kw_only=True)
class Terms:
    """How a server is asked; see `robo_reward.serving.connect`."""

    deadline_s: float
    begin_s: float
    token: str = field(repr=False)
    tls: Context
    follow: bool


class AbsentError(ServerError):
    """Nobody listens there, at the moment."""


class LostError(ServerError):
    """A connection is of no more use."""


class Connection:
    """A connection that is made and greeted; what arrives in parts is put together."""

    def __init__(self, address: Address, tls: Context, token: str, deadline: float) -> None:
        """Connect and say who we are; deadlines are in seconds of `time.monotonic`.

        Raises:
            AbsentError: If nobody listens there.
            ServerError: If the server does not answer in time, or refuses us.
        """
        self.address, self.lost = address, False
        self.ended: deque[int] = deque()
        """Sessions that nobody holds any more, of which the server has not been told."""
        self._numbers = itertools.count(1)
        self._arrived = bytearray()
        self._socket = _connected(address, tls, deadline)
        weakref.finalize(self, self._socket.close)  # a progress model is not always closed
        try:
            self._send(encode(Hello(token=token)), deadline)
            reply = self.receive(deadline)
        except TimeoutError as error:
            self.close()
            raise ServerError(f"{address} does not answer; see what ails the server") from error
        except ServerError:
            self.close()
            raise
        if reply.kind != "welcome":
            self.close()
            raise ServerError(f"{address} does not speak as a reward server does")
        self.about: Mapping[str, Any] = reply.told

    def next_number(self) -> int:
        """Return a number for a request, larger than all before."""
        return next(self._numbers)

    def _send(self, frame: bytes, deadline: float) -> None:
        if self.lost:
            raise LostError("the connection was lost")
        left = _left(deadline)  # while nothing is sent nothing is lost
        try:
            self._socket.settimeout(left)
            self._socket.sendall(frame)
        except OSError as error:  # in time or not: half a frame may be on its way
            raise self._lose("took no request", error) from error

    def receive(self, deadline: float) -> Reply:
        """Return the next reply.

        Raises:
            TimeoutError: If none comes in time; a later call goes on where this one stopped.
            LostError: If the server is gone, ends the connection, or speaks otherwise.
        """
        if self.lost:
            raise LostError("the connection was lost")
        try:
            self._fill(LENGTHS.size, deadline)
            head, pixels = lengths(bytes(self._arrived[: LENGTHS.size]))
            size = LENGTHS.size + head + pixels
            self._fill(size, deadline)
            frame = bytes(self._arrived[LENGTHS.size : LENGTHS.size + head])
            del self._arrived[:size]
            reply = read_reply(frame)
        except TimeoutError:
            raise
        except (OSError, WireError) as error:
            raise self._lose("does not answer any more", error) from error
        if reply.kind == "refused" and reply.number == 0:
            self.close()
            raise LostError(f"{self.address} refuses us: {reply.told.get('why')}")
        return reply

    def ask(self, frames: Mapping[int, bytes], deadline: float) -> tuple[dict[int, Reply], str]:
        """Return the replies to requests by their numbers, and why there are no others.

        Replies to earlier requests, for which nobody waits any more, are passed over; a session
        that began too late has ended.
        """
        replies: dict[int, Reply] = {}
        try:
            for frame in frames.values():
                self._send(frame, deadline)
            while len(replies) < len(frames):
                reply = self.receive(deadline)
                if reply.number in frames:
                    replies[reply.number] = reply
                elif reply.kind == "begun" and type(reply.told.get("session")) is int:
                    self.ended.append(reply.told["session"])
        except TimeoutError:
            return replies, "no answer came within the deadline"
        except LostError as error:
            return replies, str(error)
        return replies, ""

    def _fill(self, size: int, deadline: float) -> None:
        while len(self._arrived) < size:
            self._socket.settimeout(_left(deadline))
            part = self._socket.recv(1 << 16)
            if not part:
                raise ConnectionResetError("it closed the connection")
            self._arrived += part

    def close(self) -> None:
        """Close it."""
        self.lost = True
        self._socket.close()

    def _lose(self, what: str, error: Exception) -> LostError:
        self.close()
        return LostError(f"{self.address} {what} ({_told(error)})")


def _connected(address: Address, tls: Context, deadline: float) -> socket.socket:
    try:
        with ExitStack() as failing:
            if address.kind == "unix":
                made = failing.enter_context(socket.socket(socket.AF_UNIX))
                made.settimeout(_left(deadline))
                made.connect(address.path)
            else:
                place = (address.host, address.port)
                made = failing.enter_context(socket.create_connection(place, _left(deadline)))
                made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if tls:
                made = tls.wrap_socket(made, server_hostname=address.host)
            failing.pop_all()
            return made
    except (ConnectionRefusedError, FileNotFoundError) as error:
        raise AbsentError(
            f"no reward server listens at {address} ({error.strerror}); start one: "
            f"robo-reward serve --model DIR --listen {address}"
        ) from error
    except OSError as error:
        raise ServerError(
            f"{address} cannot be connected to ({_told(error)}); see that the address is right, "
            "and its certificate trusted"
        ) from error


def _left(deadline: float) -> float:
    """Return the seconds that are left.

    Raises:
        TimeoutError: If there are none.
    """
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError("time is up")
    return left


def _told(error: Exception) -> str:
    return getattr(error, "strerror", None) or " ".join(str(error).split()) or type(error).__name__
