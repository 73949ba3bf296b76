"""Places that will be written to: tried out before the work, failures told in a sentence."""

import glob
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from robo_reward.errors import OutputError


def try_out(directory: Path) -> None:
    """Check that files can be made in a directory, which may not exist yet; leave no trace.

    Raises:
        OutputError: If they cannot.
    """
    new = [place for place in (directory, *directory.parents) if not place.exists()]
    probe = directory / ".writable"
    with written(directory):
        try:
            directory.mkdir(parents=True, exist_ok=True)
            probe.touch()
            probe.unlink()
        finally:
            with suppress(OSError):
                for place in new:
                    place.rmdir()


@contextmanager
def written(path: Path) -> Iterator[None]:
    """Turn a failure to write ``path`` into its sentence.

    Raises:
        OutputError: In place of an `OSError`.
    """
    try:
        yield
    except OSError as error:
        raise OutputError(
            f"cannot write {path} ({error.strerror}); free some space or choose another place"
        ) from error


def left_behind(directory: Path, prefix: str) -> list[Path]:
    """Return what is called ``<prefix><pid>`` in a directory though that process is gone.

    Only processes of this machine are known: one that writes to the same place from another
    machine counts as gone.
    """
    found = sorted(directory.glob(f"{glob.escape(prefix)}*"))
    return [path for path in found if _is_gone(path.name.removeprefix(prefix))]


def _is_gone(pid: str) -> bool:
    if not pid.isdecimal():
        return False
    try:
        os.kill(int(pid), 0)
    except (ProcessLookupError, OverflowError):
        return True
    except PermissionError:
        return False
    return False
