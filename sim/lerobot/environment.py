"""Our tasks for LeRobot's own programs: ``lerobot-eval --env.type=robo_reward``.

Found by ``--discover_packages_path=sim.lerobot``.
"""

from dataclasses import dataclass, field
from functools import partial
from typing import Any

import gymnasium as gym
from gymnasium.vector import AutoresetMode
from lerobot.configs.types import FeatureType, PolicyFeature
from lerobot.envs.configs import EnvConfig

from ..control import ACTIONS
from ..env import FPS, TabletopEnv
from ..robots import agent_pos_names, get_robot
from ..scene import CAMERAS
from ..tasks import make_task
from ..variety import VARIETY, check_variety
from ..vector import SimVectorEnv


@EnvConfig.register_subclass("robo_reward")
@dataclass
class RoboRewardEnvConfig(EnvConfig):
    """A table-top task with three views, `agent_pos` and normalised tool actions."""

    task: str = "pick_to_bin"
    """Name of the task, one of `sim.tasks.TASKS`."""
    robot: str = "panda"
    """Which arm, one of `sim.robots.ROBOTS`."""
    variety: tuple[str, ...] = VARIETY
    """What varies from episode to episode, of `sim.variety.ALL`."""
    fps: int = FPS
    """Control steps in one second."""
    image_size: int = 128
    """Width and height of the views in pixels."""
    features: dict[str, PolicyFeature] = field(default_factory=dict)
    """What policies see and give; filled in."""
    features_map: dict[str, str] = field(default_factory=dict)
    """From our names to LeRobot's; filled in."""

    def __post_init__(self) -> None:
        """Fill in the features.

        Raises:
            InputError: If there is no such task, robot or variation, or the robot does not play
                the task.
        """
        make_task(self.task, self.robot)
        check_variety(self.variety)
        state = agent_pos_names(get_robot(self.robot))
        shape = (self.image_size, self.image_size, 3)
        views = {f"pixels/{name}": PolicyFeature(FeatureType.VISUAL, shape) for name in CAMERAS}
        self.features = {
            "action": PolicyFeature(FeatureType.ACTION, (len(ACTIONS),)),
            "agent_pos": PolicyFeature(FeatureType.STATE, (len(state),)),
            **views,
        }
        self.features_map = {
            "action": "action",
            "agent_pos": "observation.state",
            **{f"pixels/{name}": f"observation.images.{name}" for name in CAMERAS},
        }

    @property
    def gym_kwargs(self) -> dict[str, Any]:
        """What an environment is made with."""
        return {"robot": self.robot, "variety": self.variety, "image_size": self.image_size}

    def create_envs(
        self, n_envs: int, use_async_envs: bool = False
    ) -> dict[str, dict[int, gym.vector.VectorEnv[Any, Any, Any]]]:
        """Return {task: {0: vector environment}}, as LeRobot wants it.

        Args:
            n_envs: How many environments.
            use_async_envs: Whether they run in processes, one per core, or in this one.
        """
        make = partial(TabletopEnv, self.task, **self.gym_kwargs)
        vector = SimVectorEnv(
            make,
            n_envs,
            workers=None if use_async_envs else 0,
            autoreset_mode=AutoresetMode.SAME_STEP,
        )
        return {self.task: {0: vector}}
