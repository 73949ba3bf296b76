"""Potential-based shaping over decisions that last several steps, and the advantages of it.

A decision n executes k_n ≥ 1 steps from state s_n and is paid R_n = Σ_{j<k_n} γʲ r_{t+j}. Shaping
adds F_n = γ^{k_n} Φ(s_{n+1}) − Φ(s_n) (Ng, Harada and Russell, ICML 1999, theorem 1, with the
discount of a semi-Markov decision process). It leaves the order of policies as it was because the
sum over an episode telescopes to −Φ(s_0), which no action can change. For that:

- Φ is 0 after the task has terminated, however near the goal that was;
- where we only stopped watching (truncated), Φ of the *final* observation is kept if the learner
  bootstraps there, and is 0 otherwise;
- the number that is "next" for one decision is "current" for the one after: it is asked for once;
- γ is the learner's, and F is neither clipped nor centred nor scaled by running statistics.

Letters: N decisions of one environment in order, γ discount, λ trace.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .errors import InputError

type Floats = NDArray[np.float64]
type Ints = NDArray[np.int64]
type Bools = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Decisions:
    """N decisions of one environment in order, over any number of episodes."""

    steps: Ints
    """(N,) k_n, the steps that were *executed* of each, at least 1."""
    terminated: Bools
    """(N,) the task ended in it; an operator's "failure" is such an end."""
    truncated: Bools
    """(N,) we stopped watching in it: time was up, a server was lost, a worker was replaced."""

    def __post_init__(self) -> None:
        """Check the shapes against each other.

        Raises:
            InputError: If they differ, or a decision executes no step.
        """
        shapes = {name: getattr(self, name).shape for name in ("steps", "terminated", "truncated")}
        if len(set(shapes.values())) > 1 or self.steps.ndim != 1:
            raise InputError(f"steps, terminated and truncated must be alike (N,), got {shapes}")
        if (self.steps < 1).any():
            raise InputError("every decision executes at least 1 step")

    def __len__(self) -> int:
        """Return N."""
        return len(self.steps)


def check_discount(name: str, value: float) -> None:
    """Check a γ or λ.

    Raises:
        InputError: If it is not in [0, 1].
    """
    if not 0.0 <= value <= 1.0:
        raise InputError(f"{name} must be in [0, 1], got {value}")


def decision_reward(rewards: ArrayLike, gamma: float) -> float:
    """Return R = Σ γʲ r_j of the rewards (k,) of the steps that one decision executed.

    Raises:
        InputError: If there is none, or one is not finite.
    """
    steps = np.asarray(rewards, np.float64)
    check_discount("gamma", gamma)
    if steps.ndim != 1 or len(steps) == 0 or not np.isfinite(steps).all():
        raise InputError(f"rewards must be (k,) finite numbers of executed steps, got {rewards!r}")
    return float(steps @ gamma ** np.arange(len(steps)))


def counted(
    following: ArrayLike, terminated: ArrayLike, truncated: ArrayLike, *, bootstraps: bool
) -> Floats:
    """Return what counts of the values (…) of following states.

    It is 0 after the task has terminated, and where the learner does not bootstrap at a truncation.
    """
    dropped = np.asarray(terminated, np.bool_)
    if not bootstraps:
        dropped = dropped | np.asarray(truncated, np.bool_)
    return np.where(dropped, 0.0, np.asarray(following, np.float64))


def after(values: ArrayLike, final: ArrayLike, decisions: Decisions, *, bootstraps: bool) -> Floats:
    """Return (N,) the value of the state after each decision, 0 where none counts.

    Args:
        values: (N,) values of the states in which decisions were made.
        final: (N,) values of the observation after a decision, the episode's last one and never
            that of the reset; read where an episode was truncated, and after the last decision.
        decisions: What was decided.
        bootstraps: Whether the learner counts on what would have come after a truncation.

    Raises:
        InputError: If a shape is wrong, or a number that is read is not finite.
    """
    now, last = np.asarray(values, np.float64), np.asarray(final, np.float64)
    if now.shape != (len(decisions),) or last.shape != now.shape:
        raise InputError(
            f"values and final must be ({len(decisions)},), got {now.shape} and {last.shape}"
        )
    if len(decisions) == 0:
        return now
    following = np.append(now[1:], last[-1])
    following = np.where(decisions.truncated, last, following)
    ends = decisions.terminated, decisions.truncated
    following = counted(following, *ends, bootstraps=bootstraps)
    if not (np.isfinite(now).all() and np.isfinite(following).all()):
        raise InputError(
            "a potential or value is not finite; hold the last one where a verdict is missing "
            "(robo_reward.shaping.HeldPotential)"
        )
    return following


