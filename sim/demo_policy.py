"""The end of the demo: a weak policy of a few demonstrations gets better by its own rollouts."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from robo_reward.cli import COMMANDS, choose

TASK = "open_drawer"
IMAGE_SIZE = 64
MIX = "expert=.6 early_release=.15 wrong_object=.15 stop=.1"
"""Shares of the behaviours that the reward model learns from."""


@dataclass(frozen=True, kw_only=True)
class PolicyDemo:
    """Collect, train a reward model, clone, refine; all in one directory."""

    out: Path
    """Directory of all that is made; what is there is replaced."""
    episodes: int
    """Simulated episodes to learn from."""
    steps: int
    """Training steps of the reward model."""
    demonstrations: int
    """Successful episodes that are cloned: few, for a start that can be bettered."""
    clone_steps: int
    """Steps of cloning."""
    rollouts: int
    """Episodes that the policy learns from by itself."""
    evaluate: int
    """Episodes of each evaluation."""

    def run(self) -> dict[str, float]:
        """Make all of it; return success at the start and at the end, and the rollouts between."""
        data, model = self.out / "episodes", self.out / "model"
        start, refined = self.out / "cloned", self.out / "refined"
        _do("collect", task=TASK, episodes=self.episodes, out=data, image_size=IMAGE_SIZE, mix=MIX)
        cache = {"cache": self.out / "cache"}
        _do("train", dataset=data, out=model, steps=self.steps, query_period=0.2, **cache)
        # a low rate, so that the clone is as weak as its steps are few
        weak = {"episodes": self.demonstrations, "learning_rate": 1e-3}
        _do("clone", dataset=data, out=start, steps=self.clone_steps, **weak, **cache)
        judged = {"reward": model, "references": data}
        played = {"env": TASK, "replan_steps": 8, "max_steps": 120, "rollouts": self.rollouts}
        groups = {"starts.rollouts": min(32, self.rollouts), "starts.group": 1}
        told = {"evaluate": self.evaluate, "evaluate_every": 5}
        _do("refine", policy=start, out=refined, **judged, **played, **groups, **told)
        return summed_up(refined)


def summed_up(refined: Path) -> dict[str, float]:
    """Return what the log of a refinement says of its start and its end."""
    lines = [json.loads(text) for text in (refined / "refine.jsonl").read_text().splitlines()]
    evaluations = [line for line in lines if "evaluation" in line]
    first, last = evaluations[0]["evaluation"], evaluations[-1]["evaluation"]
    return {
        "success_start": first["successes"] / first["count"],
        "success_end": last["successes"] / last["count"],
        "rollouts": evaluations[-1]["rollouts"],
        "evaluated": last["count"],
    }


def _do(command: str, **flags: Any) -> None:
    """Run a command: those that need a policy are in a package that may not be imported here."""
    words = [command, "--overwrite"]
    for name, value in flags.items():
        words += [f"--{name.replace('_', '-')}", str(value)]
    chosen = choose(COMMANDS, "robo-reward", words)
    assert chosen is not None
    chosen.run()
