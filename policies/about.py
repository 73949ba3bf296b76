"""What is to be known of a policy but its shape and weights."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, kw_only=True)
class About:
    """All that is to be known of a policy but its shape and weights."""

    replan_steps: int
    """Actions of a chunk that are executed before the next is predicted."""
    fps: float | None
    """Actions in one second; None where it is not told."""
    images: Mapping[str, tuple[int, int]]
    """View → (H, W) of the images that it learnt from, before they were resized."""
    state_names: tuple[str, ...]
    """Names of the numbers of the state."""
    action_names: tuple[str, ...]
    """Names of the numbers of an action."""
    named: bool = True
    """Whether these are names; else they are places, and only how many there are is compared."""
    robot: str = ""
    """What its datasets call the robot."""
    task: str = ""
    """Name of the simulated task that it was shown; empty where there is none, or several."""
    instructions: tuple[str, ...] = ()
    """Those that it was taught."""
    training: Mapping[str, Any] = field(default_factory=dict)
    """What it was trained on and how: for people, not read by code."""
