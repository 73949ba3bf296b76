"""Probes for ``robo-reward eval`` that need the simulator: the arm moves, and nothing else does."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from data.evaluate import Case
    from data.probes import Probe
    from robo_reward.protocols import Views

    from .env import TabletopEnv

OBJECT_FROZEN = "object_frozen"


def probes(root: Path) -> "dict[str, Probe]":
    """Return the probes for a dataset; none if it is not of our table-top, or nothing draws.

    Raises:
        RoboRewardError: If the dataset cannot be read.
    """
    from data.lerobot_meta import read_metadata
    from data.probes import FALLS, NEAR, Probe, astray
    from robo_reward.lerobot_rows import PREFIX

    from .render import RenderError, require_backend
    from .tasks import TASKS

    meta = read_metadata(root)
    if meta.own.get("task") not in TASKS or "seed" not in meta.episodes.column_names:
        return {}
    try:
        require_backend()
    except RenderError as error:
        print(f"the probe {OBJECT_FROZEN} is left out: {error}")
        return {}
    features = meta.info["features"]
    image = next(feature for name, feature in features.items() if name.startswith(PREFIX))
    stage = Stage(
        root=root,
        task=meta.own["task"],
        robot=meta.info["robot_type"],
        variety=tuple(meta.own["variety"]),
        image_size=int(image["shape"][0]),
        seeds=meta.episodes["seed"].to_pylist(),
    )
    probe = Probe(
        name=OBJECT_FROZEN,
        kind="sensitivity",
        says=f"when the arm moves and no object does, {FALLS}",
        change=stage.change,
        measure=astray,
        at_most=NEAR,
    )
    return {probe.name: probe}


@dataclass(frozen=True, kw_only=True)
class Stage:
    """Plays the arm's stored motion in a scene in which everything else stays."""

    root: Path
    task: str
    robot: str
    variety: tuple[str, ...]
    image_size: int
    """Side of the images, in pixels, as in the dataset."""
    seeds: list[int]
    """Of each episode."""

    def change(self, case: "Case", rng: np.random.Generator) -> "Case | None":
        """Return an episode whose objects stay where they were first; None if it is not ours.

        The arm takes every pose that the dataset stores of it, through whatever is in its way;
        the truth is judged anew.
        """
        from data.probe_changes import showing

        from .env import FPS
        from .replay import stored

        del rng
        if not 0 <= case.number < len(self.seeds):
            return None
        self.env.reset(seed=self.seeds[case.number])
        if case.instruction != self.env.task_description:
            return None
        states = stored(self.root, case.number)[1][:: round(FPS / case.fps)]
        frames, truth = zip(*self._played(states), strict=True)
        progress = np.array(truth, np.float64)
        done = (progress >= 1.0).astype(np.float64)
        return showing(replace(case, truth=progress, done=done), frames)

    @cached_property
    def env(self) -> "TabletopEnv":
        """The environment that the episodes were made in."""
        from .beds import find_bed

        bed = find_bed(self.task, robot=self.robot, variety=self.variety)
        env: TabletopEnv = bed.make(image_size=self.image_size)
        return env

    def _played(self, states: NDArray[np.float32]) -> "Iterator[tuple[Views, float]]":
        """Yield views and true progress of every pose (joints, jaw, tool point)."""
        env = self.env
        rules, world, memory = env.rules, env.world, env.memory
        for state in states.astype(np.float64):
            world.pose(state[:-4], float(state[-4]))
            memory = rules.remember(world, memory)
            yield env.draw(), rules.judge(world, memory)[env.goal].progress
