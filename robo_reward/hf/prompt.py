"""What the language layers are told, in which order, and where each token stands.

A prompt is: rules, instruction, then for each view, sorted by name, its name and how start and
goal look; after this prefix, for each frame, the names of the views and what they show; at last
the slots. Text is told apart from structure by construction: it is tokenised with nothing
special in it, and the tokens around images are put in by number.

Letters: B rows, S tokens, T tokens of the longest instruction, C cells (a frame seen by a view),
K tokens an image.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..errors import InputError
from .families import Family

RULES = (
    "Cameras, told apart by name, watch a robot. Judge which share of the task is done in the "
    "frame after. Task: "
)
START_GOAL = ("at the start", "at the goal")
NAME_TOKENS = 16
"""Tokens of a view's name at most; the rest is dropped."""
_CHARACTERS = 32
"""Characters a token that are looked at, at most: a megabyte need not be tokenised."""


class Words:
    """Text to token numbers: any text is legal, and none of it is special."""

    def __init__(self, tokenizer: str, family: Family) -> None:
        """Read a tokenizer from the text of its ``tokenizer.json``.

        Raises:
            InputError: If it is damaged, or lacks the tokens that surround an image.
        """
        from tokenizers import Tokenizer

        try:
            made = Tokenizer.from_str(tokenizer)
        except Exception as error:  # the library raises nothing more special
            raise InputError(f"tokenizer.json is damaged ({error}); copy it again") from error
        made.no_padding()
        made.no_truncation()
        made.encode_special_tokens = True
        self._tokenizer: Any = made
        self.structural = frozenset(made.get_added_tokens_decoder())
        self.opening = self._numbers(family, family.opening)
        self.closing = self._numbers(family, family.closing)

    def _numbers(self, family: Family, marks: Sequence[str]) -> list[int]:
        numbers = [self._tokenizer.token_to_id(mark) for mark in marks]
        if None in numbers:
            raise InputError(
                f"the tokenizer has no token {marks[numbers.index(None)]!r}, which {family.name} "
                "models put around images; copy the tokenizer of the model again"
            )
        return numbers

    def __call__(self, text: str, most: int) -> list[int]:
        """Return the first ``most`` tokens of a text; what would be special is spelt or left out.

        Half a pair of UTF-16 becomes a question mark.
        """
        legal = text[: most * _CHARACTERS].encode("utf-8", errors="replace").decode()
        numbers = self._tokenizer.encode(legal, add_special_tokens=False).ids
        return [number for number in numbers if number not in self.structural][:most]


@dataclass(frozen=True)
class Template:
    """A part of the prompt whose length does not depend on the row."""

    numbers: Tensor
    """(S,) int64 tokens of text; 0 where an image token goes."""
    cells: Tensor
    """(S,) which cell of the panel a token belongs to; C where it belongs to none."""
    images: Tensor
    """(C · K,) where the image tokens go, in the order of ``order``."""
    order: Tensor
    """(C,) the cells in the order in which they are told."""
    positions: Tensor
    """(3, S) frame, row and column, counted from where the part begins."""
    span: int
    """By how much positions are further on after the part."""

    def to(self, device: torch.device) -> "Template":
        """Return it on a device."""
        return Template(
            numbers=self.numbers.to(device),
            cells=self.cells.to(device),
            images=self.images.to(device),
            order=self.order.to(device),
            positions=self.positions.to(device),
            span=self.span,
        )


def joined(parts: Sequence[Template]) -> Template:
    """Return parts of a prompt told one after another as one part, their cells counted on."""
    none = sum(len(part.order) for part in parts)
    cells, images, order, positions = [], [], [], []
    token = cell = at = 0
    for part in parts:
        own = len(part.order)
        cells.append(torch.where(part.cells < own, part.cells + cell, none))
        images.append(part.images + token)
        order.append(part.order + cell)
        positions.append(part.positions + at)
        token, cell, at = token + len(part.numbers), cell + own, at + part.span
    return Template(
        numbers=torch.cat([part.numbers for part in parts]),
        cells=torch.cat(cells),
        images=torch.cat(images),
        order=torch.cat(order),
        positions=torch.cat(positions, dim=1),
        span=at,
    )


class Writer:
    """Writes templates for one tokenizer and one size of image."""

    def __init__(self, words: Words, side: int, *, rows_and_columns: bool) -> None:
        self.words, self.side, self.grid = words, side, rows_and_columns

    def text(self, numbers: Sequence[int]) -> Template:
        """Return a part that is text alone."""
        return self._assemble([list(numbers)], [], cells=0)

    def shown(self, names: Sequence[str], roles: Sequence[str], *, by_view: bool) -> Template:
        """Return a part that shows G roles × V views; cell g · V + v of the panel is (g, v).

        Args:
            names: The views' names.
            roles: What the frames are, in words.
            by_view: Tell all roles of a view before the next view, else all views of a role.
        """
        pairs = [(g, v) for g in range(len(roles)) for v in range(len(names))]
        if by_view:
            pairs.sort(key=lambda pair: pair[1])
        texts = []
        for g, v in pairs:
            name = self.words(names[v], NAME_TOKENS)
            texts.append([*self.words("\n", 1), *name, *self.words(f" {roles[g]}: ", 32)])
        return self._assemble(texts, [g * len(names) + v for g, v in pairs], len(pairs))

    def _assemble(self, texts: list[list[int]], order: list[int], cells: int) -> Template:
        """Return the part of each text in turn, followed by the image of its cell if it has one."""
        numbers: list[int] = []
        owners: list[int] = []
        images: list[int] = []
        positions: list[tuple[int, int, int]] = []
        at = 0

        def say(tokens: Sequence[int], owner: int) -> None:
            nonlocal at
            numbers.extend(tokens)
            owners.extend([owner] * len(tokens))
            positions.extend((at + i,) * 3 for i in range(len(tokens)))
            at += len(tokens)

        for text, owner in zip(texts, order or [0], strict=True):
            if not cells:
                say(text, cells)
                continue
            say([*text, *self.words.opening], owner)
            images.extend(range(len(numbers), len(numbers) + self.side**2))
            numbers.extend([0] * self.side**2)
            owners.extend([owner] * self.side**2)
            places, span = self._image(at)
            positions.extend(places)
            at += span
            say(self.words.closing, owner)
        return Template(
            numbers=torch.tensor(numbers),
            cells=torch.tensor(owners),
            images=torch.tensor(images, dtype=torch.int64),
            order=torch.tensor(order, dtype=torch.int64),
            positions=torch.tensor(positions).T,
            span=at,
        )

    def _image(self, at: int) -> tuple[list[tuple[int, int, int]], int]:
        """Return the places of an image's tokens and how much they take."""
        side = self.side
        if self.grid:  # Qwen2-VL, arXiv 2409.12191: rows and columns count on from the text
            return [(at, at + y, at + x) for y in range(side) for x in range(side)], side
        return [(at + i,) * 3 for i in range(side**2)], side**2
