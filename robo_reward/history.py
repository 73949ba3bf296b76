"""Which earlier queries are shown beside before and after: ever sparser ones, and the first.

A task whose end looks like its start (lift and put back) can only be judged by who remembers what
was in between. The last H queries reach back H query periods; with gaps that double, a few
reach back a whole task, and the first query of all shows how it was before anything was done.

Slot k < H − 1 shows the query 2ᵏ before *before*; the last slot shows the first query.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_NEAR = np.sqrt(2.0)
"""Largest ratio between a lag in training and the lag that a slot stands for."""


def lags(history: int) -> tuple[int, ...]:
    """Return (1, 2, 4, …): how many queries before *before* each slot but the last looks back."""
    return tuple(1 << slot for slot in range(history - 1))


def recalled[T](past: Sequence[T], history: int) -> list[T | None]:
    """Return what each slot shows, None where the episode does not reach back so far.

    Args:
        past: The queries before the one that is asked, latest last; its end is *before*.
            What `kept` leaves of them is enough.
        history: H slots.
    """
    if history == 0:
        return []
    earlier = [past[-1 - lag] if len(past) > lag else None for lag in lags(history)]
    return [*earlier, past[0] if len(past) > 1 else None]


def kept[T](past: tuple[T, ...], latest: T, history: int) -> tuple[T, ...]:
    """Return what must be kept of ``past`` and ``latest`` for the queries to come.

    That is the first query and as many of the last ones as the slots look back to.
    """
    every = (*past, latest)
    recent = max(lags(history), default=0) + 1
    if history == 0 or len(every) <= recent + 1:
        return every if history else every[-1:]
    return (every[0], *every[-recent:])


def remembered(
    encoded: NDArray[np.int64], after: int, *, first: int | None, period: int, history: int
) -> list[int | None]:
    """Return the frame that each slot shows in training: of those that are encoded anyway.

    The past is that of *after*, as in use, wherever the pair's *before* lies: a frame whose meaning
    hangs on what was just before could not be judged otherwise. In use *before* is one query
    period before *after*, so slot k looks back 2ᵏ + 1 periods from *after*.
    Frames of a training step lie at irregular times, so a slot shows the one whose lag is nearest
    to its own, by ratio and by no more than √2; None where there is none, which also teaches
    to do without.

    Args:
        encoded: Frames of the episode that the step encodes.
        after: The frame *after*.
        first: First frame of the episode, None where it may not be seen.
        period: Query period in frames.
        history: H slots.
    """
    if history == 0:
        return []
    past = encoded[encoded < after]
    behind = np.log((after - past) / period)
    slots: list[int | None] = []
    for lag in lags(history):
        gaps = np.abs(behind - np.log(lag + 1))
        near = len(gaps) > 0 and gaps.min() <= np.log(_NEAR) + 1e-9
        slots.append(int(past[gaps.argmin()]) if near else None)
    return [*slots, first if first is not None and first + period < after else None]
