"""What each decision of a batch was worth: advantages, targets of the critic, weights of cloning.

All here leave the order of policies as the task's reward has it, whatever Φ says: Φ enters as a
critic (A = GAE of the *task's* rewards with V = Φ + f or a + bΦ, the same numbers as GAE of shaped
rewards with V − Φ), or not at all. What Φ gets wrong biases an advantage by (1 − λ) of it until f
has learnt it; a + bΦ has no f, so there the bias stays. `policies.unsound_credit` has what is not
sound; `policies.algorithms` the names of all.

Letters: R rollouts, N decisions of one, ΣN of the batch in the order of its rollouts.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from robo_reward.errors import InputError
from robo_reward.shaping import Floats, advantages, check_discount

from .groups import leave_one_out
from .potential_fit import PotentialFit
from .rollout import Rollout

KAPPA = 0.01
"""RA-BC: a rise of Φ above it has the full weight."""
SPREAD = 1e-6
"""Standard deviations below it are those of a constant."""


@dataclass(frozen=True, kw_only=True)
class Rules:
    """How one update judges decisions."""

    gamma: float = 0.99
    """Discount per step, the learner's and the only one."""
    lam: float = 0.8
    """λ per decision: how little Φ is trusted. 1 believes the task's rewards alone."""
    bootstraps: bool = True
    """Whether what would have come after a truncation counts. After a lost worker it always does,
    since such an end says nothing."""
    beta: float = 0.2
    """Temperature of weighted cloning: an advantage of β counts e times as much."""
    largest_weight: float = 20.0
    """Most that exp(A/β) may be."""
    fit: PotentialFit = field(default_factory=PotentialFit)
    """Of the previous batch (``phi-rloo``)."""

    def __post_init__(self) -> None:
        """Check the ranges.

        Raises:
            InputError: If γ or λ is not in [0, 1], or β or the largest weight not above 0.
        """
        check_discount("gamma", self.gamma)
        check_discount("lam", self.lam)
        for name in ("beta", "largest_weight"):
            if not getattr(self, name) > 0:
                raise InputError(f"{name} must be above 0, got {getattr(self, name)}")


@dataclass(frozen=True, kw_only=True)
class LambdaSchedule:
    """λ over the updates: low while the critic is Φ alone, high once f has learnt the rest."""

    start: float = 0.5
    """λ of the first update."""
    end: float = 0.95
    """λ of the last of ``updates``, and of all after it."""
    updates: int = 50
    """How many it takes from one to the other."""

    def __post_init__(self) -> None:
        """Check the ranges.

        Raises:
            InputError: If a λ is not in [0, 1], or there is no update.
        """
        check_discount("the first lam", self.start)
        check_discount("the last lam", self.end)
        if self.updates < 1:
            raise InputError(f"a schedule needs at least 1 update, got {self.updates}")

    def at(self, update: int) -> float:
        """Return λ of an update, counted from 0; in between it rises or falls evenly."""
        share = min(1.0, update / max(1, self.updates - 1))
        return self.start + share * (self.end - self.start)


@dataclass(frozen=True, kw_only=True)
class Credit:
    """What the decisions of a batch are worth."""

    advantage: Floats
    """(ΣN,) A, for policy gradients."""
    target: Floats | None = None
    """(ΣN,) what the residual f should have been; None where no critic is learnt."""
    weight: Floats | None = None
    """(ΣN,) weights of cloning, of mean 1; None for policy gradients."""

    def __post_init__(self) -> None:
        """Check that every number is finite, before anything is learnt from it.

        Raises:
            InputError: If one is not.
        """
        for name in ("advantage", "target", "weight"):
            numbers = getattr(self, name)
            if numbers is None:
                continue
            bad = np.flatnonzero(~np.isfinite(numbers))
            if len(bad):
                raise InputError(
                    f"the {name} of decision {bad[0]} of the batch is {numbers[bad[0]]}: nothing "
                    "is learnt from this batch; look for rewards or values that are far too large"
                )


type Critic = Callable[[Rollout], tuple[Floats, Floats]]
"""Rollout → V (N,) of its decisions' states, and V (N,) of the states after them."""


def anchored(rollout: Rollout) -> tuple[Floats, Floats]:
    """Return V = Φ + f before and after each decision."""
    return (
        rollout.potential + rollout.residual,
        rollout.following + rollout.following_residual,
    )