def shaping(
    potential: ArrayLike,
    final: ArrayLike,
    decisions: Decisions,
    *,
    gamma: float,
    bootstraps: bool = True,
) -> Floats:
    """Return F (N,) = γ^k Φ(s′) − Φ(s).

    Args:
        potential: (N,) Φ of the states in which decisions were made, each asked for once.
        final: (N,) Φ of the final observations, see `after`.
        decisions: What was decided.
        gamma: The learner's discount, per step.
        bootstraps: Whether the learner bootstraps where an episode was truncated.

    Raises:
        InputError: If γ is not in [0, 1], a shape is wrong, or a potential is not finite.
    """
    check_discount("gamma", gamma)
    following = after(potential, final, decisions, bootstraps=bootstraps)
    return gamma**decisions.steps * following - np.asarray(potential, np.float64)


def advantages(
    reward: ArrayLike,
    values: ArrayLike,
    final: ArrayLike,
    decisions: Decisions,
    *,
    gamma: float,
    lam: float,
    bootstraps: bool = True,
) -> Floats:
    """Return A (N,): generalised advantages (arXiv 1506.02438, eq. 16) over decisions.

    δ_n = R_n + γ^{k_n} V(s_{n+1}) − V(s_n), A_n = δ_n + γ^{k_n} λ A_{n+1}, where nothing follows an
    end, terminated or truncated. Identity: advantages of R + F with values V − Φ equal those of R
    with V, for every λ; so shaping is the same as a critic that is anchored at Φ, and λ says how
    far it is trusted.

    Args:
        reward: (N,) R_n, with or without F_n.
        values: (N,) V of the states in which decisions were made.
        final: (N,) V of the final observations, see `after`.
        decisions: What was decided.
        gamma: Discount per step.
        lam: λ per decision.
        bootstraps: Whether what would have come after a truncation counts.

    Raises:
        InputError: If γ or λ is not in [0, 1], a shape is wrong, or a number is not finite.
    """
    check_discount("gamma", gamma)
    check_discount("lam", lam)
    paid, now = np.asarray(reward, np.float64), np.asarray(values, np.float64)
    following = after(now, final, decisions, bootstraps=bootstraps)
    if paid.shape != now.shape or not np.isfinite(paid).all():
        raise InputError(f"reward must be ({len(decisions)},) finite numbers, got {paid.shape}")
    discount = gamma**decisions.steps
    deltas = paid + discount * following - now
    carried = np.where(decisions.terminated | decisions.truncated, 0.0, discount * lam)
    result = np.empty_like(deltas)
    later = 0.0
    for n in range(len(deltas) - 1, -1, -1):
        later = result[n] = deltas[n] + carried[n] * later
    return result


@dataclass(kw_only=True)
class HeldPotential:
    """The potential of one episode: the last verdict that counts, 0 before the first.

    While a verdict is missing or invalid the potential stays what it was, so the sum over the
    episode still telescopes.
    """

    value: float = 0.0
    """Φ now."""
    missing: int = 0
    """Verdicts that were not there."""
    invalid: int = 0
    """Verdicts that were there and did not count."""

    def update(self, progress: float, *, valid: bool = True) -> float:
        """Return the potential after a verdict; NaN stands for none.

        Raises:
            InputError: If progress is not in [0, 1].
        """
        if np.isnan(progress):
            self.missing += 1
        elif not 0.0 <= progress <= 1.0:
            raise InputError(f"a potential is a progress in [0, 1], got {progress}")
        elif not valid:
            self.invalid += 1
        else:
            self.value = float(progress)
        return self.value
