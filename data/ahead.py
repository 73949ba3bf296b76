"""Episodes decoded ahead of the model, in processes of their own.

The model never waits while they keep up, and no video can harm the process that holds it. What has
been decoded waits in shared memory of a fixed size, whatever the length of episodes.
"""

import math
import time
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self, cast

from robo_reward.errors import DatasetError

from .decoder import Decoder
from .decoder_main import MB
from .decoding import DecodeConfig, Job

if TYPE_CHECKING:
    from .episodes import Episode, EpisodeDataset, Views
    from .lerobot_dataset import LeRobotEpisodes

_EACH = 2
"""Episodes that a process knows of: the one that it decodes and the next."""


@dataclass(frozen=True)
class Decoded:
    """An episode and its frames, which can be read once, and before those of the next."""

    index: int
    """Number of the episode."""
    frames: "Iterator[tuple[int, Views]]"
    """(frame number, views), as `LeRobotEpisodes.frames` yields them; raises what it raises, and
    a `DatasetError` if the process that decodes is lost or hangs."""


class Ahead:
    """The episodes asked for, in order, whatever is decoded first; use it in a ``with`` statement.

    Episodes are taken from the iterable as they come within reach, two for each process. One that
    cannot be decoded says so when its frames are read; the others go on. What is not read of an
    episode is skipped when the next is taken.
    """

    def __init__(
        self,
        dataset: "EpisodeDataset",
        episodes: Iterable[int],
        *,
        size: int | None,
        stride: int,
        config: DecodeConfig | None = None,
    ) -> None:
        """Prepare; nothing is started or taken before the first episode is asked for.

        Args:
            dataset: Whose episodes they are; a LeRobotDataset if there are processes.
            episodes: Their numbers; may be endless.
            size: Side of the square that images are squashed to; None: they stay as recorded.
            stride: Distance between the frames that are handed over.
            config: Processes, memory and limits.

        Raises:
            InputError: If a setting makes no sense, or not one frame fits into the memory.
        """
        self._dataset, self._left = dataset, iter(episodes)
        self._size, self._stride = size, stride
        config = config or DecodeConfig()
        count = config.count()
        self._decoders: list[Decoder] = []
        if count:
            read = cast("LeRobotEpisodes", dataset)
            slot, ahead = frame_bytes(read, dataset.views, size), config.ahead_mb * MB // count
            self._decoders = [Decoder(read, config, slot=slot, ahead=ahead) for _ in range(count)]
        self._asked: deque[tuple[int, Generator[tuple[int, Views]]]] = deque()
        self._taken = 0
        self._own_s = 0.0

    @property
    def waited_s(self) -> float:
        """Seconds that the caller waited for frames so far."""
        return self._own_s + sum(decoder.waited_s for decoder in self._decoders)

    def __enter__(self) -> Self:
        """Return it."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the processes, whatever they are doing."""
        for decoder in self._decoders:
            decoder.close()

    def __iter__(self) -> Iterator[Decoded]:
        """Yield the episodes in order."""
        while self._ask():
            index, frames = self._asked.popleft()
            yield Decoded(index, frames)
            with suppress(DatasetError):  # of frames that nobody wanted
                next(frames, None)
            frames.close()

    def _ask(self) -> bool:
        """Ask for as many episodes as the processes should know of; return whether any is left."""
        views, count = self._dataset.views, len(self._decoders)
        for index in islice(self._left, max(1, _EACH * count) - len(self._asked)):
            if count:
                decoder = self._decoders[self._taken % count]
                decoder.ask(Job(episode=index, views=views, size=self._size, stride=self._stride))
                self._asked.append((index, decoder.frames()))
            else:
                self._asked.append((index, self._here(index)))
            self._taken += 1
        return bool(self._asked)

    def _here(self, index: int) -> "Generator[tuple[int, Views]]":
        """Yield what the dataset yields, and count the time that it takes."""
        views = self._dataset.views
        frames = self._dataset.frames(index, views=views, size=self._size, stride=self._stride)
        while True:
            begun = time.monotonic()
            try:
                found = next(frames, None)
            finally:
                self._own_s += time.monotonic() - begun
            if found is None:
                return
            yield found


class LimitedEpisodes:
    """A dataset whose frames are decoded in a process with limits; an `EpisodeDataset`.

    For whoever asks for frames now and then: references, reports. The process stays until the
    ``with`` statement ends; a second one is started only while two episodes are read at once.
    """

    def __init__(self, dataset: "LeRobotEpisodes", config: DecodeConfig | None = None) -> None:
        """Prepare; a process is started when frames are asked for. With 0 processes there is none.

        Raises:
            InputError: If a setting makes no sense.
        """
        self._dataset, self._config = dataset, config or DecodeConfig()
        self._protected = self._config.count() > 0
        self._idle: list[Decoder] = []
        self._all: list[Decoder] = []
        self.root: Path = dataset.root
        self.views: tuple[str, ...] = dataset.views
        self.fingerprint: str = dataset.fingerprint

    def __enter__(self) -> Self:
        """Return it."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the processes."""
        for decoder in self._all:
            decoder.close()

    def __len__(self) -> int:
        """Return the number of episodes."""
        return len(self._dataset)

    def episode(self, index: int) -> "Episode":
        """Return what is known of an episode, without decoding a pixel."""
        return self._dataset.episode(index)

    def frames(
        self, index: int, *, views: tuple[str, ...], size: int | None = None, stride: int = 1
    ) -> "Iterator[tuple[int, Views]]":
        """Yield what the dataset yields; a lost or hanging process is a `DatasetError`."""
        if not self._protected:
            yield from self._dataset.frames(index, views=views, size=size, stride=stride)
            return
        decoder = self._free(frame_bytes(self._dataset, views, size))
        decoder.ask(Job(episode=index, views=views, size=size, stride=stride))
        try:
            with closing(decoder.frames()) as frames:
                yield from frames
        finally:
            self._idle.append(decoder)

    def _free(self, slot: int) -> Decoder:
        """Return a process that has nothing to do and slots of so many bytes."""
        while self._idle:
            decoder = self._idle.pop()
            if decoder.fits(slot):
                return decoder
            decoder.close()
            self._all.remove(decoder)
        made = Decoder(self._dataset, self._config, slot=slot, ahead=self._config.ahead_mb * MB)
        self._all.append(made)
        return made


def frame_bytes(dataset: "LeRobotEpisodes", views: tuple[str, ...], size: int | None) -> int:
    """Return the bytes of a decoded frame with these views, resized or as recorded."""
    if size is not None:
        return len(views) * size**2 * 3
    sizes = dataset.image_sizes()
    return sum(3 * math.prod(sizes[view]) for view in views if view in sizes)
