"""`FakePolicy`: the smallest thing that keeps the promises of a `Policy`."""

import math

import numpy as np
import torch
from torch import Tensor, nn

from .acting import Bools, Floats, Situation, Trace


class FakePolicy(nn.Module):
    """A Gaussian around a line in the state: a `Policy` for tests of what stands on one."""

    def __init__(self, state_dim: int, action_dim: int, *, chunk: int = 2) -> None:
        super().__init__()
        self.chunk, self.action_dim = chunk, action_dim
        generator = torch.Generator().manual_seed(state_dim)
        size = (state_dim + 1, chunk * action_dim)
        self.line = nn.Parameter(torch.randn(size, generator=generator) * 0.3)
        self.log_spread = nn.Parameter(torch.full((chunk * action_dim,), -1.0))

    def _mean(self, seen: Situation) -> Tensor:
        state = torch.as_tensor(seen.state, dtype=self.line.dtype, device=self.line.device)
        return torch.cat([state, state.new_ones(len(seen), 1)], dim=1) @ self.line

    @torch.no_grad()
    def act(self, seen: Situation) -> Floats:
        """Return the mean (B, C, A)."""
        made: Floats = self._mean(seen).view(len(seen), self.chunk, self.action_dim).cpu().numpy()
        return made

    @torch.no_grad()
    def sample(self, seen: Situation, rng: np.random.Generator) -> tuple[Floats, Trace]:
        """Return draws (B, C, A)."""
        mean = self._mean(seen)
        kick = torch.from_numpy(rng.standard_normal(mean.shape, dtype=np.float32)).to(mean)
        drawn = (mean + self.log_spread.exp() * kick).cpu().numpy()
        return drawn.reshape(len(seen), self.chunk, self.action_dim), {"drawn": drawn}

    def score(self, seen: Situation, trace: Trace) -> tuple[Tensor, Tensor, Tensor]:
        """Return log-density, entropy and a value of 0, each (B,)."""
        mean = self._mean(seen)
        drawn = torch.as_tensor(trace["drawn"]).to(mean)
        z = (drawn - mean) / self.log_spread.exp()
        half = 0.5 * math.log(2.0 * math.pi)
        said = (-0.5 * z.square() - self.log_spread - half).sum(-1)
        entropy = (self.log_spread + half + 0.5).sum().expand(len(seen))
        return said, entropy, mean.new_zeros(len(seen))

    def cloning_loss(
        self, seen: Situation, actions: Floats, known: Bools, rng: np.random.Generator
    ) -> Tensor:
        """Return (B,) the mean square of what is off, where ``known`` (B, C)."""
        mean = self._mean(seen).view(len(seen), self.chunk, self.action_dim)
        off = (mean - torch.from_numpy(actions).to(mean)).square().mean(2)
        counted = torch.from_numpy(known).to(off)
        return (off * counted).sum(1) / counted.sum(1).clamp_min(1.0)
