"""Open the named drawer, put the cube into it, and close it: three jobs in a row."""

import numpy as np
from numpy.random import Generator

from ..moves import Plan, Transport, pick_and_place
from ..scene import World
from . import Memory, Verdict
from .cabinet import (
    DRAWERS,
    INNER,
    OPENED,
    SHUT,
    DrawerTask,
    close_plan,
    judge_closing,
    judge_opening,
    open_plan,
    read_drawer,
)
from .carrying import Target, judge_carry, ramp, read_carry
from .objects import HALF, cube, stand

CUBE = "red"
"""Colour of the cube."""
TARGET = Target(half=INNER[0] - 0.012, edge=0.008, low=0.012, carry=0.11)
"""In the drawer, down on its floor."""

_AREA = ((0.38, -0.22), (0.58, -0.06))


def judge_storing(opening: Verdict, carrying: Verdict, closing: Verdict, out: float) -> Verdict:
    """Return the truth about the whole from that of its jobs: open .30, carry .45, close .25.

    Args:
        opening: Of the drawer.
        carrying: Of the cube into the drawer.
        closing: Of the drawer, from where it is fully open.
        out: How far it is out, in metres.
    """
    stored = carrying.arrived and not carrying.held
    success = stored and closing.success
    if stored:
        progress = 0.30 + 0.45 * carrying.progress + 0.25 * closing.progress
        stage = 6 if success else 5
    elif out >= OPENED:
        progress = 0.30 + 0.45 * carrying.progress
        stage = 4 if carrying.stage >= 3 else 3
    else:
        progress = 0.30 * opening.progress
        stage = min(opening.stage, 2)
    return Verdict(
        stage=stage,
        progress=1.0 if success else min(progress, 0.99),
        success=success,
        held=opening.held or carrying.held,
        lifted=(opening.held and opening.lifted) or (carrying.held and carrying.lifted),
        arrived=stored or (opening.arrived and not carrying.lifted),
    )


class CubeInDrawer(DrawerTask):
    """A cube and two closed drawers; a goal is one of the drawers."""

    name = "cube_in_drawer"
    stages = ("reach handle", "grasp handle", "open", "fetch", "place", "close", "done")
    phrases = (
        "put the cube in the {} drawer and close it",
        "store the block in the {} drawer, then shut the drawer",
        "open the {} drawer, place the cube inside and close the drawer",
        "the cube belongs in the {} drawer; close it afterwards",
        "put away the cube in the {} drawer",
    )
    carries = 2
    shaded = ("cube",)

    def objects_xml(self) -> str:
        """Return cabinet and cube as MJCF elements."""
        return super().objects_xml() + cube("cube", CUBE)

    def reset(self, world: World, rng: Generator, goal: str) -> None:
        """Put the cabinet near its place, the drawers nearly closed, the cube before it."""
        super().reset(world, rng, goal)
        stand(world, rng, {"cube": HALF}, area=_AREA)

    def judge(self, world: World, memory: Memory) -> dict[str, Verdict]:
        """Return the truth about each drawer."""
        hand, found = world.hand(), {}
        for name, first in zip(DRAWERS, memory, strict=True):
            drawer = read_drawer(world, name, first)
            wide = read_drawer(world, name, OPENED)
            inside = world.spot(f"drawer_{name}")
            state = read_carry(world, hand, "cube", to=inside, rest=HALF)
            carrying = judge_carry(state, TARGET)
            found[name] = judge_storing(
                judge_opening(drawer), carrying, judge_closing(wide), drawer.out
            )
        return found

    def plan(self, world: World, goal: str, rng: Generator) -> Plan:
        """Yield the stretches that open the drawer, fill and close it; what is done is left."""
        if not self._stored(world, goal):
            if world.slide(f"drawer_{goal}") < OPENED:
                yield from open_plan(world, goal, rng)
            item = Transport(
                body="cube",
                drop=lambda: np.append(world.position(f"drawer_{goal}")[:2], 0.055),
                cruise=float(rng.uniform(0.17, 0.21)),
            )
            yield from pick_and_place(world, item, rng)
        if world.slide(f"drawer_{goal}") > SHUT:
            yield from close_plan(world, goal, rng)

    def _stored(self, world: World, name: str) -> bool:
        offset = np.abs(world.position("cube") - world.position(f"drawer_{name}"))[:2]
        inside = ramp(TARGET.half - float(offset.max()), 0.0, TARGET.edge)
        return inside == 1.0 and not world.gripped("cube")
