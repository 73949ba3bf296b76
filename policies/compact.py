"""The embedded policy: small enough to learn a task on a CPU, and a flow with a likelihood.

Each view goes through a convolutional stem whose channels the instruction scales and shifts (FiLM,
arXiv 1709.07871, eq. 1); a spatial soft-argmax (arXiv 1509.06113) turns every channel into a point.
Points, proprioception and text make one feature vector, on which a small network carries noise to
a chunk of actions (`policies.flow`).

Letters: B situations, V views, n numbers of the state, C actions of A numbers, N = C · A.
"""

from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from robo_reward.acting import Bools, Floats, Situation, Trace
from robo_reward.config import at_least
from robo_reward.errors import InputError
from robo_reward.images import resize
from robo_reward.text import ByteText

from .flow import Trace as FlowTrace
from .flow import Velocity, carry, coloured, flow_loss, rotated, sample, score

type Moments = tuple[NDArray[np.float64], NDArray[np.float64]]
"""Mean and standard deviation (n,)."""

TEXT = 64
"""Width of an instruction's digest."""
FREQUENCIES = 8
"""Sines and cosines of a time."""
DRAWS = 8
"""Of noise and time for each situation that is cloned: they cost little beside its images."""
STILL = 1e-4
"""Spread below which a number counts as one that never moves."""


@dataclass(frozen=True, kw_only=True)
class CompactPolicyConfig:
    """Shape of the policy, and what it sees and does."""

    views: tuple[str, ...]
    """Names of its views."""
    state_dim: int
    """n."""
    action_dim: int
    """A."""
    chunk: int = 8
    """C, actions predicted at once."""
    image_size: int = 64
    """Side of the square images, in pixels."""
    channels: int = 64
    """Feature maps of the stem, each giving one point a view."""
    width: int = 256
    """Width of features and of the layers of the flow."""
    steps: int = 4
    """K steps from noise to actions."""
    noise: float = 0.8
    """a, the noise level of the random step."""
    colour: float = 1.0
    """β, how much longer slow changes of the noise are than quick ones (`policies.flow.coloured`);
    0: all alike."""

    def __post_init__(self) -> None:
        """Refuse shapes that cannot be built.

        Raises:
            InputError: If a size is too small, or there is neither view nor state.
        """
        for name in ("action_dim", "chunk", "steps", "width", "channels"):
            at_least(1, name, getattr(self, name))
        at_least(16, "image_size", self.image_size)
        if not self.noise > 0:
            raise InputError(f"noise must be above 0, got {self.noise}: else nothing has a density")
        if not self.views and not self.state_dim:
            raise InputError("a policy needs a view or a state to look at")

    @property
    def numbers(self) -> int:
        """N, the numbers of a chunk."""
        return self.chunk * self.action_dim


