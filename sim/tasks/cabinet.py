"""A cabinet of two drawers side by side that slide out towards the right of the robot."""

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from ..moves import CLOSED, OPEN, Leg, Plan, Stretch, beside
from ..scene import World
from . import Memory, Task, Verdict
from .carrying import ramp

DRAWERS = {"near": -0.07, "far": 0.07}
"""Name of a drawer → its place along x from the middle of the cabinet, in metres."""
TRAVEL = 0.13
"""How far a drawer slides out, in metres."""
OPENED, SHUT = 0.10, 0.01
"""Metres out at which a drawer counts as open, and at which it counts as closed."""
INNER = (0.050, 0.060)
"""Half the inner width of a drawer along x and y, in metres."""

_MIDDLE = np.array((0.48, 0.27))
_FRONT = -0.075
_POST = _FRONT - 0.064
_GRIP_HEIGHT = 0.055
_BEFORE = TRAVEL + 0.08
_HANDS = 0.018  # half a handle and half the closed hand


def cabinet_xml() -> str:
    """Return the cabinet as MJCF elements.

    The drawers collide with hand and things but not with the shell, which guides them.
    """
    shade = 'rgba="0.55 0.42 0.30 1" contype="2" conaffinity="1"'
    walls = "".join(
        f'<geom type="box" size="0.006 0.08 0.034" pos="{x} 0.005 0.034" {shade}/>'
        for x in (-0.134, 0.0, 0.134)
    )
    back = f'<geom type="box" size="0.14 0.005 0.034" pos="0 0.08 0.034" {shade}/>'
    roof = f'<geom type="box" size="0.14 0.08 0.004" pos="0 0.005 0.072" {shade}/>'
    drawers = "".join(_drawer(name, x) for name, x in DRAWERS.items())
    x, y = _MIDDLE
    return f'<body name="cabinet" pos="{x} {y} 0">{walls}{back}{roof}{drawers}</body>'


def _drawer(name: str, x: float) -> str:
    shade = 'rgba="0.72 0.60 0.45 1" contype="4" conaffinity="1"'
    dark = 'rgba="0.20 0.20 0.22 1" contype="4" conaffinity="1"'
    touch = 'condim="4" friction="1.3 0.02 0.001"'
    wide, deep = INNER
    return (
        f'<body name="drawer_{name}" pos="{x} 0 0">'
        f'<joint name="drawer_{name}" type="slide" axis="0 -1 0" range="0 {TRAVEL}" damping="3" '
        f'frictionloss="0.6" armature="0.05"/>'
        f'<geom type="box" size="{wide} {deep} 0.003" pos="0 0 0.006" mass="0.1" {shade}/>'
        f'<geom type="box" size="0.004 {deep} 0.020" pos="{-wide - 0.004} 0 0.026" {shade}/>'
        f'<geom type="box" size="0.004 {deep} 0.020" pos="{wide + 0.004} 0 0.026" {shade}/>'
        f'<geom type="box" size="{wide} 0.004 0.020" pos="0 {deep} 0.026" {shade}/>'
        f'<geom type="box" size="0.061 0.005 0.028" pos="0 {_FRONT + 0.01} 0.032" {shade}/>'
        f'<geom type="box" size="0.006 0.030 0.005" pos="0 {_FRONT - 0.030} 0.022" {dark}/>'
        f'<geom name="handle_{name}" type="box" size="0.009 0.008 0.030" '
        f'pos="0 {_POST} 0.052" {touch} {dark}/></body>'
    )


def place_cabinet(world: World, rng: Generator) -> None:
    """Put the cabinet near its place, drawers as they are."""
    world.put("cabinet", _MIDDLE + rng.uniform((-0.02, -0.015), (0.02, 0.015)))


def handle(world: World, name: str) -> NDArray[np.float64]:
    """Return where the tool grasps the handle of a drawer, (3,) in metres."""
    return beside(world.position(f"drawer_{name}"), y=_POST, z=_GRIP_HEIGHT)


def drawer_ways(world: World) -> NDArray[np.float64]:
    """Return the ways (2, 2, 2) of hand and handle before each drawer, in metres."""
    handles = [handle(world, name)[:2] for name in DRAWERS]
    return np.array([(spot, spot - (0.0, _BEFORE)) for spot in handles])


@dataclass(frozen=True, kw_only=True)
class DrawerState:
    """All that the truth about one drawer depends on."""

    out: float
    """How far it is out, in metres."""
    first: float
    """The same at the start of the episode."""
    distance: float
    """Tool to handle, in metres."""
    gripped: bool
    """Whether both pads touch the handle."""


def read_drawer(world: World, name: str, first: float) -> DrawerState:
    """Return what the truth about a drawer depends on."""
    hand = world.hand()
    return DrawerState(
        out=world.slide(f"drawer_{name}"),
        first=first,
        distance=math.dist(hand.tool, handle(world, name).tolist()),
        gripped=world.gripped(f"handle_{name}", hand),
    )


