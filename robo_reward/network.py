"""A backbone with its heads, and the pass over a `PairBatch` that training needs.

Letters: N images, F frames, V views, P prefixes, B pairs, R = 5 slots, D width.
"""

from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from .batch import PairBatch
from .bins import BINS, centres
from .processes import spread_like, whole
from .protocols import Backbone, Panel

TILT = 1.0
"""Slope, in logits, between neighbouring unit inputs and the outermost bins at the start."""
HOPS = ("hop_previous", "hop_start", "hop_goal")


@dataclass(frozen=True)
class Readout:
    """What the heads say of B queries."""

    hops: Tensor
    """(B, 3, 51) logits of hop_previous, hop_start, hop_goal."""
    success: Tensor
    """(B,) logits."""
    match: Tensor
    """(B,) logits."""
    time_to_go: Tensor | None = None
    """(B, 51) logits of the symlog seconds until success; None: the model does not tell."""


class ProgressNetwork(nn.Module):
    """Heads on the slots of a backbone: three hops, success, match, and maybe time to go."""

    def __init__(self, backbone: nn.Module, width: int, *, time_to_go: bool = False) -> None:
        super().__init__()
        self.backbone = backbone
        self.hop_heads = nn.ModuleList(nn.Linear(width, BINS) for _ in HOPS)
        for head in self.hop_heads:
            _tilt(cast(nn.Linear, head))
        self.success_head = nn.Linear(width, 1)
        self.match_head = nn.Linear(width, 1)
        self.time_head: nn.Linear | None = None
        if time_to_go:  # made last: the other weights are those of a network without it
            self.time_head = nn.Linear(width, BINS)
            _tilt(self.time_head)

    @property
    def seam(self) -> Backbone:
        """The backbone under its protocol."""
        return cast(Backbone, self.backbone)

    def frozen(self) -> dict[str, Tensor]:
        """Return the weights that are not trained, by name: those of a pretrained backbone."""
        return {n: p.data for n, p in self.named_parameters() if not p.requires_grad}

    def learnt(self) -> dict[str, Tensor]:
        """Return the rest of the state: all that training changes."""
        frozen = self.frozen()
        return {name: whole(t) for name, t in self.state_dict().items() if name not in frozen}

    def load_learnt(self, state: dict[str, Tensor]) -> None:
        """Put in what `learnt` returned.

        Raises:
            RuntimeError: If a weight is missing, unknown or of another shape.
        """
        own = self.state_dict()
        spread = {name: spread_like(t, own.get(name, t)) for name, t in state.items()}
        self.load_state_dict({**self.frozen(), **spread}, strict=True)

    def heads(self, slots: Tensor) -> Readout:
        """Return the readout of slots (B, 5, D); time to go is read where ``hop_goal`` is."""
        hops = [head(slots[:, i]) for i, head in enumerate(self.hop_heads)]
        success, match = self.success_head(slots[:, 3]), self.match_head(slots[:, 4])
        seconds = None if self.time_head is None else self.time_head(slots[:, 2])
        return Readout(torch.stack(hops, dim=1), success.squeeze(-1), match.squeeze(-1), seconds)

    def forward(self, batch: PairBatch, images: Tensor) -> Readout:
        """Return the readout of every pair; ``images`` are the batch's, maybe augmented.

        Each image is encoded once and each prefix built once, however many pairs use it.
        """
        device = images.device
        tokens = self.seam.encode(images)
        tokens = torch.cat([tokens, tokens.new_zeros(1, *tokens.shape[1:])])
        frames, visible = batch.frames, batch.visible
        references = np.stack([batch.start, batch.goal], axis=1)
        prefix = self.seam.prefix(
            batch.instructions, batch.views, gather(tokens, frames, references, visible)
        )
        queries = np.concatenate(
            [batch.history, batch.before[:, None], batch.after[:, None]], axis=1
        )
        panel = gather(tokens, frames, queries, visible[batch.prefix])
        index = torch.as_tensor(batch.prefix, device=device)
        return self.heads(self.seam.read(prefix, index, panel))


def _tilt(head: nn.Linear) -> None:
    """Start a distribution head as a line: moving its input tilts the bins towards −1 or 1.

    With independent weights a bin, the expectation of 51 near-uniform bins hardly answers to
    the input, and the first hundreds of steps teach the backbone nothing but success and match.
    """
    grid = centres(head.weight)
    with torch.no_grad():
        direction = TILT * torch.randn(head.in_features) / head.in_features**0.5
        head.weight.copy_(grid[:, None] * direction[None, :])
        head.bias.zero_()


def gather(
    tokens: Tensor, frames: NDArray[np.int64], chosen: NDArray[np.int64], visible: NDArray[np.bool_]
) -> Panel:
    """Return the panel of ``chosen`` frames (B, G), −1 meaning none.

    Args:
        tokens: (N + 1, K, D), the last row standing for a missing view.
        frames: (F, V) image of each frame's view, −1 for missing.
        chosen: (B, G) frames.
        visible: (B, V) views that may be looked at.
    """
    rows = np.vstack([frames, np.full((1, frames.shape[1]), -1)])  # chosen == -1: the last row
    images = np.where(visible[:, None, :], rows[chosen], -1)
    index = torch.as_tensor(images, device=tokens.device)
    return Panel(tokens=tokens[index], there=index >= 0)
