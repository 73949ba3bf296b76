r"""What a wrong reward model costs: shaping against progress as the reward, from one start.

A learned model is corrupted in three ways: shown start and goal exchanged in half of the episodes,
given noise, stuck. Short runs of both algorithms with each, and with the model as it is:
    STUDY=outputs/study/open_drawer
    python scripts/corrupted_study.py --policy $STUDY/start --model $STUDY/model \
        --references $STUDY/demonstrations --out outputs/corrupted
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import tyro
from refine_study import curve

from policies.config import StartConfig
from policies.refine import Refine
from policies.refining import Refinement
from policies.scoring import Judged, Judging, Potentials, Scorer, judge
from policies.trials import Moment, Trial
from robo_reward.protocols import References
from robo_reward.shaping import Floats

NOISE, STUCK = 0.15, 0.9
ALGORITHMS = ("phi-ppo", "unsound-progress-as-reward")


class Afterwards(Judging):
    """Judges episodes when they are over, and remembers nothing."""

    def begin(self) -> Judging:
        """Return itself."""
        return self

    def see(self, moments: Sequence[Moment]) -> dict[int, float]:
        """Return nothing."""
        del moments
        return {}


@dataclass(frozen=True)
class Turned(Afterwards):
    """A model that is shown start and goal exchanged in every second episode."""

    honest: Scorer
    turned: Scorer

    def potentials(self, trials: Sequence[Trial]) -> list[Potentials]:
        """Return the potentials of each."""
        right, wrong = judge(self.honest, trials), judge(self.turned, trials)
        return [wrong[i] if t.start.group % 2 else right[i] for i, t in enumerate(trials)]


@dataclass(frozen=True)
class Changed(Afterwards):
    """A model whose Φ is something else than it was."""

    honest: Scorer
    change: Callable[[Trial, Floats], Floats]

    def potentials(self, trials: Sequence[Trial]) -> list[Potentials]:
        """Return the potentials of each."""
        return [
            replace(told, progress=self.change(trial, told.progress))
            for trial, told in zip(trials, judge(self.honest, trials), strict=True)
        ]


def noisy(trial: Trial, progress: Floats) -> Floats:
    """Return Φ with noise of a deviation of `NOISE`, the same whenever an episode is asked for."""
    rng = np.random.default_rng([trial.start.seed, len(trial), trial.start.group])
    return np.clip(progress + NOISE * rng.standard_normal(len(progress)), 0.0, 1.0)


def stuck(trial: Trial, progress: Floats) -> Floats:
    """Return the same Φ everywhere."""
    return np.full_like(progress, STUCK)


def corrupted(kind: str, honest: Scorer) -> Scorer:
    """Return a scorer that is wrong in a way."""
    if kind == "as it is":
        return honest
    if kind != "wrong goals":
        return Changed(honest, {"noise": noisy, "stuck": stuck}[kind])
    assert isinstance(honest, Judged)
    find = honest.references

    def exchanged(instruction: str) -> References:
        found = find(instruction)
        return References(start=found.goal, goal=found.start)

    return Turned(honest, Judged(honest.model, exchanged))


@dataclass(frozen=True, kw_only=True)
class Study:
    """Refine with models that are wrong."""

    policy: Path
    model: Path
    references: str
    out: Path
    env: str = "open_drawer"
    kinds: tuple[str, ...] = ("as it is", "wrong goals", "noise", "stuck")
    algorithms: tuple[str, ...] = ALGORITHMS
    seeds: int = 2
    rollouts: int = 480
    replan_steps: int = 8
    max_steps: int = 120

    def run(self) -> None:
        """Run what is missing and print the table."""
        runs = [
            (seed, kind, name)
            for seed in range(self.seeds)
            for kind in self.kinds
            for name in self.algorithms
        ]
        for run in runs:
            self._refine(*run)
        print("| model | algorithm | start | success after each evaluation |\n|---|---|---|---|")
        for kind in self.kinds:
            for name in self.algorithms:
                rates = [curve(self._place(seed, kind, name))[1] for seed in range(self.seeds)]
                told = "; ".join(" ".join(f"{rate:.2f}" for rate in found[1:]) for found in rates)
                print(f"| {kind} | {name} | {rates[0][0]:.2f} | {told} |")

    def _place(self, seed: int, kind: str, algorithm: str) -> Path:
        return self.out / f"{kind.replace(' ', '-')}-{algorithm}-{seed}"

    def _refine(self, seed: int, kind: str, algorithm: str) -> None:
        command = Refine(
            policy=self.policy,
            env=self.env,
            out=self._place(seed, kind, algorithm),
            reward=str(self.model),
            references=self.references,
            algorithm=algorithm,
            rollouts=self.rollouts,
            replan_steps=self.replan_steps,
            max_steps=self.max_steps,
            workers=0,
            seed=seed,
            starts=StartConfig(group=1),
        )
        with Refinement(command) as run:
            run.setting.scorer = corrupted(kind, run.setting.scorer)
            print(json.dumps({"model": kind, "algorithm": algorithm, "seed": seed}), flush=True)
            print(run.run(), flush=True)


if __name__ == "__main__":
    tyro.cli(Study).run()
