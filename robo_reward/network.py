"""A backbone with its heads, and the pass over a `PairBatch` that training needs.

Letters: N images, F frames, V views, P prefixes, B pairs, R = 5 slots, D width.
"""

from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from .batch import PairBatch
from .belief import UNSURE
from .bins import BINS, centres, expectation, spread
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
    """Heads on the slots of a backbone: three hops, success, match, and maybe time to go.

    A network with a belief is told its own earlier verdicts (`robo_reward.belief`).
    """

    def __init__(
        self, backbone: nn.Module, width: int, *, time_to_go: bool = False, belief: bool = False
    ) -> None:
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
        self.believe: nn.Sequential | None = None
        if belief:
            self.believe = nn.Sequential(
                nn.Linear(3, width), nn.GELU(), nn.Linear(width, width, bias=False)
            )
            nn.init.zeros_(cast(nn.Linear, self.believe[2]).weight)

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
            RuntimeError: If a weight is missing, unknown, not trained or of another shape.
        """
        frozen = self.frozen()
        given = sorted(state.keys() & frozen.keys())
        if given:
            raise RuntimeError(f"{given[0]} is not trained, and not to be replaced")
        own = self.state_dict()
        spread = {name: spread_like(t, own.get(name, t)) for name, t in state.items()}
        self.load_state_dict({**frozen, **spread}, strict=True)

    def told(self, belief: Tensor) -> Tensor | None:
        """Return what slots are told (B, D) of a belief (B, 2); nothing where it is NaN."""
        if self.believe is None:
            return None
        belief = belief.to(cast(nn.Linear, self.believe[0]).weight)
        known = ~belief.isnan().any(-1, keepdim=True)
        scaled = torch.where(known, 2.0 * belief - 1.0, 0.0)
        spoken: Tensor = self.believe(torch.cat([scaled, known.to(belief)], dim=-1))
        return spoken * known

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
        belief = self._belief(batch, tokens, prefix)
        return self.heads(self.seam.read(prefix, index, panel, self.told(belief)))

    def _belief(self, batch: PairBatch, tokens: Tensor, prefix: Any) -> Tensor:
        """Return what each pair is told of earlier verdicts (B, 2)."""
        made_up = torch.as_tensor(batch.belief, device=tokens.device)
        if self.believe is None or batch.replay.shape[1] == 0:
            return made_up
        said = made_up.new_full((*batch.replay.shape, 2), torch.nan)
        shown = np.flatnonzero((batch.replay >= 0).any(axis=1))
        if len(shown) == 0:  # another process has some, and every one must read as often
            shown = np.zeros(1, np.int64)
        with torch.no_grad():
            said[torch.as_tensor(shown)] = self._replayed(batch, shown, tokens, prefix)
        own = torch.as_tensor(batch.own, device=tokens.device)
        rows = torch.as_tensor(batch.prefix, device=tokens.device)
        return torch.where((own >= 0).unsqueeze(-1), said[rows, own], made_up)

    def _replayed(
        self, batch: PairBatch, chosen: NDArray[np.int64], tokens: Tensor, prefix: Any
    ) -> Tensor:
        """Return what is believed after each frame of the chosen prefixes' replays (n, R, 2).

        The frames are judged in order, each told what was said of the one before.
        """
        rows = torch.as_tensor(chosen, device=tokens.device)
        references = np.stack([batch.start, batch.goal], axis=1)[chosen]
        unknown = torch.as_tensor(np.where(references < 0, np.nan, 0.0)).to(tokens)
        belief = torch.as_tensor(batch.replay_belief[chosen], device=tokens.device)
        replay, visible = batch.replay[chosen], batch.visible[chosen]
        nothing = np.full((len(rows), batch.history.shape[1]), -1)
        steps = []
        for step in range(replay.shape[1]):
            shown = [nothing, replay[:, max(step - 1, 0), None], replay[:, step, None]]
            panel = gather(tokens, batch.frames, np.concatenate(shown, axis=1), visible)
            readout = self.heads(self.seam.read(prefix, rows, panel, self.told(belief)))
            belief = _believed(belief, readout.hops[:, 1:], unknown)
            steps.append(belief)
        return torch.stack(steps, dim=1)


def _believed(before: Tensor, hops: Tensor, unknown: Tensor) -> Tensor:
    """Return what is believed after an answer, as `robo_reward.tracker.Tracker.belief` says it.

    Args:
        before: (n, 2) what was believed.
        hops: (n, 2, 51) logits of hop_start and hop_goal.
        unknown: (n, 2) NaN where the reference of an anchor is missing, else 0.
    """
    values = expectation(hops) + torch.tensor([0.0, 1.0]).to(hops)
    anchors, spreads = values.clamp(0.0, 1.0) + unknown, spread(hops) + unknown
    apart = (anchors[:, 0] - anchors[:, 1]).abs()
    gap = torch.where(apart.isnan(), spreads.nanmean(dim=1), apart)
    mean = anchors.nanmean(dim=1)
    after = torch.stack([mean, torch.fmax(before[:, 1], mean)], dim=1)
    return torch.where((gap <= UNSURE).unsqueeze(-1), after, before)


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
