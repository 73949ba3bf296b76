"""``robo-reward collect``: simulated episodes with their truth as a LeRobotDataset."""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from robo_reward.errors import InputError, RoboRewardError

if TYPE_CHECKING:
    from .pieces import Plan

DEFAULT_MIX = (
    "expert=.4 noise=.1 early_release=.12 wrong_object=.12 pause=.04 miss=.08 detour=.04 "
    "recovery=.05 stop=.05"
)
"""Shares of the behaviours; those that a task does not know are left out."""
DEADLINE_S = 60.0
"""Seconds that an episode may take before its process counts as hung."""


@dataclass(frozen=True, kw_only=True)
class Collect:
    """Collect simulated episodes, successes and failures, with the true progress of each frame.

    Example: robo-reward collect --out outputs/stack --task stack_two --episodes 100

    Episodes are made in pieces beside --out and joined at the end. If it is interrupted, the
    same command goes on with the pieces that are missing.
    """

    goes_on: ClassVar[bool] = True
    """What `robo_reward.cli` says of it when it is interrupted."""

    out: Path
    """Directory of the dataset to make; a log is written to OUT.jsonl beside it."""
    task: str = "pick_to_bin"
    """What to do; an unknown name lists the tasks there are. Meta-World's: metaworld/NAME."""
    robot: str = ""
    """Which arm: panda (the default) or so101."""
    variety: tuple[str, ...] | None = None
    """What varies: colour light camera (the default), texture distractors height."""
    episodes: int = 100
    """How many episodes."""
    seed: int = 0
    """Seed of the first episode; the next ones count up."""
    mix: str = ""
    """Shares of behaviours such as 'expert=.6 noise=.4'; none: all that the task knows."""
    image_size: int = 128
    """Width and height of the three views in pixels."""
    storage: Literal["h264", "av1", "images"] = "h264"
    """How images are kept: video, or PNG in parquet."""
    workers: int = 0
    """Processes that simulate; 0 is one per core. The dataset does not depend on it."""
    replay: int = 1
    """Episodes whose stored actions are played again at the end, to reproduce their states."""
    overwrite: bool = False
    """Replace a dataset that is there already, and pieces of an interrupted collection."""
    dry_run: bool = False
    """Say what would be collected, and stop."""

    def run(self) -> None:
        """Collect.

        Raises:
            InputError: If a flag has an unusable value.
            OutputError: If the dataset cannot be written there.
            RenderError: If images cannot be drawn on this machine.
            ReplayError: If stored actions do not reproduce the stored states.
        """
        from data.joining import join_datasets
        from data.places import check_dataset_place

        from .collect_log import log_path
        from .pieces import describe, piece_path
        from .replay import check_replay

        plan = self._plan()
        check_dataset_place(self.out, overwrite=self.overwrite)
        names = dict.fromkeys(plan.behaviours)
        told = ", ".join(f"{plan.behaviours.count(name)} {name}" for name in sorted(names))
        if self.dry_run:
            print(f"would collect {self.episodes} episodes ({told}) into {self.out}")
            return
        folder = self.out.with_name(f"{self.out.name}.pieces")
        self._make(plan, folder)
        pieces = [piece_path(folder, number) for number in range(plan.count)]
        join_datasets(pieces, self.out, description=describe(plan), overwrite=self.overwrite)
        shutil.rmtree(folder, ignore_errors=True)
        frames, successes = check_replay(self.out, plan, episodes=self.replay)
        print(f"{self.episodes} episodes ({told}), {successes} successes, {frames} frames")
        print(f"dataset: {self.out}")
        print(f"log: {log_path(self.out)}")

    def _plan(self) -> "Plan":
        from .beds import find_bed
        from .pieces import Plan
        from .render import check_size
        from .rollouts import assign, mix_of

        self._check_numbers()
        size = check_size(self.image_size)
        bed = find_bed(self.task, robot=self.robot, variety=self.variety)
        mix = mix_of(self.mix, bed, default=DEFAULT_MIX)
        return Plan(
            task=self.task,
            robot=self.robot,
            variety=self.variety,
            mix=self.mix or DEFAULT_MIX,
            behaviours=tuple(assign(mix, self.episodes, self.seed)),
            seed=self.seed,
            image_size=size,
            storage=self.storage,
        )

    def _make(self, plan: "Plan", folder: Path) -> None:
        """Make the pieces that are missing.

        Raises:
            RoboRewardError: If one cannot be made; says what is safe.
        """
        from data.places import written
        from robo_reward.console import progress_bar

        from .pieces import Job, claim, make_piece
        from .render import require_backend
        from .workforce import do_jobs

        if self.overwrite:
            shutil.rmtree(folder, ignore_errors=True)
        require_backend()
        with written(folder):
            missing = claim(folder, plan)
        self._log(plan, folder)
        done = plan.count - len(missing)
        if done:
            print(f"going on with {folder}: {done} of {plan.count} pieces are there")
        jobs = [Job(plan, folder, number) for number in missing]
        cores = len(os.sched_getaffinity(0))
        if self.workers > cores:
            print(f"--workers {self.workers} is more than the {cores} cores: slower, not faster")
        workers = min(self.workers or cores, max(len(jobs), 1))
        deadline = 120.0 + DEADLINE_S * plan.length
        try:
            with progress_bar("collecting", self.episodes, "episodes") as bar:
                bar(self.episodes - sum(len(plan.episodes(job.piece)) for job in jobs))
                for number, _ in do_jobs(jobs, make_piece, workers=workers, deadline=deadline):
                    bar(len(plan.episodes(jobs[number].piece)))
                    done += 1
                    self._log(plan, folder)
        except RoboRewardError as error:
            raise type(error)(
                f"{error}; {done} of {plan.count} pieces are safe in {folder}: repeat the command "
                "to go on"
            ) from error

    def _log(self, plan: "Plan", folder: Path) -> None:
        from data.places import written

        from .collect_log import join_logs
        from .pieces import piece_path

        pieces = [piece_path(folder, number) for number in range(plan.count)]
        with written(self.out):
            join_logs(pieces, self.out, episodes=self.episodes)

    def _check_numbers(self) -> None:
        for flag, value, least in (
            ("--episodes", self.episodes, 1),
            ("--seed", self.seed, 0),
            ("--workers", self.workers, 0),
            ("--replay", self.replay, 0),
        ):
            if value < least:
                raise InputError(f"{flag} is {value}; it must be {least} or more")
