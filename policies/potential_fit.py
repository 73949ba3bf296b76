"""Φ fitted to what episodes really returned: a critic that needs no network.

V := a + b Φ, by least squares on the returns-to-go of a batch, used for the *next* one: fitted to
the batch it judges, a baseline would be biased by it. Raw Φ can make gradients noisier than none.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from robo_reward.errors import InputError
from robo_reward.shaping import Floats, advantages

from .rollout import Rollout

VARIES = 1e-9
"""Variances below it are those of a constant."""


@dataclass(frozen=True, kw_only=True)
class PotentialFit:
    """a and b of V = a + b Φ; before the first fit Φ itself, which needs no group."""

    offset: float = 0.0
    """a."""
    slope: float = 1.0
    """b, at least 0: a potential that runs against the returns is ignored, not turned round."""
    decisions: int = 0
    """How many decisions it was fitted to; 0: it was not."""

    def values(self, potential: Floats | float) -> Floats:
        """Return V of potentials, of their shape."""
        return np.asarray(self.offset + self.slope * np.asarray(potential, np.float64))

    def state(self) -> dict[str, float]:
        """Return what must be stored to go on."""
        return asdict(self)

    @classmethod
    def from_state(cls, state: Mapping[str, float]) -> "PotentialFit":
        """Return the fit that was stored.

        Raises:
            InputError: If it is not what `state` gave.
        """
        if set(state) != {"offset", "slope", "decisions"}:
            raise InputError(f"not a fit of the potential: it holds {sorted(state)}")
        return cls(
            offset=float(state["offset"]),
            slope=float(state["slope"]),
            decisions=int(state["decisions"]),
        )


def returns_to_go(
    rollout: Rollout, fit: PotentialFit, *, gamma: float, bootstraps: bool = True
) -> Floats:
    """Return G (N,) = R_n + γ^{k_n} G_{n+1}; after a truncation V of ``fit`` if that counts."""
    zeros = np.zeros(len(rollout))
    return advantages(
        rollout.reward,
        zeros,
        np.append(zeros[1:], fit.values(rollout.final_potential)),
        rollout.decisions,
        gamma=gamma,
        lam=1.0,
        bootstraps=bootstraps or rollout.open_ended,
    )


def fitted(
    rollouts: Sequence[Rollout], fit: PotentialFit, *, gamma: float, bootstraps: bool = True
) -> PotentialFit:
    """Return the fit to a batch, for the batch after it.

    ``fit`` is kept where the batch cannot tell: if the task paid every episode the same (all
    failed), or Φ was the same everywhere. To fit to nothing but failures would forget Φ just where
    it is all there is to learn from.
    """
    phi = np.concatenate([rollout.potential for rollout in rollouts])
    paid = np.array([rollout.task_return(gamma) for rollout in rollouts])
    if phi.var() < VARIES or paid.var() < VARIES:
        return fit
    goes = [returns_to_go(one, fit, gamma=gamma, bootstraps=bootstraps) for one in rollouts]
    returns = np.concatenate(goes)
    away = phi - phi.mean()
    slope = max(0.0, float(away @ returns) / float(away @ away))
    offset = float(returns.mean()) - slope * float(phi.mean())
    return PotentialFit(offset=offset, slope=slope, decisions=len(phi))
