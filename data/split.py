"""Which episodes and frames are for training, and which are kept back."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from robo_reward.errors import InputError

type Ints = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Withheld:
    """Frames of one episode that training never sees."""

    episode: int
    start: int
    stop: int
    """First frame that is seen again."""


def parse_withheld(text: str) -> Withheld:
    """Return the block that ``EPISODE:START:STOP`` names.

    Raises:
        InputError: If the text has another form.
    """
    parts = text.split(":")
    if len(parts) != 3 or not all(part.isdecimal() for part in parts):
        raise InputError(f"--withhold {text!r} must be EPISODE:START:STOP, for example 0:100:140")
    episode, start, stop = map(int, parts)
    if not start < stop:
        raise InputError(f"--withhold {text!r} is empty: START must be below STOP")
    return Withheld(episode=episode, start=start, stop=stop)


def usable_frames(length: int, blocks: Sequence[Withheld]) -> Ints:
    """Return the frame numbers of an episode outside the blocks, sorted.

    Raises:
        InputError: If a block reaches outside the episode or nothing is left.
    """
    keep = np.ones(length, dtype=bool)
    for block in blocks:
        if block.stop > length:
            raise InputError(
                f"--withhold {block.episode}:{block.start}:{block.stop}: episode {block.episode} "
                f"has {length} frames"
            )
        keep[block.start : block.stop] = False
    if not keep.any():
        raise InputError("--withhold leaves no frame of an episode to train on")
    return np.flatnonzero(keep)


def split_episodes(count: int, share: float, seed: int) -> tuple[list[int], list[int]]:
    """Return (training, validation) episode numbers, each sorted, drawn by seed.

    At least one episode validates where there are two or more and ``share`` is above 0.

    Raises:
        InputError: If the share is outside [0, 1).
    """
    if not 0.0 <= share < 1.0:
        raise InputError(f"--validation must be a share in [0, 1), got {share}")
    kept_back = min(max(round(share * count), 1), count - 1) if share > 0 else 0
    order = np.random.default_rng([seed, count]).permutation(count)
    return sorted(order[kept_back:].tolist()), sorted(order[:kept_back].tolist())
