"""``robo-reward bench sim``: what environments cost, as ratios to MuJoCo alone in the same run."""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from data.bench_timing import check_flags, write_figures

from .workforce import do_jobs

if TYPE_CHECKING:
    from .env import TabletopEnv

_RAW_S = 3.0


@dataclass(frozen=True, kw_only=True)
class BenchSim:
    """Measure environments: one alone, several in processes, rare images, and Meta-World.

    Example: robo-reward bench sim --json outputs/bench-sim.json

    All of it plays the same random actions, in turn, a part of each in every round; the best
    round of each counts, since whatever else runs can only add to it. CPU time is that of all
    processes together, so a busy machine changes it little.
    """

    json: Path | None = None
    """File that receives the figures."""
    seed: int = 0
    """Seed of episodes and actions."""
    task: str = "pick_to_bin"
    """Task that is played."""
    image_size: int = 128
    """Width and height of the three views in pixels."""
    steps: int = 20
    """Steps of each part in a round."""
    repeats: int = 25
    """Rounds."""
    envs: int = 4
    """Environments in each process of the vector environment."""

    def run(self) -> None:
        """Measure, print a table, and write the figures where asked.

        Raises:
            RoboRewardError: If a flag is unusable, or images cannot be drawn.
        """
        check_flags(self.repeats, self.json, steps=self.steps, envs=self.envs)
        figures = self.measure()
        show(figures)
        write_figures(self.json, figures)

    def measure(self) -> dict[str, float]:
        """Return the figures; ``metaworld_gain`` is NaN where Meta-World is not installed."""
        from .vector import SimVectorEnv

        seeing, blind, rare = self._env(), self._env(pixels=False), self._env(render_every=8)
        cores = len(os.sched_getaffinity(0))
        make = partial(_make, self.task, self.image_size)
        alone = SimVectorEnv(make, cores * self.envs, workers=0)
        spread = SimVectorEnv(make, cores * self.envs, workers=cores)

        def begin() -> None:
            for env in (seeing, blind, rare, alone, spread):
                env.reset(seed=self.seed)

        begin()
        work: dict[str, Callable[[], Any]] = {
            "raw_pixels": partial(raw, seeing, servos(seeing, self.steps, self.seed), draw=True),
            "raw_state": partial(raw, blind, servos(blind, self.steps, self.seed), draw=False),
            "pixels": partial(play, seeing, self.steps, self.seed),
            "state": partial(play, blind, self.steps, self.seed),
            "rare": partial(play, rare, self.steps, self.seed),
            "sync": partial(play_many, alone, self.steps, self.seed),
            "vector": partial(play_many, spread, self.steps, self.seed),
        }
        try:
            cpu, wall = rounds(work, self.repeats, begin=begin, pids=spread.pids)
        finally:
            alone.close()
            spread.close()
        return {
            "pixels_over_raw": cpu["raw_pixels"] / cpu["pixels"],
            "state_over_raw": cpu["raw_state"] / cpu["state"],
            "vector_per_cpu": cpu["sync"] / cpu["vector"],
            "vector_wall": wall["sync"] / wall["vector"],
            "raw_wall": raw_wall(make, cores),
            "metaworld_gain": metaworld_gain(),
            "render_every_gain": cpu["pixels"] / cpu["rare"],
            "pixels_steps_per_cpu_s": self.steps / cpu["pixels"],
            "state_steps_per_cpu_s": self.steps / cpu["state"],
            "vector_steps_per_s": self.steps * cores * self.envs / wall["vector"],
            "cores": cores,
            "image_size": self.image_size,
        }

    def _env(self, **how: Any) -> "TabletopEnv":
        from .env import TabletopEnv

        options = {"image_size": self.image_size, "terminate_on_success": False, **how}
        env = TabletopEnv(self.task, **options)
        env.reset(seed=self.seed)
        return env


def _make(task: str, image_size: int) -> "TabletopEnv":
    from .env import TabletopEnv

    return TabletopEnv(task, image_size=image_size, terminate_on_success=False)


def servos(env: "TabletopEnv", steps: int, seed: int) -> list[Any]:
    """Return what the servos are told at each step of the same actions."""
    told = []
    for action in moves(steps, seed):
        env.step(action)
        told.append(env.world.data.ctrl.copy())
    return told


