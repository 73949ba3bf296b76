"""``robo-reward eval --policy``: how often a policy succeeds in simulation, on fixed seeds."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from robo_reward.config import at_least
from robo_reward.console import progress_bar
from robo_reward.errors import InputError, OutputError
from robo_reward.files import finite, write_atomically

if TYPE_CHECKING:
    from .storing import StoredPolicy


@dataclass(frozen=True, kw_only=True)
class JudgePolicy:
    """Play a policy on simulated episodes that training never saw, and tell how often it succeeds.

    Example: robo-reward eval --policy outputs/pick-policy --env pick_to_bin --episodes 50

    Actions are those that the policy holds best, without chance.
    """

    policy: Path
    """Directory of the policy, ours or LeRobot's, or a hub id."""
    env: str = ""
    """What to play: a task of ``robo-reward collect``; if not given, the one it was taught."""
    robot: str = ""
    """Robot, of those that play the task; if not given, the policy's own."""
    out: Path | None = None
    """Directory for eval.json; if not given, that of the policy."""
    variety: tuple[str, ...] | None = None
    """What varies from episode to episode, as with ``robo-reward collect``."""
    episodes: int = 50
    """How many, each of its own seed."""
    seed: int = 0
    """The first of them, counted within the held-out seeds (`sim.seeds`)."""
    replan_steps: int | None = None
    """Actions of a chunk to execute, if other than those that the policy was stored with."""
    workers: int = 0
    """Processes that simulate; 0 is this one. The episodes do not depend on it."""
    overwrite: bool = False
    """Replace figures that are there."""
    dry_run: bool = False
    """Say what would be done, and stop."""

    def __post_init__(self) -> None:
        """Refuse settings that leave nothing to play."""
        at_least(1, "--episodes", self.episodes)
        at_least(0, "--seed", self.seed)
        at_least(0, "--workers", self.workers)

    def run(self) -> None:
        """Play, print the figures and where they are.

        Raises:
            RoboRewardError: With one sentence for whatever the user can mend.
        """
        from data.places import try_out, written
        from sim.beds import find_bed
        from sim.render import require_backend
        from sim.seeds import seeds

        from .fitting import check_fit, remarks
        from .judging import play, summary
        from .storing import FIGURES

        path = self._place() / FIGURES
        if path.exists() and not self.overwrite:
            raise OutputError(f"{path} exists: --overwrite replaces it; or choose another --out")
        stored = self._stored()
        task = self.env or stored.about.task
        if not task:
            raise InputError(f"{self.policy} does not say what it was taught; say it with --env")
        own = not task.startswith("metaworld/")
        robot = self.robot or (stored.about.robot if own else "")
        bed = find_bed(task, robot=robot, variety=self.variety)
        check_fit(stored, bed)
        chosen = seeds("held-out", self.episodes, start=self.seed)
        print(
            f"{task} on {bed.robot}, seeds {chosen[0]} to {chosen[-1]}, "
            f"{stored.about.replan_steps} of {stored.policy.chunk} actions of each chunk",
            *remarks(stored.about),
            sep="\n",
        )
        if self.dry_run:
            return
        require_backend()
        try_out(path.parent)
        with progress_bar("play", self.episodes, "episodes") as bar:
            played = play(stored, bed, chosen, self.workers, bar)
        told = self._about(stored, task) | summary(played)
        with written(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, json.dumps(finite(told), indent=1).encode())
        _print(told)
        print(f"figures: {path}")

    def _place(self) -> Path:
        if self.out is None and not self.policy.is_dir():
            raise InputError(
                f"{self.policy} is no directory here: say with --out where the figures go"
            )
        return self.out or self.policy

    def _stored(self) -> "StoredPolicy":
        from dataclasses import replace

        from .storing import load_policy

        stored = load_policy(self.policy)
        if self.replan_steps is None:
            return stored
        if not 1 <= self.replan_steps <= stored.policy.chunk:
            raise InputError(
                f"--replan-steps must be between 1 and the policy's chunk of {stored.policy.chunk},"
                f" got {self.replan_steps}"
            )
        return replace(stored, about=replace(stored.about, replan_steps=self.replan_steps))

    def _about(self, stored: "StoredPolicy", task: str) -> dict[str, Any]:
        return {
            "policy": str(self.policy),
            "policy_fingerprint": stored.fingerprint,
            "env": task,
            "seed": self.seed,
            "replan_steps": stored.about.replan_steps,
        }


def _print(told: dict[str, Any]) -> None:
    low, high = told["success_interval"]
    print(f"succeeded  {told['successes']} of {told['episodes']}", end="")
    print(f" = {told['success_rate']:.3f} [{low:.3f}, {high:.3f}] (Wilson, 95 %)")
    print(f"progress   {told['progress']:.3f} (mean of the highest)")
    print(f"steps      {told['steps']:.0f} (mean), {told['steps_success']:.0f} of successes")
    for words, (count, of) in told["by_instruction"].items():
        print(f"  {count:>3} of {of:<3} {words}")
