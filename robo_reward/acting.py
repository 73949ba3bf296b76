"""The seam of policies: what one sees, what it does, and how likely that was."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from .errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

type Floats = NDArray[np.float32]
type Bools = NDArray[np.bool_]
type Trace = Mapping[str, NDArray[Any]]
"""What a policy must remember of its sample to score it again: arrays (B, …) by name."""


@dataclass(frozen=True, kw_only=True)
class Situation:
    """What B robots see, each at its own moment."""

    views: Mapping[str, NDArray[np.uint8]]
    """Name → (B, H, W, 3); a view that a policy knows may be missing, for all of them."""
    state: Floats
    """(B, n) joints and what else the robot feels, in its own units."""
    instructions: Sequence[str]
    """What each should do."""

    def __post_init__(self) -> None:
        """Check the shapes against each other.

        Raises:
            InputError: If they differ in B, or a number is not finite.
        """
        count = len(self.instructions)
        if self.state.ndim != 2 or len(self.state) != count:
            raise InputError(f"state must be ({count}, n), got {self.state.shape}")
        if not np.isfinite(self.state).all():
            raise InputError(f"state is not finite: {self.state.tolist()}; look at the robot")
        for name, images in self.views.items():
            if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] != 3:
                raise InputError(f"view {name} must be uint8 (B, H, W, 3), got {images.shape}")
            if len(images) != count:
                raise InputError(f"view {name} shows {len(images)} situations of {count}")

    def __len__(self) -> int:
        """Return B."""
        return len(self.instructions)

    def rows(self, chosen: Sequence[int]) -> "Situation":
        """Return some of the situations, in that order."""
        index = list(chosen)
        return Situation(
            views={name: images[index] for name, images in self.views.items()},
            state=self.state[index],
            instructions=[self.instructions[i] for i in index],
        )


class Policy(Protocol):
    """Acts in chunks of C actions of A numbers, and can say how likely a chunk was."""

    chunk: int
    """C, actions predicted at once."""

    def act(self, seen: Situation) -> Floats:
        """Return chunks (B, C, A) without chance: how a policy is judged."""

    def sample(self, seen: Situation, rng: np.random.Generator) -> tuple[Floats, Trace]:
        """Return chunks (B, C, A) drawn from the policy, and what is needed to score them."""

    def score(self, seen: Situation, trace: Trace) -> "tuple[Tensor, Tensor, Tensor]":
        """Return (log-density (B,), entropy (B,), value (B,)) of chunks that were sampled.

        The value is the residual f of a critic V = Φ + f. The log-density can be differentiated by
        all that is trained of the policy, the value by its own head; an entropy may be a constant.
        """


class Clonable(Protocol):
    """What a policy may have beside `Policy`: then it can learn from what was done by others."""

    def cloning_loss(
        self, seen: Situation, actions: Floats, known: Bools, rng: np.random.Generator
    ) -> "Tensor":
        """Return (B,) how far the policy is from chunks (B, C, A) in the robot's units.

        Only actions that are ``known`` (B, C) count; where none is, the loss is 0. All that is
        drawn is drawn by ``rng``.
        """
