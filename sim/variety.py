"""What may vary from reset to reset beside the layout."""

from collections.abc import Sequence
from typing import Literal, get_args

from robo_reward.errors import InputError

type Variation = Literal["colour", "light", "camera", "texture", "distractors", "height"]
"""What may vary from reset to reset beside the layout."""
ALL: tuple[Variation, ...] = get_args(Variation.__value__)
"""All of it."""
VARIETY: tuple[Variation, ...] = ("colour", "light", "camera")
"""What varies unless told otherwise."""


def check_variety(variety: Sequence[str]) -> frozenset[str]:
    """Return the variations as a set.

    Raises:
        InputError: If there is no such variation; the message lists those there are.
    """
    unknown = sorted(set(variety) - set(ALL))
    if unknown:
        raise InputError(f"there is no variation {unknown[0]!r}; there are: {', '.join(ALL)}")
    return frozenset(variety)
