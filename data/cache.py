"""Decoded frames on disk for training: any frame of any episode in microseconds.

Each episode is one zarr v3 array (T, V, size, size, 3) of a single uncompressed chunk. Such
a chunk is the plain bytes of the array, so a frame is read from its place in the file: random
frames cost no decoding, the operating system's page cache decides what stays in memory, and the
size on disk is known before the first frame is decoded. The file remains readable by zarr.
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
from robo_reward.errors import DatasetError, InputError, OutputError
from robo_reward.files import left_behind
from robo_reward.images import PREPROCESSING

from .episodes import Episode, EpisodeDataset

GB = 1e9
CHUNK = Path("frames/c/0/0/0/0/0")
"""Where zarr keeps the only chunk of an episode's array ``frames``."""


class FrameCache:
    """Frames of one dataset at one size; fill it, then read from it."""

    def __init__(self, root: Path, *, size: int, cap_gb: float) -> None:
        """Use ``root`` for cached frames of ``size`` × ``size``, at most ``cap_gb`` of disk.

        The cap is that of the whole directory, whatever runs have filled it.
        """
        self.root = root
        self.size = size
        self._cap_gb = cap_gb
        self._folder = root
        self._lengths: dict[int, int] = {}
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
            InputError: If the cache would grow beyond the cap.
            OutputError: If the cache cannot be written.
            DatasetError: If a frame cannot be decoded.
        """
        key = json.dumps([dataset.fingerprint, PREPROCESSING, self.size, views])
        folder = self.root / hashlib.sha256(key.encode()).hexdigest()[:24]
        if folder != self._folder:
            self._folder = folder
            self._lengths, self._present = {}, {}
        episodes = [dataset.episode(index) for index in indices]
        try:
            self._clear_up()
            absent = {e.index: e for e in episodes if not self._is_whole(e, len(views))}
            self._check_cap(list(absent.values()), len(views))
            for episode in episodes:
                if episode.index in absent:
                    self._write(dataset, episode, views)
                self._present[episode.index] = np.array([view in episode.views for view in views])
                self._lengths[episode.index] = episode.length
                if bar is not None:
                    bar(1)
        except OSError as error:
            raise OutputError(
                f"cannot write the frame cache {self.root} ({error.strerror}); free some space "
                "or choose another place"
            ) from error

    def read(self, episode: int, frames: ArrayLike) -> NDArray[np.uint8]:
        """Return (n, V, size, size, 3) images of the frames; views an episode lacks are 0.

        Raises:
            InputError: If the episode was not filled, or has no such frame.
            DatasetError: If the cached file is not what was written.
        """
        self._check_filled(episode)
        numbers = np.asarray(frames, dtype=np.int64)
        if numbers.size and not 0 <= numbers.min() <= numbers.max() < self._lengths[episode]:
            raise InputError(
                f"episode {episode} has frames 0 to {self._lengths[episode] - 1}, and others were "
                f"asked for: {numbers.tolist()}"
            )
        shape = (len(self._present[episode]), self.size, self.size, 3)
        images = np.empty((len(numbers), *shape), np.uint8)
        path = self._place(episode) / CHUNK
        try:
            with path.open("rb", buffering=0) as file:
                for image, number in zip(images, numbers.tolist(), strict=True):
                    if os.preadv(file.fileno(), [image.data], number * image.nbytes) < image.nbytes:
                        raise OSError(None, "it is cut off")
        except OSError as error:
            raise DatasetError(
                f"the cached frames {path} cannot be read ({error.strerror}); delete {self._folder}"
            ) from error
        return images

    def present(self, episode: int) -> NDArray[np.bool_]:
        """Return (V,) which of the views an episode has.

        Raises:
            InputError: If the episode was not filled.
        """
        self._check_filled(episode)
        return self._present[episode]

    def _check_filled(self, episode: int) -> None:
        if episode not in self._present:
            raise InputError(f"episode {episode} is not in the frame cache; fill() it first")

    def _place(self, episode: int) -> Path:
        return self._folder / f"episode_{episode:06d}"

    def _bytes(self, episode: Episode, views: int) -> int:
        return episode.length * views * self.size**2 * 3

    def _is_whole(self, episode: Episode, views: int) -> bool:
        chunk = self._place(episode.index) / CHUNK
        return chunk.is_file() and chunk.stat().st_size == self._bytes(episode, views)

    def _clear_up(self) -> None:
        """Remove what runs that were killed left half-written."""
        for place in self.root.glob("*/episode_*.partial-*"):
            for stale in left_behind(place.parent, f"{place.name.rpartition('-')[0]}-"):
                shutil.rmtree(stale, ignore_errors=True)

    def _check_cap(self, absent: list[Episode], views: int) -> None:
        needed = sum(self._bytes(episode, views) for episode in absent) / GB
        held = {folder: _size(folder) / GB for folder in sorted(self.root.glob("*/"))}
        total = sum(held.values())
        if needed == 0 or needed + total <= self._cap_gb:
            return
        others = [f"{at} ({gb:.3g} GB)" for at, gb in held.items() if gb and at != self._folder]
        delete = f"delete what other runs left ({', '.join(others)}), " if others else ""
        raise InputError(
            f"the frames of {len(absent)} episodes ({views} views, {self.size} px) take "
            f"{needed:.3g} GB in the frame cache {self.root}, which holds {total:.3g} GB, and the "
            f"cap is {self._cap_gb:g} GB; {delete}raise --cache-gb or lower --image-size"
        )

    def _write(self, dataset: EpisodeDataset, episode: Episode, views: tuple[str, ...]) -> None:
        import zarr

        place = self._place(episode.index)
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
            with (partial / CHUNK).open("wb") as file:
                for _, images in dataset.frames(episode.index, views=held, size=self.size):
                    row: NDArray[np.uint8] = np.zeros(shape[1:], np.uint8)
                    for slot, view in enumerate(views):
                        if view in images:
                            row[slot] = images[view]
                    file.write(row.data)
                file.flush()
                os.fsync(file.fileno())
            if place.is_dir() and not self._is_whole(episode, len(views)):
                shutil.rmtree(place)
            _publish(partial, place)
        finally:
            shutil.rmtree(partial, ignore_errors=True)


def _size(folder: Path) -> int:
    return sum(chunk.stat().st_size for chunk in folder.glob(f"episode_*/{CHUNK}"))


def _publish(partial: Path, place: Path) -> None:
    """Put a finished episode in place, unless another run was first."""
    try:
        partial.rename(place)
    except OSError:
        if not place.is_dir():
            raise
