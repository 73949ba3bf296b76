"""Shapes and settings of network and training; free of torch, so that ``--help`` is quick."""

import math
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from .errors import InputError


def at_least(least: float, name: str, value: float) -> None:
    """Check one setting.

    Raises:
        InputError: If ``value`` is below ``least``, or NaN.
    """
    if not value >= least:
        raise InputError(f"{name} must be at least {least:g}, got {value:g}")


@dataclass(frozen=True, kw_only=True)
class CompactConfig:
    """Shape of the compact backbone."""

    image_size: int = 64
    """Side of the square images, in pixels."""
    width: int = 160
    """Width of a token."""
    depth: int = 4
    """Transformer blocks."""
    heads: int = 5
    """Attention heads."""
    channels: int = 64
    """Feature maps of the stem, each giving one keypoint."""
    history: int = 0
    """Earlier queries shown beside before and after: the first, and those 1, 2, 4, … before. Not
    recommended yet: with it Φ goes on rising when nothing is seen (docs/results.md)."""
    belief: bool = False
    """Tell each query what the model judged at the one before, and the largest of all before."""
    time_to_go: bool = False
    """Tell the seconds until success too."""

    def __post_init__(self) -> None:
        """Refuse shapes that cannot be built."""
        for name in ("width", "depth", "heads", "channels"):
            at_least(1, name, getattr(self, name))
        if self.width % self.heads:
            raise InputError(f"width {self.width} must be a multiple of heads {self.heads}")
        if self.image_size < 16 or self.history < 0:
            raise InputError("image_size must be at least 16 and history at least 0")


@dataclass(frozen=True, kw_only=True)
class HfConfig:
    """A pretrained vision-language model as the backbone, and how it is trained."""

    base: str = ""
    """Directory or hub id of a Qwen3-VL, Qwen2.5-VL or SmolVLM."""
    image_size: int = 224
    """Side of the square images, in pixels; a multiple of the model's own unit (Qwen3-VL: 32)."""
    history: int = 0
    """Earlier queries shown beside before and after: the first, and those 1, 2, 4, … before. Not
    recommended yet: with it Φ goes on rising when nothing is seen (docs/results.md)."""
    belief: bool = False
    """Tell each query what the model judged at the one before, and the largest of all before."""
    time_to_go: bool = False
    """Tell the seconds until success too."""
    text_tokens: int = 64
    """Tokens of an instruction at most; what comes after is dropped."""
    learning_rate: float = 1e-4
    """Peak rate of AdamW, in place of ``--learning-rate``."""
    lora_rank: int = 16
    """Rank of the adapters beside the language layers' matrices; 0: train the layers whole."""
    train_vision: bool = False
    """Train the vision tower too, all its weights."""
    dtype: Literal["bf16", "fp32"] = "bf16"
    """Matrices that are not trained, and every product of matrices; all sums stay in float32."""
    gradient_checkpointing: bool = True
    """Compute activations again in the backward pass: slower, and far less memory."""

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
        at_least(1, "image_size", self.image_size)
        at_least(0, "history", self.history)
        at_least(0, "lora_rank", self.lora_rank)
        at_least(1, "text_tokens", self.text_tokens)
        if not self.learning_rate > 0:
            raise InputError(f"learning_rate must be positive, got {self.learning_rate}")


_LATER = ("belief", "time_to_go", "view_disagreement")


def stored(settings: Any) -> dict[str, Any]:
    """Return the fields of a configuration as they are stored.

    Options that came later are left out where they are off: without them a checkpoint is to the
    byte what it was before there were any.
    """
    return {name: value for name, value in asdict(settings).items() if value or name not in _LATER}


@dataclass(frozen=True, kw_only=True)
class LossWeights:
    """Weight of each term; all are means over the pairs whose target is known."""

    bins: float = 1.0
    """Cross-entropy of the hop distributions against two-hot targets."""
    value: float = 2.0
    """Smooth-L1 (β = .1) of the hop expectations."""
    success: float = 0.5
    """Binary cross-entropy of success."""
    match: float = 1.0
    """Binary cross-entropy of match."""
    time_to_go: float = 0.25
    """Cross-entropy of the seconds until success, where the model tells them."""


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """How the network is trained."""

    steps: int = 1500
    """Optimiser steps."""
    learning_rate: float = 2e-3
    """Peak rate of AdamW; cosine decay to 0 after the warm-up."""
    warmup: int = 50
    """Steps of linear warm-up."""
    weight_decay: float = 0.01
    """AdamW's decay."""
    clip: float = 1.0
    """Largest gradient norm."""
    shift: float = 0.03
    """Images are shifted by up to this share of their side (2 pixels of 64), each camera alike."""
    brightness: float = 0.1
    """Images are brightened or darkened by up to this share."""
    loss: LossWeights = field(default_factory=LossWeights)
    """Weight of each loss term."""

    def __post_init__(self) -> None:
        """Refuse what cannot be trained."""
        if self.steps < 1 or not self.learning_rate > 0:
            raise InputError(
                f"steps and learning rate must be positive: {self.steps}, {self.learning_rate}"
            )
        for name in ("warmup", "weight_decay", "clip"):
            at_least(0, name, getattr(self, name))
        for name in ("shift", "brightness"):
            if not 0.0 <= getattr(self, name) < 1.0:
                raise InputError(f"{name} must be a share in [0, 1), got {getattr(self, name)}")


@dataclass(frozen=True, kw_only=True)
class OpenAIConfig:
    """A remote vision-language model that answers in text, and how it is asked."""

    url: str = ""
    """Address of any OpenAI-compatible server, up to and with its /v1."""
    model: str = ""
    """The model's name on that server."""
    prompt: Path | None = None
    """Prompt file (TOML): what is asked, and where in the answer the number stands."""
    query_period: float = 0.4
    """Seconds between the frames that the model is asked about."""
    longest_side: int = 512
    """Larger images are shrunk to this many pixels, their shape kept."""
    in_flight: int = 8
    """Requests on their way at the same time, at most."""
    timeout: float = 60.0
    """Seconds that a request may take."""
    give_up_after: int = 20
    """Requests in a row without an answer after which the run stops."""

    def __post_init__(self) -> None:
        """Refuse what cannot be asked."""
        at_least(16, "--openai.longest-side", self.longest_side)
        at_least(1, "--openai.in-flight", self.in_flight)
        at_least(1, "--openai.give-up-after", self.give_up_after)
        for name in ("query_period", "timeout"):
            if not 0.0 < getattr(self, name) < math.inf:
                flag = name.replace("_", "-")
                raise InputError(f"--openai.{flag} must be seconds above 0")
