"""Flow matching: its loss, its sampler, and the likelihood that one random step gives it.

A flow policy carries noise x_0 ~ N(0, I) to an action x_1 along dx = u(x, τ) dτ, τ from 0 to 1,
with u trained towards x_1 − x_0 (rectified flow, arXiv 2209.03003, eq. 1). Carried without chance,
an action has no likelihood that could be computed cheaply. So one of the K steps, drawn for each
sample anew, is replaced by a step of the stochastic equation with the same marginals,

    dx = (u + σ²/2 · s) dτ + σ dW,    s(x, τ) = (τ u − x) / (1 − τ)    (the score of the flow),

with σ² = a² (1 − τ) / max(τ, 1/K), a the noise level (the Flow-SDE of Flow-GRPO, arXiv 2505.05470,
where time runs the other way). That step is a Gaussian, and its
density is the likelihood of where it led. What came before and comes after it is learnt too, and a
gradient through the likelihood leaves it out: each step has its turn in other samples.

Sampler and scorer share one grid of times, `grid`, and one Gaussian, `transition`: with the same
weights their log-densities are the same. A network may carry numbers that nobody executes (padding,
actions beyond the chunk): they move and are drawn like the others, and the density is that of the
numbers that count alone. Letters: B samples, N numbers of an action (chunk × dimensions), K steps.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

type Velocity = Callable[[Tensor, Tensor], Tensor]
"""(x (B, N), τ (B,)) → u (B, N)."""


@dataclass(frozen=True, kw_only=True)
class Trace:
    """What must be remembered of a sample to score it again; x is kept in float32."""

    step: Tensor
    """(B,) int64, which step was the random one."""
    before: Tensor
    """(B, N) x before it."""
    after: Tensor
    """(B, N) x after it."""


def grid(steps: int, like: Tensor) -> Tensor:
    """Return the K times at which steps begin: 0, 1/K, …, 1 − 1/K."""
    return torch.arange(steps, device=like.device, dtype=like.dtype) / steps


def flow_loss(
    velocity: Velocity,
    actions: Tensor,
    noise: Tensor,
    tau: Tensor,
    known: Tensor | None = None,
) -> Tensor:
    """Return (B,) the mean square of u(x_τ, τ) − (x_1 − x_0) at x_τ = (1 − τ) x_0 + τ x_1.

    Args:
        velocity: The network.
        actions: (B, N) x_1.
        noise: (B, N) x_0.
        tau: (B,) times in [0, 1).
        known: (B, N) or (N,) which numbers of the actions count; None: all. 0 where none does.
    """
    share = tau.unsqueeze(-1)
    at = (1.0 - share) * noise + share * actions
    squares = (velocity(at, tau) - (actions - noise)).square()
    if known is None:
        return squares.mean(-1)
    known = known.expand_as(squares)
    return (squares * known).sum(-1) / known.sum(-1).clamp_min(1)


def coloured(level: float, colour: float, rows: int, columns: int) -> tuple[Tensor, Tensor]:
    """Return noise levels (N,) and the basis (N, N) of noise that lasts over the rows of a chunk.

    White noise in actions averages out within a chunk and explores little of where it leads. So the
    noise is made in the frequencies f of an orthonormal cosine transform over the rows, with power
    in proportion to (1 + f)^−β: β = 0 white, 1 pink (Eberhard et al., ICLR 2023), the mean power
    a² whatever β. A flow is carried in any orthonormal basis as in the first (`rotated`), so the
    stochastic equation keeps its marginals with a level for each number.

    Args:
        level: a.
        colour: β.
        rows: C, actions of a chunk.
        columns: A, numbers of an action.
    """
    f = torch.arange(rows, dtype=torch.float64)
    power = (1.0 + f).pow(-colour)
    levels = level * (power * rows / power.sum()).sqrt()
    waves = torch.cos(torch.pi / rows * (f[:, None] + 0.5) * f) * math.sqrt(2.0 / rows)
    waves[:, 0] = 1.0 / math.sqrt(rows)
    basis = torch.kron(waves, torch.eye(columns, dtype=torch.float64))
    return levels.repeat_interleave(columns).float(), basis.float()


def rotated(velocity: Velocity, basis: Tensor) -> Velocity:
    """Return the same flow in the coordinates y of x = B y, for an orthonormal basis B (N, N)."""
    return lambda y, tau: velocity(y @ basis.T, tau) @ basis


def transition(
    x: Tensor, u: Tensor, tau: Tensor, steps: int, level: float | Tensor
) -> tuple[Tensor, Tensor]:
    """Return mean (B, N) and standard deviation (B, 1 or N) of a random step of length 1/K from τ.

    Written out, σ²/2 · s · 1/K = a² (τ u − x) / (2 K max(τ, 1/K)), which is finite everywhere: the
    (1 − τ) of σ² and of s cancel.
    """
    share = tau.unsqueeze(-1)
    pull = level**2 / (2.0 * steps * share.clamp_min(1.0 / steps))
    mean = x + u / steps + pull * (share * u - x)
    spread = level * ((1.0 - share) / (steps * share.clamp_min(1.0 / steps))).sqrt()
    return mean, spread


def log_density(x: Tensor, mean: Tensor, spread: Tensor) -> Tensor:
    """Return (B,) log N(x; mean, spread²), summed over the N numbers; spread is (B, 1 or N)."""
    z = (x - mean) / spread
    one = -0.5 * z.square() - spread.log() - 0.5 * math.log(2.0 * math.pi)
    return one.sum(-1)


def entropy(spread: Tensor, numbers: int) -> Tensor:
    """Return (B,) the entropy of the random step of N numbers."""
    each = spread.log().expand(-1, numbers)
    return each.sum(-1) + numbers * 0.5 * math.log(2.0 * math.pi * math.e)


def sample(
    velocity: Velocity,
    noise: Tensor,
    step: Tensor,
    kick: Tensor,
    *,
    steps: int,
    level: float | Tensor,
) -> tuple[Tensor, Trace]:
    """Return actions (B, N) and what is needed to score them.

    Args:
        velocity: The network.
        noise: (B, N) x_0 ~ N(0, I).
        step: (B,) which of the K steps is random, each sample's own.
        kick: (B, N) ~ N(0, I), the chance of that step.
        steps: K.
        level: a, the noise level, or one for each number (N,).
    """
    x, before, after = noise, noise, noise
    for k, tau in enumerate(grid(steps, noise)):
        times = tau.expand(len(x))
        u = velocity(x, times)
        mean, spread = transition(x, u, times, steps, level)
        chosen = (step == k).unsqueeze(-1)
        moved = torch.where(chosen, mean + spread * kick, x + u / steps)
        before, after = torch.where(chosen, x, before), torch.where(chosen, moved, after)
        x = moved
    return x, Trace(step=step, before=before.float(), after=after.float())


def score(
    velocity: Velocity,
    trace: Trace,
    *,
    steps: int,
    level: float | Tensor,
    counted: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Return (log-density (B,), entropy (B,)) of the random steps of samples.

    Args:
        velocity: The network.
        trace: What `sample` returned.
        steps: K.
        level: a, the noise level.
        counted: Which of the N numbers count; None: all.
    """
    times = grid(steps, trace.before)[trace.step]
    u = velocity(trace.before, times)
    mean, spread = transition(trace.before, u, times, steps, level)
    after = _of(trace.after, counted)
    spread = spread if spread.shape[-1] == 1 else _of(spread, counted)
    return log_density(after, _of(mean, counted), spread), entropy(spread, after.shape[-1])


def carry(velocity: Velocity, noise: Tensor, *, steps: int) -> Tensor:
    """Return actions (B, N) carried from noise without chance (Euler): how a policy is judged."""
    x = noise
    for tau in grid(steps, noise):
        x = x + velocity(x, tau.expand(len(x))) / steps
    return x


def _of(x: Tensor, counted: Tensor | None) -> Tensor:
    return x if counted is None else x[..., counted]
