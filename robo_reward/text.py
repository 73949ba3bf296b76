"""Text as bytes: any text is legal, none is special, so none can shift an image.

A word (a run of bytes between blanks) becomes one token, so that attention can tell "red" from
"blue" among words that all instructions share.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

WORDS = 32
"""Tokens of a text at most; what comes after shares the last one."""
_LONGEST = 64
"""Bytes of a word at most; a longer run is read as several."""
_BEGIN = 256
_PAD = 257


def words(text: str) -> list[bytes]:
    """Return the words of a text as UTF-8, an empty first one standing for its beginning."""
    found = [b""]
    for word in text.encode("utf-8", errors="replace").split():
        found += [word[i : i + _LONGEST] for i in range(0, len(word), _LONGEST)]
    return found


def to_bytes(pieces: Sequence[bytes]) -> tuple[Tensor, Tensor]:
    """Return (ids (N, L) int64, there (N, L) bool): bytes after a begin mark, padded."""
    rows = [torch.tensor([_BEGIN, *piece]) for piece in pieces]
    ids = pad_sequence(rows, batch_first=True, padding_value=_PAD)
    return ids, ids != _PAD


class ByteText(nn.Module):
    """Texts to one token a word: convolutions over the word's bytes, the largest of each."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.embed = nn.Embedding(258, width, padding_idx=_PAD)
        self.convs = nn.ModuleList(nn.Conv1d(width, width, 3, padding=1) for _ in range(2))
        self.norm = nn.LayerNorm(width)
        self.place = nn.Parameter(torch.randn(WORDS, width) * 0.2)

    def forward(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Return (tokens (N, W, width), there (N, W) bool), W the most words of any, ≤ 32.

        Each different text is encoded once and alone, so nothing beside it changes its tokens.
        """
        unique = {text: self._encode(text) for text in dict.fromkeys(texts)}
        rows = [unique[text] for text in texts]
        tokens = pad_sequence(rows, batch_first=True)
        lengths = torch.tensor([len(row) for row in rows], device=tokens.device)
        there = torch.arange(tokens.shape[1], device=tokens.device) < lengths[:, None]
        return tokens, there

    def _encode(self, text: str) -> Tensor:
        """Return the tokens (W, width) of one text."""
        ids, there = (rows.to(self.place.device) for rows in to_bytes(words(text)))
        x = self.embed(ids)
        for conv in self.convs:
            moved = conv(x.transpose(1, 2)).transpose(1, 2)
            x = (x + nn.functional.gelu(moved)) * there.unsqueeze(-1)
        tokens = self.norm(x.masked_fill(~there.unsqueeze(-1), float("-inf")).amax(dim=1))
        if len(tokens) > WORDS:
            rest = tokens[WORDS - 1 :].mean(dim=0, keepdim=True)
            tokens = torch.cat([tokens[: WORDS - 1], rest])
        placed: Tensor = tokens + self.place[: len(tokens)]
        return placed
