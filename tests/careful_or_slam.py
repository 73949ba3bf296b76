"""The choice between a careful and a hasty way, as a group in which every outcome has its share.

Both ways are taken half of the time. *Careful* takes 8 decisions, Φ rises evenly, and 9 of 10
succeed; the tenth is put down half-way. *Slam* takes 2, and 4 of 10 succeed; the others end right
beside the goal, where Φ is high. The gradient of the first decision's logit is then exact.
"""

from collections.abc import Callable, Sequence

import numpy as np
from rollouts import rollout

from policies.credit import Credit, Rules
from policies.rollout import Rollout

GAMMA = 0.99
CAREFUL, SLAM = 8, 2
"""Decisions of each way."""


def group() -> list[Rollout]:
    """Return 20 rollouts, the first 10 careful."""

    def way(decisions: int, end: float, success: bool) -> Rollout:
        phi = np.linspace(0.0, end, decisions + 1)
        paid = [0.0] * (decisions - 1) + [float(success)]
        return rollout(phi[:-1].tolist(), reward=paid, final=float(phi[-1]), success=success)

    careful = [way(CAREFUL, 1.0, True)] * 9 + [way(CAREFUL, 0.5, False)]
    slam = [way(SLAM, 1.0, True)] * 4 + [way(SLAM, 0.9, False)] * 6
    return careful + slam


def gradient(give: Callable[[Sequence[Rollout], Rules], Credit], lam: float = 1.0) -> float:
    """Return ∂/∂logit(careful) of what an algorithm maximises; the truth is above 0."""
    batch = group()
    credit = give(batch, Rules(gamma=GAMMA, lam=lam))
    pull = credit.advantage if credit.weight is None else credit.weight
    first = np.cumsum([0] + [len(one) for one in batch[:-1]])
    careful = np.arange(len(batch)) < len(batch) // 2
    return float((pull[first] * np.where(careful, 0.5, -0.5)).mean())


def truth() -> float:
    """Return the gradient of the expected discounted return: p (1 − p) (Q − Q)."""
    return 0.25 * (0.9 * GAMMA ** (CAREFUL - 1) - 0.4 * GAMMA ** (SLAM - 1))
