"""Several workers of one labelling run on this machine, each a process with the model in it.

They know nothing of one another but through the place that they write to. One that dies is
replaced; what it was at is taken over.
"""

import ctypes
import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

from robo_reward.errors import OutputError, RoboRewardError

LEAVE_S = 10.0
"""Seconds that workers have to give back what they hold once the run is interrupted."""
LOOK_S = 0.2
"""Seconds between two looks at the workers."""
MOST_STARTS = 5
"""How often in a row a worker may die without anything having been published meanwhile."""
_PR_SET_PDEATHSIG = 1

type Task = Callable[[Any, int], list[str]]
"""Does a worker's share, given what it is told and its number; returns remarks for the user."""


@dataclass
class _Running:
    """A worker's process and the pipe on which it says how it ended."""

    number: int
    process: BaseProcess
    pipe: Connection


def run_workers(
    task: Task, told: Any, *, count: int, done: Callable[[], int], on_look: Callable[[], None]
) -> list[str]:
    """Let ``count`` processes do a task until all have ended; return their remarks.

    Args:
        task: A function of a module; a fresh interpreter of each process calls it.
        told: Its first argument; can be pickled.
        count: How many processes.
        done: Says how many units are published by now.
        on_look: Called several times a second.

    Raises:
        RoboRewardError: The first that a worker raised, once all have ended.
        OutputError: If workers die again and again and nothing gets done.
    """
    crew = [_start(task, told, number) for number in range(count)]
    remarks: list[str] = []
    error: RoboRewardError | None = None
    deaths, before = 0, done()
    try:
        while crew:
            ready = wait([worker.pipe for worker in crew], timeout=LOOK_S)
            on_look()
            for worker in [one for one in crew if one.pipe in ready]:
                crew.remove(worker)
                end = _end_of(worker)
                if isinstance(end, list):
                    remarks += [line for line in end if line not in remarks]
                elif end is not None:
                    error = error or end
                else:
                    now = done()
                    deaths, before = (0, now) if now != before else (deaths + 1, before)
                    if deaths >= MOST_STARTS * count:
                        raise OutputError(hopeless(deaths, _how(worker.process.exitcode)))
                    crew.append(_start(task, told, worker.number))
    finally:
        _stop(crew)
    if error is not None:
        raise error
    return remarks


def hopeless(deaths: int, how: str) -> str:
    """Return what to tell where workers die and nothing gets done."""
    return (
        f"{deaths} workers died one after the other ({how}) and nothing was labelled meanwhile; "
        "give fewer --workers if memory is short ('dmesg' tells), then repeat the command"
    )


def _how(code: int | None) -> str:
    return f"signal {-code}" if code is not None and code < 0 else f"exit status {code}"


def _start(task: Task, told: Any, number: int) -> _Running:
    context = multiprocessing.get_context("spawn")
    mine, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(task, told, number, os.getpid(), theirs))
    process.start()
    theirs.close()
    return _Running(number, process, mine)


def _end_of(worker: _Running) -> list[str] | RoboRewardError | None:
    """Return remarks or error of a worker that ended; None if it died without a word."""
    try:
        end: list[str] | RoboRewardError = worker.pipe.recv()
    except (EOFError, OSError):
        return None
    finally:
        worker.pipe.close()
        worker.process.join(LEAVE_S)
        worker.process.kill()
        worker.process.join()
    return end


def _stop(crew: list[_Running]) -> None:
    """End the workers that are left: let them give back what they hold, then kill them."""
    for worker in crew:
        worker.process.terminate()
    deadline = time.monotonic() + LEAVE_S
    for worker in crew:
        worker.process.join(max(0.0, deadline - time.monotonic()))
        worker.process.kill()
        worker.process.join()
        worker.pipe.close()


def _work(task: Task, told: Any, number: int, parent: int, pipe: Connection) -> None:
    """Run in the worker's process: do the task, and say how it ended."""
    die_with_parent(parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal sends it to all: the parent decides
    signal.signal(signal.SIGTERM, _leave)
    try:
        pipe.send(task(told, number))
    except RoboRewardError as error:
        pipe.send(error)


def _leave(number: int, frame: object) -> None:
    raise SystemExit(128 + number)


def die_with_parent(parent: int) -> None:
    """Let the kernel end this process when the one that started it is gone (Linux alone)."""
    try:
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    except (OSError, AttributeError):  # not Linux: a worker then ends when it is done
        return
    if os.getppid() != parent:  # it went before the kernel knew
        raise SystemExit(1)
