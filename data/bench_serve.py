"""``robo-reward bench serve``: how soon a reward server answers, and what several clients share."""

import multiprocessing
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import tyro
from numpy.typing import NDArray

from robo_reward.config import CompactConfig
from robo_reward.errors import InputError, RoboRewardError

from .bench_timing import check_flags, write_figures

if TYPE_CHECKING:
    from robo_reward.protocols import References, Views
    from robo_reward.serving.child import Child

TASK = "put the red cube in the bin"
PERIOD_S = 0.4
EPISODE = 40
"""Frames that a client shows before it begins another session."""


class BenchError(RoboRewardError):
    """What was to be measured did not come about."""


@dataclass(frozen=True, kw_only=True)
class BenchServe:
    """Measure a reward server: seconds to an answer, and how much more several clients get.

    Example: robo-reward bench serve --json outputs/bench-serve.json

    A server in a process of its own judges made-up frames over loopback; each client is a process
    that asks, waits for the answer, and asks again. One client is measured, then all of them, in
    turn.
    """

    json: Path | None = None
    """File that receives the figures."""
    model: Path | None = None
    """Checkpoint to serve; not given: an untrained compact network, which costs the same."""
    clients: int = 16
    """Clients of the second measurement."""
    seconds: float = 10.0
    """Of each round."""
    repeats: int = 3
    """Rounds of each; the median counts."""
    views: int = 3
    """Cameras."""
    seed: int = 0
    """Seed of weights and pixels."""
    threads: int = 0
    """Threads of the server's model; 0: one a core."""
    backbone: Annotated[CompactConfig, tyro.conf.arg(name="")] = field(
        default_factory=CompactConfig
    )

    def run(self) -> None:
        """Measure, print, and write the figures where asked.

        Raises:
            RoboRewardError: If a flag is unusable, or a frame was not answered.
        """
        check_flags(self.repeats, self.json, clients=self.clients, views=self.views)
        if not 0.1 <= self.seconds <= 36000.0:
            raise InputError(f"--seconds must be from 0.1 to 36000, got {self.seconds}")
        if self.threads < 0:
            raise InputError(f"--threads must be at least 0, got {self.threads}")
        figures = self.measure()
        print(_table(figures))
        write_figures(self.json, figures)

    def measure(self) -> dict[str, float]:
        """Return the figures.

        Raises:
            BenchError: If a frame was not answered.
            RoboRewardError: If the model cannot be served.
        """
        rounds: dict[int, list[dict[str, float]]] = {1: [], self.clients: []}
        with self._served() as (child, size):
            for _ in range(self.repeats):
                for count, told in rounds.items():
                    before = _passes(child.metrics)
                    found = ask_together(child.address, self._load(size), count)
                    queries, passes = _passes(child.metrics) - before
                    told.append(found | {"queries_a_pass": queries / passes})
        figures: dict[str, float] = {}
        for count, name in ((1, "one"), (self.clients, "all")):
            for key in rounds[count][0]:
                values = [told[key] for told in rounds[count]]
                figures[f"{name}_{key}"] = float(np.median(values))
        figures["ratio"] = figures["all_per_s"] / figures["one_per_s"]
        return figures | {"clients": self.clients, "views": self.views, "image_size": size}

    def _load(self, size: int) -> "Load":
        return Load(size=size, views=self.views, seed=self.seed, seconds=self.seconds)

    @contextmanager
    def _served(self) -> "Iterator[tuple[Child, int]]":
        """Give a server, and the side of the images that its model looks at."""
        from robo_reward.checkpoint import read_model_config
        from robo_reward.serving.child import started

        threads = {"OMP_NUM_THREADS": str(self.threads)} if self.threads else {}
        with tempfile.TemporaryDirectory() as place:
            model = self.model or self._untrained(Path(place))
            size = read_model_config(model).settings.image_size or 64
            with started(model, "--metrics-port", "0", environment=threads) as child:
                yield child, size

    def _untrained(self, place: Path) -> Path:
        import torch

        from robo_reward.checkpoint import ModelConfig, build, save
        from robo_reward.model import ModelSettings

        torch.manual_seed(self.seed)
        settings = ModelSettings(
            image_size=self.backbone.image_size,
            history=self.backbone.history,
            belief=self.backbone.belief,
            query_period_s=PERIOD_S,
        )
        save(place, build(self.backbone), ModelConfig(backbone=self.backbone, settings=settings))
        return place