class Stem(nn.Module):
    """Images (B, 3, S, S) and what scales them (B, T) to points (B, 2 · channels)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        half = max(1, channels // 2)
        sizes = (3, half, channels, channels)
        strides = (2, 2, 1)
        self.convs = nn.ModuleList(
            nn.Conv2d(sizes[i], sizes[i + 1], 5 if i == 0 else 3, strides[i], 2 if i == 0 else 1)
            for i in range(3)
        )
        self.norms = nn.ModuleList(nn.GroupNorm(1, size) for size in sizes[1:])
        self.films = nn.ModuleList(nn.Linear(TEXT, 2 * size) for size in sizes[1:])
        self.log_temperature = nn.Parameter(torch.ones(channels))

    def forward(self, images: Tensor, told: Tensor) -> Tensor:
        """Return the points that the channels choose, in [−1, 1]."""
        maps = images
        for layer, (conv, norm, film) in enumerate(
            zip(self.convs, self.norms, self.films, strict=True)
        ):
            scale, shift = film(told)[..., None, None].chunk(2, dim=1)
            maps = norm(conv(maps)) * (1.0 + scale) + shift
            maps = torch.relu(maps) if layer < 2 else maps
        weights = (maps.flatten(2) * self.log_temperature.exp()[:, None]).softmax(-1)
        y, x = (
            torch.linspace(-1, 1, size, device=maps.device, dtype=maps.dtype)
            for size in maps.shape[2:]
        )
        grid = torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1).flatten(0, 1)
        points: Tensor = (weights @ grid).flatten(1)
        return points


class CompactPolicy(nn.Module):
    """The compact `Policy`.

    Actions and states are in the robot's units outside and standardised inside, by the means and
    spreads that are part of its weights.
    """

    def __init__(self, config: CompactPolicyConfig) -> None:
        super().__init__()
        self.config, self.chunk = config, config.chunk
        width, views = config.width, len(config.views)
        self.text = ByteText(TEXT)
        self.names = nn.Parameter(torch.randn(views, TEXT) * 0.2)
        self.stem = Stem(config.channels)
        seen = views * (2 * config.channels + 1) + config.state_dim + TEXT
        self.trunk = nn.Sequential(
            nn.Linear(seen, width), nn.LayerNorm(width), nn.SiLU(), nn.Linear(width, width)
        )
        carried = config.numbers + 2 * FREQUENCIES + width
        self.flow = nn.Sequential(
            nn.Linear(carried, 2 * width),
            nn.SiLU(),
            nn.Linear(2 * width, 2 * width),
            nn.SiLU(),
            nn.Linear(2 * width, config.numbers),
        )
        self.value = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, 1))
        for parameter in self.value[2].parameters():
            nn.init.zeros_(parameter)
        levels, basis = coloured(config.noise, config.colour, config.chunk, config.action_dim)
        self.levels = nn.Buffer(levels, persistent=False)
        self.basis = nn.Buffer(basis, persistent=False)
        self.state_mean, self.state_std = _standard(config.state_dim)
        self.action_mean, self.action_std = _standard(config.action_dim)

    @property
    def device(self) -> torch.device:
        """Where it lives."""
        return self.names.device

    def features(self, seen: Situation) -> Tensor:
        """Return (B, width), what the flow and the value stand on.

        Raises:
            InputError: If the state has another size.
        """
        config = self.config
        if seen.state.shape[1] != config.state_dim:
            raise InputError(
                f"this policy knows a state of {config.state_dim} numbers, got "
                f"{seen.state.shape[1]}; it is of another robot"
            )
        tokens, there = self.text(seen.instructions)
        told = tokens.masked_fill(~there.unsqueeze(-1), float("-inf")).amax(1)
        state = torch.as_tensor(seen.state, dtype=told.dtype, device=self.device)
        parts = [told, (state - self.state_mean) / self.state_std]
        for number, name in enumerate(config.views):
            parts += self._view(seen, name, told + self.names[number])
        made: Tensor = self.trunk(torch.cat(parts, dim=1))
        return made

    def _view(self, seen: Situation, name: str, told: Tensor) -> list[Tensor]:
        """Return (points (B, 2 · channels), whether they are there (B, 1)) of one view."""
        count = len(seen)
        if name not in seen.views:
            return [told.new_zeros(count, 2 * self.config.channels), told.new_zeros(count, 1)]
        size = self.config.image_size
        images = np.stack([resize(image, size) for image in seen.views[name]])
        shown = torch.from_numpy(images).to(self.device).permute(0, 3, 1, 2).to(told.dtype)
        return [self.stem(shown / 127.5 - 1.0, told), told.new_ones(count, 1)]

    def velocity(self, features: Tensor) -> Velocity:
        """Return the velocity of the flow where these features are seen."""
        return partial(_velocity, self.flow, features)

    def loss(
        self,
        seen: Situation,
        actions: Tensor,
        noise: Tensor,
        tau: Tensor,
        known: Tensor | None = None,
    ) -> Tensor:
        """Return (B,) the flow's loss on chunks in the robot's units, each encoded once.

        Args:
            seen: B situations.
            actions: (B, C, A) what should be done in them.
            noise: (D · B, N) of D draws for every situation: all B of the first, then the next.
            tau: (D · B,) their times in [0, 1).
            known: (B, C) which actions count; None: all.
        """
        draws = len(noise) // len(seen)
        wanted = ((actions - self.action_mean) / self.action_std).flatten(1)
        if known is not None:
            known = known.repeat_interleave(self.config.action_dim, dim=1).repeat(draws, 1)
        velocity = self.velocity(self.features(seen).repeat(draws, 1))
        found = flow_loss(velocity, wanted.repeat(draws, 1), noise, tau, known)
        return found.view(draws, len(seen)).mean(0)

    def cloning_loss(
        self, seen: Situation, actions: Floats, known: Bools, rng: np.random.Generator
    ) -> Tensor:
        """Return (B,) the flow's loss on chunks (B, C, A), of which ``known`` (B, C) count."""
        count = DRAWS * len(seen)
        noise = rng.standard_normal((count, self.config.numbers), dtype=np.float32)
        tau = rng.random(count, dtype=np.float32)
        given = [torch.from_numpy(part).to(self.device) for part in (actions, noise, tau, known)]
        return self.loss(seen, *given)

    def standardise(self, state: Moments, action: Moments) -> None:
        """Take means and spreads (n,) and (A,) of what is to be seen and done as those inside.

        What never moves keeps its size.
        """
        pairs = (
            (state, self.state_mean, self.state_std),
            (action, self.action_mean, self.action_std),
        )
        for (mean, std), to_mean, to_std in pairs:
            moves = std > STILL
            to_mean.copy_(torch.from_numpy(mean))
            to_std.copy_(torch.from_numpy(np.where(moves, std, 1.0)))

    @torch.no_grad()
    def act(self, seen: Situation) -> Floats:
        """Return chunks (B, C, A) carried from the middle of the noise, without chance."""
        velocity = self.velocity(self.features(seen))
        noise = torch.zeros(len(seen), self.config.numbers, device=self.device)
        return self._chunks(carry(velocity, noise, steps=self.config.steps))

    @torch.no_grad()
    def sample(self, seen: Situation, rng: np.random.Generator) -> tuple[Floats, Trace]:
        """Return chunks (B, C, A) drawn from the policy, and what is needed to score them."""
        config, count = self.config, len(seen)
        noise, kick = rng.standard_normal((2, count, config.numbers), dtype=np.float32)
        step = rng.integers(config.steps, size=count)
        given = (torch.from_numpy(part).to(self.device) for part in (noise, step, kick))
        made, trace = sample(
            rotated(self.velocity(self.features(seen)), self.basis),
            *given,
            steps=config.steps,
            level=self.levels,
        )
        told = {name: part.cpu().numpy() for name, part in vars(trace).items()}
        return self._chunks(made @ self.basis.T), told

    def score(self, seen: Situation, trace: Trace) -> tuple[Tensor, Tensor, Tensor]:
        """Return (log-density (B,), entropy (B,), value (B,)); the value moves no feature."""
        features = self.features(seen)
        kept = {name: torch.as_tensor(part).to(self.device) for name, part in trace.items()}
        said, spread = score(
            rotated(self.velocity(features), self.basis),
            FlowTrace(**kept),
            steps=self.config.steps,
            level=self.levels,
        )
        value: Tensor = self.value(features.detach()).squeeze(-1)
        return said, spread, value

    def _chunks(self, made: Tensor) -> Floats:
        shaped = made.view(len(made), self.config.chunk, self.config.action_dim)
        actions: Floats = (shaped * self.action_std + self.action_mean).cpu().numpy()
        return actions


def _standard(size: int) -> tuple[nn.Buffer, nn.Buffer]:
    """Return the mean and the spread of what needs no standardising."""
    return nn.Buffer(torch.zeros(size)), nn.Buffer(torch.ones(size))


def _velocity(flow: nn.Module, features: Tensor, x: Tensor, tau: Tensor) -> Tensor:
    """Return u (B, N) at x (B, N) and τ (B,)."""
    waves = 2.0 ** torch.arange(FREQUENCIES, device=x.device, dtype=x.dtype) * torch.pi
    angles = tau.unsqueeze(-1) * waves
    u: Tensor = flow(torch.cat([x, angles.sin(), angles.cos(), features], dim=-1))
    return u
