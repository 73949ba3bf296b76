"""Processes that hold environments: asked all at once, each with a deadline, replaced if lost."""

import multiprocessing
import os
import socket
import struct
import time
import traceback
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from multiprocessing.connection import Connection
from typing import Any, Protocol

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode

from robo_reward.errors import InputError, RoboRewardError

from .lanes import Blocks, Lanes, Path
from .workforce import LEAVE_S, WorkerError, leave_with_parent, single_threaded

START_S = 120.0
"""Seconds that a process has to start, beside the deadline of its first answer."""
TALK_S = 20.0
"""Seconds that a message may stand still in a pipe: a stopped process takes nothing out of it."""


@dataclass(frozen=True, kw_only=True)
class Setup:
    """What every worker is made from; it can be pickled."""

    make: Callable[[], gym.Env[Any, Any]]
    """Returns a new environment; a function of a module, or a `functools.partial` of one."""
    mode: AutoresetMode
    """When the next episode begins."""
    limit: int | None
    """Steps after which an episode is truncated."""


@dataclass(frozen=True)
class Lost:
    """A worker that gave no answer, and why."""

    reason: str


class Member(Protocol):
    """What is asked, as one of a crew: it holds the environments ``begin`` to ``end`` - 1."""

    begin: int
    end: int

    @property
    def pid(self) -> int:
        """Number of its process; 0 where it has none of its own, or none yet."""

    def ask(self, method: str, *args: Any, **kwargs: Any) -> None:
        """Send a question: a method of `Lanes` and its arguments."""

    def answer(self, deadline: float) -> Any:
        """Return the answer, or `Lost`; observations are then in the shared blocks."""

    def stop(self) -> None:
        """Close the environments."""


type Crew = Callable[[Setup, "SharedBlocks", int], Sequence[Member]]
"""Returns who plays so many environments and writes into these blocks."""


class Desk:
    """Answers questions with environments that it makes when it is first asked."""

    def __init__(self, setup: Setup, blocks: Blocks, begin: int, end: int) -> None:
        """Remember what to make: the environments ``begin`` to ``end`` - 1, a row each."""
        self._setup, self._blocks = setup, blocks
        self._who = f"environments {begin} to {end - 1}"
        self._lanes: Lanes | None = None

    def answer(
        self, method: str, args: Sequence[Any], kwargs: dict[str, Any]
    ) -> tuple[Any] | RoboRewardError:
        """Return what a method of `Lanes` returned, in a tuple, or the error to raise."""
        setup = self._setup
        try:
            self._lanes = self._lanes or Lanes(
                setup.make, self._blocks, mode=setup.mode, limit=setup.limit
            )
            return (getattr(self._lanes, method)(*args, **kwargs),)
        except RoboRewardError as error:
            return error
        except Exception:
            return WorkerError(f"{self._who}:\n{traceback.format_exc()}")


class SharedBlocks:
    """Memory for the observations of all environments, seen by every process."""

    def __init__(self, space: dict[Path, spaces.Box], count: int) -> None:
        """Reserve a row of every part for ``count`` environments."""
        context = multiprocessing.get_context("spawn")
        self._count = count
        self._parts = {
            path: (context.RawArray("B", count * _bytes(box)), box.shape, box.dtype)
            for path, box in space.items()
        }

    def blocks(self, begin: int = 0, end: int | None = None) -> Blocks:
        """Return the rows of some environments, all of them if not told which."""
        return {
            path: np.frombuffer(raw, dtype).reshape(self._count, *shape)[begin:end]
            for path, (raw, shape, dtype) in self._parts.items()
        }


def _bytes(box: spaces.Box) -> int:
    return int(np.prod(box.shape)) * int(np.dtype(box.dtype).itemsize)


class Here:
    """All environments in this process; it is asked like a `Worker`."""

    def __init__(self, setup: Setup, shared: SharedBlocks, count: int) -> None:
        """Make the environments 0 to ``count`` - 1."""
        self._lanes = Lanes(setup.make, shared.blocks(), mode=setup.mode, limit=setup.limit)
        self._told: Any = None
        self.begin, self.end, self.pid = 0, count, 0
        """Numbers of its environments, and of a process of their own: none."""

    def ask(self, method: str, *args: Any, **kwargs: Any) -> None:
        """Do what is asked."""
        self._told = getattr(self._lanes, method)(*args, **kwargs)

    def answer(self, deadline: float) -> Any:
        """Return the answer."""
        del deadline
        return self._told

    def stop(self) -> None:
        """Close the environments."""
        self._lanes.close()


