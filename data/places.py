"""Places that will be written to: tried out before the work, failures told in a sentence."""

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
