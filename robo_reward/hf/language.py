"""The language layers over a prefix, whose keys are kept, and over what follows it.

The layers are those of transformers; only the loop is ours: it lets queries share a prefix, adds
DeepStack's features where they belong, and can forget activations on the way.

Letters: P prefixes, B rows, L tokens of the prefix, S tokens given, D width.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

type KeyValues = tuple[Tensor, Tensor]
"""Keys and values, each (P, heads, L, D / heads)."""


@dataclass(frozen=True, kw_only=True)
class Given:
    """Tokens on their way into the language layers."""

    states: Tensor
    """(B, S, D) embeddings of text, images and slots."""
    positions: Tensor
    """(3, B, S) frame, row and column of each in the whole prompt, equal where it is text; (B, S)
    for families that count tokens."""
    mask: Tensor | None
    """(B, 1, S, L + S) bool: which of the prefix and of these each may attend to; None: itself and
    all that came before it, where there is no prefix."""
    images: Tensor
    """(I,) which of the S are image tokens."""
    deeper: Tensor
    """(B, I, levels − 1, D) what is added to image tokens after the first layers."""


class _Layer:
    """Stands in for a cache of transformers during one layer: puts kept keys before new ones."""

    def __init__(self, kept: KeyValues | None, dtype: torch.dtype) -> None:
        self.kept, self.dtype = kept, dtype
        self.own: KeyValues | None = None

    def update(self, key: Tensor, value: Tensor, *_: Any) -> KeyValues:
        """Return all keys and values that may be attended to, and remember the new ones."""
        self.own = key.to(self.dtype), value.to(self.dtype)
        if self.kept is None:
            return self.own
        return torch.cat([self.kept[0], self.own[0]], 2), torch.cat([self.kept[1], self.own[1]], 2)


def run(
    model: Any,
    given: Given,
    *,
    kept: Sequence[KeyValues] | None = None,
    index: Tensor | None = None,
    dtype: torch.dtype = torch.float32,
    forget: bool = False,
) -> tuple[Tensor, list[KeyValues]]:
    """Return final states (B, S, D), normalised, and each layer's own keys and values.

    Args:
        model: A text model of transformers: ``layers``, ``norm``, ``rotary_emb``.
        given: What goes in.
        kept: Keys and values of the prefixes, by layer; None for the prefixes themselves.
        index: (B,) which of the prefixes each row follows.
        dtype: Of kept keys and values.
        forget: Compute activations again for the backward pass (Chen et al., arXiv 1604.06174).
    """
    rotary = model.rotary_emb(given.states, given.positions)

    def one(number: int, states: Tensor) -> tuple[Tensor, KeyValues]:
        mine = None
        if kept is not None:
            mine = (kept[number][0][index], kept[number][1][index])
        cache = _Layer(mine, dtype)
        states = model.layers[number](
            states, attention_mask=given.mask, position_embeddings=rotary, past_key_values=cache
        )
        assert cache.own is not None
        return states, cache.own

    states, all_own = given.states, []
    for number in range(len(model.layers)):
        if forget:
            states, own = checkpoint(one, number, states, use_reentrant=False)
        else:
            states, own = one(number, states)
        if number < given.deeper.shape[2]:
            states = states.index_add(1, given.images, given.deeper[:, :, number].to(states.dtype))
        all_own.append(own)
    normed: Tensor = model.norm(states)
    return normed, all_own
