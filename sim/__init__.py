"""MuJoCo tasks that know the truth, scripted experts, and collection of episodes.

Importing this package registers the tasks with Gymnasium by name; MuJoCo itself is imported
when the first environment is made.
"""

import gymnasium

PICK_TO_BIN = "robo_reward/PickToBin-v0"
"""Gymnasium id of `sim.tasks.pick_to_bin`, 200 steps (10 s) long."""

gymnasium.register(
    id=PICK_TO_BIN,
    entry_point="sim.env:TabletopEnv",
    max_episode_steps=200,
    kwargs={"task": "pick_to_bin"},
)
