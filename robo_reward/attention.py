"""A transformer whose prefix never sees what follows it, so that its keys can be kept.

Letters: B rows, L tokens of the prefix, S tokens of the suffix, D width.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

type KeyValues = tuple[Tensor, Tensor]
"""Keys and values, each (B, heads, L, D / heads)."""


INIT_STD = 0.04
"""Of weights: small enough that the tokens come through the residual stream at the start."""


class Block(nn.Module):
    """Pre-norm self-attention and MLP; attends to kept keys before its own."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm_attention = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.norm_mlp = nn.LayerNorm(width)
        self.mlp = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )

    def forward(self, x: Tensor, there: Tensor, kept: KeyValues | None) -> tuple[Tensor, KeyValues]:
        """Return (x, own keys and values).

        Args:
            x: (B, S, D).
            there: (B, L + S) bool, which of the kept tokens and of x may be attended to.
            kept: Keys and values of the prefix; None for the prefix itself.
        """
        rows, length, width = x.shape
        qkv = self.qkv(self.norm_attention(x)).view(rows, length, 3, self.heads, -1)
        query, key, value = qkv.permute(2, 0, 3, 1, 4)
        own = (key, value)
        if kept is not None:
            key, value = torch.cat([kept[0], key], dim=2), torch.cat([kept[1], value], dim=2)
        attended = nn.functional.scaled_dot_product_attention(
            query, key, value, attn_mask=there[:, None, None, :]
        )
        x = x + self.out(attended.transpose(1, 2).reshape(rows, length, width))
        return x + self.mlp(self.norm_mlp(x)), own


class PrefixTransformer(nn.Module):
    """Blocks over a prefix, then over suffixes that attend to it and to themselves."""

    def __init__(self, width: int, heads: int, depth: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(depth))
        self.norm = nn.LayerNorm(width)
        for name, weight in self.named_parameters():
            if weight.ndim > 1:
                nn.init.normal_(weight, std=INIT_STD)
            elif name.endswith("bias"):
                nn.init.zeros_(weight)

    def prefix(self, x: Tensor, there: Tensor) -> list[KeyValues]:
        """Return the keys and values of every block for prefixes (P, L, D)."""
        kept = []
        for block in self.blocks:
            x, own = block(x, there, None)
            kept.append(own)
        return kept

    def suffix(self, x: Tensor, there: Tensor, kept: Sequence[KeyValues]) -> Tensor:
        """Return the final states (B, S, D) of suffixes on the kept prefixes (B, …)."""
        for block, own in zip(self.blocks, kept, strict=True):
            x, _ = block(x, there, own)
        normed: Tensor = self.norm(x)
        return normed
