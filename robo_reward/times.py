"""What may be said of when a frame was seen (pure)."""

import math
from collections.abc import Iterable, Sequence

from .errors import InputError


def check_times(times: Sequence[float], newest: Iterable[float]) -> None:
    """Check that frames have a time each, none before the newest of its session, in seconds.

    Args:
        times: (N,) of the frames.
        newest: (N,) of the newest frame of the session of each; -inf where it has none.

    Raises:
        InputError: If one is not finite, or goes back.
    """
    if not all(math.isfinite(time) for time in times):
        raise InputError(f"times must be finite seconds, got {list(times)}")
    for time, before in zip(times, newest, strict=True):
        if time < before:
            raise InputError(
                f"a frame of {time:g} s came after one of {before:g} s, and the time of a session "
                "never goes back; begin a new session for another episode"
            )
