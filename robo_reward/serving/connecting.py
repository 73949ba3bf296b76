"""The way to a reward server."""

from pathlib import Path

from ..errors import InputError
from .address import parse
from .client import ServedModel
from .connection import Terms
from .messages import LONGEST_MS
from .trust import client_context, read_token


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
    place = parse(address, to="the address")
    terms = Terms(
        deadline_s=deadline_s,
        begin_s=begin_s,
        token=read_token(token_file),
        tls=client_context(place, trust),
        follow=follow,
    )
    return ServedModel(place, terms)
