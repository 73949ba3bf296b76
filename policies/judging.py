"""How often a policy succeeds: it is played without chance on fixed seeds."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np

from sim.beds import Bed
from sim.chunks import ChunkedEnv
from sim.workforce import WorkerError

from .evaluation import evaluate, wilson
from .fitting import check_fit
from .playing import Bar, Player
from .storing import StoredPolicy

LANES = 10
"""Environments at once, whatever the workers: so a policy is asked in the same batches."""


@dataclass(frozen=True, kw_only=True)
class Played:
    """How one episode went."""

    seed: int
    """Of the episode."""
    instruction: str
    """What was asked for."""
    success: bool
    """Whether it ended in success."""
    steps: int
    """Actions until it ended."""
    progress: float
    """The highest true progress at a decision or at the end."""


def play(
    stored: StoredPolicy,
    bed: Bed,
    seeds: Sequence[int],
    workers: int,
    bar: Bar = lambda *_, **__: None,
) -> list[Played]:
    """Return how an episode of each seed went, every environment at its own decision.

    Raises:
        InputError: If the policy does not fit the task.
        WorkerError: If a process that simulates is lost.
    """
    check_fit(stored, bed)
    size = max((max(size) for size in stored.about.images.values()), default=0)
    drawn = {"image_size": size, "render_every": stored.about.replan_steps}
    make = partial(bed.make, terminate_on_success=True, **drawn if size else {"pixels": False})
    envs = ChunkedEnv(make, min(LANES, len(seeds)), workers=workers)
    try:
        player = Player(envs, replan=stored.about.replan_steps, gamma=1.0)
        trials = evaluate(stored.policy, player, seeds, bar)
    finally:
        envs.close()
    lost = sum(trial.lost for trial in trials)
    if lost:
        raise WorkerError(
            f"{lost} episodes were lost with the processes that simulated them: look at the "
            "machine's memory; repeat the command"
        )
    return [
        Played(
            seed=trial.start.seed,
            instruction=trial.instruction,
            success=trial.success,
            steps=int(trial.decisions.steps.sum()),
            progress=float(trial.truth.max()),
        )
        for trial in trials
    ]


def summary(played: Sequence[Played]) -> dict[str, Any]:
    """Return figures of episodes: rates with their 95 % interval (Wilson 1927), means, and rows."""
    good = [one for one in played if one.success]
    words = sorted({one.instruction for one in played})
    return {
        "episodes": len(played),
        "successes": len(good),
        "success_rate": len(good) / len(played),
        "success_interval": list(wilson(len(good), len(played))),
        "progress": float(np.mean([one.progress for one in played])),
        "steps": float(np.mean([one.steps for one in played])),
        "steps_success": float(np.mean([one.steps for one in good])) if good else float("nan"),
        "by_instruction": {
            text: [sum(o.success for o in of), len(of)]
            for text in words
            for of in [[one for one in played if one.instruction == text]]
        },
        "rows": [asdict(one) for one in sorted(played, key=lambda one: one.seed)],
    }
