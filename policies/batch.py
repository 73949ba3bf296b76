"""What an update makes of episodes that were played: rollouts to learn from, figures to tell."""

from collections.abc import Sequence

import numpy as np

from .learner import Scores
from .rollout import Rollout
from .scoring import Potentials
from .trials import Trial


def rollouts_of(
    trials: Sequence[Trial],
    judged: Sequence[Potentials],
    scores: Sequence[Scores],
    *,
    critic: bool = False,
) -> list[Rollout]:
    """Return episodes as credit sees them.

    Args:
        trials: What was played.
        judged: What the potential said of each.
        scores: What the learner says of each.
        critic: Whether a critic is learnt; without one f is 0.
    """
    return [
        Rollout(
            decisions=trial.decisions,
            reward=trial.reward,
            potential=found.progress[:-1],
            final_potential=float(found.progress[-1]),
            residual=critic * said.residual[:-1],
            final_residual=critic * float(said.residual[-1]),
            group=trial.start.group,
            success=trial.success,
            lost=trial.lost,
            given_up=trial.given_up,
        )
        for trial, found, said in zip(trials, judged, scores, strict=True)
    ]


def said_of(trials: Sequence[Trial], judged: Sequence[Potentials]) -> dict[str, float]:
    """Return what the reward model said of an update, and how often it said nothing."""
    ends = np.array([found.progress[-1] for found in judged])
    failed = np.array([not trial.success for trial in trials])
    return {
        "potential_end": float(ends.mean()),
        "potential_end_failed": float(ends[failed].mean()) if failed.any() else float("nan"),
        "missing": float(sum(found.missing for found in judged)),
        "invalid": float(sum(found.invalid for found in judged)),
        "lost": float(sum(trial.lost for trial in trials)),
        "given_up": float(sum(trial.given_up for trial in trials)),
        "env_steps": float(sum(trial.decisions.steps.sum() for trial in trials)),
    }
