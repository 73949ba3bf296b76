"""The embedded default backbone: trained from scratch, on a CPU, in minutes.

Each view becomes one token through a small convolutional stem with spatial soft-argmax
keypoints (Finn et al., arXiv 1509.06113) plus pooled features; a transformer over the tokens
of text, start, goal, before and after does the comparing.

Letters: N images, P prefixes, B queries, V views, K = 1 token an image, D width, R slots.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .attention import KeyValues, PrefixTransformer
from .config import CompactConfig
from .protocols import Panel
from .text import ByteText, encode_unique

SLOTS = 5
ROLE_SCALE = 0.5
SHARPNESS = 1.0
TEXT_TOKENS = 4


@dataclass(frozen=True)
class CompactPrefix:
    """What queries on the same instruction and references share."""

    kept: list[KeyValues]
    """Keys and values of every block, each (P, heads, L, D / heads)."""
    there: Tensor
    """(P, L) bool."""
    views: Tensor
    """(V, D) embeddings of the view names."""


class Standardise(nn.Module):
    """Features minus a mean, over a deviation, both fixed by the first batch in training.

    What all images share (the table, the robot's base) would otherwise drown what changes
    between them, and the network starts by ignoring its input.
    """

    mean: Tensor
    deviation: Tensor
    fixed: Tensor

    def __init__(self, features: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("deviation", torch.ones(features))
        self.register_buffer("fixed", torch.tensor(0.0))

    def forward(self, features: Tensor) -> Tensor:
        """Return (N, F) standardised features."""
        if self.training and not self.fixed:
            with torch.no_grad():
                self.mean.copy_(features.mean(0))
                self.deviation.copy_(features.std(0, correction=0) + 1e-3)
                self.fixed.fill_(1.0)
        return (features - self.mean) / self.deviation


class Keypoints(nn.Module):
    """Images to one token each."""

    def __init__(self, width: int, channels: int) -> None:
        super().__init__()
        half = channels // 2
        self.stem = nn.Sequential(
            nn.Conv2d(3, half, 5, stride=2, padding=2),
            nn.ReLU(),
            nn.Conv2d(half, channels, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 3, padding=1),
        )
        for layer in self.stem:
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        self.log_temperature = nn.Parameter(torch.full((channels,), SHARPNESS))
        self.standardise = Standardise(4 * channels)
        self.out = nn.Linear(4 * channels, width)

    def forward(self, images: Tensor) -> Tensor:
        """Return (N, D) for images (N, 3, S, S) in [−1, 1]."""
        maps = self.stem(images)
        count, channels, height, width = maps.shape
        flat = maps.flatten(2)
        contrast = (flat - flat.mean(-1, keepdim=True)) / (flat.std(-1, keepdim=True) + 1e-3)
        weights = (contrast * self.log_temperature.exp()[:, None]).softmax(-1)
        rows = weights.view(count, channels, height, width).sum(3)
        columns = weights.view(count, channels, height, width).sum(2)
        y = rows @ torch.linspace(-1, 1, height, device=maps.device, dtype=maps.dtype)
        x = columns @ torch.linspace(-1, 1, width, device=maps.device, dtype=maps.dtype)
        active = flat.relu()
        features = torch.cat([x, y, active.mean(-1), active.amax(-1)], dim=1)
        token: Tensor = self.out(self.standardise(features))
        return token


class Compact(nn.Module):
    """The compact `Backbone`."""

    def __init__(self, config: CompactConfig) -> None:
        super().__init__()
        self.config = config
        width = config.width
        self.keypoints = Keypoints(width, config.channels)
        self.text = ByteText(width, TEXT_TOKENS)
        self.view_name = nn.Linear(TEXT_TOKENS * width, width)
        self.text_role = nn.Parameter(torch.randn(TEXT_TOKENS, width) * ROLE_SCALE)
        self.prefix_roles = nn.Parameter(torch.randn(2, width) * ROLE_SCALE)
        self.suffix_roles = nn.Parameter(torch.randn(config.history + 2, width) * ROLE_SCALE)
        self.slots = nn.Parameter(torch.randn(SLOTS, width) * ROLE_SCALE)
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
        text = encode_unique(self.text, instructions) + self.text_role
        names = self.view_name(encode_unique(self.text, views).flatten(1))
        shown, there = self._panel(panel, self.prefix_roles, names)
        rows = len(instructions)
        readable = torch.ones(rows, TEXT_TOKENS, dtype=torch.bool, device=text.device)
        there = torch.cat([readable, there], dim=1)
        kept = self.transformer.prefix(torch.cat([text, shown], dim=1), there)
        return CompactPrefix(kept, there, names)

    def stack(self, prefixes: Sequence[CompactPrefix]) -> CompactPrefix:
        """Return one prefix of all rows; they must share their view names."""
        kept = [
            (torch.cat([pair[0] for pair in block]), torch.cat([pair[1] for pair in block]))
            for block in zip(*(prefix.kept for prefix in prefixes), strict=True)
        ]
        there = torch.cat([prefix.there for prefix in prefixes])
        return CompactPrefix(kept, there, prefixes[0].views)

    def read(self, prefix: CompactPrefix, index: Tensor, panel: Panel) -> Tensor:
        """Return slots (B, 5, D) of the queries in ``panel`` (B, H + 2, V, 1, D)."""
        shown, there = self._panel(panel, self.suffix_roles, prefix.views)
        rows = len(index)
        slots = self.slots.expand(rows, -1, -1)
        readable = torch.ones(rows, SLOTS, dtype=torch.bool, device=shown.device)
        everything = torch.cat([prefix.there[index], there, readable], dim=1)
        kept = [(key[index], value[index]) for key, value in prefix.kept]
        states = self.transformer.suffix(torch.cat([shown, slots], dim=1), everything, kept)
        return states[:, -SLOTS:]

    def _panel(self, panel: Panel, roles: Tensor, names: Tensor) -> tuple[Tensor, Tensor]:
        """Return tokens (B, G·V, D) with role and view embeddings, and which are there."""
        tokens = panel.tokens.squeeze(3) + roles[:, None, :] + names[None, None, :, :]
        there = panel.there
        return tokens.flatten(1, 2) * there.flatten(1).unsqueeze(-1), there.flatten(1)
