"""``robo-reward bench refine``: where the time of an update goes, and what more processes give."""

import contextlib
import io
import json
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np

from robo_reward.errors import InputError

from .clock import PARTS
from .config import LearnerConfig, StartConfig

if TYPE_CHECKING:
    from sim.beds import Bed


PLAYING = ("environment", "policy", "reward")
"""Parts of an update in which episodes are played."""


@dataclass(frozen=True, kw_only=True)
class BenchRefine:
    """Measure refinement: shares of environment, policy, reward and learner, steps per second.

    Example: robo-reward bench refine --json outputs/bench-refine.json

    An untrained policy and an untrained reward model are of the size of trained ones, so updates
    take as long; nothing is learnt. The first update of a run starts its processes and is left out.
    """

    json: Path | None = None
    """File that receives the figures."""
    env: str = "pick_to_bin"
    """Simulated task."""
    workers: tuple[int, ...] = (0, 1, 2)
    """Numbers of processes to compare; the shares are those of the last."""
    envs: int = 16
    """Environments that are played at once."""
    rollouts: int = 16
    """Episodes an update."""
    updates: int = 3
    """Timed updates of each run."""
    max_steps: int = 120
    """Control steps of an episode."""
    image_size: int = 64
    """Side of the views, in pixels."""
    seed: int = 0
    """Seed of weights and episodes."""
    learner: LearnerConfig = field(default_factory=lambda: LearnerConfig(warmup=0))

    def run(self) -> None:
        """Measure, print a table, and write the figures where asked.

        Raises:
            RoboRewardError: If a flag is unusable.
        """
        from data.bench_timing import check_flags, write_figures
        from sim.beds import find_bed

        check_flags(self.updates, self.json, envs=self.envs, rollouts=self.rollouts)
        if not self.workers or min(self.workers) < 0:
            raise InputError("--workers must name numbers of processes, 0 or more")
        bed = find_bed(self.env)
        figures: dict[str, float] = {}
        with TemporaryDirectory(prefix="robo-reward-bench-") as place:
            made = _ingredients(Path(place), bed, self.image_size, self.seed)
            for count in self.workers:
                lines = self._measure(Path(place) / f"run-{count}", made, count)
                figures |= summed_up(lines, count)
        _print(self.workers, figures)
        write_figures(self.json, figures)

    def _measure(self, out: Path, made: dict[str, Any], workers: int) -> list[dict[str, float]]:
        """Return what the log says of every timed update."""
        from .refine import Refine
        from .refine_log import LOG

        command = Refine(
            **made,
            env=self.env,
            out=out,
            rollouts=self.rollouts * (self.updates + 1),
            max_steps=self.max_steps,
            envs=self.envs,
            workers=workers,
            evaluate=1,
            evaluate_every=self.updates + 1,
            seed=self.seed,
            starts=StartConfig(rollouts=self.rollouts, group=1),
            learner=self.learner,
        )
        with contextlib.redirect_stdout(io.StringIO()):
            command.run()
        lines = [json.loads(line) for line in (out / LOG).read_text().splitlines()]
        return [line for line in lines if "seconds_wall" in line][1:]


def summed_up(lines: list[dict[str, float]], workers: int) -> dict[str, float]:
    """Return the figures of a run: shares of its wall time, and steps per second.

    ``environment`` is the time in which nothing was done but wait for environments. Rewards are
    judged meanwhile, so playing is environment, policy and reward together.
    """
    wall = sum(line["seconds_wall"] for line in lines)
    parts = (*PARTS, "overhead")
    shares = {part: sum(line[f"seconds_{part}"] for line in lines) / wall for part in parts}
    rates = [line["env_steps"] / line["seconds_wall"] for line in lines]
    played = [line["env_steps"] / sum(line[f"seconds_{p}"] for p in PLAYING) for line in lines]
    return shares | {
        f"steps_per_s_{workers}": median(rates),
        f"played_steps_per_s_{workers}": median(played),
    }


def _ingredients(place: Path, bed: "Bed", size: int, seed: int) -> dict[str, Any]:
    """Return an untrained policy, an untrained reward model, and pictures of a start and a goal."""
    import cv2
    import torch

    from robo_reward.checkpoint import ModelConfig, build, save
    from robo_reward.config import CompactConfig
    from robo_reward.model import ModelSettings

    from .about import About
    from .compact import CompactPolicy, CompactPolicyConfig
    from .storing import save_policy

    torch.manual_seed(seed)
    config = CompactPolicyConfig(
        views=bed.views,
        state_dim=len(bed.state_names),
        action_dim=len(bed.action_names),
        image_size=size,
    )
    about = About(
        replan_steps=config.chunk,
        fps=bed.fps,
        images=dict.fromkeys(bed.views, (size, size)),
        state_names=bed.state_names,
        action_names=bed.action_names,
    )
    save_policy(CompactPolicy(config), place / "policy", about)
    settings = ModelSettings(image_size=size)
    told = {"instructions": [bed.rules.wordings(goal)[0] for goal in bed.rules.goals]}
    model = ModelConfig(backbone=CompactConfig(image_size=size), settings=settings, training=told)
    save(place / "model", build(model.backbone), model)
    rng = np.random.default_rng(seed)
    for role in ("start", "goal"):
        (place / "references" / role).mkdir(parents=True)
        for view in bed.views:
            image = rng.integers(0, 256, (size, size, 3), dtype=np.uint8)
            cv2.imwrite(str(place / "references" / role / f"{view}.png"), image)
    return {
        "policy": place / "policy",
        "reward": str(place / "model"),
        "references": str(place / "references"),
    }


def _print(workers: tuple[int, ...], figures: dict[str, float]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("processes", "steps/s", "steps/s while playing", title="refinement")
    for count in workers:
        rates = (figures[f"steps_per_s_{count}"], figures[f"played_steps_per_s_{count}"])
        table.add_row(str(count), *(f"{rate:,.0f}" for rate in rates))
    Console().print(table)
    shares = ", ".join(f"{part} {figures[part]:.0%}" for part in (*PARTS, "overhead"))
    print(f"share of the wall time with {workers[-1]} processes: {shares}")
