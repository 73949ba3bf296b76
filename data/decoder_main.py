"""What runs in a decoder process: it decodes what it is asked for into shared memory.

It says nothing but JSON and pixels, since a damaged video may have taken it over; and it can take
no more memory and processor time than it was given, write no files, and not outlive its parent.
"""

import fcntl
import json
import mmap
import os
import resource
import select
import signal
import socket
import struct
import sys
import time
from collections import deque
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .lerobot_dataset import LeRobotEpisodes

HEAD = 4096
"""Bytes before the frames: a count of signs of life, then what is being decoded, as text."""
_COUNT = struct.Struct("<QH")
_MESSAGES = 1 << 16
"""Bytes that may be written to a file: what goes wrong is told on the standard error."""
MB = 1_000_000


def write_head(memory: mmap.mmap, count: int, what: str) -> None:
    """Give a sign of life, and say what is being decoded."""
    told = what.encode(errors="replace")[: HEAD - _COUNT.size]
    memory[: _COUNT.size + len(told)] = _COUNT.pack(count, len(told)) + told


def read_head(memory: mmap.mmap) -> tuple[int, str]:
    """Return the count of signs of life, and what was being decoded at the last one."""
    count, length = _COUNT.unpack_from(memory)
    told = memory[_COUNT.size : min(_COUNT.size + length, HEAD)].decode(errors="replace")
    return count, "".join(letter if letter.isprintable() else "?" for letter in told)


def main() -> None:
    """Decode what the parent asks for, until it is gone."""
    setup = json.loads(sys.argv[1])
    leave_with_parent(setup["lifeline"])
    memory = mmap.mmap(setup["memory"], 0)
    parent = Connection(socket.socket(fileno=setup["talk"]).detach())
    from robo_reward.errors import RoboRewardError

    from . import media, video  # noqa: F401 - all that decodes is loaded before memory is limited
    from .lerobot_dataset import LeRobotEpisodes

    try:
        dataset = LeRobotEpisodes(Path(setup["root"]), views=tuple(setup["cameras"]))
    except RoboRewardError as error:
        say(parent, refused=str(error))
        return
    limit(resource.RLIMIT_AS, address_space() + setup["memory_mb"] * MB)
    limit(resource.RLIMIT_FSIZE, _MESSAGES)
    limit(resource.RLIMIT_CORE, 0)
    say(parent, ready=dataset.fingerprint)
    desk = Desk(dataset, setup, memory, parent)
    media.WATCHER.set(desk.sign)
    try:
        desk.work()
    except (EOFError, ConnectionError):  # nobody is left to decode for
        return


def leave_with_parent(lifeline: int) -> None:
    """Let the system kill this process when the other end of a pipe is closed, by whatever end.

    A thread that watched the pipe would not run while a decoder hangs.
    """
    fcntl.fcntl(lifeline, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(lifeline, fcntl.F_SETSIG, signal.SIGKILL)
    fcntl.fcntl(lifeline, fcntl.F_SETFL, fcntl.fcntl(lifeline, fcntl.F_GETFL) | os.O_ASYNC)
    if select.select([lifeline], [], [], 0)[0]:  # it was closed before that
        os._exit(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides


def limit(what: int, most: int) -> None:
    """Allow this process no more of a resource, for good."""
    hard = resource.getrlimit(what)[1]
    most = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(what, (most, most))


def address_space() -> int:
    """Return the bytes of address space that this process has."""
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()


def limit_time(seconds: int) -> None:
    """Allow this process so much more processor time; beyond it the system kills it."""
    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    most = int(time.process_time()) + 1 + seconds
    most = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(resource.RLIMIT_CPU, (most, hard))


def say(parent: Connection, **what: Any) -> None:
    """Send a message."""
    parent.send_bytes(json.dumps(what).encode())


class Desk:
    """What the parent asks for, and the slots of shared memory that are free for it."""

    def __init__(
        self,
        dataset: "LeRobotEpisodes",
        setup: dict[str, Any],
        memory: mmap.mmap,
        parent: Connection,
    ) -> None:
        """Begin with nothing asked for and all slots free."""
        self._dataset, self._memory, self._parent = dataset, memory, parent
        self._slot, self._slots = int(setup["slot"]), int(setup["slots"])
        self._cpu_s = int(setup["cpu_s"])
        self._asked: deque[dict[str, Any]] = deque()
        self._free, self._filled, self._signs, self._unwanted = self._slots, 0, 0, -1

    def sign(self, what: str) -> None:
        """Give the parent a sign of life."""
        self._signs += 1
        write_head(self._memory, self._signs, what)

    def work(self) -> None:
        """Decode what is asked for, one episode after the other.

        Raises:
            EOFError: When the parent is gone.
        """
        from robo_reward.errors import RoboRewardError

        while True:
            while not self._asked:
                self._listen(wait=True)
            job = self._asked.popleft()
            limit_time(self._cpu_s)
            self.sign(f"episode {job['episode']}")
            try:
                self._decode(job)
            except MemoryError:
                say(self._parent, lack="memory")
            except RoboRewardError as error:
                lack = "memory" if isinstance(error.__cause__, MemoryError) else ""
                say(self._parent, lack=lack, sentence=str(error))
            else:
                say(self._parent, done=True)

    def _decode(self, job: dict[str, Any]) -> None:
        from robo_reward.errors import DatasetError

        views = tuple(job["views"])
        frames = self._dataset.frames(
            job["episode"], views=views, size=job["size"], stride=job["stride"]
        )
        for number, shown in frames:
            self._listen(wait=False)
            while not self._free and self._unwanted != job["id"]:
                self._listen(wait=True)
            if self._unwanted == job["id"]:
                return
            images = [shown[view] for view in views]
            if sum(image.nbytes for image in images) > self._slot:
                raise DatasetError(
                    f"frame {number} of episode {job['episode']} is larger than the dataset says; "
                    "copy the dataset again"
                )
            place = HEAD + self._slot * (self._filled % self._slots)
            for image in images:
                self._memory[place : place + image.nbytes] = image.tobytes()
                place += image.nbytes
            self._free -= 1
            self._filled += 1
            say(self._parent, frame=number, sizes=[image.shape[:2] for image in images])

    def _listen(self, *, wait: bool) -> None:
        """Take what the parent has sent; ``wait`` until there is something."""
        while wait or self._parent.poll(0):
            told = json.loads(self._parent.recv_bytes())
            wait = False
            self._free += told.get("free", 0)
            self._unwanted = told.get("leave", self._unwanted)
            if "episode" in told:
                self._asked.append(told)
