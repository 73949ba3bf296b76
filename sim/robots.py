"""The robots of the table-top: arm, workspace, cameras and pace of each."""

from collections.abc import Callable
from dataclasses import dataclass

from robo_reward.arms import ArmDescription
from robo_reward.arms.panda import panda
from robo_reward.arms.so101 import so101
from robo_reward.errors import InputError

from .placing import Placing, RingPlacing

type Point = tuple[float, float, float]
"""x, y, z in metres."""


@dataclass(frozen=True, kw_only=True)
class FixedView:
    """A camera beside the table."""

    eye: Point
    """Where it stands."""
    aim: Point
    """What is in the middle of its image."""
    fovy: float
    """Vertical field of view in degrees."""


@dataclass(frozen=True, kw_only=True)
class Robot:
    """An arm on the table, and what environments and experts need to know about it."""

    name: str
    """Its name in `ROBOTS`."""
    title: str
    """What Gymnasium ids call it; empty for the default one."""
    describe: Callable[[], ArmDescription]
    """Returns the arm."""
    placing: Placing
    """Where tasks put their things."""
    views: dict[str, FixedView]
    """The fixed cameras by name."""
    step: float
    """Metres that the tool target moves in one control step at action 1."""
    jitter: Point
    """Metres by which the tool starts beside its home, at most, along each axis."""
    reach: float
    """Distance of tool and thing, in metres, from which on coming nearer counts as progress."""
    approach: float
    """Gripper part of the action with which an expert comes down around a thing."""
    high: float
    """Height clear of everything, in metres."""
    rest: tuple[Point, Point]
    """Corners of where experts end, in metres."""
    settle: int
    """Further control steps that experts wait at the end: a tilted hand leaves things rocking."""
    bystanders: tuple[tuple[float, float], tuple[float, float]]
    """Corners of where distractors may stand, in metres."""


_PANDA = Robot(
    name="panda",
    title="",
    describe=panda,
    placing=Placing(),
    views={
        "front": FixedView(eye=(1.14, 0.03, 0.58), aim=(0.46, 0.025, 0.08), fovy=38.5),
        "side": FixedView(eye=(0.66, -0.70, 0.56), aim=(0.47, 0.03, 0.05), fovy=36.0),
    },
    step=0.03,
    jitter=(0.04, 0.04, 0.03),
    reach=0.30,
    approach=1.0,
    high=0.26,
    rest=((0.33, -0.22, 0.26), (0.55, 0.25, 0.38)),
    settle=0,
    bystanders=((0.28, -0.30), (0.66, 0.34)),
)
_SO101 = Robot(
    name="so101",
    title="SO101",
    describe=so101,
    placing=RingPlacing(closeness=0.7, near=0.17, edge=0.36, depth=0.56, sweep=4.2),
    views={
        "front": FixedView(eye=(0.70, 0.01, 0.46), aim=(0.17, 0.005, 0.06), fovy=46.0),
        "side": FixedView(eye=(0.44, -0.55, 0.46), aim=(0.19, -0.02, 0.04), fovy=45.0),
    },
    step=0.02,
    jitter=(0.02, 0.03, 0.02),
    reach=0.20,
    approach=0.4,
    high=0.20,
    rest=((0.14, -0.10, 0.20), (0.24, 0.12, 0.26)),
    settle=12,
    bystanders=((0.08, -0.28), (0.38, 0.28)),
)
ROBOTS = {robot.name: robot for robot in (_PANDA, _SO101)}
"""Name → robot; the first is the default."""


def get_robot(name: str) -> Robot:
    """Return a robot by name.

    Raises:
        InputError: If there is no such robot; the message lists those there are.
    """
    if name not in ROBOTS:
        raise InputError(f"there is no robot {name!r}; there are: {', '.join(ROBOTS)}")
    return ROBOTS[name]


def agent_pos_names(robot: Robot) -> tuple[str, ...]:
    """Return the names of ``agent_pos``: joints in radians, jaw width and tool in metres."""
    return (*robot.describe().joints, "jaw", "x", "y", "z")
