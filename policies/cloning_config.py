"""Settings of cloning; free of torch, so that ``--help`` is quick."""

import math
from dataclasses import dataclass

from robo_reward.config import at_least
from robo_reward.errors import InputError


@dataclass(frozen=True, kw_only=True)
class CloneShape:
    """Shape of the compact policy that is cloned into."""

    image_size: int = 64
    """Side of the square images, in pixels."""
    chunk: int = 8
    """Actions predicted at once."""
    channels: int = 32
    """Feature maps of the image stem, each giving one point a view."""
    width: int = 256
    """Width of features and of the layers of the flow."""


@dataclass(frozen=True, kw_only=True)
class CloningConfig:
    """How a policy is cloned."""

    steps: int = 1500
    """Optimiser steps."""
    batch: int = 32
    """Frames of a step."""
    learning_rate: float = 3e-3
    """Peak rate of AdamW; cosine decay to 0 after the warm-up."""
    warmup: int = 50
    """Steps of linear warm-up."""
    weight_decay: float = 0.01
    """AdamW's decay."""
    clip: float = 1.0
    """Largest gradient norm."""
    shift: float = 0.05
    """Each image is shifted by up to this share of its side (3 pixels of 64)."""
    brightness: float = 0.1
    """Each image is brightened or darkened by up to this share."""

    def __post_init__(self) -> None:
        """Refuse what cannot be trained."""
        if self.steps < 1 or self.batch < 1 or not 0 < self.learning_rate < math.inf:
            raise InputError(
                "steps, batch and learning rate must be positive: "
                f"{self.steps}, {self.batch}, {self.learning_rate}"
            )
        for name in ("warmup", "weight_decay", "clip"):
            at_least(0, name, getattr(self, name))
        for name in ("shift", "brightness"):
            if not 0.0 <= getattr(self, name) < 1.0:
                raise InputError(f"{name} must be a share in [0, 1), got {getattr(self, name)}")
