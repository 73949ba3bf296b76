"""A set of episodes, whatever the source; the episodes themselves are those of the core."""

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from robo_reward.episodes import Episode, Subtask

__all__ = ["Episode", "EpisodeDataset", "Subtask", "Views"]

type Views = dict[str, NDArray[np.uint8]]
"""Images of one frame by view name, each (H, W, 3); a missing view is absent."""


class EpisodeDataset(Protocol):
    """A set of episodes on disk: what training, labelling and reports need of it."""

    root: Path
    views: tuple[str, ...]
    fingerprint: str

    def __len__(self) -> int:
        """Return the number of episodes."""

    def episode(self, index: int) -> Episode:
        """Return what is known of an episode, without decoding a pixel."""

    def frames(
        self, index: int, *, views: tuple[str, ...], size: int | None = None, stride: int = 1
    ) -> Iterator[tuple[int, Views]]:
        """Yield (frame number, views) in order, every ``stride``-th frame.

        Images are resized to ``size`` × ``size`` with area averaging (full resolution if
        None). Only a few frames are in memory at a time.
        """
