"""MuJoCo tasks that know the truth, scripted experts, and collection of episodes.

Importing this package registers the tasks with Gymnasium by name, Meta-World's among them;
MuJoCo itself is imported when the first environment is made.
"""

import gymnasium

from . import metaworld as metaworld
from .robots import ROBOTS
from .tasks import DEFAULT_STEPS, STEPS, TASKS, tasks_for

PREFIX = "robo_reward/"
"""Namespace of the Gymnasium ids."""


def env_id(task: str, robot: str = "panda") -> str:
    """Return the Gymnasium id of a task with a robot, such as ``robo_reward/PickToBin-v0``."""
    parts = (TASKS[task], ROBOTS[robot].title, "v0")
    return PREFIX + "-".join(part for part in parts if part)


IDS = {name: env_id(name) for name in TASKS}
"""Name of a task → its Gymnasium id with the Panda."""

for _robot in ROBOTS:
    for _task in tasks_for(_robot):
        gymnasium.register(
            id=env_id(_task, _robot),
            entry_point="sim.env:TabletopEnv",
            vector_entry_point="sim.vector:make_vector",
            max_episode_steps=STEPS.get(_task, DEFAULT_STEPS),
            kwargs={"task": _task, "robot": _robot},
        )
