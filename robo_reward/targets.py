"""What the model is trained to say: progress of a frame, and the hop between two frames.

Letters: T frames, N subtasks, Φ progress. Everything here is a pure function on arrays.
"""

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .errors import InputError

type Floats = NDArray[np.float64]
type Budget = Literal["stepwise", "procedural"]


def keyframe_progress(
    keyframes: ArrayLike,
    length: int,
    *,
    budget: Budget = "stepwise",
    change: ArrayLike | None = None,
) -> Floats:
    """Return Φ of every frame from the keyframes that bound its subtasks.

    Frames before K_0 have Φ = 0, after K_N Φ = 1. ``stepwise``: each subtask is worth 1/N
    (Robo-Dopamine, arXiv 2512.23703, section 3.1); ``procedural``: subtask j is worth
    w_j = clip(N·len_j / Σ len, .75, 1.25), normalised (ProcVLM, arXiv 2605.08774). Inside a
    subtask Φ rises linearly in time, or with the visual change where that is given.

    Args:
        keyframes: K_0 < K_1 < … < K_N, frame numbers in [0, length).
        length: Frames of the episode, T.
        budget: How much of the whole each subtask is worth.
        change: (T,) visual change from frame t − 1 to t, non-negative; None: linear in time.

    Returns:
        Φ, shape (T,), in [0, 1], non-decreasing.

    Raises:
        InputError: If the keyframes are fewer than two, unsorted or outside the episode.
    """
    bounds = np.asarray(keyframes, dtype=np.int64)
    if bounds.ndim != 1 or len(bounds) < 2 or np.any(np.diff(bounds) <= 0):
        raise InputError(f"keyframes must be two or more rising frame numbers, got {keyframes!r}")
    if bounds[0] < 0 or bounds[-1] >= length:
        raise InputError(
            f"keyframes run from {bounds[0]} to {bounds[-1]}, but the episode has frames 0 to "
            f"{length - 1}; correct the annotation"
        )
    pace = np.ones(length) if change is None else np.asarray(change, dtype=np.float64)
    if pace.shape != (length,) or not np.all(np.isfinite(pace)) or np.any(pace < 0):
        raise InputError(f"change must be {length} finite values of at least 0")
    lengths = np.diff(bounds)
    count = len(lengths)
    worth = np.ones(count)
    if budget == "procedural":
        worth = np.clip(count * lengths / lengths.sum(), 0.75, 1.25)
    worth = worth / worth.sum()
    progress = np.zeros(length)
    done = 0.0
    for start, end, share in zip(bounds[:-1], bounds[1:], worth, strict=True):
        gone = np.cumsum(pace[start + 1 : end + 1])
        even = np.arange(1, end - start + 1) / (end - start)
        rise = gone / gone[-1] if gone[-1] > 0 else even
        progress[start + 1 : end + 1] = done + share * rise
        done += share
    progress[bounds[-1] :] = 1.0
    np.minimum(progress, 1.0, out=progress)
    return progress


def time_progress(length: int) -> Floats:
    """Return Φ = t / (T − 1): for *successful* episodes without annotation or truth."""
    progress: Floats = np.arange(length) / max(length - 1.0, 1.0) if length > 1 else np.ones(1)
    return progress


def hop(before: ArrayLike, after: ArrayLike) -> Floats:
    """Return the relative progress from Φ_p to Φ_q, in [−1, 1].

    H = (Φ_q − Φ_p) / (1 − Φ_p) for a gain, (Φ_q − Φ_p) / Φ_p for a loss (Robo-Dopamine,
    arXiv 2512.23703, eq. 2), 0 where nothing changed; so 0 at Φ_p = Φ_q = 1 and at
    Φ_p = Φ_q = 0, where the quotients have no value. Shapes broadcast; NaN stays NaN.

    Raises:
        InputError: If a progress lies outside [0, 1].
    """
    p, q = np.broadcast_arrays(np.asarray(before, np.float64), np.asarray(after, np.float64))
    for name, values in (("before", p), ("after", q)):
        if np.any((values < 0) | (values > 1)):
            raise InputError(
                f"{name}: progress must lie in [0, 1], got {values.min()}…{values.max()}"
            )
    change = q - p
    scale = np.where(change >= 0, 1.0 - p, p)
    hops: Floats = np.where(np.isnan(change), np.nan, 0.0)
    np.divide(change, scale, out=hops, where=change != 0)
    return hops


def apply_hop(progress: ArrayLike, hops: ArrayLike) -> Floats:
    """Return Φ after a hop: Φ + (1 − Φ)·H for H ≥ 0, Φ + Φ·H for H < 0; the inverse of `hop`.

    Both inputs are clamped to their ranges, so the result lies in [0, 1]. Shapes broadcast.
    """
    phi = np.clip(np.asarray(progress, np.float64), 0.0, 1.0)
    step = np.clip(np.asarray(hops, np.float64), -1.0, 1.0)
    after: Floats = phi + np.where(step >= 0, (1.0 - phi) * step, phi * step)
    return after


def time_to_go(success: ArrayLike, fps: float) -> Floats:
    """Return the seconds from each frame until the task is done, 0 where it is.

    Args:
        success: (T,) 1 where the task is done, 0 where not, NaN where nobody knows.
        fps: Frames per second.

    Returns:
        (T,), NaN where no success lies ahead; NaN throughout where success is unknown anywhere:
        its moment is then unknown too.
    """
    done = np.asarray(success, dtype=np.float64)
    frames = np.arange(len(done), dtype=np.float64)
    if np.isnan(done).any():
        return np.full(len(done), np.nan)
    ahead = np.where(done > 0.5, frames, np.inf)
    following = np.minimum.accumulate(ahead[::-1])[::-1]
    seconds: Floats = (np.where(np.isinf(following), np.nan, following) - frames) / fps
    return seconds


def unannotated_success(length: int) -> Floats:
    """Return per-frame success of a successful episode whose moment of success is unknown.

    1 in the last twentieth, 0 in the first four fifths, NaN (not trained) between: nobody
    knows there (VLAC and Robometer leave a similar zone out). Shape (T,).
    """
    share = time_progress(length)
    success: Floats = np.where(share >= 0.95, 1.0, np.where(share < 0.8, 0.0, np.nan))
    return success
