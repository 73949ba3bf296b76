"""A reward server as a process of ours: for benches, tests, and programs that bring their own."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ..errors import ServerError

_SERVING, _METRICS = "serving ", "metrics: "
_END_S = 30.0


@dataclass(frozen=True)
class Child:
    """A server that runs as a child of this process."""

    process: "subprocess.Popen[bytes]"
    log: Path
    """What it says."""
    address: str
    """To `robo_reward.serving.connect` to."""
    metrics: str
    """URL of its metrics; empty without ``--metrics-port``."""


@contextmanager
def started(
    model: Path,
    *flags: str,
    listen: str = "tcp://127.0.0.1:0",
    wait_s: float = 120.0,
    environment: Mapping[str, str] | None = None,
) -> Iterator[Child]:
    """Give a server that has loaded its model; it ends with the block.

    Args:
        model: Directory of the checkpoint.
        flags: Further ones of ``robo-reward serve``.
        listen: Where.
        wait_s: Seconds that it has to load its model.
        environment: Variables to set for it.

    Raises:
        ServerError: If it ends before it is ready, and what it said; or is not ready in time.
    """
    command = [sys.executable, "-m", "robo_reward.serving", "--model", str(model)]
    with tempfile.TemporaryDirectory() as place:
        log = Path(place) / "log"
        with log.open("wb") as out:
            process = subprocess.Popen(
                [*command, "--listen", listen, *flags],
                stdout=out,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(environment or {})},
            )
        try:
            yield _ready(process, log, time.monotonic() + wait_s)
        finally:
            _end(process)


def _ready(process: "subprocess.Popen[bytes]", log: Path, deadline: float) -> Child:
    while True:
        ended = process.poll() is not None
        said = log.read_text(errors="replace")
        told = {word: _line(said, word) for word in (_SERVING, _METRICS)}
        if told[_SERVING]:
            address = told[_SERVING].rpartition(" at ")[2]
            return Child(process, log, address, told[_METRICS])
        if ended:
            raise ServerError(f"the server ended before it was ready: {said.strip()[-1000:]}")
        if time.monotonic() > deadline:
            raise ServerError(f"the server was not ready in time: {said.strip()[-1000:]}")
        time.sleep(0.05)


def _line(said: str, begin: str) -> str:
    """Return what follows the beginning of a whole line; nothing if there is none."""
    lines = [line for line in said.splitlines(keepends=True) if line.endswith("\n")]
    return next((line.removeprefix(begin).strip() for line in lines if line.startswith(begin)), "")


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    try:
        process.wait(_END_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
