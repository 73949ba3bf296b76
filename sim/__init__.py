"""MuJoCo tasks that know the truth, scripted experts, and collection of episodes.

Importing this package registers the tasks with Gymnasium by name, Meta-World's among them;
MuJoCo itself is imported when the first environment is made.
"""

import gymnasium

from . import metaworld as metaworld
from .tasks import DEFAULT_STEPS, STEPS, TASKS

PREFIX = "robo_reward/"
"""Namespace of the Gymnasium ids."""
IDS = {name: f"{PREFIX}{title}-v0" for name, title in TASKS.items()}
"""Name of a task → its Gymnasium id, such as ``robo_reward/PickToBin-v0``."""

for _name, _id in IDS.items():
    gymnasium.register(
        id=_id,
        entry_point="sim.env:TabletopEnv",
        vector_entry_point="sim.vector:make_vector",
        max_episode_steps=STEPS.get(_name, DEFAULT_STEPS),
        kwargs={"task": _name},
    )
