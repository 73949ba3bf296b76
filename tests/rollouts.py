"""Small rollouts to work with by hand, and random ones."""

from typing import Any

import numpy as np

from policies.rollout import Rollout
from robo_reward.shaping import Decisions


def rollout(
    phi: list[float],
    *,
    reward: list[float] | None = None,
    final: float = 0.0,
    success: bool = False,
    truncated: bool = False,
    **more: Any,
) -> Rollout:
    """Return a rollout with Φ; unpaid, of one step a decision and without critic unless told.

    ``more``: ``steps``, ``residual`` (lists), ``final_residual``, ``group``, ``lost``.
    """
    count = len(phi)
    end = np.arange(count) == count - 1
    return Rollout(
        decisions=Decisions(
            steps=np.array(more.get("steps", [1] * count)),
            terminated=end & (not truncated),
            truncated=end & truncated,
        ),
        reward=np.array(reward if reward is not None else [0.0] * count, np.float64),
        potential=np.array(phi, np.float64),
        final_potential=final,
        residual=np.array(more.get("residual", [0.0] * count), np.float64),
        final_residual=more.get("final_residual", 0.0),
        group=more.get("group", 0),
        success=success,
        lost=more.get("lost", False),
    )


def random_rollouts(seed: int, count: int = 6, groups: int = 2) -> list[Rollout]:
    """Return rollouts of random lengths, numbers and ends."""
    rng = np.random.default_rng(seed)
    made = []
    for place in range(count):
        length = int(rng.integers(1, 9))
        success = bool(rng.random() < 0.5)
        made.append(
            rollout(
                rng.random(length).tolist(),
                reward=rng.normal(size=length).tolist(),
                final=float(rng.random()),
                success=success,
                truncated=not success,
                steps=rng.integers(1, 5, length).tolist(),
                residual=rng.normal(size=length).tolist(),
                final_residual=float(rng.normal()),
                group=place % groups,
            )
        )
    return made
