"""What one step of refinement minimises: clipped policy gradients, the critic's error, ties.

**The ratio.** The log-density of a chunk is a sum over its numbers, tens to a hundred of them. A
step that changes each number's density by 1 % changes the chunk's by 60 % at 50 numbers: with
``ratio="chunk"`` the ratio is exact, and most of it lies outside the clip after a step or two.
``ratio="mean"`` divides the log-ratio by the numbers (a geometric mean, as in Flow-GRPO, arXiv
2505.05470, and DPPO, arXiv 2409.00588, which average log-densities over them). The clip then bounds
what happens to a number, and steps go on. The price: the ratio makes up for what changed since the
rollouts by its N-th root only, the policy may move N times as far in log-density before the clip
holds, and gradients are N times smaller (Adam does not care, gradient clipping does). At the
first step after a rollout both ratios are 1, and their gradients differ by that factor alone.
Take "chunk" for one epoch of few large minibatches, "mean" where ``clip_fraction`` exceeds .5.

KL is that of whole chunks in both cases; with "mean" it is told, and weighted, per number.

Letters: B decisions of a minibatch.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from robo_reward.errors import InputError

from .config import ObjectiveConfig

FURTHEST = 20.0
"""|log-ratio| beyond which exp is not taken; far outside every clip, so no gradient is lost."""


@dataclass(frozen=True, kw_only=True)
class Minibatch:
    """B decisions, scored by the policy that learns; what is None is left out."""

    log_prob: Tensor
    """(B,) log-density of the chunks under the policy."""
    old_log_prob: Tensor
    """(B,) under the policy that played, scored by the learner."""
    advantage: Tensor
    """(B,) A."""
    numbers: int
    """How many numbers a chunk's log-density sums over."""
    reference_log_prob: Tensor | None = None
    """(B,) under the reference policy."""
    value: Tensor | None = None
    """(B,) f."""
    target: Tensor | None = None
    """(B,) what f should have been."""
    entropy: Tensor | None = None
    """(B,) entropy of the policy."""
    imitation: tuple[Tensor, Tensor] | None = None
    """(B,) losses of imitating the chunks that were played, and their weights (B,): they are
    minimised in place of clipped gains."""
    cloning: Tensor | None = None
    """(any,) losses of imitating demonstrations."""


def unit(numbers: int, config: ObjectiveConfig) -> int:
    """Return what log-ratios of chunks are divided by: 1, or how many numbers a chunk has."""
    return numbers if config.ratio == "mean" else 1


def clipped_loss(log_ratio: Tensor, advantage: Tensor, config: ObjectiveConfig) -> Tensor:
    """Return (B,) −min(r A, clip(r) A), for A < 0 at most −c A (PPO, arXiv 1707.06347, eq. 7)."""
    ratio = log_ratio.clamp(-FURTHEST, FURTHEST).exp()
    within = ratio.clamp(1.0 - config.clip_low, 1.0 + config.clip_high)
    gain = torch.minimum(ratio * advantage, within * advantage)
    bounded = torch.maximum(gain, config.dual_clip * advantage)
    return -torch.where(advantage < 0, bounded, gain)


def value_loss(value: Tensor, target: Tensor, config: ObjectiveConfig) -> Tensor:
    """Return (B,) the error of the residual f against its target."""
    if config.value_loss == "mse":
        return functional.mse_loss(value, target, reduction="none")
    return functional.smooth_l1_loss(value, target, reduction="none")


def kl_estimate(log_ratio: Tensor) -> Tensor:
    """Return (B,) k3 = exp(−d) − 1 + d ≥ 0 for d = log π/π_ref on samples of π.

    Its mean is KL(π ‖ π_ref), with less variance than that of d (J. Schulman, "Approximating KL
    divergence", 2020). The samples are those of the rollouts, so after further steps it is a
    little off.
    """
    return torch.expm1((-log_ratio).clamp_max(FURTHEST)) + log_ratio


def weighted_cloning_loss(losses: Tensor, weight: Tensor, normaliser: float) -> Tensor:
    """Return the sum over B of cloning losses times weights (`Credit.weight`), over a number."""
    return (losses * weight).sum() / normaliser


