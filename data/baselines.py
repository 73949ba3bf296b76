"""What a reward model must beat: estimates of progress that need no learning. Pure.

None of them reads the instruction, so none can tell a wrong task from the right one.
"""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from robo_reward.images import resize
from robo_reward.progress import incremental_progress
from robo_reward.protocols import References, Views

type Floats = NDArray[np.float64]

CONSTANT_HOP = 0.1
"""The hop that the constant-hop baseline sees at every query."""


def clock(length: int) -> Floats:
    """Return t / (T − 1), shape (length,): privileged, it knows when the episode ends."""
    progress: Floats = np.arange(length, dtype=np.float64) / max(length - 1, 1)
    return progress


def constant_hop(length: int, every: int) -> Floats:
    """Return Φ (length,) of a model that always answers "a bit further", asked every n frames."""
    queries = -(-length // every)
    hops = np.full(queries, CONSTANT_HOP)
    hops[0] = 0.0
    progress: Floats = incremental_progress(hops)[np.arange(length) // every]
    return progress


def pixel_distance(
    frames: Iterable[Views], references: References, *, query: NDArray[np.int64], size: int = 64
) -> Floats:
    """Return 1 − d(frame, goal) / d(first frame, goal), clipped to [0, 1], shape of ``query``.

    d is the mean absolute pixel difference over the views that both show; NaN where none is.

    Args:
        frames: The views of every query in order.
        references: What start and goal look like.
        query: (T,) for each frame the number of the query that it holds.
        size: Side at which images are compared.
    """
    distances = np.array([_distance(views, references.goal, size) for views in frames])
    return goal_distance(distances, query)


def goal_distance(distances: Floats, query: NDArray[np.int64]) -> Floats:
    """Return 1 − d / d(first), clipped to [0, 1], shape of ``query``, of distances a query."""
    near = 1.0 - distances / max(distances[0], 1e-9)
    progress: Floats = np.clip(near, 0.0, 1.0)[query]
    return progress


def _distance(first: Views, second: Views, size: int) -> float:
    shared = sorted(set(first) & set(second))
    gaps = [
        np.abs(resize(first[v], size).astype(np.float64) - resize(second[v], size)).mean()
        for v in shared
    ]
    return float(np.mean(gaps)) if gaps else float("nan")
