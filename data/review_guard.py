"""Who may talk to the review page: one browser, opened by a token that works once.

A page on loopback is within reach of every program and every web page on the machine. So the
address that is printed holds a token; its first use sets a cookie and ends it. Every request must
name our own host (else a foreign name could be pointed at 127.0.0.1: DNS rebinding) and, where a
browser says which page it comes from, our own page. Everything else is 403.
"""

import hmac
import secrets
from collections.abc import Mapping

TOKEN = "token"
"""Parameter of the address that is printed."""
HEADERS = {
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
"""What every answer carries, beside the content security policy."""


class Guard:
    """Decides about requests; knows nothing of HTTP but host, origin, token and cookie."""

    cookie: str
    """Name of the cookie; cookies do not tell ports apart, so the port is part of it."""

    def __init__(self, port: int) -> None:
        """Guard the page on a port of 127.0.0.1."""
        self._hosts = {f"{name}:{port}" for name in ("127.0.0.1", "localhost")}
        self.cookie = f"robo_reward_review_{port}"
        self._token: str | None = secrets.token_urlsafe(32)
        self._session = secrets.token_urlsafe(32)
        self.address = f"http://127.0.0.1:{port}/?{TOKEN}={self._token}"
        """The address that opens the page, once."""

    def stranger(self, headers: Mapping[str, str]) -> bool:
        """Return whether a request names another host, or is sent by another page."""
        host, origin = headers.get("Host", ""), headers.get("Origin")
        return host not in self._hosts or origin not in (None, f"http://{host}")

    def known(self, headers: Mapping[str, str], cookie: str | None) -> bool:
        """Return whether a request is our own page's, with the cookie that the token gave."""
        given, site = (cookie or "").encode(), headers.get("Sec-Fetch-Site", "none")
        ours = site in ("none", "same-origin")
        return ours and hmac.compare_digest(given, self._session.encode())

    def admit(self, token: str | None) -> str | None:
        """Return the cookie for whoever brings the token first; None for all others."""
        expected = self._token
        if expected is None or not hmac.compare_digest((token or "").encode(), expected.encode()):
            return None
        self._token = None
        return self._session