class Worker:
    """One process with the environments ``begin`` to ``end`` - 1."""

    def __init__(self, setup: Setup, shared: SharedBlocks, begin: int, end: int) -> None:
        """Remember what it holds; the process starts with the first question."""
        self._setup, self._shared = setup, shared
        self.begin, self.end = begin, end
        """Numbers of its environments."""
        self._process: Any = None
        self._pipe: Connection | None = None
        self._asked = 0.0

    @property
    def name(self) -> str:
        """Which environments it holds, for messages."""
        return f"the worker process of environments {self.begin} to {self.end - 1}"

    @property
    def pid(self) -> int:
        """Number of its process; 0 before it starts."""
        return self._process.pid if self._process else 0

    def ask(self, method: str, *args: Any, **kwargs: Any) -> None:
        """Send a question: a method of `Lanes` and its arguments."""
        self._asked = time.monotonic()
        if self._process is None:
            self._start()
            self._asked += START_S
        assert self._pipe is not None
        with suppress(OSError):  # it died or stopped since it was asked; `answer` will say so
            self._pipe.send((method, args, kwargs))

    def answer(self, deadline: float) -> Any:
        """Return the answer, or `Lost` if the process died or let the deadline pass.

        Raises:
            RoboRewardError: What the environments raised.
        """
        assert self._pipe is not None
        left = max(self._asked + deadline - time.monotonic(), 0.0)
        try:  # if the process dies, so does its end of the pipe
            if not self._pipe.poll(left):
                return self._lose(f"gave no answer within {deadline:.0f} s")
            told = self._pipe.recv()
        except BlockingIOError:
            return self._lose(f"stopped for {TALK_S:.0f} s in the middle of an answer")
        except (EOFError, OSError):
            return self._lose(f"died (exit code {self._exit_code()})")
        if isinstance(told, RoboRewardError):
            raise told
        return told[0]

    def _exit_code(self) -> int | None:
        self._process.join(LEAVE_S)
        code: int | None = self._process.exitcode
        return code

    def _lose(self, reason: str) -> Lost:
        self.stop(kill=True)
        return Lost(f"{self.name} {reason}; it was replaced, and its episodes are truncated")

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        _bound(self._pipe)
        args = (theirs, self._setup, self._shared, self.begin, self.end)
        self._process = context.Process(target=_serve, args=args, daemon=True)
        with single_threaded():
            self._process.start()
        theirs.close()

    def stop(self, *, kill: bool = False) -> None:
        """End the process; the next question starts another one."""
        if self._process is None:
            return
        assert self._pipe is not None
        self._pipe.close()
        if not kill:
            self._process.join(LEAVE_S)
        self._process.kill()
        self._process.join(LEAVE_S)
        self._process = self._pipe = None


def _bound(pipe: Connection) -> None:
    """Let reading and writing end with a `BlockingIOError` where nothing moves for `TALK_S`."""
    seconds = int(TALK_S)
    limit = struct.pack("ll", seconds, int(1e6 * (TALK_S - seconds)))
    with socket.socket(fileno=os.dup(pipe.fileno())) as end:
        for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
            end.setsockopt(socket.SOL_SOCKET, option, limit)


def _serve(pipe: Connection, setup: Setup, shared: SharedBlocks, begin: int, end: int) -> None:
    """Answer questions until the other end of the pipe is closed."""
    leave_with_parent()
    desk = Desk(setup, shared.blocks(begin, end), begin, end)
    with suppress(EOFError, KeyboardInterrupt):
        while True:
            told = desk.answer(*pipe.recv())
            with suppress(BrokenPipeError):  # nobody is left to hear it
                pipe.send(told)


def answers(workers: Sequence[Member], deadline: float) -> list[Any]:
    """Return the answers of workers that were asked, `Lost` for those that gave none.

    Raises:
        RoboRewardError: What the first of them raised, when all have answered.
    """
    told, error = [], None
    for worker in workers:
        try:
            told.append(worker.answer(deadline))
        except RoboRewardError as raised:
            error = error or raised
    if error is not None:
        raise error
    return told


def spread(count: int, workers: int) -> Sequence[tuple[int, int]]:
    """Return (begin, end) of the environments of each worker, as even as can be."""
    edges = [round(number * count / workers) for number in range(workers + 1)]
    return [(a, b) for a, b in pairwise(edges) if b > a]


def local_crew(
    setup: Setup, shared: SharedBlocks, count: int, workers: int | None
) -> Sequence[Member]:
    """Return who plays ``count`` environments on this machine.

    Args:
        setup: What they are made from.
        shared: Where observations go.
        count: How many environments.
        workers: Processes; 0 is this one, None is one per core.

    Raises:
        InputError: If there are fewer than 0.
    """
    cores = len(os.sched_getaffinity(0))
    workers = min(cores, count) if workers is None else workers
    if workers < 0:
        raise InputError(f"workers is {workers}; it must be 0 (this process) or more")
    if workers > cores:
        warnings.warn(f"{workers} workers are more than the {cores} cores", stacklevel=3)
    if not workers:
        return [Here(setup, shared, count)]
    return [Worker(setup, shared, *ends) for ends in spread(count, workers)]
