"""The embedded default backbone: trained from scratch, on a CPU, in minutes.

Each view becomes one token through a small convolutional stem with spatial soft-argmax
keypoints (Finn et al., arXiv 1509.06113) plus pooled features; a transformer over the tokens
of text, start, goal, before and after does the comparing.

Letters: N images, P prefixes, B queries, V views, K = 1 token an image, D width, R slots.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from .attention import KeyValues, PrefixTransformer
from .config import CompactConfig
from .protocols import Panel
from .text import ByteText

SLOTS = 5
ROLE_SCALE = 0.5
DECIDED = 5.0
"""How much sharper than by chance a view name chooses its projection at the start."""
EXPERTS = 8
"""Projections that the names of views choose among."""


@dataclass(frozen=True)
class CompactPrefix:
    """What queries on the same instruction and references share."""

    kept: list[KeyValues]
    """Keys and values of every block, each (P, heads, L, D / heads)."""
    there: Tensor
    """(P, L) bool."""
    views: Tensor
    """(V, D) embeddings of the view names."""
    said: Tensor
    """(P, D) digest of the instruction."""


class Keypoints(nn.Module):
    """Images to one token each.

    Batch normalisation, of maps and of features, is what makes it learn in minutes: what all
    images share (the table, the robot's base) would otherwise drown what changes between them.
    Its statistics are fixed when judging, so a verdict does not depend on the batch.
    """

    def __init__(self, width: int, channels: int) -> None:
        super().__init__()
        half = channels // 2
        self.stem = nn.Sequential(
            nn.Conv2d(3, half, 5, stride=2, padding=2, bias=False),
            nn.BatchNorm2d(half),
            nn.ReLU(),
            nn.Conv2d(half, channels, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels),
        )
        self.log_temperature = nn.Parameter(torch.ones(channels))
        self.standardise = nn.BatchNorm1d(4 * channels, affine=False)
        self.out = nn.Linear(4 * channels, width)

    def forward(self, images: Tensor) -> Tensor:
        """Return (N, D) for images (N, 3, S, S) in [−1, 1]."""
        maps = self.stem(images)
        flat = maps.flatten(2)
        weights = (flat * self.log_temperature.exp()[:, None]).softmax(-1)
        points = weights @ _grid(*maps.shape[2:]).to(flat)
        pooled = [points.flatten(1), flat.mean(-1), flat.amax(-1)]
        features = torch.cat(pooled, dim=1)
        token: Tensor = self.out(self.standardise(features))
        return token


def _grid(height: int, width: int) -> Tensor:
    """Return the (x, y) of every pixel in [−1, 1], shape (height · width, 2)."""
    y, x = torch.meshgrid(
        torch.linspace(-1, 1, height), torch.linspace(-1, 1, width), indexing="ij"
    )
    return torch.stack([x, y], dim=-1).flatten(0, 1)


class Compact(nn.Module):
    """The compact `Backbone`."""

    def __init__(self, config: CompactConfig) -> None:
        super().__init__()
        self.config = config
        width = config.width
        self.keypoints = Keypoints(width, config.channels)
        self.text = ByteText(width)
        self.view_name = nn.Linear(width, width)
        self.text_role = nn.Parameter(torch.randn(width) * ROLE_SCALE)
        self.prefix_roles = nn.Parameter(torch.randn(2, width) * ROLE_SCALE)
        self.suffix_roles = nn.Parameter(torch.randn(config.history + 2, width) * ROLE_SCALE)
        self.slots = nn.Parameter(torch.randn(SLOTS, width) * ROLE_SCALE)
        self.experts = nn.Linear(width, EXPERTS * width, bias=False)
        self.expert_of = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, EXPERTS))
        with torch.no_grad():
            cast(nn.Linear, self.expert_of[1]).weight.mul_(DECIDED)
        self.told = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width))
        self.join = nn.Sequential(nn.GELU(), nn.Linear(2 * width, width), nn.LayerNorm(width))
        self.agree_in = nn.Linear(config.heads, width)
        self.agree_out = nn.Linear(config.heads, width)
        nn.init.normal_(self.agree_out.weight, std=0.5)
        self.transformer = PrefixTransformer(width, config.heads, config.depth)

    def encode(self, images: Tensor) -> Tensor:
        """Return tokens (N, 1, D) of uint8 images (N, S, S, 3)."""
        dtype = self.slots.dtype
        scaled = images.permute(0, 3, 1, 2).to(dtype) / 127.5 - 1.0
        token: Tensor = self.keypoints(scaled)
        return token.unsqueeze(1)

    def prefix(
        self, instructions: Sequence[str], views: Sequence[str], panel: Panel
    ) -> CompactPrefix:
        """Return the kept prefix of each instruction with its start and goal views."""
        text, readable = self.text(instructions)
        names = self._names(views)
        shown, there = self._panel(panel, self.prefix_roles, names)
        there = torch.cat([readable, there], dim=1)
        kept = self.transformer.prefix(torch.cat([text + self.text_role, shown], dim=1), there)
        said = text.masked_fill(~readable.unsqueeze(-1), float("-inf")).amax(dim=1)
        return CompactPrefix(kept, there, names, self.told(said))

    def stack(self, prefixes: Sequence[CompactPrefix]) -> CompactPrefix:
        """Return one prefix of all rows; they must share their view names."""
        longest = max(prefix.there.shape[1] for prefix in prefixes)
        missing = [longest - prefix.there.shape[1] for prefix in prefixes]

        def joined(parts: Sequence[Tensor]) -> Tensor:
            padded = zip(parts, missing, strict=True)
            return torch.cat([nn.functional.pad(part, (0, 0, 0, n)) for part, n in padded])

        kept = [
            (joined([pair[0] for pair in block]), joined([pair[1] for pair in block]))
            for block in zip(*(prefix.kept for prefix in prefixes), strict=True)
        ]
        there = joined([prefix.there.unsqueeze(-1) for prefix in prefixes]).squeeze(-1)
        said = torch.cat([prefix.said for prefix in prefixes])
        return CompactPrefix(kept, there, prefixes[0].views, said)

    def read(
        self, prefix: CompactPrefix, index: Tensor, panel: Panel, told: Tensor | None = None
    ) -> Tensor:
        """Return slots (B, 5, D) of the queries in ``panel`` (B, H + 2, V, 1, D).

        Earlier queries are a token each, before and after a token a view. Slots start from what
        before and after show: blank ones must first learn to attend, which takes longest of all.
        """
        rows, history = len(index), self.config.history
        merged = self._merged(panel, prefix.views)
        earlier = merged[:, :history] + self.suffix_roles[:history]
        latest = Panel(tokens=panel.tokens[:, history:], there=panel.there[:, history:])
        shown, there = self._panel(latest, self.suffix_roles[history:], prefix.views)
        recalled = panel.there[:, :history].any(-1)
        shown = torch.cat([earlier * recalled.unsqueeze(-1), shown], dim=1)
        there = torch.cat([recalled, there], dim=1)
        seen: Tensor = self.join(merged[:, -2:].flatten(1))
        agreement = self._agreement(seen, prefix.said[index])
        known = seen + self.agree_in(agreement)
        slots = self.slots + (known if told is None else known + told).unsqueeze(1)
        readable = torch.ones(rows, SLOTS, dtype=torch.bool, device=shown.device)
        everything = torch.cat([prefix.there[index], there, readable], dim=1)
        kept = [(key[index], value[index]) for key, value in prefix.kept]
        states = self.transformer.suffix(torch.cat([shown, slots], dim=1), everything, kept)
        read: Tensor = states[:, -SLOTS:] + self.agree_out(agreement).unsqueeze(1)
        return read

    def _agreement(self, seen: Tensor, said: Tensor) -> Tensor:
        """Return how well what is seen fits what is said, (B, heads): scaled dot products.

        Whether words and behaviour fit is a product of the two, which sums and layers find late
        and dot products at once (CLIP, arXiv 2103.00020).
        """
        heads = self.config.heads
        products = (seen * said).view(len(seen), heads, -1)
        agreement: Tensor = products.sum(-1) / products.shape[-1] ** 0.5
        return agreement

    def _merged(self, panel: Panel, names: Tensor) -> Tensor:
        """Return what each frame of a panel shows, (B, G, D), all views together.

        The name of a view chooses among a few projections, so that cameras are told apart
        without a fixed list of them.
        """
        tokens = panel.tokens.squeeze(3) * panel.there.unsqueeze(-1)
        width = tokens.shape[-1]
        choice = self.expert_of(names).softmax(-1)  # (V, experts)
        spread = torch.einsum("bgvd,ve->bged", tokens, choice).flatten(2)
        weights = self.experts.weight.view(-1, width, width).transpose(1, 2).flatten(0, 1)
        merged: Tensor = spread @ weights
        return merged

    def _names(self, views: Sequence[str]) -> Tensor:
        """Return the embeddings (V, D) of view names: of their words, so any name has one."""
        tokens, there = self.text([name.replace("_", " ") for name in views])
        words = there.unsqueeze(-1) * torch.arange(tokens.shape[1]).clamp(max=1).to(tokens)[:, None]
        named: Tensor = self.view_name((tokens * words).sum(1))
        return named

    def _panel(self, panel: Panel, roles: Tensor, names: Tensor) -> tuple[Tensor, Tensor]:
        """Return tokens (B, G·V, D) with role and view embeddings, and which are there."""
        tokens = panel.tokens.squeeze(3) + roles[:, None, :] + names
        there = panel.there
        return tokens.flatten(1, 2) * there.flatten(1).unsqueeze(-1), there.flatten(1)