def judge_opening(state: DrawerState) -> Verdict:
    """Return the truth about opening: reach .2, grasp .1, pull .5, let go and leave .2."""
    opened = ramp(state.out, min(state.first, 0.09), OPENED)
    clear = ramp(state.distance, 0.03, 0.08)
    near = ramp(-state.distance, -0.30, -0.012)
    success = opened == 1.0 and clear == 1.0
    progress = (
        0.2 * max(near, opened)
        + 0.1 * max(float(state.gripped), opened)
        + 0.5 * opened
        + 0.2 * clear * (opened == 1.0)
    )
    stage = 0 if state.distance > 0.035 else 1
    if opened == 1.0:
        stage = 4 if success else 3
    elif state.gripped:
        stage = 2
    return Verdict(
        stage=stage,
        progress=1.0 if success else min(progress, 0.99),
        success=success,
        held=state.gripped,
        lifted=state.out > state.first + 0.01,
        arrived=opened == 1.0,
    )


def judge_closing(state: DrawerState) -> Verdict:
    """Return the truth about closing: reach .2, push .6, leave .2."""
    shut = ramp(state.first - state.out, 0.0, max(state.first - SHUT, 0.02))
    clear = ramp(state.distance, 0.05, 0.10)
    near = ramp(-state.distance, -0.30, -0.03)
    success = shut == 1.0 and clear == 1.0
    progress = 0.2 * max(near, shut) + 0.6 * shut + 0.2 * clear * (shut == 1.0)
    stage = 3 if success else 2 if shut == 1.0 else 1 if state.distance < 0.06 else 0
    return Verdict(
        stage=stage,
        progress=1.0 if success else min(progress, 0.99),
        success=success,
        arrived=shut == 1.0,
    )


def open_plan(world: World, name: str, rng: Generator) -> Plan:
    """Yield the stretches that pull a drawer out by its handle."""
    high = float(rng.uniform(0.12, 0.16))
    grasp = handle(world, name)
    above = np.append(grasp[:2], high)
    yield Stretch(kind="reach", legs=(Leg(to=above, gripper=OPEN),))
    yield Stretch(kind="reach", legs=(Leg(to=grasp, gripper=OPEN, speed=0.5, stay=1),))
    yield Stretch(kind="grasp", legs=(Leg(to=grasp, gripper=CLOSED, stay=6),))
    left = TRAVEL - 0.01 - world.slide(f"drawer_{name}")
    pulled = beside(grasp, y=-left)
    yield Stretch(kind="carry", legs=(Leg(to=pulled, gripper=CLOSED, speed=0.35, stay=3),))
    yield Stretch(kind="place", legs=(Leg(to=pulled, gripper=OPEN, stay=4),))
    up = np.append(pulled[:2], high)
    yield Stretch(kind="leave", legs=(Leg(to=up, gripper=OPEN),))


def close_plan(world: World, name: str, rng: Generator) -> Plan:
    """Yield the stretches that push a drawer in, the hand closed before its handle."""
    high = float(rng.uniform(0.12, 0.16))
    grasp = handle(world, name)
    out = world.slide(f"drawer_{name}")
    before = beside(grasp, y=-_HANDS - 0.025)
    end = beside(grasp, y=out - _HANDS + 0.004)
    down = Leg(to=before, gripper=CLOSED, speed=0.5)
    above = Leg(to=np.append(before[:2], high), gripper=CLOSED)
    yield Stretch(kind="reach", legs=(above, down))
    yield Stretch(kind="act", legs=(Leg(to=end, gripper=CLOSED, speed=0.35, stay=2),))
    back = beside(end, y=-0.02)
    up = Leg(to=np.append(back[:2], high), gripper=CLOSED)
    yield Stretch(kind="leave", legs=(Leg(to=back, gripper=CLOSED, speed=0.3), up))


class DrawerTask(Task):
    """What is done with one of the two drawers; a goal is its name."""

    goals = tuple(DRAWERS)
    begins: ClassVar[tuple[float, float]] = (0.0, 0.01)
    """How far the drawers are out at the start, at least and at most, in metres."""

    def objects_xml(self) -> str:
        """Return the cabinet as MJCF elements."""
        return cabinet_xml()

    def reset(self, world: World, rng: Generator, goal: str) -> None:
        """Put the cabinet near its place, each drawer out at random."""
        place_cabinet(world, rng)
        for name in DRAWERS:
            world.set_slide(f"drawer_{name}", float(rng.uniform(*self.begins)))

    def remember(self, world: World, memory: Memory | None) -> Memory:
        """Return how far each drawer was out at the start."""
        return memory or tuple(world.slide(f"drawer_{name}") for name in DRAWERS)

    def ways(self, world: World) -> NDArray[np.float64]:
        """Return the ways of the hand before the drawers, (2, 2, 2) in metres."""
        return drawer_ways(world)
