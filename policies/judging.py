"""How often a policy succeeds: it is played without chance on fixed seeds."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode

from robo_reward.acting import Floats, Situation
from sim.beds import Bed
from sim.vector import SimVectorEnv
from sim.workforce import WorkerError

from .fitting import check_fit
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
    """The highest true progress."""


def play(stored: StoredPolicy, bed: Bed, seeds: Sequence[int], workers: int) -> Iterator[Played]:
    """Play an episode of each seed and yield how they went, in the order in which they end.

    Every environment is at its own decision: it executes its own chunk as far as it is executed,
    and the policy is asked for all that need a new one at once.

    Raises:
        InputError: If the policy does not fit the task.
        WorkerError: If a process that simulates is lost again and again.
    """
    check_fit(stored, bed)
    make = partial(
        bed.make,
        image_size=max(max(size) for size in stored.about.images.values()),
        render_every=stored.about.replan_steps,
        terminate_on_success=True,
    )
    count = min(LANES, len(seeds))
    envs = SimVectorEnv(make, count, workers=workers, autoreset_mode=AutoresetMode.DISABLED)
    try:
        yield from _episodes(stored, envs, list(seeds))
    finally:
        envs.close()


def _episodes(stored: StoredPolicy, envs: SimVectorEnv, waiting: list[int]) -> Iterator[Played]:
    count, executed = envs.num_envs, stored.about.replan_steps
    seeds = [waiting.pop(0) for _ in range(count)]
    seen, _ = envs.reset(seed=seeds)
    asked = _words(envs)
    steps, best = np.zeros(count, np.int64), np.zeros(count)
    busy = np.ones(count, np.bool_)
    chunks: Floats = np.zeros((count, executed, len(stored.about.action_names)), np.float32)
    while busy.any():
        due = np.flatnonzero(steps % executed == 0)
        if len(due):
            situation = _situation(stored, seen, asked).rows(due.tolist())
            chunks[due] = stored.policy.act(situation)[:, :executed]
        seen, _, ended, cut, info = envs.step(chunks[np.arange(count), steps % executed])
        steps += 1
        best = np.maximum(best, info["progress"])
        over = ended | cut
        for row in np.flatnonzero(over & busy).tolist():
            if "lost" in info and info["lost"][row]:
                raise WorkerError(str(info["worker_error"][row]))
            yield Played(
                seed=seeds[row],
                instruction=asked[row],
                success=bool(info["is_success"][row]),
                steps=int(steps[row]),
                progress=float(best[row]),
            )
            busy[row] = bool(waiting)
            seeds[row] = waiting.pop(0) if waiting else seeds[row]
        if over.any() and busy.any():
            seen, _ = envs.reset(seed=seeds, options={"reset_mask": over})
            asked = _words(envs)
            steps[over], best[over] = 0, 0.0


def _situation(stored: StoredPolicy, seen: dict[str, Any], asked: Sequence[str]) -> Situation:
    views = {name: seen["pixels"][name] for name in stored.about.images}
    return Situation(views=views, state=seen["agent_pos"], instructions=asked)


def _words(envs: SimVectorEnv) -> list[str]:
    found: tuple[str, ...] = envs.call("task_description")
    return list(found)


def summary(played: Sequence[Played]) -> dict[str, Any]:
    """Return figures of episodes: rates with their 95 % interval (Wilson 1927), means, and rows."""
    from scipy.stats import binomtest

    good = [one for one in played if one.success]
    interval = binomtest(len(good), len(played)).proportion_ci(method="wilson")
    words = sorted({one.instruction for one in played})
    return {
        "episodes": len(played),
        "successes": len(good),
        "success_rate": len(good) / len(played),
        "success_interval": [float(interval.low), float(interval.high)],
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
