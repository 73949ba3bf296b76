r"""From one demonstration to a policy: adapt the reward model, clone, refine; success by rollouts.

The base has never seen the task. What is there is not made again:
    python scripts/one_shot.py --model outputs/base --rehearse outputs/data/* \
        --task metaworld/lever-pull --out outputs/one-shot
"""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro
from refine_study import curve

MARKED = 150
"""Rollouts at which the published system is quoted (arXiv 2512.23703: 95 % on real arms)."""
SPARSE = "sparse"


@dataclass(frozen=True, kw_only=True)
class OneShot:
    """Go the whole way."""

    model: Path
    """Reward model of other tasks."""
    out: Path
    rehearse: tuple[str, ...] = ()
    """What it was trained on."""
    task: str = "metaworld/lever-pull"
    demonstration: str = ""
    """A dataset of one success that is there already."""
    adapted: Path | None = None
    """The adapted model, if it is there already."""
    adapt_steps: int = 170
    clone_steps: int = 200
    chunk: int = 16
    max_steps: int = 240
    gamma: float = 0.9975
    """At 80 steps a second as long a view as .99 at 20."""
    rollouts: int = 480
    seeds: int = 3
    minibatch: int = 32
    epochs: int = 4
    """Many small steps of an update, since there are few rollouts."""
    cache: Path = Path("outputs/cache")

    def run(self) -> None:
        """Make what is missing and print the table."""
        shown = self.demonstration or str(self.out / "demonstration")
        start, adapted = self.out / "start", self.adapted or self.out / "model"
        cache = ("--cache", self.cache)
        if not Path(shown).exists():
            one = ("--episodes", 1, "--image-size", 96, "--mix", "expert=1")
            _call("collect", "--task", self.task, "--out", shown, *one)
        if not adapted.exists():
            kept = ("--rehearse", *self.rehearse) if self.rehearse else ()
            new = ("--dataset", shown, "--out", adapted, "--steps", self.adapt_steps)
            _call("adapt", "--model", self.model, *new, *kept, *cache)
        if not start.exists():
            shape = ("--chunk", self.chunk, "--replan-steps", self.chunk)
            how = ("--steps", self.clone_steps, "--learning-rate", 1e-3)
            _call("clone", "--dataset", shown, "--out", start, *how, *shape, *cache)
        print("| potential | seed | rollouts | success |\n|---|---|---|---|")
        for seed in range(self.seeds):
            for potential in (str(adapted), SPARSE):
                self._refine(potential, shown, start, seed)

    def _refine(self, potential: str, shown: str, start: Path, seed: int) -> None:
        name = SPARSE if potential == SPARSE else "adapted"
        out = self.out / f"{name}-{seed}"
        asked = ("--reward", potential, "--references", shown)
        how = ("--algorithm", "ppo") if potential == SPARSE else asked
        # batches of 30, judged every 5 updates: at 0, 150, 300, …
        budget = ("--rollouts", self.rollouts, "--starts.rollouts", 30, "--starts.group", 1)
        game: tuple[Any, ...] = ("--env", self.task, "--max-steps", self.max_steps)
        game += ("--gamma", self.gamma, "--workers", 0)
        steps = ("--learner.minibatch", self.minibatch, "--learner.epochs", self.epochs)
        _call(
            "refine", "--policy", start, "--out", out, "--seed", seed, *game, *budget, *how, *steps
        )
        at, rates, _, _ = curve(out)
        marks = " ".join(f"**{n}**" if n == MARKED else str(n) for n in at)
        print(f"| {name} | {seed} | {marks} | {' '.join(f'{rate:.2f}' for rate in rates)} |")


def _call(*args: Any) -> None:
    command = [str(Path(sys.executable).with_name("robo-reward")), *map(str, args)]
    print(" ".join(["robo-reward", *map(str, args)]), file=sys.stderr, flush=True)
    subprocess.run(command, check=True, stdout=sys.stderr)


if __name__ == "__main__":
    tyro.cli(OneShot).run()
