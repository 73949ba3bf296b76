"""``robo-reward collect``: simulated episodes with their truth as a LeRobotDataset."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from robo_reward.errors import InputError

if TYPE_CHECKING:
    from .tasks import Task

DEFAULT_MIX = "expert=.45 noise=.1 early_release=.15 wrong_object=.15 pause=.05 miss=.1"


@dataclass(frozen=True, kw_only=True)
class Collect:
    """Collect simulated episodes, successes and failures, with the true progress of each frame.

    Example: robo-reward collect --out outputs/bin --episodes 100 --mix "expert=.6 noise=.4"
    """

    out: Path
    """Directory of the dataset to make."""
    episodes: int = 100
    """How many episodes."""
    seed: int = 0
    """Seed of the first episode; the next ones count up."""
    mix: str = DEFAULT_MIX
    """Shares of the behaviours: expert, noise, early_release, wrong_object, pause, miss."""
    image_size: int = 128
    """Width and height of the three views in pixels."""
    storage: Literal["h264", "av1", "images"] = "h264"
    """How images are kept: video, or PNG in parquet."""
    workers: int = 0
    """Processes that simulate; 0 is one per core. The dataset does not depend on it."""
    overwrite: bool = False
    """Replace a dataset that is there already."""
    dry_run: bool = False
    """Say what would be collected, and stop."""

    def run(self) -> None:
        """Collect.

        Raises:
            InputError: If a flag has an unusable value.
            OutputError: If the dataset cannot be written there.
            RenderError: If images cannot be drawn on this machine.
        """
        from data.writer import DatasetWriter
        from robo_reward.console import progress_bar

        from .env import FPS
        from .render import check_size
        from .rollouts import assign, features, parse_mix, rollout_episodes
        from .scene import CAMERAS
        from .tasks import make_task

        self._check_numbers()
        size, task = check_size(self.image_size), make_task("pick_to_bin")
        behaviours = assign(parse_mix(self.mix), self.episodes, self.seed)
        writer = DatasetWriter(
            self.out,
            fps=FPS,
            image_shapes=dict.fromkeys(CAMERAS, (size, size, 3)),
            features=features(task.goals),
            robot_type="panda",
            storage=self.storage,
            overwrite=self.overwrite,
            description=self._description(task),
        )
        counts = {name: behaviours.count(name) for name in dict.fromkeys(behaviours)}
        plan = ", ".join(f"{count} {name}" for name, count in sorted(counts.items()))
        if self.dry_run:
            print(f"would collect {self.episodes} episodes ({plan}) into {self.out}")
            return
        workers = self.workers or len(os.sched_getaffinity(0))
        episodes = rollout_episodes(
            behaviours, seed=self.seed, image_size=size, workers=min(workers, self.episodes)
        )
        frames = successes = 0
        with progress_bar("collecting", self.episodes, "episodes") as bar, writer:
            for episode in episodes:
                writer.add_episode(episode.rows, task=episode.task, columns=episode.columns)
                frames += len(episode.rows)
                successes += episode.columns["failure_mode"] == "none"
                bar(note=f"{successes} successes")
        print(f"{self.episodes} episodes ({plan}), {successes} successes, {frames} frames")
        print(f"dataset: {self.out}")

    def _check_numbers(self) -> None:
        for flag, value, least in (
            ("--episodes", self.episodes, 1),
            ("--seed", self.seed, 0),
            ("--workers", self.workers, 0),
        ):
            if value < least:
                raise InputError(f"{flag} is {value}; it must be {least} or more")

    def _description(self, task: "Task") -> dict[str, Any]:
        from importlib.metadata import version

        wordings = {goal: task.wordings(goal) for goal in task.goals}
        return {
            "goals": {goal: texts[0] for goal, texts in wordings.items()},
            "paraphrases": {texts[0]: list(texts[1:]) for texts in wordings.values()},
            "versions": {name: version(name) for name in ("robo-reward", "mujoco", "numpy")},
            "task": task.name,
            "seed": self.seed,
            "mix": self.mix,
        }