@dataclass(frozen=True, kw_only=True)
class Load:
    """What a client asks."""

    size: int
    """Side of its images, in pixels."""
    views: int
    seed: int
    seconds: float
    """How long."""
    deadline_s: float = 10.0

    def frames(self, number: int) -> "Iterator[Views]":
        """Yield random frames for ever."""
        rng = np.random.default_rng([self.seed, number])
        shape = (self.views, self.size, self.size, 3)
        while True:
            pixels = rng.integers(0, 256, shape, np.uint8)
            yield {f"view_{view:02d}": image for view, image in enumerate(pixels)}


def ask_together(address: str, load: Load, count: int) -> dict[str, float]:
    """Return what some clients got of a server at once: answers a second, milliseconds to one.

    Raises:
        BenchError: If a frame was not answered, or a client did not come back.
    """
    context = multiprocessing.get_context("spawn")
    gate, told = context.Barrier(count), context.Queue()
    clients = [
        context.Process(target=_client, args=(address, load, number, gate, told), daemon=True)
        for number in range(count)
    ]
    for client in clients:
        client.start()
    try:
        found = [told.get(timeout=load.seconds + 120.0) for _ in clients]
    except Exception as error:
        raise BenchError("a client did not come back; see what it printed") from error
    finally:
        for client in clients:
            client.kill()
            client.join()
    failed = [one for one in found if isinstance(one, str)]
    if failed:
        raise BenchError(f"a client failed: {failed[0]}")
    waits = np.concatenate([np.asarray(waits) for waits, _ in found])
    longest = max(seconds for _, seconds in found)
    return {
        "per_s": len(waits) / longest,
        "p50_ms": float(np.quantile(waits, 0.5) * 1e3),
        "p99_ms": float(np.quantile(waits, 0.99) * 1e3),
        "answers": float(len(waits)),
    }


def _client(address: str, load: Load, number: int, gate: Any, told: Any) -> None:
    try:
        told.put(_asked(address, load, number, gate))
    except Exception as error:  # the one that waits for it tells it
        gate.abort()
        told.put(f"{type(error).__name__}: {error}")


def _asked(address: str, load: Load, number: int, gate: Any) -> tuple[list[float], float]:
    """Return the seconds of each answer, and those of all."""
    from robo_reward.serving import connect

    waits: list[float] = []
    frames = load.frames(number)
    with connect(address, deadline_s=load.deadline_s) as model:
        references = _references(frames)
        session = model.begin(TASK, references)
        gate.wait(120.0)
        began = time.perf_counter()
        while (asked := time.perf_counter()) < began + load.seconds:
            if len(waits) % EPISODE == EPISODE - 1:
                session = model.begin(TASK, references)
            shown = next(frames)
            asked = time.perf_counter()
            model.score(session, shown, len(waits) * PERIOD_S)
            waits.append(time.perf_counter() - asked)
        return waits, time.perf_counter() - began


def _references(frames: "Iterator[Views]") -> "References":
    from robo_reward.protocols import References

    return References(start=next(frames), goal=next(frames))


def _passes(metrics: str) -> NDArray[np.float64]:
    """Return how many queries and passes there were so far, as the server's metrics tell it."""
    import httpx

    text = httpx.get(metrics, timeout=10.0, trust_env=False).text
    values = dict(line.rsplit(" ", 1) for line in text.splitlines() if line[:1] not in ("#", ""))
    name = "robo_reward_pass_queries"
    return np.array([float(values[f"{name}_{part}"]) for part in ("sum", "count")])


def _table(figures: dict[str, float]) -> str:
    rows = [f"{'clients':>8} {'answers/s':>10} {'p50 ms':>8} {'p99 ms':>8}"]
    for name, count in (("one", 1), ("all", figures["clients"])):
        rate, middle, slow = (figures[f"{name}_{key}"] for key in ("per_s", "p50_ms", "p99_ms"))
        rows.append(f"{count:>8.0f} {rate:>10.1f} {middle:>8.1f} {slow:>8.1f}")
    rows.append(
        f"{figures['clients']:.0f} clients get {figures['ratio']:.2f} times what one gets; "
        f"{figures['all_queries_a_pass']:.1f} queries a pass"
    )
    return "\n".join(rows)
