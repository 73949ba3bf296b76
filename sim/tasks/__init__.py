"""What a task is: objects, a reset, instructions and one judgement of the truth.

A further task is one file beside `pick_to_bin`, and one line in `TASKS`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Protocol, cast

import numpy as np
from numpy.random import Generator
from numpy.typing import ArrayLike, NDArray

from robo_reward.errors import InputError

from ..scene import World

TASKS = {"pick_to_bin": "PickToBin"}
"""Name of a task, which is its module here, and the class in it."""


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """The truth about one goal in one state of the world."""

    stage: int
    """Number of the stage that is being worked on; the last one means done."""
    progress: float
    """Share of the goal that is done, in [0, 1]; raw, so it falls when work is undone."""
    success: bool
    """Whether the goal is reached; then, and only then, progress is 1."""
    held: bool
    """Whether the gripper holds what this goal is about."""
    lifted: bool
    """Whether that is clear of the table."""


class Task(Protocol):
    """Objects on the table, how they start, and what counts as done."""

    name: str
    goals: tuple[str, ...]
    stages: tuple[str, ...]

    def objects_xml(self) -> str:
        """Return the MJCF elements of the task's objects, for ``<worldbody>``."""

    def reset(self, world: World, rng: Generator) -> None:
        """Place the objects at random; the arm is at home already."""

    def judge(self, world: World) -> Mapping[str, Verdict]:
        """Return the truth about every goal, a pure function of the world's state."""

    def wordings(self, goal: str) -> tuple[str, ...]:
        """Return the instruction for a goal, the canonical wording first."""

    def vary_colour(self, world: World, rng: Generator) -> None:
        """Vary the colours of the task's own objects."""


def make_task(name: str) -> Task:
    """Return a new task by name.

    Raises:
        InputError: If there is no such task; the message lists those there are.
    """
    if name not in TASKS:
        raise InputError(f"there is no task {name!r}; there are: {', '.join(TASKS)}")
    module = import_module(f"{__name__}.{name}")
    return cast(Task, getattr(module, TASKS[name])())


def latched(progress: ArrayLike) -> NDArray[np.float32]:
    """Return the monotone variant of raw progress: the highest value reached so far."""
    highest: NDArray[np.float32] = np.maximum.accumulate(np.asarray(progress, np.float32))
    return highest
