"""Ray actors that hold environments, on this machine or on others: a crew like any other.

Memory is not shared between machines, so observations travel with the answers.
"""

import logging
import os
import socket
import textwrap
import time
from collections.abc import Sequence
from typing import Any, Self

import numpy as np

from robo_reward.errors import InputError, RoboRewardError, ServerError

from .crew import START_S, Desk, Lost, Setup, SharedBlocks, spread
from .lanes import Blocks

LOCAL = "local"
"""Address of a cluster that is started here, and ends with what started it."""
REACH_S = 10.0
"""Seconds that the address of a cluster has to take a connection."""
FETCH_S = 1.0
"""Seconds at least to take an answer that is there: it may lie on another machine."""
ALONE = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0", "RAY_worker_niceness": "0"}
"""Variables for a cluster on this machine: it does not listen to the network (the name is that of
systems where this is so by default), and actors do not give way to everything else."""
JOINED = {"RAY_NUM_REDIS_GET_RETRIES": "2"}
"""Those for a cluster that is there: one that does not answer is asked twice, for 40 s each."""


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


class Cluster:
    """A Ray cluster whose actors play: give it to `sim.chunks.ChunkedEnv` as ``workers``.

    Use it in a ``with`` statement, which ends the connection, and a cluster that was started here.
    """

    def __init__(self, address: str = "", *, workers: int | None = None) -> None:
        """Connect, or start a cluster on this machine, which listens to this machine alone.

        Args:
            address: host:port of a cluster of which this machine is a node; empty: that in the
                variable RAY_ADDRESS, and without it one is started here. Where this process is
                connected to a cluster already, it is that one.
            workers: Actors; None is one per CPU of the cluster.

        Raises:
            InputError: If Ray is not installed, or the number cannot be had.
            ServerError: If there is no cluster at that address.
        """
        self.address = address or os.environ.get("RAY_ADDRESS") or LOCAL
        """Of the cluster, or `LOCAL`."""
        if workers is not None and workers < 1:
            raise InputError(f"workers is {workers}; with Ray it must be 1 or more")
        if ":" in self.address:
            _reach(self.address)
        ray = _ray(ALONE if self.address == LOCAL else JOINED)
        self._ours = not ray.is_initialized()
        if self._ours:
            _connect(ray, self.address, workers)
        cpus = int(ray.cluster_resources().get("CPU", 0))
        if (workers or 1) > cpus:
            self.close()
            raise InputError(
                f"{workers or 1} Ray actors need as many CPUs, and the cluster {self.address} has "
                f"{cpus}: ask for fewer workers, or let more machines join it (ray start)"
            )
        self.workers = workers or cpus
        """Actors at most."""

    def __call__(self, setup: Setup, shared: SharedBlocks, count: int) -> list[RayWorker]:
        """Return who plays ``count`` environments."""
        ends = spread(count, min(self.workers, count))
        return [RayWorker(setup, shared, begin, end) for begin, end in ends]

    def __enter__(self) -> Self:
        """Return it."""
        return self

    def __exit__(self, *_: object) -> None:
        """End the connection."""
        self.close()

    def close(self) -> None:
        """End the connection, if it was made here."""
        if self._ours:
            import ray

            ray.shutdown()


def _ray(variables: dict[str, str]) -> Any:
    """Return the package, which reads variables when it is imported; those that are set stay.

    Raises:
        InputError: If it is not installed.
    """
    os.environ.update({name: value for name, value in variables.items() if name not in os.environ})
    try:
        import ray
    except ImportError:
        raise InputError(
            "playing in Ray actors needs a package that is not installed: pip install "
            "'robo-reward[ray]', or leave --launcher ray out"
        ) from None
    return ray


def _connect(ray: Any, address: str, workers: int | None) -> None:
    """Connect to a cluster, or start one with a CPU for each worker.

    Raises:
        ServerError: If that fails.
    """
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if address == LOCAL:
        options |= {"include_dashboard": False, "num_cpus": workers}
    try:
        ray.init(address=address, **options)
    except Exception as error:  # Ray raises bare ones too
        ray.shutdown()
        raise _absent(address, error) from None


def _reach(address: str) -> None:
    """Check that somebody listens: Ray itself would try for long, and then end the process.

    Raises:
        ServerError: If nobody does, or it is not host:port.
    """
    host, _, port = address.rpartition(":")
    try:
        if "/" in address or not port.isdigit():
            raise ValueError("this is not host:port")
        with socket.create_connection((host, int(port)), timeout=REACH_S):
            pass
    except (OSError, ValueError) as error:
        raise _absent(address, error) from None


def _absent(address: str, error: Exception) -> ServerError:
    """Return what to tell of a cluster that does not answer."""
    cause = (str(error).strip() or type(error).__name__).splitlines()[0]
    if address == LOCAL:
        return ServerError(
            f"no Ray cluster could be started ({cause}): look at the machine's load and memory, "
            "then repeat the command"
        )
    return ServerError(
        f"no Ray cluster answers at {address} ({cause}); give host:port of one that this machine "
        "has joined (ray start --address=…), or leave --ray-address and RAY_ADDRESS out to start "
        "one here"
    )
