"""Chat requests to an OpenAI-compatible server: bounded in time and size, tried again when busy."""

import ipaddress
import json
import math
import os
import ssl
import time
from dataclasses import dataclass, field
from typing import Any, Literal

import httpx

from ..errors import InputError, ServerError

type Kind = Literal["text", "refused", "failed"]

KEY = "ROBO_REWARD_API_KEY"
"""Environment variable that holds the key; it is in no flag, file or message."""
_MOST_BYTES = 1 << 20
_PATIENCE_S = 10.0
_TRIES = 3
_BUSY = frozenset({429, 502, 503, 504})
_FINAL = {
    401: f"the key in {KEY} is missing or wrong",
    403: f"the key in {KEY} may not ask this",
    404: "there is no such model, or the address is not the one that ends with /v1",
}


@dataclass(frozen=True)
class Reply:
    """What came back of a request."""

    kind: Kind
    """An answer, a refusal to answer, or nothing of use."""
    text: str
    """The answer, or why there is none."""


@dataclass(frozen=True, kw_only=True)
class Client:
    """Asks one server; holds no connection between passes."""

    url: str
    """Up to and with /v1."""
    timeout_s: float
    """Of a request, with all its tries."""
    pause_s: float = 0.5
    """Before the second try; doubled before the third."""
    key: str = field(default="", repr=False)
    """Empty: none is sent."""
    trust: ssl.SSLContext = field(default_factory=httpx.create_ssl_context, repr=False)
    """Certificates that are trusted."""

    @property
    def host(self) -> str:
        """Host and port of the server."""
        return httpx.URL(self.url).netloc.decode()

    def connect(self) -> httpx.Client:
        """Return what the requests of one pass share, to be closed after it."""
        headers = {"Authorization": f"Bearer {self.key}"} if self.key else {}
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
        return httpx.Client(
            headers=headers,
            timeout=httpx.Timeout(self.timeout_s),
            limits=limits,
            verify=self.trust,
            trust_env=not _is_loopback(httpx.URL(self.url).host),  # proxies are for what is far
        )

    def check(self) -> None:
        """Check that the server is there, and takes the key.

        Raises:
            ServerError: If it is not, or does not.
        """
        try:
            with self.connect() as http:
                patience = min(self.timeout_s, _PATIENCE_S)
                status = http.get(f"{self.url}/models", timeout=patience).status_code
        except (httpx.HTTPError, OSError) as error:
            raise ServerError(
                f"no server answers at {self.url} ({_told(error)}); start it, or mend --openai.url"
            ) from error
        if status in (401, 403):
            raise ServerError(f"{self.url} refuses us (HTTP {status}): {_FINAL[status]}")

    def ask(self, http: httpx.Client, body: dict[str, Any]) -> Reply:
        """Return the answer to a chat request; busy servers and lost connections are tried again.

        Raises:
            ServerError: If the server says that no request will do: wrong key, model or address.
        """
        deadline = time.monotonic() + self.timeout_s
        pause = self.pause_s
        for tries in range(1, _TRIES + 1):
            reply, wait = self._try(http, body, deadline)
            if wait is None or tries == _TRIES or time.monotonic() + max(wait, pause) > deadline:
                break
            time.sleep(max(wait, pause))
            pause *= 2
        return reply

    def _try(
        self, http: httpx.Client, body: dict[str, Any], deadline: float
    ) -> tuple[Reply, float | None]:
        """Return a reply, and the least seconds after which another try may help; else None."""
        try:
            with http.stream("POST", f"{self.url}/chat/completions", json=body) as response:
                content = _content(response, deadline)
        except httpx.TimeoutException:
            return Reply("failed", f"no answer in {self.timeout_s:g} s"), None
        except (httpx.HTTPError, OSError) as error:
            return Reply("failed", _told(error)), 0.0
        if content is None:
            return Reply("failed", "the answer was too long, or too slow to come"), None
        status = response.status_code
        said = self._hide(content.decode(errors="replace"))
        if status in _FINAL:
            raise ServerError(
                f"{self.url} refuses us (HTTP {status}: {_short(said)}): {_FINAL[status]}"
            )
        if status != 200:
            wait = _seconds(response.headers.get("retry-after")) if status in _BUSY else None
            kind: Kind = "refused" if 400 <= status < 500 and wait is None else "failed"
            return Reply(kind, f"HTTP {status}: {_short(said)}"), wait
        return _answer(said), None

    def _hide(self, text: str) -> str:
        return text.replace(self.key, "***") if self.key else text


def make_client(url: str, *, timeout_s: float) -> Client:
    """Return the client of a server, with the key from the environment, if one is there.

    Raises:
        InputError: If ``url`` is no address of a server, or the key would travel in the clear.
    """
    try:
        told = httpx.URL(url)
    except httpx.InvalidURL as error:
        raise InputError(f"--openai.url {url!r} is no address ({error}); {_EXAMPLE}") from error
    if told.userinfo or told.query or told.fragment:
        raise InputError(f"--openai.url holds more than an address; {_EXAMPLE}, the key in {KEY}")
    if told.scheme not in ("http", "https") or not told.host:
        raise InputError(f"--openai.url {url!r} is no address of a server; {_EXAMPLE}")
    key = os.environ.get(KEY, "")
    if not (key.isascii() and key.isprintable()):
        raise InputError(f"{KEY} holds characters that no key has; set it again")
    if key and told.scheme == "http" and not _is_loopback(told.host):
        raise InputError(
            f"--openai.url {url} would carry the key in {KEY} in the clear; use https, a tunnel to "
            "127.0.0.1, or unset the key"
        )
    return Client(url=url.rstrip("/"), timeout_s=timeout_s, key=key)


_EXAMPLE = "give one like http://127.0.0.1:8000/v1"


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _content(response: httpx.Response, deadline: float) -> bytes | None:
    """Return the body of a response; None if it is too long, or not whole at the deadline."""
    content = bytearray()
    for piece in response.iter_bytes():
        content += piece
        if len(content) > _MOST_BYTES or time.monotonic() > deadline:
            return None
    return bytes(content)


def _answer(content: str) -> Reply:
    try:
        choice = json.loads(content)["choices"][0]
        message = choice["message"]
        text = message.get("content")
    except (ValueError, LookupError, TypeError, AttributeError):
        return Reply("failed", f"no chat completion: {_short(content)}")
    if message.get("refusal") or choice.get("finish_reason") == "content_filter":
        return Reply("refused", _short(str(message.get("refusal") or "content filter")))
    if not isinstance(text, str):
        return Reply("refused", "an answer without text")
    return Reply("text", text)


def _seconds(header: str | None) -> float:
    """Return the wait that a server asks for; 0 where it says none that we understand."""
    try:
        wait = float(header or 0)
    except ValueError:  # a date
        return 0.0
    return wait if 0 <= wait < math.inf else 0.0


def _short(text: str) -> str:
    told = " ".join(text.split())
    plain = "".join(letter if letter.isprintable() else "?" for letter in told)
    return plain if len(plain) <= 160 else plain[:159] + "…"


def _told(error: Exception) -> str:
    return _short(str(error)) or type(error).__name__
