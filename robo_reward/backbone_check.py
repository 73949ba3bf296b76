"""`check_backbone`: what any `Backbone` promises, asked of a real one."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .protocols import Backbone, Panel

HARD_TEXTS = (
    "",
    "<image>",
    "<|im_start|>user <|vision_pad|><|image_pad|><s></s>[INST]\x00\n",
    "pick up the 🧊 with the 🦾",
    "half of a pair: \ud83e",
    "put the cube in the bin " * 430,
)
"""Instructions that any backbone must take: empty, special tokens, emoji, 10 kB."""
_VIEWS = ("front", "side", "wrist")


def check_backbone(
    backbone: Backbone, *, image_size: int, history: int = 0, tolerance: float = 1e-5
) -> None:
    """Check that a backbone keeps the promises of `Backbone`.

    Args:
        backbone: On any device, in any float type, its random parts (dropout) off.
        image_size: Side of the square images that it takes.
        history: Earlier frames that a suffix shows.
        tolerance: Most by which equal questions may differ: 1e-5 in fp32, 5e-3 in bf16.

    Raises:
        AssertionError: With the promise that is broken.
    """
    with torch.inference_mode():
        case = _Case.draw(backbone, image_size, history)
        _check_tokens(case, tolerance)
        _check_rows(case, tolerance)
        _check_views(case, tolerance)
        _check_texts(case, tolerance)
        _check_told(case, tolerance)


@dataclass(frozen=True)
class _Case:
    """Three prefixes and six queries on them, some views missing."""

    backbone: Backbone
    images: Tensor
    references: Panel
    queries: Panel
    index: Tensor
    texts: tuple[str, ...] = ("open the drawer", "close the drawer", "open the drawer")

    @classmethod
    def draw(cls, backbone: Backbone, size: int, history: int) -> "_Case":
        """Return random images, panels and an index that fit the backbone."""
        device = getattr(backbone, "device", None)
        if device is None and hasattr(backbone, "parameters"):
            device = next(iter(backbone.parameters())).device
        rng = np.random.default_rng(0)
        groups = history + 2
        pixels = rng.integers(0, 256, size=(12, size, size, 3), dtype=np.uint8)
        images = torch.from_numpy(pixels).to(device)
        tokens = backbone.encode(images)

        def panel(rows: int, frames: int) -> Panel:
            chosen = rng.integers(0, 12, size=(rows, frames, len(_VIEWS)))
            there = torch.from_numpy(rng.random(chosen.shape) < 0.7).to(device)
            there[:, -1, 0] = True
            return Panel(tokens=tokens[torch.from_numpy(chosen).to(device)], there=there)

        index = torch.tensor([0, 1, 2, 2, 0, 1], device=device)
        return cls(backbone, images, panel(3, 2), panel(6, groups), index)

    def slots(self) -> Tensor:
        prefix = self.backbone.prefix(self.texts, _VIEWS, self.references)
        return self.backbone.read(prefix, self.index, self.queries)


def _rows(panel: Panel, rows: Any) -> Panel:
    return Panel(tokens=panel.tokens[rows], there=panel.there[rows])


def _same(got: Tensor, expected: Tensor, tolerance: float, promise: str) -> None:
    assert got.shape == expected.shape, f"{promise}: {got.shape} is not {expected.shape}"
    gap = float((got.double() - expected.double()).abs().max())
    assert gap <= tolerance, f"{promise}: off by {gap:.2g}, allowed {tolerance:.2g}"


def _check_tokens(case: _Case, tolerance: float) -> None:
    tokens = case.backbone.encode(case.images)
    count = len(case.images)
    shape = tuple(tokens.shape)
    assert len(shape) == 3, f"tokens must be (N, K, D), got {shape}"
    assert shape[0] == count, f"{count} images must have as many tokens, got {shape}"
    alone = case.backbone.encode(case.images[3:4])
    _same(alone, tokens[3:4], tolerance, "tokens of an image do not depend on its batch")
    slots = case.slots()
    shape = tuple(slots.shape)
    assert len(shape) == 3, f"slots must be (B, R, D), got {shape}"
    assert shape[0] == len(case.index), f"{len(case.index)} queries must have slots, got {shape}"
    assert bool(slots.isfinite().all()), "slots must be finite"
    _same(case.slots(), slots, 0.0, "the same question has the same answer")


def _check_rows(case: _Case, tolerance: float) -> None:
    backbone, slots = case.backbone, case.slots()
    kept = backbone.prefix(case.texts, _VIEWS, case.references)
    parts = [
        backbone.prefix(case.texts[i : i + 1], _VIEWS, _rows(case.references, slice(i, i + 1)))
        for i in range(3)
    ]
    stacked = backbone.read(backbone.stack(parts), case.index, case.queries)
    _same(stacked, slots, tolerance, "stacked prefixes read as prefixes made together")
    for i in range(len(slots)):
        row, own = slice(i, i + 1), int(case.index[i])
        one = _rows(case.queries, row)
        again = backbone.read(kept, case.index[row], one)
        _same(again, slots[row], tolerance, "a kept prefix reads as a fresh one, alone or not")
        alone = backbone.read(parts[own], case.index[row] * 0, one)
        _same(alone, slots[row], tolerance, "slots of a query do not depend on its batch")


def _check_views(case: _Case, tolerance: float) -> None:
    slots = case.slots()

    def spoiled(panel: Panel) -> Panel:
        absent = ~panel.there[..., None, None]
        return replace(panel, tokens=panel.tokens.masked_fill(absent, 7.0))

    other = replace(case, references=spoiled(case.references), queries=spoiled(case.queries))
    _same(other.slots(), slots, tolerance, "what stands in for a missing view does not matter")
    order = [2, 0, 1]

    def turned(panel: Panel) -> Panel:
        return Panel(tokens=panel.tokens[:, :, order], there=panel.there[:, :, order])

    names = [_VIEWS[i] for i in order]
    prefix = case.backbone.prefix(case.texts, names, turned(case.references))
    got = case.backbone.read(prefix, case.index, turned(case.queries))
    _same(got, slots, tolerance, "views are told apart by name, not by order")


def _check_told(case: _Case, tolerance: float) -> None:
    slots, backbone = case.slots(), case.backbone
    prefix = backbone.prefix(case.texts, _VIEWS, case.references)
    told = torch.zeros_like(slots[:, 0])
    got = backbone.read(prefix, case.index, case.queries, told)
    _same(got, slots, tolerance, "to be told zeros is to be told nothing")
    told[0, ::2] = 1.0
    got = backbone.read(prefix, case.index, case.queries, told)
    _same(got[1:], slots[1:], tolerance, "what one query is told leaves the others alone")
    moved = float((got[0].double() - slots[0].double()).abs().max())
    assert moved > tolerance, f"what a query is told must reach its slots: they move by {moved:.2g}"


def _check_texts(case: _Case, tolerance: float) -> None:
    slots = case.slots()
    others = case.index != 1
    for text in HARD_TEXTS:
        got = replace(case, texts=(case.texts[0], text, case.texts[2])).slots()
        told = f"instruction {text[:40]!r} of {len(text)} characters"
        assert bool(got.isfinite().all()), f"{told} must give finite slots"
        _same(got[others], slots[others], tolerance, f"{told} must leave other queries alone")
