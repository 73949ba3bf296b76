"""What a reward server counts, as Prometheus text, and its health, over HTTP on loopback."""

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, generate_latest

from ..errors import InputError

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_HOSTS = ("127.0.0.1", "localhost")
_SIZES = (1, 2, 4, 8, 16, 32, 64, 128)


class Metrics:
    """Counters and histograms of one server, in a registry of its own."""

    def __init__(self) -> None:
        """Begin at zero."""
        registry = self.registry = CollectorRegistry()
        self.answers = Counter(
            "robo_reward_answers", "Answers by kind", ["kind"], registry=registry
        )
        self.refused = Counter("robo_reward_refused", "Requests that were wrong", registry=registry)
        self.reloads = Counter(
            "robo_reward_reloads", "Reloads by outcome", ["outcome"], registry=registry
        )
        self.waited = Histogram(
            "robo_reward_wait_seconds",
            "From a request's arrival to its pass",
            buckets=_SECONDS,
            registry=registry,
        )
        self.passes = Histogram(
            "robo_reward_pass_seconds", "Passes", buckets=_SECONDS, registry=registry
        )
        self.queries = Histogram(
            "robo_reward_pass_queries", "Requests of a pass", buckets=_SIZES, registry=registry
        )
        self.model = Info("robo_reward_model", "What is served", registry=registry)
        self._registry = registry

    def gauge(self, name: str, says: str, value: Callable[[], float]) -> None:
        """Tell a number that is looked up when it is asked for."""
        Gauge(f"robo_reward_{name}", says, registry=self._registry).set_function(value)

    def text(self) -> bytes:
        """Return all as Prometheus text."""
        return generate_latest(self._registry)


def serve_http(port: int, text: Callable[[], bytes], health: Callable[[], dict[str, Any]]) -> int:
    """Serve ``/metrics`` and ``/health`` on 127.0.0.1 from a thread; return the port.

    ``/health`` is 200 while ``health()["status"]`` is ``ok``, else 503.

    Raises:
        InputError: If the port is in use.
    """

    class Handler(BaseHTTPRequestHandler):
        timeout = 5

        def do_GET(self) -> None:
            """Answer with metrics or health; 421 where another host is meant."""
            host = self.headers.get("Host", "127.0.0.1").partition(":")[0]
            if host not in _HOSTS:  # the page of another site, which gave its name our address
                self._reply(421, "text/plain", b"ask for 127.0.0.1\n")
            elif self.path == "/metrics":
                self._reply(200, "text/plain; version=0.0.4; charset=utf-8", text())
            elif self.path == "/health":
                told = health()
                status = 200 if told["status"] == "ok" else 503
                self._reply(status, "application/json", json.dumps(told).encode())
            else:
                self._reply(404, "text/plain", b"there are /metrics and /health\n")

        def _reply(self, status: int, kind: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing of scrapes."""

    try:
        http = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    except OSError as error:
        raise InputError(
            f"--metrics-port {port} cannot be listened on ({error.strerror}); give another, or 0 "
            "for any that is free"
        ) from error
    http.daemon_threads = True
    threading.Thread(target=http.serve_forever, daemon=True, name="metrics").start()
    return int(http.server_address[1])
