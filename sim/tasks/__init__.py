"""What a task is: objects, a reset, instructions, one judgement of the truth, and a plan.

A further task is one file beside `pick_to_bin`, and one line in `TASKS`.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from importlib import import_module
from typing import ClassVar, NamedTuple, cast

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from robo_reward.errors import InputError

from ..moves import Plan
from ..placing import Placing
from ..robots import ROBOTS, get_robot
from ..scene import World
from .objects import shade

TASKS = {
    "pick_to_bin": "PickToBin",
    "pick_shape_to_bin": "PickShapeToBin",
    "stack_two": "StackTwo",
    "push_to_mark": "PushToMark",
    "open_drawer": "OpenDrawer",
    "close_drawer": "CloseDrawer",
    "press_button": "PressButton",
    "insert_peg": "InsertPeg",
    "cube_in_drawer": "CubeInDrawer",
    "lift_and_return": "LiftAndReturn",
    "swap_cubes": "SwapCubes",
}
"""Name of a task, which is its module here, and the class in it."""
DEFAULT_STEPS = 200
"""Control steps after which an episode is cut off."""
STEPS = {"cube_in_drawer": 400, "swap_cubes": 500}
"""The same for tasks that take longer."""

SUPPORTED = {
    "so101": (
        "pick_to_bin",
        "pick_shape_to_bin",
        "stack_two",
        "push_to_mark",
        "press_button",
        "lift_and_return",
        "swap_cubes",
    )
}
"""Name of a robot → the tasks within its reach; a robot that is not named here plays all."""

type Memory = tuple[float, ...]
"""What a task remembers of an episode, where the state alone does not tell how far it got."""


class Verdict(NamedTuple):
    """The truth about one goal in one state of the world."""

    stage: int
    """Number of the stage that is being worked on; the last one means done."""
    progress: float
    """Share of the goal that is done, in [0, 1]; raw, so it falls when work is undone."""
    success: bool
    """Whether the goal is reached; then, and only then, progress is 1."""
    held: bool = False
    """Whether the gripper holds what this goal is about."""
    lifted: bool = False
    """Whether that is clear of the table."""
    arrived: bool = False
    """Whether that is where it belongs, so that letting go of it drops nothing."""


class Task(ABC):
    """Objects on the table, how they start, what counts as done, and how to do it."""

    name: ClassVar[str]
    """Its name in `TASKS`."""
    goals: ClassVar[tuple[str, ...]]
    """What may be asked for, one at a time."""
    stages: ClassVar[tuple[str, ...]]
    """Names of the stages of a goal, the last one being done."""
    phrases: ClassVar[tuple[str, ...]]
    """The instruction with {} for the goal, the canonical wording first."""
    between: ClassVar[str] = ""
    """What stands between the two parts of a goal's name, each of which has its {}, if any."""
    carries: ClassVar[int] = 0
    """How often the plan carries something; 0 where nothing is ever held in the air."""
    shaded: ClassVar[tuple[str, ...]] = ()
    """The geoms that become a little darker or lighter, within their colour names."""

    def __init__(self, placing: Placing | None = None) -> None:
        """Play the task where a robot reaches; where the Panda does if None."""
        self.placing = placing or Placing()
        """Where its things are put."""

    @abstractmethod
    def objects_xml(self) -> str:
        """Return the MJCF elements of the task's objects, for ``<worldbody>``."""

    @abstractmethod
    def reset(self, world: World, rng: Generator, goal: str) -> None:
        """Place the objects at random; the arm is at home already."""

    @abstractmethod
    def judge(self, world: World, memory: Memory) -> Mapping[str, Verdict]:
        """Return the truth about every goal, a function of state and memory alone."""

    @abstractmethod
    def plan(self, world: World, goal: str, rng: Generator) -> Plan:
        """Yield the stretches that reach a goal from the present state, read as it goes."""

    def wordings(self, goal: str) -> tuple[str, ...]:
        """Return the instruction for a goal, the canonical wording first."""
        parts = goal.split(self.between) if self.between else [goal]
        return tuple(phrase.format(*parts) for phrase in self.phrases)

    def remember(self, world: World, memory: Memory | None) -> Memory:
        """Return the memory after an observation; ``memory`` is None at the first one."""
        del world, memory
        return ()

    def ways(self, world: World) -> NDArray[np.float64]:
        """Return the ways (n, 2, 2) that the hand takes low above the table, in metres.

        Nothing else may stand there; that the hand comes down on the task's things from above
        goes without saying.
        """
        del world
        return np.zeros((0, 2, 2))

    def vary_colour(self, world: World, rng: Generator) -> None:
        """Vary the colours of the task's own objects a little, within their colour names."""
        for name in self.shaded:
            world.model.geom(name).rgba[:3] *= shade(rng)


def tasks_for(robot: str) -> tuple[str, ...]:
    """Return the names of the tasks that a robot plays."""
    return SUPPORTED.get(robot, tuple(TASKS))


def make_task(name: str, robot: str = "panda") -> Task:
    """Return a new task by name.

    Args:
        name: Name of the task.
        robot: Name of the robot that is to play it.

    Raises:
        InputError: If there is no such task or robot, or the task is not for the robot; the
            message lists those there are.
    """
    if name not in TASKS:
        raise InputError(f"there is no task {name!r}; there are: {', '.join(TASKS)}")
    placing = get_robot(robot).placing
    if name not in tasks_for(robot):
        able = ", ".join(other for other in ROBOTS if name in tasks_for(other))
        raise InputError(
            f"task {name!r} is out of reach of robot {robot!r}; play it with {able}, or one of "
            f"{robot}'s own: {', '.join(tasks_for(robot))}"
        )
    module = import_module(f"{__name__}.{name}")
    return cast(Task, getattr(module, TASKS[name])(placing))
