"""One generator per concern from one seed, so that turning one off leaves the others alone."""

from typing import Literal, get_args

import numpy as np
from numpy.random import Generator, SeedSequence

type Concern = Literal[
    "layout",
    "colour",
    "goal",
    "expert",
    "noise",
    "light",
    "camera",
    "texture",
    "distractors",
    "height",
]
"""What draws random numbers of its own."""

_CONCERNS: tuple[Concern, ...] = get_args(Concern.__value__)


def generators(seed: int) -> dict[Concern, Generator]:
    """Return an independent generator for each concern; append to the concerns, never insert."""
    children = SeedSequence(seed).spawn(len(_CONCERNS))
    return {
        concern: np.random.default_rng(child)
        for concern, child in zip(_CONCERNS, children, strict=True)
    }
