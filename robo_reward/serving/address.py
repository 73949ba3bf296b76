"""Where a reward server is: a unix socket, loopback, or beyond it with TLS."""

import ipaddress
from dataclasses import dataclass
from typing import Literal

from ..errors import InputError

_EXAMPLES = "give unix:PATH, tcp://127.0.0.1:PORT or tls://HOST:PORT"
_LONGEST_PATH = 100


@dataclass(frozen=True)
class Address:
    """One of the three kinds of places."""

    kind: Literal["unix", "tcp", "tls"]
    host: str = ""
    """Empty with a unix socket."""
    port: int = 0
    """0: any that is free, to listen on."""
    path: str = ""
    """Of a unix socket."""

    def __str__(self) -> str:
        """Return it as it is written."""
        if self.kind == "unix":
            return f"unix:{self.path}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.kind}://{host}:{self.port}"

    @property
    def local(self) -> bool:
        """Whether only this machine reaches it."""
        return self.kind == "unix" or is_loopback(self.host)


def is_address(text: str) -> bool:
    """Return whether a text is meant as a server's address, and not as a directory."""
    return text.startswith(("unix:", "tcp://", "tls://"))


def parse(text: str, *, to: str) -> Address:
    """Return the address that a text names.

    Args:
        text: It.
        to: What for, as an error names it: a flag.

    Raises:
        InputError: If it is none, or one that would leave this machine in the clear.
    """
    if text.startswith("unix:"):
        path = text.removeprefix("unix:")
        if not path or len(path.encode()) > _LONGEST_PATH:
            raise InputError(
                f"{to} {text}: a unix socket needs a path of at most {_LONGEST_PATH} bytes"
            )
        return Address("unix", path=path)
    kind, _, place = text.partition("://")
    host, _, port = place.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if kind not in ("tcp", "tls") or not host or not (port.isascii() and port.isdigit()):
        raise InputError(f"{to} {text} is no address of a reward server: {_EXAMPLES}")
    if int(port) > 65535:
        raise InputError(f"{to} {text}: ports end at 65535")
    try:
        host.encode("idna")
    except UnicodeError as error:
        raise InputError(f"{to} {text}: {host} is no name of a machine; {_EXAMPLES}") from error
    if kind == "tcp" and not is_loopback(host):
        raise InputError(
            f"{to} {text} is beyond this machine, where everything must be encrypted: give "
            "tls://, with --cert, --key and a token where it is served"
        )
    return Address("tls" if kind == "tls" else "tcp", host=host, port=int(port))


def is_loopback(host: str) -> bool:
    """Return whether a host is this machine alone."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
