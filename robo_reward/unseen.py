"""Frames that show nothing: a covered lens, a dead camera, a lost signal. Pure."""

import numpy as np
from numpy.typing import NDArray

type Images = NDArray[np.uint8]


def unseen(views: int, size: int, rng: np.random.Generator) -> Images:
    """Return (V, S, S, 3) uint8: one even colour, or noise, the same kind in all views.

    A third is black, a third another colour, a third noise as fine or coarse as chance has it.
    """
    kind = rng.integers(3)
    if kind == 0:
        return np.zeros((views, size, size, 3), np.uint8)
    if kind == 1:
        colour = rng.integers(0, 256, size=(views, 1, 1, 3), dtype=np.uint8)
        return np.broadcast_to(colour, (views, size, size, 3)).copy()
    grain = int(rng.integers(1, 9))
    cells = -(-size // grain)
    coarse = rng.integers(0, 256, size=(views, cells, cells, 3), dtype=np.uint8)
    return coarse.repeat(grain, axis=1).repeat(grain, axis=2)[:, :size, :size]