def unanchored(rollout: Rollout) -> tuple[Floats, Floats]:
    """Return V = f before and after each decision."""
    return rollout.residual, rollout.following_residual


def estimated(
    rollouts: Sequence[Rollout], rewards: Sequence[Floats], critic: Critic, rules: Rules
) -> Floats:
    """Return (ΣN,) generalised advantages of rewards (N,) of each rollout, with a critic."""
    parts = []
    for rollout, reward in zip(rollouts, rewards, strict=True):
        values, following = critic(rollout)
        parts.append(
            advantages(
                reward,
                values,
                following,
                rollout.decisions,
                gamma=rules.gamma,
                lam=rules.lam,
                bootstraps=rules.bootstraps or rollout.open_ended,
            )
        )
    return np.concatenate(parts)


def task_rewards(rollouts: Sequence[Rollout]) -> list[Floats]:
    """Return R (N,) of each rollout."""
    return [rollout.reward for rollout in rollouts]


def residuals(rollouts: Sequence[Rollout]) -> Floats:
    """Return f (ΣN,)."""
    return np.concatenate([rollout.residual for rollout in rollouts])


def spread(scores: Floats, rollouts: Sequence[Rollout]) -> Floats:
    """Return (ΣN,) each rollout's number (R,) at every one of its decisions."""
    return np.repeat(scores, [len(rollout) for rollout in rollouts])


def phi_ppo(rollouts: Sequence[Rollout], rules: Rules) -> Credit:
    """Φ-PPO: GAE of the task's rewards with V = Φ + f; the target of f is A + V − Φ = A + f."""
    advantage = estimated(rollouts, task_rewards(rollouts), anchored, rules)
    return Credit(advantage=advantage, target=advantage + residuals(rollouts))


def sparse_ppo(rollouts: Sequence[Rollout], rules: Rules) -> Credit:
    """PPO without Φ: GAE with V = f; the target of f is A + f."""
    advantage = estimated(rollouts, task_rewards(rollouts), unanchored, rules)
    return Credit(advantage=advantage, target=advantage + residuals(rollouts))


def phi_rloo(rollouts: Sequence[Rollout], rules: Rules) -> Credit:
    """Φ-RLOO: GAE with V = a + bΦ fitted to the returns of the previous batch; no critic."""

    def critic(rollout: Rollout) -> tuple[Floats, Floats]:
        return rules.fit.values(rollout.potential), rules.fit.values(rollout.following)

    return Credit(advantage=estimated(rollouts, task_rewards(rollouts), critic, rules))


def grpo(rollouts: Sequence[Rollout], rules: Rules) -> Credit:
    """Outcome GRPO: success, 0 or 1, less that of the others of the group, at every decision.

    As in Dr. GRPO (arXiv 2503.20783) nothing is divided by a group's spread or an episode's length;
    the loss must sum over decisions with a constant normaliser (`policies.objective`).
    """
    outcomes = np.array([float(rollout.success) for rollout in rollouts])
    return Credit(advantage=spread(leave_one_out(outcomes, rollouts), rollouts))


def rloo(rollouts: Sequence[Rollout], rules: Rules) -> Credit:
    """RLOO: the task's discounted return less that of the others of the group."""
    paid = np.array([rollout.task_return(rules.gamma) for rollout in rollouts])
    return Credit(advantage=spread(leave_one_out(paid, rollouts), rollouts))


def weighted_cloning(rollouts: Sequence[Rollout], rules: Rules) -> Credit:
    """Reward-weighted cloning: exp(A/β), clipped (AWR, arXiv 1910.00177, alg. 1), of mean 1.

    A is that of Φ-PPO, so f is learnt along with it; without a critic leave it 0.
    """
    given = phi_ppo(rollouts, rules)
    most = np.log(rules.largest_weight)
    raised = np.exp(np.minimum(given.advantage / rules.beta, most))
    return Credit(advantage=given.advantage, target=given.target, weight=raised / raised.mean())


def normalised(advantage: Floats) -> Floats:
    """Return advantages (ΣN,) less their mean over their standard deviation, zeros if constant.

    Over a whole batch this changes no best policy: the mean is a baseline, the scale a step size.
    """
    deviation = float(advantage.std())
    if deviation < SPREAD:
        return np.zeros_like(advantage)
    return np.asarray((advantage - advantage.mean()) / deviation)
