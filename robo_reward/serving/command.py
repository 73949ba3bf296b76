"""``robo-reward serve``: a reward model for several programs at once."""

import asyncio
import logging
import os
import signal
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import InputError
from .address import Address, parse
from .caps import Caps
from .trust import Context, read_token, server_context

if TYPE_CHECKING:
    from .judge import Loaded

DEFAULT = "unix:outputs/serve.sock"


@dataclass(frozen=True, kw_only=True)
class Serve:
    """Serve a reward model to programs of this machine, or to others with token and TLS.

    Example: robo-reward serve --model outputs/model --listen unix:outputs/serve.sock

    SIGHUP reads the model again for sessions to come; SIGTERM ends it after the pass that runs,
    or, where that hangs, after 20 seconds, with exit code 1.
    """

    model: Path
    """Directory that ``robo-reward train --out`` made."""
    listen: str = DEFAULT
    """unix:PATH, which only your user reaches, tcp://127.0.0.1:PORT, or tls://HOST:PORT. Port 0:
    any that is free."""
    token_file: Path | None = None
    """File with the token that clients must know; not given: that in ROBO_REWARD_TOKEN, if set.
    Needed beyond loopback."""
    cert: Path | None = None
    """PEM file with the certificate, for tls://."""
    key: Path | None = None
    """PEM file with its private key."""
    device: str | None = None
    """cpu, cuda or cuda:N; not given: a GPU if there is one. One server serves one device."""
    bf16: bool = False
    """Multiply matrices in bfloat16, with a pretrained backbone that was stored for float32."""
    metrics_port: int | None = None
    """Serve /metrics (Prometheus) and /health on 127.0.0.1; 0: any port that is free."""
    caps: Caps = field(default_factory=Caps)

    def __post_init__(self) -> None:
        """Refuse a port that is none."""
        if self.metrics_port is not None and not 0 <= self.metrics_port <= 65535:
            raise InputError(f"--metrics-port must be from 0 to 65535, got {self.metrics_port}")

    def run(self) -> None:
        """Serve until SIGTERM or SIGINT.

        Raises:
            RoboRewardError: With one sentence for whatever the user can mend.
        """
        address = parse(self.listen, to="--listen")
        token = read_token(self.token_file)
        tls = server_context(address, token, self.cert, self.key)
        _require_metrics()
        logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
        _check_device(self.device)
        asyncio.run(self._serve(address, token, tls))

    async def _serve(self, address: Address, token: str, tls: Context) -> None:
        from .engine import Engine
        from .judge import open_model
        from .metrics import Metrics, serve_http
        from .server import Server, listening

        load = partial(open_model, device=self.device, bf16=self.bf16)
        async with listening(address, tls) as (became, accept):
            loaded = await asyncio.to_thread(load, self.model)
            engine = Engine(loaded, load, Metrics(), caps=self.caps)
            server = Server(engine, caps=self.caps, token=token)
            if self.metrics_port is not None:
                port = serve_http(self.metrics_port, engine.metrics.text, engine.health)
                print(f"metrics: http://127.0.0.1:{port}/metrics", flush=True)
            loop = asyncio.get_running_loop()
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.add_signal_handler(number, engine.stop)
            loop.add_signal_handler(signal.SIGHUP, server.reload)
            await accept(server.connected)
            print(_ready(loaded, became), flush=True)
            ended = await engine.run()
        await server.close()
        if not ended:  # to leave as usual waits for the thread that hangs
            logging.shutdown()
            os._exit(1)


def _ready(loaded: "Loaded", address: Address) -> str:
    return f"serving {loaded.place} ({loaded.fingerprint}) at {address}"


def _require_metrics() -> None:
    try:
        import prometheus_client  # noqa: F401 - only to see that it is there
    except ImportError as error:
        raise InputError(
            "serve counts with prometheus-client, which is not installed: "
            'pip install "robo-reward[serve]"'
        ) from error


def _check_device(device: str | None) -> None:
    """Refuse a device that is not there.

    Raises:
        InputError: If it is not.
    """
    if device is None:
        return
    import torch

    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(
            f"--device {device} cannot be used ({reason}); give cpu, cuda or cuda:N"
        ) from error
