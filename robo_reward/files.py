"""Files that appear whole or not at all, and the traces of processes that were killed."""

import math
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

TEMPORARY = ".robo-reward-"
"""How the names of temporary files begin; the number of the writing process follows."""


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a place beside ``path`` to write to; what is written there replaces ``path`` at the end.

    A reader, or a killed writer, sees the old or the new file whole. If the block ends by an
    exception, the old one stays. What killed writers left in the directory is removed.

    Raises:
        OSError: If the directory cannot be written to.
    """
    for stale in left_behind(path.parent, TEMPORARY):
        stale.unlink(missing_ok=True)
    name = f"{TEMPORARY}{os.getpid()}-{secrets.token_hex(4)}-{path.name}"
    temporary = path.with_name(name)
    try:
        yield temporary
        with temporary.open("rb") as file:  # a link to a file that must not be written is fine too
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file so that a reader, or a killed writer, sees the old or the new one whole.

    Raises:
        OSError: If it cannot be written.
    """
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def finite(value: Any) -> Any:
    """Return a value for JSON, which has no word for NaN and infinity: they become None."""
    if isinstance(value, Mapping):
        return {name: finite(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def left_behind(directory: Path, prefix: str) -> list[Path]:
    """Return what is called ``<prefix><pid>``, or so and on by ``-``, of processes that are gone.

    Only processes of this machine are known: one that writes to the same place from another
    machine counts as gone.
    """
    if not directory.is_dir():
        return []
    found = sorted(path for path in directory.iterdir() if path.name.startswith(prefix))
    return [path for path in found if _is_gone(path.name.removeprefix(prefix).partition("-")[0])]


def _is_gone(pid: str) -> bool:
    if not (pid.isascii() and pid.isdigit()):
        return False
    try:
        os.kill(int(pid), 0)
    except PermissionError:  # it runs, as somebody else
        return False
    except (ProcessLookupError, OverflowError):
        return True
    return False