def raw(env: "TabletopEnv", told: list[Any], *, draw: bool) -> None:
    """Run MuJoCo as an environment would, without one: physics, and three images if asked."""
    import mujoco

    from .env import SUBSTEPS

    model, data = env.world.model, env.world.data
    for control in told:
        data.ctrl[:] = control
        mujoco.mj_step(model, data, SUBSTEPS)
        if draw:
            env.draw()


def raw_wall(make: "Callable[[], TabletopEnv]", processes: int) -> float:
    """Return how much faster MuJoCo alone is in several processes than in one.

    This is what the machine allows: cores may be halves of one, or be lent out elsewhere.
    """
    work = partial(raw_rate, make)
    alone, together = (
        sum(rate for _, rate in do_jobs([_RAW_S] * count, work, workers=count, deadline=120.0))
        for count in (1, processes)
    )
    return float(together / alone)


def raw_rate(make: "Callable[[], TabletopEnv]", seconds: float) -> float:
    """Return the steps per second of MuJoCo alone, images included, over some seconds."""
    env = make()
    env.reset(seed=0)
    told, steps = servos(env, 20, 0), 0
    raw(env, told, draw=True)
    begun = time.perf_counter()
    while time.perf_counter() - begun < seconds:
        raw(env, told, draw=True)
        steps += len(told)
    return steps / (time.perf_counter() - begun)


def play(env: "TabletopEnv", steps: int, seed: int) -> None:
    """Take steps of small random actions in an environment that was reset."""
    for action in moves(steps, seed):
        env.step(action)


def play_many(env: Any, steps: int, seed: int) -> None:
    """Take steps of the same small random actions in all environments."""
    for action in moves(steps, seed):
        env.step(np.broadcast_to(action, (env.num_envs, len(action))))


def moves(steps: int, seed: int) -> Any:
    """Return random actions (steps, 5) that come back: each is followed by its opposite."""
    half = np.random.default_rng(seed).uniform(-0.3, 0.3, ((steps + 1) // 2, 5))
    return np.stack([half, -half], axis=1).reshape(-1, 5)[:steps].astype(np.float32)


def rounds(
    work: dict[str, Callable[[], Any]],
    repeats: int,
    *,
    begin: Callable[[], Any],
    pids: Callable[[], list[int]],
) -> tuple[dict[str, float], dict[str, float]]:
    """Return the least CPU and wall seconds of each part, done in turn; one round to warm up.

    Args:
        work: Name → what to do.
        repeats: Timed rounds.
        begin: Called before each round, not timed.
        pids: Returns the processes whose CPU time counts beside that of this one.
    """
    cpu: dict[str, list[float]] = {name: [] for name in work}
    wall: dict[str, list[float]] = {name: [] for name in work}
    for number in range(repeats + 1):
        begin()
        for name, part in work.items():
            begun, used = time.perf_counter(), cpu_seconds(pids())
            part()
            if number:
                cpu[name].append(cpu_seconds(pids()) - used)
                wall[name].append(time.perf_counter() - begun)
    return (
        {name: min(values) for name, values in cpu.items()},
        {name: min(values) for name, values in wall.items()},
    )


def cpu_seconds(pids: list[int]) -> float:
    """Return the CPU seconds used so far by this process and others."""
    total = time.process_time()
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        total += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return total


def metaworld_gain() -> float:
    """Return how much faster Meta-World is with our flags than as it comes; NaN without it."""
    from importlib.util import find_spec

    if find_spec("metaworld") is None:
        return float("nan")
    from .metaworld.speed import speed_gain

    return speed_gain().ratio


def show(figures: dict[str, float]) -> None:
    """Print the ratios with what they compare."""
    from rich.console import Console
    from rich.table import Table

    told = {
        "pixels_over_raw": "one environment with images: share of what MuJoCo alone does",
        "state_over_raw": "one environment without images: share of what MuJoCo alone does",
        "vector_per_cpu": "processes: steps per CPU second against this process",
        "vector_wall": "processes: steps per second against this process",
        "raw_wall": "the same of MuJoCo alone: what the machine allows",
        "render_every_gain": "images at every 8th step: step rate against every step",
        "metaworld_gain": "Meta-World: step rate with our flags against as it comes",
    }
    table = Table("ratio", "", title="simulation", title_justify="left")
    for name, meaning in told.items():
        value = figures[name]
        table.add_row("not installed" if value != value else f"{value:.2f}", meaning)
    Console(width=100).print(table)
