"""Close the named one of two open drawers by pushing it."""

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from ..moves import Plan
from ..scene import World
from . import Memory, Task, Verdict
from .cabinet import (
    DRAWERS,
    cabinet_xml,
    close_plan,
    drawer_ways,
    judge_closing,
    place_cabinet,
    read_drawer,
)

_WORDINGS = (
    "close the {} drawer",
    "push the {} drawer shut",
    "shut the {} drawer",
    "slide the {} drawer back in",
    "get the {} drawer closed",
)


class CloseDrawer(Task):
    """Two open drawers; a goal is one of them."""

    name = "close_drawer"
    goals = tuple(DRAWERS)
    stages = ("reach", "push", "leave", "done")

    def objects_xml(self) -> str:
        """Return the cabinet as MJCF elements."""
        return cabinet_xml()

    def reset(self, world: World, rng: Generator, goal: str) -> None:
        """Put the cabinet near its place, both drawers out by 8 to 12 cm."""
        place_cabinet(world, rng)
        for name in DRAWERS:
            world.set_slide(f"drawer_{name}", float(rng.uniform(0.08, 0.12)))

    def remember(self, world: World, memory: Memory | None) -> Memory:
        """Return how far each drawer was out at the start."""
        return memory or tuple(world.slide(f"drawer_{name}") for name in DRAWERS)

    def judge(self, world: World, memory: Memory) -> dict[str, Verdict]:
        """Return the truth about each drawer."""
        return {
            name: judge_closing(read_drawer(world, name, first))
            for name, first in zip(DRAWERS, memory, strict=True)
        }

    def wordings(self, goal: str) -> tuple[str, ...]:
        """Return the canonical instruction for a drawer, then four paraphrases."""
        return tuple(wording.format(goal) for wording in _WORDINGS)

    def ways(self, world: World) -> NDArray[np.float64]:
        """Return the ways of the hand before the drawers, (2, 2, 2) in metres."""
        return drawer_ways(world)

    def plan(self, world: World, goal: str, rng: Generator) -> Plan:
        """Yield the stretches that close a drawer."""
        return close_plan(world, goal, rng)
