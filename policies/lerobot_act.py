"""LeRobot's ACT with a learnt scale: a regression that becomes a Gaussian.

ACT (arXiv 2304.13705) answers with one chunk. Around it stands a normal distribution whose spread
is learnt, one number for each position in the chunk and each number of an action, in standardised
units. Its latent is the zero that ACT acts with.
"""

import math
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from robo_reward.acting import Bools, Floats, Situation, Trace
from robo_reward.errors import InputError

from .flow import log_density
from .lerobot_adapter import LeRobotAdapter, Parts

SPREAD = 0.1
"""Spread of untrained scales, in standard deviations of the actions."""


class ActAdapter(LeRobotAdapter):
    """ACT as a `Policy`; its value stands on the mean of the encoder's tokens."""

    building: ClassVar = {"pretrained_backbone_weights": None}
    noise_name: ClassVar = "log_spread"

    def __init__(self, parts: Parts, noise: float = SPREAD) -> None:
        """Adapt a policy; ``noise`` is the spread to begin with."""
        super().__init__(parts, width=parts.policy.config.dim_model)
        size = (self.chunk, self.action_dim)
        self.log_spread = nn.Parameter(torch.full(size, math.log(noise)))

    @classmethod
    def check(cls, config: Any, source: str) -> None:
        """Refuse what `LeRobotAdapter.check` does, and actions averaged over several chunks."""
        super().check(config, source)
        if config.temporal_ensemble_coeff is not None:
            raise InputError(
                f"{source} averages its actions over successive chunks (temporal_ensemble_coeff), "
                "so none of them has a likelihood; set it to null in config.json"
            )

    def _look(self, batch: dict[str, Any]) -> tuple[Tensor, Tensor]:
        """Return standardised chunks (B, C, A) and features (B, W)."""
        kept: list[Tensor] = []
        shown = {"observation.images": [batch[key] for key in self.config.image_features]}
        model = self.policy.model
        hook = model.encoder.register_forward_hook(lambda _, __, out: kept.append(out))
        try:
            made, _ = model(batch | shown)
        finally:
            hook.remove()
        return made[:, : self.chunk].float(), kept[0].mean(0).float()

    @torch.no_grad()
    def act(self, seen: Situation) -> Floats:
        """Return the chunks (B, C, A) that ACT answers with."""
        return self.chunks(self._look(self.batch(seen))[0])

    @torch.no_grad()
    def sample(self, seen: Situation, rng: np.random.Generator) -> tuple[Floats, Trace]:
        """Return chunks (B, C, A) drawn around them, and the standardised draws."""
        mean, _ = self._look(self.batch(seen))
        kick = torch.from_numpy(rng.standard_normal(mean.shape, dtype=np.float32)).to(self.device)
        drawn = mean + self.log_spread.exp() * kick
        return self.chunks(drawn), {"drawn": drawn.numpy(force=True)}

    def score(self, seen: Situation, trace: Trace) -> tuple[Tensor, Tensor, Tensor]:
        """Return (log-density (B,), entropy (B,), value (B,)); the value moves no feature."""
        mean, features = self._look(self.batch(seen))
        drawn = torch.as_tensor(trace["drawn"]).to(self.device)
        wide = self.log_spread.flatten()
        said = log_density(drawn.flatten(1), mean.flatten(1), wide.exp())
        entropy = (wide + 0.5 * math.log(2.0 * math.pi * math.e)).sum().expand(len(seen))
        return said, entropy, self.value(features.detach()).squeeze(-1)

    def cloning_loss(
        self, seen: Situation, actions: Floats, known: Bools, rng: np.random.Generator
    ) -> Tensor:
        """Return (B,) the mean |error| of standardised chunks (B, C, A), where ``known`` (B, C).

        It is LeRobot's own loss with the latent that ACT acts with, and so without the divergence
        of its VAE; nothing is drawn. It moves the mean and not the spread.
        """
        batch = self.batch(seen, actions)
        off = (self._look(batch)[0] - batch["action"]).abs().mean(2)
        counted = torch.from_numpy(known).to(off)
        loss: Tensor = (off * counted).sum(1) / counted.sum(1).clamp_min(1.0)
        return loss
