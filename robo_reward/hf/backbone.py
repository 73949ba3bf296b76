"""A pretrained vision-language model as a `Backbone`: no text is decoded, slots are read.

Letters: N images, P prefixes, B queries, G frames of a panel, V views, K tokens an image, W width
of an image token (all its levels), L tokens of a prefix, S tokens of a suffix, D width.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..config import HfConfig
from ..history import lags
from ..protocols import Panel
from .adapting import prepare
from .families import see
from .language import Given, KeyValues, run
from .loading import Facts
from .memory import Load, Shape, Weights, largest
from .prompt import RULES, START_GOAL, Template, Words, Writer

SLOTS = 5
SAMPLE = 1024
"""Words whose embeddings tell the scale at which slots begin."""
IMAGES_A_PASS = 64
"""Images that go through the vision tower at a time."""


@dataclass(frozen=True)
class HfPrefix:
    """What queries on the same instruction and references share."""

    kept: list[KeyValues]
    """Keys and values of every layer, each (P, heads, L, D / heads)."""
    there: Tensor
    """(P, L) bool."""
    after: Tensor
    """(P,) position at which a suffix begins."""
    names: tuple[str, ...]
    """The views' names, sorted."""
    order: Tensor
    """(V,) where the caller's panels have each of them."""


class HfBackbone(nn.Module):
    """The hf `Backbone` over the layers of a model of transformers."""

    def __init__(
        self, config: HfConfig, facts: Facts, model: nn.Module, *, will_train: bool = True
    ) -> None:
        """Put slots and masks around a model, and adapters into it, as the configuration says.

        What will only judge (``will_train`` False) holds all its matrices in the chosen type.

        Raises:
            InputError: If the images' size does not fit the model, or peft is missing.
        """
        super().__init__()
        self.config, self.facts = config, facts
        family = facts.family
        self.side = facts.geometry.side(config.image_size)
        self.words = Words(facts.tokenizer, family)
        self.writer = Writer(self.words, self.side, rows_and_columns=family.rows_and_columns)
        prepare(model, family, config, will_train=will_train)
        self.model = model
        embedding = self.language.embed_tokens.weight
        self.width: int = embedding.shape[1]
        scale = float(embedding[:SAMPLE].float().std())
        self.slots = nn.Parameter(torch.randn(SLOTS, self.width) * scale)
        self.read_out = nn.LayerNorm(self.width)
        self.frozen_digest: str | None = None
        self._templates: dict[Any, Template] = {}

    @property
    def language(self) -> Any:
        """The language layers with their embedding and last norm."""
        return getattr(self.model, self.facts.family.language)

    @property
    def kept_dtype(self) -> torch.dtype:
        """What image tokens, keys and values are kept in."""
        return torch.bfloat16 if self.config.dtype == "bf16" else torch.float32

    def encode(self, images: Tensor) -> Tensor:
        """Return tokens (N, K, W) of uint8 images (N, S, S, 3)."""
        trained = self.config.train_vision and torch.is_grad_enabled()
        with nullcontext() if trained else torch.no_grad(), self._precision(images.device):
            return torch.cat([self._encode(part) for part in torch.split(images, IMAGES_A_PASS)])

    def _encode(self, images: Tensor) -> Tensor:
        pixels = self.facts.pixels.normalise(images)
        return see(self.facts.family, self.model, self.facts.geometry, pixels).to(self.kept_dtype)

    def prefix(self, instructions: Sequence[str], views: Sequence[str], panel: Panel) -> HfPrefix:
        """Return the kept prefix of each instruction with its start and goal views."""
        order = sorted(range(len(views)), key=lambda v: views[v])
        names = tuple(views[v] for v in order)
        device = self.slots.device
        rules = self._template(("rules",), lambda: self.writer.text(self.words(RULES, len(RULES))))
        shown = self._shown(names, START_GOAL, by_view=True)
        said, spoken = self._instructions(instructions)
        lengths = spoken.sum(1)
        rows = len(instructions)
        turned = torch.tensor(order, device=device)
        pieces, seen, there = self._fill(shown, panel, turned)
        text = self._embed(torch.cat([rules.numbers.expand(rows, -1), said], dim=1))
        before = text.shape[1]
        fixed = torch.ones(rows, rules.span, dtype=torch.bool, device=device)
        there = torch.cat([fixed, spoken, there], dim=1)
        counted = rules.span + (spoken.cumsum(1) - 1).clamp(min=0)
        positions = torch.cat(
            [
                rules.positions[:, None].expand(3, rows, -1),
                counted.expand(3, -1, -1),
                shown.positions[:, None] + rules.span + lengths[None, :, None],
            ],
            dim=2,
        )
        length = there.shape[1]
        causal = torch.ones(length, length, dtype=torch.bool, device=device).tril()
        given = Given(
            states=torch.cat([text, pieces], dim=1),
            positions=self._axes(positions),
            mask=causal & there[:, None, None, :],
            images=shown.images + before,
            deeper=seen,
        )
        _, kept = self._run(given)
        return HfPrefix(kept, there, rules.span + lengths + shown.span, names, turned)

    def stack(self, prefixes: Sequence[HfPrefix]) -> HfPrefix:
        """Return one prefix of all rows; they must share their view names."""
        layers = zip(*(prefix.kept for prefix in prefixes), strict=True)
        kept = [
            (torch.cat([pair[0] for pair in layer]), torch.cat([pair[1] for pair in layer]))
            for layer in layers
        ]
        there = torch.cat([prefix.there for prefix in prefixes])
        after = torch.cat([prefix.after for prefix in prefixes])
        return HfPrefix(kept, there, after, prefixes[0].names, prefixes[0].order)

    def read(
        self, prefix: HfPrefix, index: Tensor, panel: Panel, told: Tensor | None = None
    ) -> Tensor:
        """Return slots (B, 5, D) of the queries in ``panel`` (B, H + 2, V, K, W)."""
        rows, device = len(index), self.slots.device
        shown = self._shown(prefix.names, self._roles(panel.there.shape[1] - 2), by_view=False)
        pieces, seen, there = self._fill(shown, panel, prefix.order)
        slots = self.slots.expand(rows, -1, -1)
        slots = (slots if told is None else slots + told.unsqueeze(1)).to(pieces.dtype)
        readable = torch.ones(rows, SLOTS, dtype=torch.bool, device=device)
        there = torch.cat([there, readable], dim=1)
        counted = shown.span + torch.arange(SLOTS, device=device)
        places = torch.cat([shown.positions, counted.expand(3, -1)], dim=1)
        positions = places[:, None] + prefix.after[index][None, :, None]
        length = there.shape[1]
        causal = torch.ones(length, length, dtype=torch.bool, device=device).tril()
        own = causal & there[:, None, None, :]
        fixed = prefix.there[index][:, None, None, :].expand(-1, -1, length, -1)
        given = Given(
            states=torch.cat([pieces, slots], dim=1),
            positions=self._axes(positions),
            mask=torch.cat([fixed, own], dim=3),
            images=shown.images,
            deeper=seen,
        )
        states, _ = self._run(given, kept=prefix.kept, index=index)
        read: Tensor = self.read_out(states[:, -SLOTS:].float())
        return read

    def whole(self, prompt: Template, images: Tensor) -> Tensor:
        """Return slots (1, 5, D) after a whole prompt, read in one pass of which nothing is kept.

        Args:
            prompt: All that is told, on the device.
            images: (N, S, S, 3) uint8, one for each of its cells.
        """
        device = self.slots.device
        there = torch.ones(1, len(images), 1, dtype=torch.bool, device=device)
        shown = Panel(tokens=self.encode(images)[None, :, None], there=there)
        pieces, seen, _ = self._fill(prompt, shown, torch.arange(1, device=device))
        counted = prompt.span + torch.arange(SLOTS, device=device)
        places = torch.cat([prompt.positions, counted.expand(3, -1)], dim=1)
        given = Given(
            states=torch.cat([pieces, self.slots.to(pieces.dtype)[None]], dim=1),
            positions=self._axes(places[:, None]),
            mask=None,
            images=prompt.images,
            deeper=seen,
        )
        states, _ = self._run(given)
        read: Tensor = self.read_out(states[:, -SLOTS:].float())
        return read

    def what_would_fit(self, images: int, prefixes: int, pairs: int, views: int) -> str:
        """Return, for a step that did not fit, the end of a sentence on one that would."""
        device = self.slots.device
        memory = torch.cuda.mem_get_info(device)[1] if device.type == "cuda" else 0
        shape = Shape.of(self.facts.architecture, self.config)
        load = Load(images=images, prefixes=prefixes, pairs=pairs, views=views)
        part = largest(shape, Weights.of(self), load, memory)
        return (
            f" ({memory / 1e9:.0f} GB); by estimate one of {part.images} images, "
            f"{part.prefixes} prefixes and {part.pairs} pairs would"
        )

    def _run(
        self,
        given: Given,
        kept: list[KeyValues] | None = None,
        index: Tensor | None = None,
    ) -> tuple[Tensor, list[KeyValues]]:
        forget = self.config.gradient_checkpointing and self.training and torch.is_grad_enabled()
        with self._precision(given.states.device):
            return run(
                self.language, given, kept=kept, index=index, dtype=self.kept_dtype, forget=forget
            )

    def _precision(self, device: torch.device) -> AbstractContextManager[Any]:
        """Multiply matrices in the chosen type; sums along the layers stay in float32."""
        if self.config.dtype == "fp32":
            return nullcontext()
        return torch.autocast(device.type, dtype=torch.bfloat16)

    def _embed(self, numbers: Tensor) -> Tensor:
        embedded: Tensor = self.language.embed_tokens(numbers.to(self.slots.device)).float()
        return embedded

    def _instructions(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Return (numbers (P, T), which of them are there), T the same for any texts.

        Were T that of the longest, the sums of a row would be taken in another order beside a
        long instruction than beside a short one, which tells in bfloat16.
        """
        room = self.config.text_tokens
        rows = [self.words(text, room) for text in texts]
        numbers = torch.tensor([row + [0] * (room - len(row)) for row in rows])
        there = torch.arange(room) < torch.tensor([len(row) for row in rows])[:, None]
        return numbers.to(self.slots.device), there.to(self.slots.device)

    def _fill(self, shown: Template, panel: Panel, order: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return a part with its images put in: states (B, S, D), deeper levels, what is there."""
        tokens, there = panel.tokens[:, :, order].flatten(1, 2), panel.there[:, :, order].flatten(1)
        tokens = tokens.masked_fill(~there[..., None, None], 0.0)[:, shown.order].flatten(1, 2)
        levels = tokens.view(*tokens.shape[:2], -1, self.width)
        text = self._embed(shown.numbers).expand(len(tokens), -1, -1)
        filled = text.index_copy(1, shown.images, levels[:, :, 0].float())
        always = torch.ones_like(there[:, :1])
        return filled, levels[:, :, 1:], torch.cat([there, always], dim=1)[:, shown.cells]

    def _axes(self, positions: Tensor) -> Tensor:
        """Return positions (3, B, S) as the family wants them."""
        return positions if self.facts.family.rows_and_columns else positions[0]

    def _roles(self, history: int) -> tuple[str, ...]:
        first = ("first",) if history else ()
        return (*(f"{lag} earlier" for lag in lags(history)), *first, "before", "after")

    def _shown(self, names: Sequence[str], roles: Sequence[str], *, by_view: bool) -> Template:
        key = (tuple(names), tuple(roles))
        return self._template(key, lambda: self.writer.shown(names, roles, by_view=by_view))

    def _template(self, key: Any, write: Callable[[], Template]) -> Template:
        device = self.slots.device
        if (key, device) not in self._templates:
            with torch.inference_mode(False):  # written while judging, used while training
                self._templates[key, device] = write().to(device)
        return self._templates[key, device]
