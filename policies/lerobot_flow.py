"""LeRobot's flow-matching policies with the likelihood of `policies.flow`.

Such a network carries a whole grid of numbers, rows of time and columns of actions, of which only
the first C rows and A columns are ever executed: the rest are actions beyond the chunk, and padding
up to the widest robot that the network may know. All of them move, and all get their share of the
random step, as in training; the density is that of the executed ones, given all before the step.
What the others did then changes the remaining steps a little, which the likelihood leaves out.
"""

from abc import abstractmethod
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from robo_reward.acting import Bools, Floats, Situation, Trace

from .flow import Trace as FlowTrace
from .flow import Velocity, carry, flow_loss, sample, score
from .lerobot_adapter import LeRobotAdapter, Parts

NOISE = 0.5
"""a, the noise level of the random step."""


class FlowAdapter(LeRobotAdapter):
    """A flow-matching policy of LeRobot as a `Policy`."""

    def __init__(
        self, parts: Parts, noise: float, *, width: int, grid: tuple[int, int], steps: int
    ) -> None:
        """Adapt a policy.

        Args:
            parts: The policy and its processors.
            noise: a, the noise level of the random step.
            width: Numbers of the features that the value stands on.
            grid: Rows and columns of the numbers that the network carries.
            steps: K, steps from noise to actions.
        """
        super().__init__(parts, width=width)
        self.grid, self.steps = grid, steps
        self.noise = nn.Buffer(torch.tensor(float(noise)))
        numbers = torch.arange(grid[0] * grid[1]).view(grid)
        executed = numbers[: self.chunk, : self.action_dim].flatten()
        self.executed = nn.Buffer(executed, persistent=False)

    @abstractmethod
    def look(self, batch: dict[str, Any]) -> tuple[Velocity, Tensor]:
        """Return the flow's velocity where this is seen, in float32, and features (B, W)."""

    @torch.no_grad()
    def act(self, seen: Situation) -> Floats:
        """Return chunks (B, C, A) carried from the middle of the noise, without chance."""
        velocity, _ = self.look(self.batch(seen))
        noise = torch.zeros(len(seen), self.grid[0] * self.grid[1], device=self.device)
        return self._executed(carry(velocity, noise, steps=self.steps))

    @torch.no_grad()
    def sample(self, seen: Situation, rng: np.random.Generator) -> tuple[Floats, Trace]:
        """Return chunks (B, C, A) drawn from the policy, and what is needed to score them."""
        velocity, _ = self.look(self.batch(seen))
        shape = (2, len(seen), self.grid[0] * self.grid[1])
        noise, kick = torch.from_numpy(rng.standard_normal(shape, dtype=np.float32)).to(self.device)
        step = torch.from_numpy(rng.integers(self.steps, size=len(seen))).to(self.device)
        made, trace = sample(velocity, noise, step, kick, steps=self.steps, level=float(self.noise))
        told = {name: part.numpy(force=True) for name, part in vars(trace).items()}
        return self._executed(made), told

    def score(self, seen: Situation, trace: Trace) -> tuple[Tensor, Tensor, Tensor]:
        """Return (log-density (B,), entropy (B,), value (B,)); the value moves no feature."""
        velocity, features = self.look(self.batch(seen))
        kept = {name: torch.as_tensor(part).to(self.device) for name, part in trace.items()}
        said, spread = score(
            velocity,
            FlowTrace(**kept),
            steps=self.steps,
            level=float(self.noise),
            counted=self.executed,
        )
        return said, spread, self.value(features.detach()).squeeze(-1)

    def cloning_loss(
        self, seen: Situation, actions: Floats, known: Bools, rng: np.random.Generator
    ) -> Tensor:
        """Return (B,) LeRobot's loss on chunks (B, C, A) at times drawn as in its training.

        Rows beyond the chunk repeat its last action, as at the end of an episode, and columns
        beyond the action are 0; neither counts, nor does what is not ``known`` (B, C).
        """
        batch = self.batch(seen, actions)
        wanted = batch["action"]
        beyond = wanted[:, -1:].expand(-1, self.grid[0] - self.chunk, -1)
        wanted = torch.cat([wanted, beyond], 1)
        wanted = nn.functional.pad(wanted, (0, self.grid[1] - self.action_dim)).flatten(1)
        noise = rng.standard_normal(tuple(wanted.shape), dtype=np.float32)
        tau = self.times(rng, len(seen)).astype(np.float32)
        counted = wanted.new_zeros(len(seen), *self.grid)
        counted[:, : self.chunk, : self.action_dim] = torch.from_numpy(known).to(wanted)[..., None]
        return flow_loss(
            self.look(batch)[0],
            wanted,
            torch.from_numpy(noise).to(self.device),
            torch.from_numpy(tau).to(self.device),
            counted.flatten(1),
        )

    def times(self, rng: np.random.Generator, count: int) -> np.ndarray[Any, Any]:
        """Return times τ (B,) of training: more of them where little but noise is left."""
        return 0.999 * (1.0 - rng.beta(1.5, 1.0, count))

    def _executed(self, made: Tensor) -> Floats:
        return self.chunks(made.view(-1, *self.grid)[:, : self.chunk, : self.action_dim])
