"""Ray actors that hold environments, on this machine or on others: a crew like any other.

Memory is not shared between machines, so observations travel with the answers.
"""

import os
import textwrap
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from robo_reward.errors import RoboRewardError
from robo_reward.ray_cluster import RayCluster

from .crew import START_S, Desk, Lost, Setup, SharedBlocks, spread
from .lanes import Blocks

FETCH_S = 1.0
"""Seconds at least to take an answer that is there: it may lie on another machine."""


class Actor:
    """What runs in the actor's process: environments, and memory for what they show."""

    def __init__(self, setup: Setup, like: Blocks, begin: int, end: int) -> None:
        """Hold the environments ``begin`` to ``end`` - 1; blocks are made like those."""
        self._blocks = {path: np.zeros_like(block) for path, block in like.items()}
        self._desk = Desk(setup, self._blocks, begin, end)

    def place(self) -> tuple[int, str]:
        """Return the number of this process and the address of its machine."""
        import ray

        return os.getpid(), ray.util.get_node_ip_address()

    def answer(
        self, method: str, args: Sequence[Any], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any] | RoboRewardError, Blocks]:
        """Return what `Desk` answers, and what all environments show then."""
        return self._desk.answer(method, args, kwargs), self._blocks


class RayWorker:
    """One actor with the environments ``begin`` to ``end`` - 1; it is asked like a `Worker`."""

    def __init__(self, setup: Setup, shared: SharedBlocks, begin: int, end: int) -> None:
        """Remember what it holds; the actor starts with the first question."""
        self._setup, self._rows = setup, shared.blocks(begin, end)
        self.begin, self.end = begin, end
        """Numbers of its environments."""
        self.actor: Any = None
        """Ray's handle of the actor; None before the first question."""
        self._born: Any = None
        self._told: Any = None
        self._place: tuple[int, str] | None = None
        self._asked = 0.0

    @property
    def name(self) -> str:
        """Which environments it holds and where, for messages."""
        where = " (process {} on {})".format(*self._place) if self._place else ""
        return f"the Ray actor of environments {self.begin} to {self.end - 1}{where}"

    @property
    def pid(self) -> int:
        """Number of its process, on its machine; 0 before it starts."""
        return self._place[0] if self._place else 0

    def ask(self, method: str, *args: Any, **kwargs: Any) -> None:
        """Send a question: a method of `sim.lanes.Lanes` and its arguments."""
        self._asked = time.monotonic()
        if self.actor is None:
            self._start()
            self._asked += START_S
        self._told = self.actor.answer.remote(method, args, kwargs)

    def answer(self, deadline: float) -> Any:
        """Return the answer, or `Lost` if the actor died or let the deadline pass.

        Raises:
            RoboRewardError: What the environments raised.
        """
        import ray

        left = max(self._asked + deadline - time.monotonic(), FETCH_S)
        try:
            self._place, (told, shown) = ray.get([self._born, self._told], timeout=left)
        except ray.exceptions.GetTimeoutError:
            return self._lose(self._late(deadline))
        except ray.exceptions.RayError as error:
            cause = str(error).strip().splitlines()[-1]
            return self._lose(f"died ({textwrap.shorten(cause, 160, placeholder=' …')})")
        if isinstance(told, RoboRewardError):
            raise told
        for path, rows in self._rows.items():
            rows[:] = shown[path]
        return told[0]

    def _late(self, deadline: float) -> str:
        import ray

        if ray.wait([self._born], timeout=0)[0]:
            return f"gave no answer within {deadline:.0f} s"
        free = ray.available_resources().get("CPU", 0.0)
        return f"did not start within {START_S + deadline:.0f} s ({free:.0f} CPUs are free)"

    def _lose(self, reason: str) -> Lost:
        told = f"{self.name} {reason}; it was replaced, and its episodes are truncated"
        self.stop()
        return Lost(told)

    def _start(self) -> None:
        import ray

        made = ray.remote(num_cpus=1, max_restarts=0, max_task_retries=0)(Actor)
        self.actor = made.remote(self._setup, self._rows, self.begin, self.end)
        self._born = self.actor.place.remote()

    def stop(self) -> None:
        """End the actor; the next question starts another one."""
        if self.actor is None:
            return
        import ray

        if ray.is_initialized():
            ray.kill(self.actor, no_restart=True)
        self.actor = self._born = self._told = self._place = None


class Cluster(RayCluster):
    """A Ray cluster whose actors play: give it to `sim.chunks.ChunkedEnv` as ``workers``."""

    def __call__(self, setup: Setup, shared: SharedBlocks, count: int) -> list[RayWorker]:
        """Return who plays ``count`` environments."""
        ends = spread(count, min(self.workers, count))
        return [RayWorker(setup, shared, begin, end) for begin, end in ends]
