"""`FakeBackbone`: the smallest thing that keeps the promises of a `Backbone`.

Letters: N images, P prefixes, B queries, G frames of a panel, V views, D width, R slots.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .protocols import Panel

SLOTS = 5
_TRAITS = 9


@dataclass(frozen=True)
class FakePrefix:
    """What queries on the same instruction and references share."""

    state: Tensor
    """(P, D)."""
    names: Tensor
    """(V, D) embeddings of the view names."""


class FakeBackbone(nn.Module):
    """Sums of colours, bytes and roles through tanh: a `Backbone` for tests, the same every time.

    Its weights come from its own generator, so they depend on its arguments alone. It can be
    trained, saved and moved like any module.
    """

    def __init__(self, width: int = 8, history: int = 0) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(width)

        def weight(*shape: int) -> nn.Parameter:
            return nn.Parameter(torch.randn(*shape, generator=generator))

        self.pixels = weight(_TRAITS, width)
        self.letters = weight(257, width)
        self.prefix_roles = weight(2, width)
        self.suffix_roles = weight(history + 2, width)
        self.slots = weight(SLOTS, width)

    def encode(self, images: Tensor) -> Tensor:
        """Return tokens (N, 1, D) of uint8 images (N, H, W, 3): mean colours and their slopes."""
        scaled = images.to(self.pixels.dtype) / 255.0
        down, right = (
            torch.linspace(-1, 1, size, device=images.device, dtype=scaled.dtype)
            for size in images.shape[1:3]
        )
        parts = [
            scaled,
            scaled * down[None, :, None, None],
            scaled * right[None, None, :, None],
        ]
        traits = torch.cat([part.mean(dim=(1, 2)) for part in parts], dim=-1)
        return (traits @ self.pixels).unsqueeze(1)

    def prefix(self, instructions: Sequence[str], views: Sequence[str], panel: Panel) -> FakePrefix:
        """Return the sum of text, start views and goal views of each instruction."""
        names = torch.stack([self._text(name) for name in views])
        texts = torch.stack([self._text(text) for text in instructions])
        return FakePrefix(texts + self._sum(panel, self.prefix_roles, names), names)

    def stack(self, prefixes: Sequence[FakePrefix]) -> FakePrefix:
        """Return one prefix of all rows; they must share their view names."""
        return FakePrefix(torch.cat([prefix.state for prefix in prefixes]), prefixes[0].names)

    def read(
        self, prefix: FakePrefix, index: Tensor, panel: Panel, told: Tensor | None = None
    ) -> Tensor:
        """Return slots (B, 5, D) of the queries in ``panel`` (B, H + 2, V, 1, D)."""
        state = prefix.state[index] + self._sum(panel, self.suffix_roles, prefix.names)
        state = state if told is None else state + told
        return torch.tanh(state.unsqueeze(1) * self.slots)

    def _text(self, text: str) -> Tensor:
        codes = [256, *text.encode("utf-8", errors="replace")]
        return self.letters[torch.tensor(codes, device=self.letters.device)].mean(dim=0)

    def _sum(self, panel: Panel, roles: Tensor, names: Tensor) -> Tensor:
        """Return (B, D): what the views that are there add."""
        told = torch.tanh(panel.tokens.sum(dim=3) + roles[:, None, :] + names[None, None, :, :])
        return torch.where(panel.there.unsqueeze(-1), told, 0.0).sum(dim=(1, 2))
