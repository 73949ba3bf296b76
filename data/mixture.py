"""Several datasets as one: what a model is trained on when no single dataset has it all."""

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from robo_reward.console import Bar
from robo_reward.errors import InputError

from .cache import FrameCache
from .episodes import Episode, EpisodeDataset, Views
from .split import split_episodes


class Mixture:
    """An `EpisodeDataset` of others: their episodes one after another, the union of their views.

    One dataset alone keeps its fingerprint and its numbers.
    """

    def __init__(self, datasets: Sequence[EpisodeDataset]) -> None:
        """Put datasets in a row."""
        self.datasets = tuple(datasets)
        self.root: Path = datasets[0].root
        """Directory of the first."""
        self.views = tuple(sorted({view for dataset in datasets for view in dataset.views}))
        """Names of the cameras of any of them, sorted."""
        prints = [dataset.fingerprint for dataset in datasets]
        joined = hashlib.sha256("\n".join(prints).encode()).hexdigest()
        self.fingerprint = prints[0] if len(prints) == 1 else joined
        """Tells this mixture, in this order, from any other."""
        self.begins = np.cumsum([0, *(len(dataset) for dataset in datasets)])
        """Number of the first episode of each dataset, then how many there are."""

    def __len__(self) -> int:
        """Return the number of episodes."""
        return int(self.begins[-1])

    def source(self, index: int) -> int:
        """Return which dataset an episode is from.

        Raises:
            InputError: If there is no such episode.
        """
        if not 0 <= index < len(self):
            raise InputError(f"there is no episode {index}; there are 0 to {len(self) - 1}")
        return int(np.searchsorted(self.begins, index, side="right")) - 1

    def inner(self, index: int) -> int:
        """Return the number that an episode has in its own dataset."""
        return index - int(self.begins[self.source(index)])

    def episode(self, index: int) -> Episode:
        """Return what its dataset knows of an episode."""
        return self.datasets[self.source(index)].episode(self.inner(index))

    def frames(
        self, index: int, *, views: tuple[str, ...], size: int | None = None, stride: int = 1
    ) -> Iterator[tuple[int, Views]]:
        """Yield (frame number, views) of an episode; see `EpisodeDataset.frames`."""
        dataset = self.datasets[self.source(index)]
        return dataset.frames(self.inner(index), views=views, size=size, stride=stride)

    def split(self, share: float, seed: int) -> tuple[list[int], list[int]]:
        """Return (training, validation) episodes, the share kept back of each dataset.

        Raises:
            InputError: If the share is outside [0, 1).
        """
        training: list[int] = []
        validation: list[int] = []
        for begin, dataset in zip(self.begins, self.datasets, strict=False):
            learn, check = split_episodes(len(dataset), share, seed)
            training += [int(begin) + number for number in learn]
            validation += [int(begin) + number for number in check]
        return training, validation

    def chances(self, weights: Sequence[float]) -> list[float]:
        """Return how likely an episode of each dataset is drawn, beside one of another.

        Args:
            weights: Shares of the datasets in the episodes drawn; none: as they are.

        Raises:
            InputError: If there is not one positive weight for each dataset.
        """
        sizes = [len(dataset) for dataset in self.datasets]
        if not weights:
            return [1.0] * len(sizes)
        if len(weights) != len(sizes) or not all(0.0 < w < np.inf for w in weights):
            raise InputError(
                f"--weights must be one number above 0 for each of the {len(sizes)} datasets, "
                f"got {' '.join(map(str, weights))}"
            )
        return [weight / size for weight, size in zip(weights, sizes, strict=True)]


class MixedFrames:
    """The frame caches of a mixture as one `FrameReader`; each dataset keeps its own cache."""

    def __init__(
        self, mixture: Mixture, root: Path | Sequence[Path], *, size: int, cap_gb: float
    ) -> None:
        """Use ``root``, or one for each dataset, for frames of ``size`` × ``size``.

        At most ``cap_gb`` of disk are taken in each.
        """
        self._mixture, self._size = mixture, size
        roots = [root] * len(mixture.datasets) if isinstance(root, Path) else root
        self._caches = [
            FrameCache(place, size=size, cap_gb=cap_gb)
            for place, _ in zip(roots, mixture.datasets, strict=True)
        ]
        views = mixture.views
        self._slots = [
            np.array([views.index(view) for view in dataset.views]) for dataset in mixture.datasets
        ]

    def fill(self, bar: Bar | None = None, episodes: Sequence[int] | None = None) -> None:
        """Decode what is not cached yet of some episodes, or of all; see `FrameCache.fill`."""
        mixture = self._mixture
        wanted = range(len(mixture)) if episodes is None else episodes
        for source, cache in enumerate(self._caches):
            dataset = mixture.datasets[source]
            mine = [mixture.inner(n) for n in wanted if mixture.source(n) == source]
            cache.fill(dataset, mine, dataset.views, bar)

    def read(self, episode: int, frames: ArrayLike) -> NDArray[np.uint8]:
        """Return (n, V, size, size, 3) images over the views of the mixture, 0 where none is."""
        source, inner = self._mixture.source(episode), self._mixture.inner(episode)
        found = self._caches[source].read(inner, frames)
        if len(self._slots[source]) == len(self._mixture.views):
            return found
        shape = (len(found), len(self._mixture.views), self._size, self._size, 3)
        images: NDArray[np.uint8] = np.zeros(shape, np.uint8)
        images[:, self._slots[source]] = found
        return images

    def present(self, episode: int) -> NDArray[np.bool_]:
        """Return (V,) which views of the mixture an episode has."""
        source, inner = self._mixture.source(episode), self._mixture.inner(episode)
        there: NDArray[np.bool_] = np.zeros(len(self._mixture.views), np.bool_)
        there[self._slots[source]] = self._caches[source].present(inner)
        return there