def objective(
    batch: Minibatch, config: ObjectiveConfig, *, normaliser: float | None = None, where: str = ""
) -> tuple[Tensor, dict[str, float]]:
    """Return the loss of a minibatch and its statistics, both checked to be finite.

    Args:
        batch: B decisions.
        config: What counts how much.
        normaliser: What sums over decisions are divided by; None: B. With minibatches of uneven
            size, give one number for all, so that no decision counts more than another.
        where: Named in the message if something is not finite: "update 3, minibatch 2".

    Raises:
        InputError: If an input or the loss is not finite, before any step is taken.
    """
    for name in ("old_log_prob", "advantage", "reference_log_prob", "target"):
        check_finite(name, getattr(batch, name), where)
    one = unit(batch.numbers, config)
    moved = batch.log_prob - batch.old_log_prob
    count = len(moved) if normaliser is None else normaliser
    if batch.imitation is None:
        gain = clipped_loss(moved / one, batch.advantage, config).sum() / count
    else:
        gain = weighted_cloning_loss(*batch.imitation, count)
    terms = {"policy_loss": gain}
    weights = {"policy_loss": 1.0}
    if batch.value is not None and batch.target is not None:
        terms["value_loss"] = value_loss(batch.value, batch.target, config).sum() / count
        weights["value_loss"] = config.value_weight
    if batch.reference_log_prob is not None:
        away = kl_estimate(batch.log_prob - batch.reference_log_prob)
        terms["kl_reference"] = away.sum() / count / one
        weights["kl_reference"] = config.kl_weight
    if batch.entropy is not None:
        terms["entropy"] = batch.entropy.sum() / count
        weights["entropy"] = -config.entropy_weight
    if batch.cloning is not None:
        terms["bc_loss"] = batch.cloning.mean()
        weights["bc_loss"] = config.bc_weight
    counted = [weights[name] * term for name, term in terms.items() if weights[name]]
    loss = torch.stack(counted).sum()
    told = {name: float(term.detach()) for name, term in terms.items()}
    _check_loss(float(loss.detach()), told, where)
    return loss, {"loss": float(loss.detach()), **told, **ratio_statistics(moved, one, config)}


@torch.no_grad()
def ratio_statistics(moved: Tensor, one: int, config: ObjectiveConfig) -> dict[str, float]:
    """Return how far the policy is from the one that played.

    ``clip_fraction``, share of ratios outside the clip; ``ratio_max``; ``kl_old``, KL of the one
    that played to this one by k3.

    Args:
        moved: (B,) log-ratio of chunks, new to old.
        one: What it is divided by, see `unit`.
        config: The clip.
    """
    ratio = (moved / one).clamp(-FURTHEST, FURTHEST).exp()
    outside = (ratio < 1.0 - config.clip_low) | (ratio > 1.0 + config.clip_high)
    return {
        "clip_fraction": float(outside.float().mean()),
        "ratio_max": float(ratio.max()),
        "kl_old": float(kl_estimate(-moved).mean()) / one,
    }


def explained_variance(value: Tensor, target: Tensor) -> float:
    """Return 1 − Var(target − value) / Var(target); NaN where the target does not vary."""
    spread = float(target.var(correction=0))
    if spread == 0.0:
        return math.nan
    return 1.0 - float((target - value).var(correction=0)) / spread


def check_finite(name: str, numbers: Tensor | None, where: str) -> None:
    """Check a tensor (B,) if there is one.

    Raises:
        InputError: If a number is not finite.
    """
    if numbers is None or bool(numbers.isfinite().all()):
        return
    first = int((~numbers.isfinite()).nonzero()[0, 0])
    raise InputError(
        f"{name} of decision {first} is {float(numbers[first])}{_at(where)}: no step was taken; "
        "look at what scored it"
    )


def _check_loss(loss: float, terms: dict[str, float], where: str) -> None:
    if not math.isfinite(loss):
        told = ", ".join(f"{name} {value:.3g}" for name, value in terms.items())
        raise InputError(
            f"the loss is {loss}{_at(where)} ({told}): no step was taken and the last checkpoint "
            "is kept; lower the learning rate or the number of epochs"
        )


def _at(where: str) -> str:
    return f" at {where}" if where else ""
