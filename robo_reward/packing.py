"""A training step: planned without a pixel, then its frames are read, each once."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from .batch import PairBatch

type Ints = NDArray[np.int64]
type Key = tuple[int, int]
"""(episode, frame)."""


class FrameReader(Protocol):
    """Hands out resized frames; the cache of `data.cache` is one."""

    def read(self, episode: int, frames: Ints) -> NDArray[np.uint8]:
        """Return (n, V, S, S, 3) uint8."""

    def present(self, episode: int) -> NDArray[np.bool_]:
        """Return (V,) which views the episode has."""


@dataclass(kw_only=True)
class Plan:
    """A step without its pixels; grows as episodes are added."""

    frames: dict[Key, int] = field(default_factory=dict)
    instructions: list[str] = field(default_factory=list)
    start: list[int] = field(default_factory=list)
    goal: list[int] = field(default_factory=list)
    visible: list[NDArray[np.bool_]] = field(default_factory=list)
    pairs: list[tuple[int, int, int, list[int]]] = field(default_factory=list)
    targets: list[tuple[float, ...]] = field(default_factory=list)
    """A pair's `hop_previous` … `time_to_go`, in the order of `PairBatch`."""

    def frame(self, key: Key | None) -> int:
        """Return the number of a frame in this step, adding it if it is new; −1 for None."""
        return -1 if key is None else self.frames.setdefault(key, len(self.frames))


def pack(plan: Plan, reader: FrameReader, views: tuple[str, ...]) -> PairBatch:
    """Return the batch of a plan, its frames read, each once."""
    frames, images, jitter = _read(list(plan.frames), reader, len(views))
    numbers, before, after, history = zip(*plan.pairs, strict=True)
    columns = np.array(plan.targets, dtype=np.float32).T
    return PairBatch(
        views=views,
        images=images,
        jitter=jitter,
        frames=frames,
        instructions=tuple(plan.instructions),
        start=np.array(plan.start, dtype=np.int64),
        goal=np.array(plan.goal, dtype=np.int64),
        visible=np.stack(plan.visible),
        prefix=np.array(numbers, dtype=np.int64),
        before=np.array(before, dtype=np.int64),
        after=np.array(after, dtype=np.int64),
        history=np.array(history, dtype=np.int64).reshape(len(numbers), -1),
        hop_previous=columns[0],
        hop_start=columns[1],
        hop_goal=columns[2],
        success=columns[3],
        match=columns[4],
        time_to_go=columns[5],
    )


def _read(
    keys: Sequence[Key], reader: FrameReader, views: int
) -> tuple[Ints, NDArray[np.uint8], Ints]:
    """Return (frames (F, V), images (N, S, S, 3), jitter (N,)) of (episode, frame) keys."""
    frames = np.full((len(keys), views), -1, dtype=np.int64)
    images, jitter, count = [], [], 0
    for episode in dict.fromkeys(episode for episode, _ in keys):
        rows = [i for i, key in enumerate(keys) if key[0] == episode]
        pixels = reader.read(episode, np.array([keys[i][1] for i in rows]))
        for view in np.flatnonzero(reader.present(episode)).tolist():
            frames[rows, view] = np.arange(count, count + len(rows))
            images.append(pixels[:, view])
            jitter.append(np.full(len(rows), episode * views + view, dtype=np.int64))
            count += len(rows)
    return frames, np.concatenate(images), np.concatenate(jitter)
