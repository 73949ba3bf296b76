"""A training step: planned without a pixel, then its frames are read, each once."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from .batch import PairBatch
from .unseen import unseen

type Ints = NDArray[np.int64]
type Key = tuple[int, int]
"""(episode, frame)."""

NOTHING = -1
"""In place of an episode: its frames show nothing, each in a way that its number decides."""


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
    beliefs: list[tuple[float, float]] = field(default_factory=list)
    """What was judged before each pair's *after*, see `robo_reward.belief`."""
    targets: list[tuple[float, ...]] = field(default_factory=list)
    """A pair's `hop_previous` … `time_to_go`, in the order of `PairBatch`."""

    replays: list[list[int]] = field(default_factory=list)
    """Frames that the network judges in order under each prefix."""
    replay_beliefs: list[tuple[float, float]] = field(default_factory=list)
    """What was judged before the first of them."""
    own: list[int] = field(default_factory=list)
    """The step of its prefix's replay whose verdict each pair is told, −1 for none."""
    untold: dict[int, tuple[bool, bool, bool]] = field(default_factory=dict)
    """Pair → which of its three hops its images cannot tell; the others' all can."""

    def frame(self, key: Key | None) -> int:
        """Return the number of a frame in this step, adding it if it is new; −1 for None."""
        return -1 if key is None else self.frames.setdefault(key, len(self.frames))


def pack(plan: Plan, reader: FrameReader, views: tuple[str, ...]) -> PairBatch:
    """Return the batch of a plan, its frames read, each once."""
    frames, images, jitter = _read(list(plan.frames), reader, len(views))
    numbers, before, after, history = zip(*plan.pairs, strict=True)
    untold = np.zeros((len(numbers), 3), dtype=np.bool_)
    for pair, which in plan.untold.items():
        untold[pair] = which
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
        belief=np.array(plan.beliefs, dtype=np.float32),
        replay=_rows(plan.replays),
        replay_belief=np.array(plan.replay_beliefs, dtype=np.float32),
        own=np.array(plan.own, dtype=np.int64),
        hop_previous=columns[0],
        hop_start=columns[1],
        hop_goal=columns[2],
        success=columns[3],
        match=columns[4],
        time_to_go=columns[5],
        untold=untold,
    )


def _shows_nothing(episode: int) -> bool:
    return episode == NOTHING


def _rows(lists: Sequence[Sequence[int]]) -> Ints:
    """Return lists as the rows of one array, the shorter ones filled up with −1."""
    longest = max(map(len, lists))
    return np.array([[*row, *[-1] * (longest - len(row))] for row in lists], dtype=np.int64)


def _read(
    keys: Sequence[Key], reader: FrameReader, views: int
) -> tuple[Ints, NDArray[np.uint8], Ints]:
    """Return (frames (F, V), images (N, S, S, 3), jitter (N,)) of (episode, frame) keys."""
    frames = np.full((len(keys), views), -1, dtype=np.int64)
    images: list[NDArray[np.uint8]] = []
    jitter: list[Ints] = []
    count = 0
    for episode in dict.fromkeys(sorted((episode for episode, _ in keys), key=_shows_nothing)):
        rows = [i for i, key in enumerate(keys) if key[0] == episode]
        numbers = np.array([keys[i][1] for i in rows])
        if episode == NOTHING:  # sorted last, so the size of the others is known
            pixels, shown = _blank(numbers, views, images[0].shape[1]), list(range(views))
        else:
            pixels = reader.read(episode, numbers)
            shown = np.flatnonzero(reader.present(episode)).tolist()
        for view in shown:
            frames[rows, view] = np.arange(count, count + len(rows))
            images.append(pixels[:, view])
            jitter.append(np.full(len(rows), episode * views + view, dtype=np.int64))
            count += len(rows)
    return frames, np.concatenate(images), np.concatenate(jitter)


def _blank(numbers: Ints, views: int, size: int) -> NDArray[np.uint8]:
    """Return (n, V, S, S, 3) uint8 that show nothing."""
    return np.stack([unseen(views, size, np.random.default_rng(n)) for n in numbers.tolist()])
