"""What the plan of a task is made of: stretches of straight legs, and how to pick and place."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from .scene import World

type Floats = NDArray[np.float64]
"""An array of double precision."""
type Kind = Literal["reach", "grasp", "carry", "place", "act", "leave"]
"""What a stretch is for: to get there, close the hand, hold and move, let go, work, go away."""

OPEN, CLOSED = 1.0, -1.0
"""Gripper part of an action."""


@dataclass(frozen=True, kw_only=True)
class Leg:
    """One straight way of the tool: where to, how the hand is, how fast, how long to stay."""

    to: Floats
    """(3,) where the tool goes, in metres."""
    gripper: float
    """Between `CLOSED` and `OPEN`."""
    yaw: float = 0.0
    """Turn of the tool about the vertical at the end, in radians."""
    speed: float = 0.7
    """Share of the fastest."""
    stay: int = 0
    """Control steps to wait at the end."""


@dataclass(frozen=True, kw_only=True)
class Stretch:
    """Legs that serve one purpose; what goes wrong on purpose goes wrong within one."""

    kind: Kind
    legs: tuple[Leg, ...]


type Plan = Iterator[Stretch]
"""Stretches, each read off the world when it is asked for."""


@dataclass(frozen=True, kw_only=True)
class Transport:
    """Something to pick up and put down somewhere else."""

    body: str
    """What is picked up."""
    drop: Callable[[], Floats]
    """Returns where the tool lets go (3,), asked when the carry begins."""
    cruise: float
    """Height of the tool on the way, in metres."""
    grip: float = 0.02
    """Height of the tool above the table when it grasps, in metres."""
    turn: float = 0.0
    """Yaw of the tool where it lets go, in radians, against the one that turns it least."""
    period: float = np.pi / 2
    """Turn after which it looks the same to the jaw, in radians."""


def pick_and_place(world: World, item: Transport, rng: Generator) -> Plan:
    """Yield the stretches that carry a body with vertical faces to another place."""
    clear = np.array((0.0, 0.0, rng.uniform(0.08, 0.11)))
    placing, around = world.robot.placing, world.robot.approach
    above = grasp_point(world, item) + clear
    yaw = grasp_yaw(world, item)
    yield Stretch(kind="reach", legs=(Leg(to=above, gripper=around, yaw=yaw),))
    yaw = grasp_yaw(world, item)
    grasp = grasp_point(world, item)
    down = Leg(to=grasp, gripper=around, yaw=yaw, speed=0.5, stay=1)
    yield Stretch(kind="reach", legs=(down,))
    yield Stretch(kind="grasp", legs=(Leg(to=grasp, gripper=CLOSED, yaw=yaw, stay=6),))
    drop = item.drop()
    turn = placing.facing(drop) + item.turn
    lift, over = np.append(grasp[:2], item.cruise), np.append(drop[:2], item.cruise)
    yield Stretch(
        kind="carry",
        legs=(
            Leg(to=lift, gripper=CLOSED, yaw=yaw),
            Leg(to=over, gripper=CLOSED, yaw=turn),
        ),
    )
    yield Stretch(
        kind="place",
        legs=(
            Leg(to=drop, gripper=CLOSED, yaw=turn, speed=0.5, stay=1),
            Leg(to=drop, gripper=OPEN, yaw=turn, stay=4),
        ),
    )
    yield Stretch(kind="leave", legs=(Leg(to=over, gripper=OPEN, yaw=turn),))


def grasp_yaw(world: World, item: Transport) -> float:
    """Return the yaw that lines the jaw up with a body and turns the hand least, in radians."""
    facing = world.robot.placing.facing(world.position(item.body))
    return facing + nearest_yaw(world.yaw(item.body) - facing, item.period)


def grasp_point(world: World, item: Transport) -> Floats:
    """Return where the tool grasps a body, (3,) in metres."""
    point: Floats = np.append(world.position(item.body)[:2], item.grip)
    return point


def beside(point: Floats, x: float = 0.0, y: float = 0.0, z: float = 0.0) -> Floats:
    """Return the point (3,) that lies so many metres from another along each axis."""
    moved: Floats = point + np.array((x, y, z))
    return moved


def nearest_yaw(yaw: float, period: float = np.pi / 2) -> float:
    """Return the smallest turn that lines the jaw up with a body that repeats each ``period``."""
    return float((yaw + period / 2) % period - period / 2)
