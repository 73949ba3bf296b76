"""Numbered jobs done by processes; one that dies or hangs is replaced and its job done again.

Processes are spawned, never forked: a graphics context does not survive a fork.
"""

import multiprocessing
import os
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection, wait
from typing import Any

from robo_reward.errors import RoboRewardError

TRIES = 3
"""How often a job is begun before it is given up."""


LEAVE_S = 10.0
"""Seconds that a process without a job has to leave by itself."""


class WorkerError(RoboRewardError):
    """A job failed in every process that tried it."""


class _Worker:
    """One process and the job that it has."""

    def __init__(self, work: Callable[[Any], Any]) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs, work), daemon=True)
        with single_threaded():
            self.process.start()
        theirs.close()
        self.job: int | None = None
        self.since = 0.0

    def give(self, number: int, job: Any) -> None:
        self.job, self.since = number, time.monotonic()
        self.pipe.send(job)

    def end(self) -> None:
        """Let an idle process leave by itself, and kill one that has a job."""
        self.pipe.close()
        if self.job is None:
            self.process.join(LEAVE_S)
        self.process.kill()
        self.process.join()


def do_jobs(
    jobs: Sequence[Any], work: Callable[[Any], Any], *, workers: int, deadline: float
) -> Iterator[tuple[int, Any]]:
    """Yield (number of the job, what ``work`` returned), as jobs get done.

    Args:
        jobs: What to do; each can be pickled.
        work: A function of a module, called with a job in another process.
        workers: Processes at once.
        deadline: Seconds after which a job counts as hung, and its process is killed.

    Raises:
        RoboRewardError: What ``work`` raised, if it is one of ours.
        WorkerError: If a job could not be done in `TRIES` processes, or ``work`` has a fault.
    """
    waiting, tries = deque(range(len(jobs))), [0] * len(jobs)
    crew: list[_Worker] = []
    try:
        while waiting or any(worker.job is not None for worker in crew):
            while waiting and (idle := _idle(crew, work, workers)):
                number = waiting.popleft()
                tries[number] += 1
                idle.give(number, jobs[number])
            for worker in _ready(crew, deadline):
                number = _job_of(worker)
                try:
                    result = worker.pipe.recv() if worker.pipe.poll() else None
                except (EOFError, OSError):
                    result = None
                if result is None:
                    _replace(crew, worker, deadline, tries[number], jobs[number])
                    waiting.appendleft(number)
                    continue
                worker.job = None
                if isinstance(result, RoboRewardError):
                    raise result
                yield number, result[0]
    finally:
        for worker in crew:
            worker.end()


def _idle(crew: list[_Worker], work: Callable[[Any], Any], workers: int) -> _Worker | None:
    """Return a worker that has no job, a new one if there may be more; else None."""
    for worker in crew:
        if worker.job is None:
            return worker
    if len(crew) == workers:
        return None
    crew.append(_Worker(work))
    return crew[-1]


def _ready(crew: list[_Worker], deadline: float) -> list[_Worker]:
    """Return the workers that answered, died, or took too long; wait until there is one."""
    busy = [worker for worker in crew if worker.job is not None]
    while True:
        left = min(worker.since for worker in busy) + deadline - time.monotonic()
        events = wait([w.pipe for w in busy] + [w.process.sentinel for w in busy], max(left, 0.0))
        late = time.monotonic() - deadline
        told = [
            w for w in busy if w.pipe in events or w.process.sentinel in events or w.since <= late
        ]
        if told:
            return told


def _job_of(worker: _Worker) -> int:
    assert worker.job is not None
    return worker.job


def _replace(crew: list[_Worker], worker: _Worker, deadline: float, tries: int, job: Any) -> None:
    """Take a worker out of the crew, and give up if its job failed too often.

    Raises:
        WorkerError: If this was the last try.
    """
    late = worker.process.is_alive()
    worker.end()
    crew.remove(worker)
    if tries >= TRIES:
        reason = f"gave no answer within {deadline:.0f} s" if late else "was killed or crashed"
        raise WorkerError(
            f"a worker process {reason} {TRIES} times with {job}: look at the machine's memory "
            "and logs, then repeat the command to go on"
        )


def _serve(pipe: Connection, work: Callable[[Any], Any]) -> None:
    """Do jobs until the other end of the pipe is closed."""
    leave_with_parent()
    while True:
        try:
            job = pipe.recv()
        except (EOFError, KeyboardInterrupt):
            return
        try:
            answer: Any = (work(job),)
        except RoboRewardError as error:
            answer = error
        except KeyboardInterrupt:
            return
        except Exception:
            answer = WorkerError(f"a worker failed with {job}:\n{traceback.format_exc()}")
        with suppress(BrokenPipeError):  # nobody is left to hear it
            pipe.send(answer)


def leave_with_parent() -> None:
    """End this process as soon as the one that started it is gone, whatever it is doing.

    A worker that outlived a killed run would go on writing beside the run that takes over.
    """
    parent = multiprocessing.parent_process()

    def watch() -> None:
        if parent is not None:
            wait([parent.sentinel])
            os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


@contextmanager
def single_threaded() -> Iterator[None]:
    """Let processes that start now use one thread each: there are as many as cores."""
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(dict.fromkeys(names, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
