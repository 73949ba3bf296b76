"""A small OpenAI-compatible server in this process, which answers what a test says."""

import base64
import json
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from robo_reward.config import OpenAIConfig

type Said = str | int | dict[str, Any] | bytes | None
"""An answer; a status; a whole message; bytes instead of JSON; None: the connection is cut."""

PROMPT = """
prompt = '''
{instruction}
refs {start} {goal}
before {before}
after {after}
'''
"""
OUTRIGHT = """
answer = "progress"
pattern = "([0-9.]+)%"
prompt = '''
{instruction} {views}
first {start}
last {goal}
now {after}
'''
"""


@dataclass
class Asked:
    """One request as the server understood it."""

    body: dict[str, Any]
    headers: dict[str, str]

    @property
    def parts(self) -> list[str]:
        """Return the texts of the user message, and the mean grey of its pictures, in order."""
        told = []
        for part in self.body["messages"][-1]["content"]:
            if part["type"] == "text":
                told.append(part["text"])
            else:
                told.append(str(round(float(picture(part["image_url"]["url"]).mean()))))
        return told

    @property
    def greys(self) -> tuple[int, int]:
        """Return the greys of the first picture before and the first after."""
        parts = self.parts
        places = [n for n, part in enumerate(parts) if part.endswith(("before ", "after "))]
        before, after = (int(parts[place + 1]) for place in places)
        return before, after


def picture(url: str) -> np.ndarray:
    kind, _, content = url.partition("base64,")
    assert kind == "data:image/png;"
    return cv2.imdecode(np.frombuffer(base64.b64decode(content), np.uint8), cv2.IMREAD_COLOR_RGB)


@dataclass
class Server:
    """What was asked, and what is answered."""

    answer: Callable[[Asked], Said]
    url: str = ""
    models: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    """Sent with every status but 200."""
    asked: list[Asked] = field(default_factory=list)
    most_at_once: int = 0
    _now: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def said(self, asked: Asked) -> Said:
        with self._lock:
            self.asked.append(asked)
            self._now += 1
            self.most_at_once = max(self.most_at_once, self._now)
        try:
            return self.answer(asked)
        finally:
            with self._lock:
                self._now -= 1


@contextmanager
def serving(answer: Callable[[Asked], Said]) -> Iterator[Server]:
    """Serve on a free port of 127.0.0.1, and stop at the end."""
    state = Server(answer)

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *args: object) -> None:
            pass

        def do_GET(self) -> None:
            self.reply(state.models, b'{"data": []}')

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            said = state.said(Asked(body, {k.lower(): v for k, v in self.headers.items()}))
            if said is None:
                self.cut()
            elif isinstance(said, int):
                self.reply(said, b'{"error": "as told"}')
            elif isinstance(said, bytes):
                self.reply(200, said)
            else:
                message = {"content": said} if isinstance(said, str) else said
                told = {"choices": [{"message": message, "finish_reason": "stop"}]}
                self.reply(200, json.dumps(told).encode())

        def cut(self) -> None:
            linger = struct.pack("ii", 1, 0)  # closing resets the connection
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self.close_connection = True

        def reply(self, status: int, content: bytes) -> None:
            with suppress(ConnectionError):  # who asked may have given up
                self.send_response(status)
                for name, value in state.headers.items() if status != 200 else ():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    state.url = f"http://127.0.0.1:{server.server_port}/v1"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        thread.join(timeout=10)
        server.server_close()


def closed_port() -> int:
    """Return a port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def config(url: str, folder: Path, text: str = PROMPT, **changes: Any) -> OpenAIConfig:
    """Write a prompt file, and return the configuration that names it."""
    path = folder / "prompt.toml"
    path.write_text(text, encoding="utf-8")
    plain: dict[str, Any] = {"url": url, "model": "tiny", "prompt": path, "timeout": 5.0}
    return OpenAIConfig(**(plain | changes))
