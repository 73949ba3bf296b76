"""Fixed sets of episodes: three ranges of seeds that share none, so that no set leaks.

A seed decides an episode whole: layout, goal, look and behaviour. Train on the first range,
choose thresholds and checkpoints on the second, report figures on the third.
"""

from typing import Literal, get_args

from robo_reward.errors import InputError

type Split = Literal["train", "validation", "held-out"]
"""Name of a set."""

SPLITS: tuple[Split, ...] = get_args(Split.__value__)
"""All of them."""
SIZE = 500_000
"""Seeds in each set."""


def first_seed(split: str) -> int:
    """Return the first seed of a set: 0, 500 000 or 1 000 000.

    Raises:
        InputError: If there is no such set; the message lists those there are.
    """
    if split not in SPLITS:
        raise InputError(f"there is no set of seeds {split!r}; there are: {', '.join(SPLITS)}")
    return SPLITS.index(split) * SIZE


def seeds(split: str, count: int, *, start: int = 0) -> range:
    """Return ``count`` seeds of a set, always the same ones.

    Args:
        split: Name of the set.
        count: How many.
        start: How many to pass over first.

    Raises:
        InputError: If there is no such set, or the seeds asked for would leave it.
    """
    first = first_seed(split)
    if count < 0 or start < 0 or start + count > SIZE:
        raise InputError(
            f"seeds {start} … {start + count - 1} of the {split} set were asked for; "
            f"it has 0 … {SIZE - 1}, so ask for fewer"
        )
    return range(first + start, first + start + count)


def split_of(seed: int) -> str:
    """Return the set that a seed belongs to, or nothing if it is in none."""
    number = seed // SIZE
    return SPLITS[number] if 0 <= number < len(SPLITS) else ""
