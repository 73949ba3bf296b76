"""The reward model type ``multiview_progress`` for LeRobot's own programs.

Found by ``--discover_packages_path=robo_reward.lerobot``; in Python, ``import robo_reward.lerobot``
before ``RewardModelConfig.from_pretrained``, since LeRobot knows no type that was not imported.
"""

from .configuration_multiview_progress import MultiviewProgressConfig

__all__ = ["MultiviewProgressConfig"]
