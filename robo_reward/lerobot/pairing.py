"""From the items of a LeRobot batch to the pairs of one training step."""

import numpy as np
from numpy.typing import NDArray

from ..batch import PairBatch
from ..hiding import hide
from ..packing import Plan, pack
from ..plan import Known, PairSampler, SamplingConfig
from .table import GoalTable

type Ints = NDArray[np.int64]
type Images = NDArray[np.uint8]


class Shown:
    """The frames of a batch as a `FrameReader`: each (episode, frame) once, however often given."""

    def __init__(
        self, views: tuple[str, ...], images: Images, episodes: Ints, frames: Ints
    ) -> None:
        """Hold the frames of B items.

        Args:
            views: The V view names, sorted.
            images: (B, T, V, S, S, 3).
            episodes: (B,) which episode an item is of.
            frames: (B, T) which frame of it each image shows.
        """
        self.views, self.episodes, self._images = views, episodes, images
        self.where: dict[int, dict[int, tuple[int, int]]] = {}
        for item, episode in enumerate(episodes.tolist()):
            places = self.where.setdefault(episode, {})
            for time, frame in enumerate(frames[item].tolist()):
                places.setdefault(frame, (item, time))

    def read(self, episode: int, frames: Ints) -> Images:
        """Return (n, V, S, S, 3) uint8."""
        places = self.where[episode]
        items, times = zip(*(places[frame] for frame in frames.tolist()), strict=True)
        return self._images[list(items), list(times)]

    def present(self, episode: int) -> NDArray[np.bool_]:
        """Return (V,) which views the episode has: all that the batch has."""
        return np.ones(self._images.shape[2], dtype=np.bool_)


def pair_batch(
    shown: Shown,
    table: GoalTable,
    config: SamplingConfig,
    *,
    period: int,
    rng: np.random.Generator,
) -> PairBatch:
    """Return the pairs of a batch: `SamplingConfig.prefixes` draws for each of its items.

    Pairs join any two frames that the batch shows of an item's episode; references and foreign
    instructions are those of the batch's episodes.

    Args:
        shown: The batch's frames.
        table: What the episodes teach.
        config: Probabilities and sizes; episodes and frames are given by the batch.
        period: Query period in frames.
        rng: Source of randomness.
    """
    known = {
        episode: Known(
            goals=table.goals[episode],
            usable=np.array(sorted(places), dtype=np.int64),
            period=period,
            present=shown.present(episode),
            fps=table.fps[episode],
        )
        for episode, places in shown.where.items()
    }
    sampler, plan = PairSampler(known, config), Plan()
    for episode in shown.episodes.tolist():
        for _ in range(config.prefixes):
            sampler.add_prefix(plan, episode, known[episode].usable, rng)
    hide(plan, config.unseen, rng)
    return pack(plan, shown, shown.views)
