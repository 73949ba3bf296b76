"""One client's connection, as its server sees it: frames in, by a deadline; replies out."""

import asyncio
import socket

from .address import is_loopback
from .messages import Reply, Request, decode
from .sessions import Rate
from .wire import LENGTHS, MOST_BYTES, lengths

BODY_S = 20.0
"""Seconds in which the rest of a frame must come once it has begun."""
_MOST_UNREAD = 1 << 20
"""Bytes of replies that a client may leave unread before it is cut off."""


class Link:
    """A connection that is open."""

    def __init__(
        self,
        number: int,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        rate: Rate,
    ) -> None:
        """Talk over a connection that is limited to a rate of requests."""
        self.number, self.rate = number, rate
        self.beginning = False
        """Whether a session is being begun for it."""
        self.gone = False
        """Whether it has left."""
        self._reader, self._writer = reader, writer
        plain: socket.socket = writer.get_extra_info("socket")
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if plain.family != socket.AF_UNIX:
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.by_unix = plain.family == socket.AF_UNIX
        """Whether it came over a unix socket, which only its user reaches."""
        self.local = self.by_unix or is_loopback(plain.getpeername()[0])
        """Whether it comes from this machine."""

    async def receive(self, *, most: int = MOST_BYTES) -> tuple[Request, int]:
        """Return the next request, and the bytes that it took.

        Raises:
            WireError: If what comes is none, or is larger than ``most``; nothing was kept of it.
            TimeoutError: If it begins and does not end.
            EOFError: If the connection is closed.
            OSError: If it is lost.
        """
        first = await self._reader.readexactly(1)
        async with asyncio.timeout(BODY_S):
            prefix = first + await self._reader.readexactly(LENGTHS.size - 1)
            head, pixels = lengths(prefix, most=most)
            header = await self._reader.readexactly(head)
            body = await self._reader.readexactly(pixels)
        return decode(header, body), head + pixels

    def send(self, reply: Reply) -> None:
        """Send a reply; a client that does not read its replies is cut off."""
        if self._writer.is_closing():
            return
        if self._writer.transport.get_write_buffer_size() > _MOST_UNREAD:
            self.abort()
            return
        self._writer.write(reply.frame())

    def abort(self) -> None:
        """Close, whatever is still to be sent."""
        self._writer.transport.abort()

    async def close(self) -> None:
        """Send what is still to be sent, and close."""
        self._writer.close()
        try:
            async with asyncio.timeout(1.0):
                await self._writer.wait_closed()
        except (OSError, TimeoutError):
            self.abort()
