"""Demonstrations with their frames: what was seen at a row, what was done from there, and draws."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from data.lerobot_dataset import open_dataset
from data.mixture import MixedFrames
from robo_reward.acting import Bools, Floats, Situation
from robo_reward.console import progress_bar

from .compact import CompactPolicy
from .demonstrations import Choice, Demonstrations, Ints
from .fitting import check_shown
from .storing import StoredPolicy


class Showing:
    """Draws what to imitate; nothing is decoded before `fill`."""

    def __init__(
        self,
        shown: Demonstrations,
        weights: NDArray[np.float64],
        *,
        size: int,
        cache: Path,
        cache_gb: float,
    ) -> None:
        """Show demonstrations.

        Args:
            shown: They.
            weights: (n,) how likely each of their rows is drawn, beside the others.
            size: Side of the square images; 0: none are shown.
            cache: Where decoded frames are kept.
            cache_gb: Most disk that they may take.
        """
        self.shown, self.size = shown, size
        self.chance = np.cumsum(weights / weights.sum())
        self._cache, self._cap = cache, cache_gb

    @cached_property
    def frames(self) -> MixedFrames:
        """The decoded frames."""
        return MixedFrames(self.shown.mixture, self._cache, size=self.size, cap_gb=self._cap)

    def fill(self) -> None:
        """Decode what is not cached yet.

        Raises:
            RoboRewardError: If it cannot be read, or the cache not written.
        """
        if self.size:
            with progress_bar("decode", len(self.shown.chosen), "episodes") as bar:
                self.frames.fill(bar, self.shown.chosen)

    def rows(self, rng: np.random.Generator, count: int) -> Ints:
        """Return rows (count, 2): episode and frame."""
        places = np.searchsorted(self.chance, rng.random(count), "right")
        rows: Ints = self.shown.rows[np.minimum(places, len(self.shown.rows) - 1)]
        return rows

    def situation(self, rows: Ints) -> Situation:
        """Return what was seen at rows (B, 2)."""
        shown, pairs = self.shown, rows.tolist()
        views = {}
        if self.size:
            images = np.concatenate([self.frames.read(episode, [t]) for episode, t in pairs])
            views = {name: images[:, slot] for slot, name in enumerate(shown.views)}
        return Situation(
            views=views,
            state=np.stack([shown.states[episode][t] for episode, t in pairs]),
            instructions=[shown.episodes[episode].instructions[0] for episode, _ in pairs],
        )

    def draw(
        self, rng: np.random.Generator, count: int, some: Sequence[int] | None = None
    ) -> tuple[Situation, Floats, Bools]:
        """Return B situations, the chunks (B, C, A) done there, and which of them are known.

        They are ``some`` of ``count`` that are drawn, or all; the others are not read.
        """
        rows = self.rows(rng, count)
        if some is not None:
            rows = rows[list(some)]
        return self.situation(rows), *self.shown.chunks(rows)


def show_to(
    stored: StoredPolicy, datasets: Sequence[str], *, cache: Path, cache_gb: float
) -> Showing:
    """Return the successes of datasets as a policy sees them.

    Raises:
        RoboRewardError: If a dataset cannot be read, or is of another robot than the policy.
    """
    views = tuple(stored.about.images)
    opened = [open_dataset(name, views=views or None) for name in datasets]
    shown = Demonstrations(opened, Choice(), chunk=stored.policy.chunk)
    check_shown(stored.about, shown)
    even = np.ones(len(shown.rows))
    return Showing(shown, even, size=image_size(stored), cache=cache, cache_gb=cache_gb)


def image_size(stored: StoredPolicy) -> int:
    """Return the side of the square images that a policy is shown; 0 if it looks at none."""
    if isinstance(stored.policy, CompactPolicy) and stored.about.images:
        return stored.policy.config.image_size
    return max((max(size) for size in stored.about.images.values()), default=0)
