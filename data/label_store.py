"""Where label units lie: files that appear whole or not at all, and never twice.

Any number of processes, on any machines that share the place, may use it at once. All that
exactly-once labelling needs of a place is in `Store`: a name is given its content by one writer
only, whoever comes second is told so.
"""

import errno
import os
import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Protocol

from robo_reward.errors import OutputError

from .places import written

ASIDE = "aside"
"""Folder of files that are being written."""


class Store(Protocol):
    """A shared place for named contents; every method raises `OutputError` where it fails."""

    place: str
    """Where it is, for messages."""

    def names(self, folder: str) -> list[str]:
        """Return the names in a folder, sorted; none where there is no such folder."""

    def read(self, name: str) -> bytes | None:
        """Return a content, or None where there is none."""

    def create(self, name: str, content: bytes, *, lasting: bool = True) -> bool:
        """Give a name its content for good; return False if it has one already.

        What is ``lasting`` must survive a loss of power.
        """

    def replace(self, name: str, content: bytes, *, lasting: bool = True) -> None:
        """Give a name another content; a reader sees the old or the new one."""

    def remove(self, name: str) -> None:
        """Remove a name; fine if there is none."""


class DirectoryStore:
    """A `Store` in a directory, which several machines may share.

    A content is written aside, forced to the disk, and then linked to its name, which fails if the
    name is taken; so a name is never seen half-written, whenever a process is killed.
    """

    def __init__(self, root: Path) -> None:
        """Use ``root``, which is made when something is written."""
        self.root, self.place = root, str(root)

    def names(self, folder: str) -> list[str]:
        """Return the names in a folder, sorted; none where there is no such folder."""
        with written(self.root / folder):
            try:
                return sorted(entry.name for entry in os.scandir(self.root / folder))
            except FileNotFoundError:
                return []

    def read(self, name: str) -> bytes | None:
        """Return a content, or None where there is none."""
        with written(self.root / name):
            try:
                return (self.root / name).read_bytes()
            except FileNotFoundError:
                return None

    def create(self, name: str, content: bytes, *, lasting: bool = True) -> bool:
        """Give a name its content for good; return False if it has one already."""
        path = self.root / name
        with written(path), self._aside(content, lasting=lasting) as aside:
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                os.link(aside, path)
            except FileExistsError:
                return False
            except OSError as error:
                if error.errno in (errno.EPERM, errno.ENOTSUP, errno.EMLINK):
                    raise OutputError(
                        f"the file system of {self.root} has no hard links, which exactly-once "
                        "labels need; choose a place on another disk"
                    ) from error
                raise
            if lasting:
                sync_directory(path.parent)
            return True

    def replace(self, name: str, content: bytes, *, lasting: bool = True) -> None:
        """Give a name another content; a reader sees the old or the new one."""
        path = self.root / name
        with written(path), self._aside(content, lasting=lasting) as aside:
            path.parent.mkdir(parents=True, exist_ok=True)
            os.replace(aside, path)
            if lasting:
                sync_directory(path.parent)

    def remove(self, name: str) -> None:
        """Remove a name; fine if there is none."""
        with written(self.root / name):
            (self.root / name).unlink(missing_ok=True)

    def sweep(self) -> None:
        """Remove what dead processes of this machine left aside."""
        with suppress(OSError):
            for path in (self.root / ASIDE).iterdir():
                if is_dead(path.name.rpartition("-")[0]):
                    path.unlink(missing_ok=True)

    @contextmanager
    def _aside(self, content: bytes, *, lasting: bool) -> Iterator[Path]:
        """Write a content aside, force it to the disk if it must last, and remove it afterwards."""
        folder = self.root / ASIDE
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{this_process()}-{secrets.token_hex(4)}"
        try:
            with path.open("xb") as file:
                file.write(content)
                if lasting:
                    file.flush()
                    os.fsync(file.fileno())
            yield path
        finally:
            path.unlink(missing_ok=True)


def sync_directory(path: Path) -> None:
    """Force the names in a directory to the disk.

    Raises:
        OSError: If that fails.
    """
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def this_process() -> str:
    """Return a name of this process: its machine, among whose processes it counts, its number."""
    return f"{_machine()}-{os.getpid()}"


def is_dead(process: str) -> bool:
    """Whether a process, by the name `this_process` gave it, ran on this machine and is gone.

    False for one of another machine, or of another container here: nothing is known of those.
    """
    machine, _, number = process.rpartition("-")
    if machine != _machine() or not number.isdecimal():
        return False
    try:
        os.kill(int(number), 0)
    except ProcessLookupError:
        return True
    except (PermissionError, OverflowError):
        return False
    return False


@cache
def _machine() -> str:
    """Return host name and process namespace; numbers of processes mean something only there."""
    try:
        space = os.readlink("/proc/self/ns/pid").strip("pid:[]")
    except OSError:
        space = "0"
    return f"{socket.gethostname()}-{space}"
