"""How much memory training and judging take, by arithmetic: before anything is downloaded.

Numbers of weights are exact; activations are estimates, a little above what autograd keeps.

Letters: N images, P prefixes, B pairs, L tokens of a prefix, S tokens of a suffix.
"""

from dataclasses import dataclass
from typing import Any

from ..config import HfConfig
from .families import Geometry, family_of

RULES_TOKENS = 28
NAME_TOKENS = 10
"""Tokens around an image: the view's name, what the frame is, the marks."""
SLOTS = 5
TRAINED_BYTES = 16
"""A trained number: itself, its gradient and AdamW's two moments, each float32."""


@dataclass(frozen=True, kw_only=True)
class Weights:
    """How many numbers a network has."""

    frozen: int
    trained: int
    frozen_bytes: int

    @classmethod
    def of(cls, module: Any) -> "Weights":
        """Count those of a module of torch."""
        frozen = [p for p in module.parameters() if not p.requires_grad]
        return cls(
            frozen=sum(p.numel() for p in frozen),
            trained=sum(p.numel() for p in module.parameters() if p.requires_grad),
            frozen_bytes=sum(p.numel() * p.element_size() for p in frozen),
        )

    @property
    def training_bytes(self) -> int:
        """What weights, gradients and moments take."""
        return self.frozen_bytes + TRAINED_BYTES * self.trained

    @property
    def judging_bytes(self) -> int:
        """What the weights alone take."""
        return self.frozen_bytes + 4 * self.trained


@dataclass(frozen=True, kw_only=True)
class Load:
    """What one training step holds: N images, P prefixes, B pairs, each of so many views."""

    images: int
    prefixes: int
    pairs: int
    views: int


@dataclass(frozen=True, kw_only=True)
class Shape:
    """Sizes that activations depend on."""

    layers: int
    width: int
    inner: int
    """Width inside the MLP."""
    heads: int
    kept_heads: int
    """Heads whose keys and values are kept."""
    head: int
    """Width of a head."""
    image_tokens: int
    levels: int
    text: int
    """Tokens of rules and instruction."""
    history: int
    narrow: int
    """Bytes of a kept number."""
    forget: bool
    """Whether activations are computed again in the backward pass."""

    @classmethod
    def of(cls, architecture: dict[str, Any], config: HfConfig) -> "Shape":
        """Read it from a whole configuration of transformers and ours."""
        text, geometry = architecture["text_config"], Geometry.of(architecture)
        heads = text["num_attention_heads"]
        return cls(
            layers=text["num_hidden_layers"],
            width=text["hidden_size"],
            inner=text["intermediate_size"],
            heads=heads,
            kept_heads=text.get("num_key_value_heads") or heads,
            head=text.get("head_dim") or text["hidden_size"] // heads,
            image_tokens=geometry.side(config.image_size) ** 2,
            levels=geometry.levels,
            text=RULES_TOKENS + config.text_tokens,
            history=config.history,
            narrow=2 if config.dtype == "bf16" else 4,
            forget=config.gradient_checkpointing,
        )

    def prefix(self, views: int) -> int:
        """Return L: rules, instruction, start and goal."""
        return self.text + 2 * views * (self.image_tokens + NAME_TOKENS)

    def suffix(self, views: int) -> int:
        """Return S: earlier queries, before, after, slots."""
        return (self.history + 2) * views * (self.image_tokens + NAME_TOKENS) + SLOTS

    def kept_prefix(self, views: int) -> int:
        """Return the bytes of one prefix: keys and values of every layer."""
        return 2 * self.layers * self.kept_heads * self.head * self.prefix(views) * self.narrow

    def kept_image(self) -> int:
        """Return the bytes of the tokens of one image, all levels."""
        return self.image_tokens * self.levels * self.width * self.narrow

    def token(self) -> int:
        """Return the bytes that one layer remembers of one token for its backward pass.

        Twice the residual stream with its two norms, in float32; queries, keys and values as
        they are projected, normalised, turned and used; four widths of the MLP.
        """
        streams = self.width * (6 * 4 + 4 * self.narrow)
        attention = (self.heads + 2 * self.kept_heads) * self.head * (3 * 4 + 2 * self.narrow)
        return streams + attention + 4 * self.inner * self.narrow

    def reach(self, load: Load) -> int:
        """Return the bytes of the keys and values that one layer's suffixes attend to.

        Gathered from their prefixes, and repeated for every head.
        """
        length = self.prefix(load.views) + self.suffix(load.views)
        each = 2 * (self.kept_heads + self.heads) * self.head * self.narrow
        return load.pairs * length * each

    def activations(self, load: Load) -> int:
        """Return the bytes that a training step needs beside the weights.

        With ``forget``: the input of every layer, and one layer of the suffixes at work with
        its gradients; else all layers.
        """
        suffixes = load.pairs * self.suffix(load.views)
        tokens = load.prefixes * self.prefix(load.views) + suffixes
        frames = load.pairs * (self.history + 2) + load.prefixes * 2
        shown = load.images + 2 * frames * load.views  # gathered, and once more masked
        kept = 2 * load.prefixes * self.kept_prefix(load.views) + shown * self.kept_image()
        layer = self.token() * tokens + self.reach(load)
        if not self.forget:
            return kept + self.layers * layer
        working = 2 * (self.token() * suffixes + self.reach(load))
        return kept + self.layers * tokens * self.width * 4 + working


def largest(shape: Shape, weights: Weights, load: Load, memory: int) -> Load:
    """Return the largest share of a step, in sixteenths, that would fit; at least one pair.

    A step that did not fit although the estimate says it would is halved.

    Args:
        shape: Sizes of the network.
        weights: How many numbers it has.
        load: The step that did not fit.
        memory: Bytes of the device.
    """

    def part(sixteenths: int) -> Load:
        counts = (load.images, load.prefixes, load.pairs)
        images, prefixes, pairs = (max(1, count * sixteenths // 16) for count in counts)
        return Load(images=images, prefixes=prefixes, pairs=pairs, views=load.views)

    free = 0.9 * memory - weights.training_bytes
    fits = [n for n in range(1, 17) if shape.activations(part(n)) <= free]
    return part(min(max(fits, default=1), 15) if 16 not in fits else 8)


def weigh(architecture: dict[str, Any], config: HfConfig) -> Weights:
    """Return the numbers of a network over a model, counted on a copy without any memory.

    Raises:
        RoboRewardError: If the configuration does not fit the model, or peft is missing.
    """
    import torch
    from transformers import AutoConfig, AutoModelForImageTextToText

    from ..network import ProgressNetwork
    from .adapting import prepare

    family = family_of(architecture, config.base)
    told = dict(architecture)
    made = AutoConfig.for_model(told.pop("model_type"), **told)
    with torch.device("meta"):
        model = AutoModelForImageTextToText.from_config(made).model
        prepare(model, family, config)
        width = architecture["text_config"]["hidden_size"]
        blank = torch.nn.LayerNorm(width)
        heads = ProgressNetwork(blank, width, time_to_go=config.time_to_go, belief=config.belief)
    base, ours = Weights.of(model), Weights.of(heads)
    return Weights(
        frozen=base.frozen,
        trained=base.trained + ours.trained + SLOTS * width,
        frozen_bytes=base.frozen_bytes,
    )
