"""Meta-World as a foreign bed: its 50 tasks behind the interface of our own environments.

Importing this package registers the tasks with Gymnasium by name; the benchmark itself, an
extra (``pip install -e ".[metaworld]"``), is imported when the first one is made.
"""

from typing import TYPE_CHECKING

import gymnasium

from .rules import PREFIX, TASKS

if TYPE_CHECKING:
    from .env import MetaWorldEnv

__all__ = ["IDS", "PREFIX", "TASKS", "make_env"]

IDS = {name: f"robo_reward/MetaWorld-{name}-v0" for name in TASKS}
"""Name of a task → its Gymnasium id, such as ``robo_reward/MetaWorld-drawer-open-v0``."""

for _name, _id in IDS.items():
    gymnasium.register(
        id=_id,
        entry_point="sim.metaworld.env:MetaWorldEnv",
        max_episode_steps=500,
        kwargs={"task": _name},
    )


def make_env(
    name: str,
    *,
    image_size: int = 128,
    pixels: bool = True,
    render_every: int = 1,
    terminate_on_success: bool = False,
) -> "MetaWorldEnv":
    """Return the environment of a task for collecting: by default it goes on past success.

    Args:
        name: Name of the task, with or without the prefix ``metaworld/``.
        image_size: Width and height of the views in pixels.
        pixels: Whether observations hold the views.
        render_every: Steps between two drawings.
        terminate_on_success: Whether success ends the episode.

    Raises:
        InputError: If there is no such task, or the benchmark is not installed.
    """
    from .env import MetaWorldEnv

    return MetaWorldEnv(
        name,
        image_size=image_size,
        pixels=pixels,
        render_every=render_every,
        terminate_on_success=terminate_on_success,
    )
