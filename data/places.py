"""Places that will be written to: tried out before the work, failures told in a sentence."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from robo_reward.errors import OutputError
from robo_reward.files import left_behind


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
        reason = error.strerror or error
        raise OutputError(
            f"cannot write {path} ({reason}); free some space or choose another place"
        ) from error


def check_dataset_place(root: Path, *, overwrite: bool) -> None:
    """Check that a dataset may be put at ``root``; only a dataset is ever replaced.

    Raises:
        OutputError: If something else is there, or the parent cannot be written to.
    """
    if root.exists() and not (root.is_dir() and not any(root.iterdir())):
        if not overwrite:
            raise OutputError(f"{root} exists; choose another --out, or pass --overwrite")
        if not (root / "meta/info.json").is_file():
            raise OutputError(
                f"{root} is not a dataset, so it is not replaced; choose another --out"
            )
    parent = next(folder for folder in root.absolute().parents if folder.exists())
    if not parent.is_dir() or not os.access(parent, os.W_OK):
        raise OutputError(f"cannot write to {parent}; choose another --out or mend its permissions")


def replace_folder(root: Path, new: Path) -> None:
    """Put a folder in the place of another, which is gone afterwards; `put_back` mends a kill.

    Raises:
        OSError: If it cannot be moved; the old one is then where it was.
    """
    old = root.with_name(f"{root.name}.old-{os.getpid()}")
    if root.exists():
        root.rename(old)
    try:
        new.rename(root)
    except OSError:
        if old.exists():
            old.rename(root)
        raise
    if old.exists():
        old.rename(new)  # half of it must never be put back
        shutil.rmtree(new, ignore_errors=True)


def put_back(root: Path) -> None:
    """Put the old folder back if a process was killed while it replaced ``root``.

    Raises:
        OSError: If it cannot be moved.
    """
    if not root.exists():
        for old in left_behind(root.parent, f"{root.name}.old-")[-1:]:
            old.rename(root)


def clear_up(root: Path) -> None:
    """Remove what killed writers of ``root`` left beside it."""
    for kind in ("partial", "old"):
        for stale in left_behind(root.parent, f"{root.name}.{kind}-"):
            shutil.rmtree(stale, ignore_errors=True)
