"""Where episodes can be played: our table-top or Meta-World, as the collector needs to see them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from robo_reward.errors import InputError

from .variety import VARIETY


class Rules(Protocol):
    """A task, as far as its description goes."""

    @property
    def goals(self) -> tuple[str, ...]:
        """What may be asked for."""

    def wordings(self, goal: str) -> tuple[str, ...]:
        """Return the instruction for a goal, the canonical wording first."""


@dataclass(frozen=True, kw_only=True)
class Bed:
    """A task on a robot: how to make its environment, who plays it, and what its data are."""

    task: str
    """Name of the task."""
    rules: Rules
    """Its goals and wordings."""
    behaviours: tuple[str, ...]
    """What its experts can do."""
    expert: Callable[..., Any]
    """Called with an environment, a behaviour, ``rng`` and ``noise_rng``; has ``actions()``."""
    make: Callable[..., Any]
    """Returns an environment that goes on past success; takes ``image_size`` and ``pixels``."""
    robot: str
    """What datasets call the robot."""
    views: tuple[str, ...]
    """Names of the cameras."""
    fps: int
    """Control steps in one second."""
    state_names: tuple[str, ...]
    """Names of the values of ``agent_pos``."""
    action_names: tuple[str, ...]
    """Names of the values of an action."""


def find_bed(task: str, *, robot: str = "", variety: Sequence[str] | None = None) -> Bed:
    """Return where a task is played.

    Args:
        task: One of `sim.tasks.TASKS`, or ``metaworld/`` and a name of Meta-World's.
        robot: One of `sim.robots.ROBOTS`; empty: the first of them, or Meta-World's own.
        variety: What varies from episode to episode; None: `sim.variety.VARIETY`.

    Raises:
        InputError: If there is no such task, robot or variation, or they do not go together.
    """
    from . import metaworld

    if not task.startswith(metaworld.PREFIX):
        return _tabletop(task, robot or "panda", VARIETY if variety is None else variety)
    if robot or variety is not None:
        raise InputError(f"{task} has its own robot and look; leave --robot and --variety out")
    return _metaworld(task)


def _tabletop(task: str, robot: str, variety: Sequence[str]) -> Bed:
    from .control import ACTIONS
    from .env import FPS, TabletopEnv
    from .experts import Expert, behaviours
    from .robots import agent_pos_names, get_robot
    from .scene import CAMERAS
    from .tasks import make_task
    from .variety import check_variety

    check_variety(variety)
    rules = make_task(task, robot)
    return Bed(
        task=task,
        rules=rules,
        behaviours=behaviours(rules),
        expert=Expert,
        make=partial(
            TabletopEnv, task, robot=robot, variety=tuple(variety), terminate_on_success=False
        ),
        robot=robot,
        views=CAMERAS,
        fps=FPS,
        state_names=agent_pos_names(get_robot(robot)),
        action_names=ACTIONS,
    )


def _metaworld(task: str) -> Bed:
    from .metaworld import env, experts, make_env
    from .metaworld.render import VIEWS
    from .metaworld.rules import make_rules
    from .metaworld.stock import require

    require()
    rules = make_rules(task)
    return Bed(
        task=task,
        rules=rules,
        behaviours=experts.behaviours(rules),
        expert=experts.Expert,
        make=partial(make_env, task, terminate_on_success=False),
        robot=env.ROBOT,
        views=tuple(sorted(VIEWS)),
        fps=env.FPS,
        state_names=env.AGENT_POS,
        action_names=env.ACTIONS,
    )
