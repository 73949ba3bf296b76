"""A process that decodes the episodes of a dataset, seen from its parent.

Nothing that a damaged video does to it reaches the parent: it is a fresh interpreter with limits,
frames come through memory without a name, and what it says is JSON, checked before it is believed.
"""

import json
import math
import mmap
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Generator
from contextlib import suppress
from itertools import accumulate, pairwise
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any

import numpy as np

from robo_reward.errors import DatasetError, InputError, RoboRewardError

from .decoder_main import HEAD, MB, read_head
from .decoding import DecodeConfig, Job, environment, why_lost

if TYPE_CHECKING:
    from .episodes import Views
    from .lerobot_dataset import LeRobotEpisodes


class _HungError(Exception):
    """There was no sign of life for too long."""


_NONSENSE = (ValueError, TypeError, RecursionError)
_LOST = (EOFError, OSError, _HungError, *_NONSENSE)
START_S = 60.0
"""Seconds that a process has to start, beside those without progress."""
_LOOK_S, _LEAVE_S = 0.2, 5.0
_LARGEST = 1 << 20
_PROGRAM = f"from {__package__}.decoder_main import main; main()"


class Decoder:
    """One process that decodes, in the order of asking; it is replaced when it is lost.

    Memory for frames is a ring of slots, each of one frame with all its views: the process waits
    when all are full, so that an episode may be longer than they are.
    """

    def __init__(
        self, dataset: "LeRobotEpisodes", config: DecodeConfig, *, slot: int, ahead: int
    ) -> None:
        """Remember what to open; the process starts with the first job.

        Args:
            dataset: What is decoded: the process opens its directory by itself.
            config: Limits.
            slot: Bytes of the largest frame, over its views.
            ahead: Bytes of memory for decoded frames.

        Raises:
            InputError: If not even one frame fits.
        """
        if slot > ahead:
            raise InputError(
                f"one frame takes {slot / MB:.1f} MB decoded, and --decode.ahead-mb gives a "
                f"process {ahead / MB:.1f} MB; raise it, or lower --decode.processes"
            )
        self._dataset, self._config = dataset, config
        self._slot, self._slots = slot, ahead // slot
        self._jobs: deque[tuple[int, Job]] = deque()
        self._asked = self._read = self._owed = 0
        self._started = self._ready = self._closed = False
        self.waited_s = 0.0
        """Seconds that the caller waited for frames."""

    @property
    def pid(self) -> int:
        """Number of the process; 0 while there is none."""
        return self._process.pid if self._started else 0

    def fits(self, slot: int) -> bool:
        """Return whether frames of so many bytes fit into a slot."""
        return slot <= self._slot

    def ask(self, job: Job) -> None:
        """Ask for the frames of an episode; they are read after those asked for before."""
        if self._started and not self._jobs and self._process.poll() is not None:
            self._end()  # it was lost while it had nothing to do
        self._asked += 1
        self._jobs.append((self._asked, job))
        if self._started:
            self._send(id=self._asked, **vars(job))
        else:
            self._start()

    def frames(self) -> "Generator[tuple[int, Views]]":
        """Yield (frame number, views) of the episode that was asked for first; once.

        What is not read of it is skipped when the iterator is closed.

        Raises:
            DatasetError: If it cannot be decoded, or its process was lost; the message names both
                episode and file. What was asked for after it is not affected.
            InputError: If no process can be started.
        """
        number, job = self._jobs[0]
        expected = 0
        try:
            while "frame" in (told := self._receive(job)):
                yield expected, self._views(job, told, expected)
                expected += job.stride
            self._check_end(job, told)
        except GeneratorExit:
            if self._started:
                self._skip(number, job)
            raise
        finally:
            self._jobs.popleft()
            if self._jobs and not self._started and not self._closed:
                self._start()

    def close(self) -> None:
        """End the process for good, whatever it is doing, and give its memory back."""
        self._closed = True
        self._end()

    def _end(self) -> None:
        if not self._started:
            return
        self._started = False
        self._process.kill()
        self._process.wait()
        self._talk.close()
        os.close(self._lifeline)
        self._memory.close()
        self._errors.close()

    def _start(self) -> None:
        """Start a process and ask it for all that is to be read."""
        size = HEAD + self._slot * self._slots
        memory = os.memfd_create("frames", os.MFD_CLOEXEC)
        ours, theirs = socket.socketpair()
        lifeline, self._lifeline = os.pipe()
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the process
        try:
            os.ftruncate(memory, size)
            self._memory = mmap.mmap(memory, size)
            setup = {
                "root": str(self._dataset.root.absolute()),
                "cameras": self._dataset.cameras,
                "memory": memory,
                "talk": theirs.fileno(),
                "lifeline": lifeline,
                "slot": self._slot,
                "slots": self._slots,
                "memory_mb": self._config.memory_mb,
                "cpu_s": self._config.cpu_s,
            }
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-c", _PROGRAM, json.dumps(setup)],
                env=environment(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=self._errors,
                pass_fds=(memory, theirs.fileno(), lifeline),
            )
        finally:
            os.close(memory)
            os.close(lifeline)
            theirs.close()
        self._talk = Connection(ours.detach())
        self._started, self._ready, self._read, self._owed = True, False, 0, 0
        for number, job in self._jobs:
            self._send(id=number, **vars(job))

    def _send(self, **what: Any) -> None:
        with suppress(ConnectionError):  # that it is lost is found out when it is listened to
            self._talk.send_bytes(json.dumps(what).encode())

    def _receive(self, job: Job) -> dict[str, Any]:
        """Return the next message about a job.

        Raises:
            DatasetError: If the process was lost on the way.
            InputError: If it did not even start.
        """
        begun = time.monotonic()
        try:
            told = self._listen()
            if "ready" in told and not self._ready:
                self._check_same(told["ready"])
                self._ready = True
                told = self._listen()
        except _LOST as error:
            raise self._lost(job, error) from error
        finally:
            self.waited_s += time.monotonic() - begun
        return told

    def _listen(self) -> dict[str, Any]:
        """Return the next message, as long as there are signs of life."""
        signs, _ = read_head(self._memory)
        limit = self._config.timeout_s + (0.0 if self._ready else START_S)
        since = time.monotonic()
        while not self._talk.poll(_LOOK_S):
            now, (fresh, _) = time.monotonic(), read_head(self._memory)
            if fresh != signs:
                signs, since = fresh, now
            elif now - since > limit:
                raise _HungError
        told = json.loads(self._talk.recv_bytes(_LARGEST))
        if not isinstance(told, dict):
            raise TypeError(told)
        return told

    def _lost(self, job: Job, error: Exception) -> RoboRewardError:
        """Return what to raise; the process is gone then."""
        where, ready, status = read_head(self._memory)[1], self._ready, None
        if isinstance(error, OSError | EOFError):  # it closed its end: it is ending
            with suppress(subprocess.TimeoutExpired):
                status = self._process.wait(_LEAVE_S)
        self._errors.seek(0)
        said = self._errors.read(_LARGEST).decode(errors="replace").strip().rpartition("\n")[2]
        self._end()
        if not ready and (status is None or status >= 0):
            return InputError(
                f"a process that decodes could not be started ({said or status or 'no answer'}); "
                "--decode.processes 0 decodes without one"
            )
        reason = why_lost(self._config, status, said)
        if isinstance(error, _NONSENSE):
            reason = "sent what makes no sense"
        return DatasetError(
            f"episode {job.episode} of {self._dataset.root} cannot be decoded: the process that "
            f"decoded {where or 'nothing yet'} {reason}; copy the file again, or delete the "
            "episode with LeRobot's lerobot-edit-dataset"
        )

    def _check_same(self, fingerprint: str) -> None:
        if fingerprint != self._dataset.fingerprint:
            self._end()
            raise DatasetError(f"{self._dataset.root} has changed since it was opened; start again")

    def _check_end(self, job: Job, told: dict[str, Any]) -> None:
        """Raise what ended an episode, unless it was all of it."""
        if "refused" in told:
            self._end()
            raise DatasetError(str(told["refused"]))
        if told.get("lack"):
            raise DatasetError(
                f"episode {job.episode} of {self._dataset.root} cannot be decoded within "
                f"{self._config.memory_mb} MB ({read_head(self._memory)[1]}); raise "
                "--decode.memory-mb, or delete the episode"
            )
        if "done" not in told:
            raise DatasetError(str(told.get("sentence", "a decoder said nothing of use")))

    def _views(self, job: Job, told: dict[str, Any], expected: int) -> "Views":
        """Return the frame in the slot that is next, and give the slot back."""
        try:
            shapes = [(int(height), int(width), 3) for height, width in told["sizes"]]
            ends = [0, *accumulate(math.prod(shape) for shape in shapes)]
            fits = len(shapes) == len(job.views) and min(map(min, shapes)) > 0
            if not fits or ends[-1] > self._slot or told["frame"] != expected:
                raise ValueError(f"frame {told['frame']} of sizes {shapes}")
        except (TypeError, ValueError) as error:
            raise self._lost(job, error) from error
        begin = HEAD + self._slot * (self._read % self._slots)
        pixels = np.frombuffer(self._memory, np.uint8, ends[-1], begin).copy()
        self._give_back()
        parts = zip(job.views, pairwise(ends), shapes, strict=True)
        return {view: pixels[a:b].reshape(shape) for view, (a, b), shape in parts}

    def _give_back(self) -> None:
        """Count a slot as read; the process is told of several at once."""
        self._read += 1
        self._owed += 1
        if self._owed >= max(1, self._slots // 4):
            self._send(free=self._owed)
            self._owed = 0

    def _skip(self, number: int, job: Job) -> None:
        """Pass over what is left of an episode."""
        self._send(leave=number)
        with suppress(DatasetError, InputError):
            while "frame" in self._receive(job):
                self._give_back()
