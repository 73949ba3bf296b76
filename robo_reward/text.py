"""Text as bytes: any text is legal, none is special, so none can shift an image."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

_BEGIN = 256
_PAD = 257


def to_bytes(texts: Sequence[str]) -> tuple[Tensor, Tensor]:
    """Return (ids (N, L) int64, there (N, L) bool): UTF-8 bytes after a begin mark, padded."""
    rows = [[_BEGIN, *text.encode("utf-8", errors="replace")] for text in texts]
    length = max(len(row) for row in rows)
    ids = torch.full((len(rows), length), _PAD, dtype=torch.int64)
    for i, row in enumerate(rows):
        ids[i, : len(row)] = torch.tensor(row)
    return ids, ids != _PAD


class ByteText(nn.Module):
    """Texts to a few tokens each, by convolutions over bytes and attention pooling.

    The length of a text changes neither the number of its tokens nor, through padding, the
    tokens of another text in the batch.
    """

    def __init__(self, width: int, tokens: int) -> None:
        super().__init__()
        self.embed = nn.Embedding(258, width, padding_idx=_PAD)
        self.convs = nn.ModuleList(nn.Conv1d(width, width, 5, padding=2) for _ in range(2))
        self.norm = nn.LayerNorm(width)
        self.weigh = nn.Linear(width, tokens)
        self.out = nn.Linear(width, width)

    def forward(self, texts: Sequence[str]) -> Tensor:
        """Return tokens (N, tokens, width)."""
        ids, there = to_bytes(texts)
        device = self.embed.weight.device
        ids, there = ids.to(device), there.to(device)
        x = self.embed(ids)
        for conv in self.convs:
            moved = conv(x.transpose(1, 2)).transpose(1, 2)
            x = (x + nn.functional.gelu(moved)) * there.unsqueeze(-1)
        x = self.norm(x)
        scores = self.weigh(x).masked_fill(~there.unsqueeze(-1), float("-inf"))
        pooled: Tensor = self.out(scores.softmax(dim=1).transpose(1, 2) @ x)
        return pooled


def encode_unique(encoder: ByteText, texts: Sequence[str]) -> Tensor:
    """Return the tokens of ``texts``, each different text encoded once, alone in its row.

    Encoding one text at a time keeps its tokens independent of what else is in the batch.
    """
    unique = {text: i for i, text in enumerate(dict.fromkeys(texts))}
    rows = torch.cat([encoder([text]) for text in unique])
    return rows[[unique[text] for text in texts]]
