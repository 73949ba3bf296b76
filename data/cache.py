"""Decoded frames on disk for training: any frame of any episode in microseconds.

Each episode is one zarr v3 array (T, V, size, size, 3) of a single uncompressed chunk. Such
a chunk is the plain bytes of the array, so it is memory-mapped: random frames cost no
decoding, the operating system's page cache decides what stays in memory, and the size on
disk is known before the first frame is decoded. The file remains readable by zarr.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from robo_reward.console import Bar
from robo_reward.errors import InputError, OutputError

from .episodes import Episode, EpisodeDataset

GB = 1e9
CHUNK = Path("frames/c/0/0/0/0/0")
"""Where zarr keeps the only chunk of an episode's array ``frames``."""


class FrameCache:
    """Frames of one dataset at one size; fill it, then read from it."""

    def __init__(self, root: Path, *, size: int, cap_gb: float) -> None:
        """Use ``root`` for cached frames of ``size`` × ``size``, at most ``cap_gb`` of disk."""
        self.root = root
        self.size = size
        self._cap_gb = cap_gb
        self._folder: Path | None = None
        self._open: dict[int, NDArray[np.uint8]] = {}
        self._present: dict[int, NDArray[np.bool_]] = {}

    def fill(
        self,
        dataset: EpisodeDataset,
        indices: Sequence[int],
        views: tuple[str, ...],
        bar: Bar | None = None,
    ) -> None:
        """Decode the episodes that are not cached yet; ``bar`` advances by one per episode.

        An episode appears at once and complete, so an interrupted run goes on where it was,
        and several runs may fill the same cache.

        Raises:
            InputError: If the frames would take more than the cap.
            OutputError: If the cache cannot be written.
            DatasetError: If a frame cannot be decoded.
        """
        key = hashlib.sha256(json.dumps([dataset.fingerprint, self.size, views]).encode())
        folder = self.root / key.hexdigest()[:24]
        if folder != self._folder:
            self._folder = folder
            self._open, self._present = {}, {}
        episodes = [dataset.episode(index) for index in indices]
        self._check_cap(episodes, len(views))
        for episode in episodes:
            place = folder / f"episode_{episode.index:06d}"
            try:
                if not place.is_dir():
                    self._write(dataset, episode, views, place)
            except OSError as error:
                raise OutputError(
                    f"cannot write the frame cache {self.root} ({error.strerror}); free some space "
                    "or choose another place"
                ) from error
            self._present[episode.index] = np.array([view in episode.views for view in views])
            shape = (episode.length, len(views), self.size, self.size, 3)
            self._open[episode.index] = np.memmap(place / CHUNK, np.uint8, "r", shape=shape)
            if bar is not None:
                bar(1)

    def read(self, episode: int, frames: ArrayLike) -> NDArray[np.uint8]:
        """Return (n, V, size, size, 3) images of the frames; views an episode lacks are 0.

        Raises:
            InputError: If the episode was not filled.
        """
        self._check_filled(episode)
        return np.asarray(self._open[episode][np.asarray(frames, dtype=np.int64)])

    def present(self, episode: int) -> NDArray[np.bool_]:
        """Return (V,) which of the views an episode has.

        Raises:
            InputError: If the episode was not filled.
        """
        self._check_filled(episode)
        return self._present[episode]

    def _check_filled(self, episode: int) -> None:
        if episode not in self._open:
            raise InputError(f"episode {episode} is not in the frame cache; fill() it first")

    def _check_cap(self, episodes: list[Episode], views: int) -> None:
        needed = sum(episode.length for episode in episodes) * views * self.size**2 * 3 / GB
        if needed > self._cap_gb:
            raise InputError(
                f"the frames of {len(episodes)} episodes ({views} views, {self.size} px) take "
                f"{needed:.3g} GB in the frame cache {self.root}, and the cap is {self._cap_gb:g} "
                "GB; raise --cache-gb or lower --image-size"
            )

    def _write(
        self, dataset: EpisodeDataset, episode: Episode, views: tuple[str, ...], place: Path
    ) -> None:
        import zarr

        partial = place.with_name(f"{place.name}.partial-{os.getpid()}")
        shutil.rmtree(partial, ignore_errors=True)
        held = tuple(view for view in views if view in episode.views)
        shape = (episode.length, len(views), self.size, self.size, 3)
        try:
            zarr.create_array(
                partial / "frames",
                shape=shape,
                chunks=shape,
                dtype="uint8",
                compressors=None,
                attributes={"views": list(views), "episode_index": episode.index},
            )
            (partial / CHUNK).parent.mkdir(parents=True)
            target = np.memmap(partial / CHUNK, np.uint8, "w+", shape=shape)
            for number, images in dataset.frames(episode.index, views=held, size=self.size):
                for slot, view in enumerate(views):
                    if view in images:
                        target[number, slot] = images[view]
            target.flush()
            _publish(partial, place)
        finally:
            shutil.rmtree(partial, ignore_errors=True)


def _publish(partial: Path, place: Path) -> None:
    """Put a finished episode in place, unless another run was first."""
    try:
        partial.rename(place)
    except OSError:
        if not place.is_dir():
            raise
