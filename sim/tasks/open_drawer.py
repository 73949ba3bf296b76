"""Open the named one of two drawers by its handle."""

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from ..moves import Plan
from ..scene import World
from . import Memory, Task, Verdict
from .cabinet import (
    DRAWERS,
    cabinet_xml,
    drawer_ways,
    judge_opening,
    open_plan,
    place_cabinet,
    read_drawer,
)

_WORDINGS = (
    "open the {} drawer",
    "pull the {} drawer open",
    "pull out the {} drawer by its handle",
    "slide the {} drawer out",
    "get the {} drawer open",
)


class OpenDrawer(Task):
    """Two closed drawers; a goal is one of them."""

    name = "open_drawer"
    goals = tuple(DRAWERS)
    stages = ("reach", "grasp", "pull", "leave", "done")
    carries = 1

    def objects_xml(self) -> str:
        """Return the cabinet as MJCF elements."""
        return cabinet_xml()

    def reset(self, world: World, rng: Generator, goal: str) -> None:
        """Put the cabinet near its place; the drawers are nearly closed."""
        place_cabinet(world, rng)
        for name in DRAWERS:
            world.set_slide(f"drawer_{name}", float(rng.uniform(0.0, 0.01)))

    def remember(self, world: World, memory: Memory | None) -> Memory:
        """Return how far each drawer was out at the start."""
        return memory or tuple(world.slide(f"drawer_{name}") for name in DRAWERS)

    def judge(self, world: World, memory: Memory) -> dict[str, Verdict]:
        """Return the truth about each drawer."""
        return {
            name: judge_opening(read_drawer(world, name, first))
            for name, first in zip(DRAWERS, memory, strict=True)
        }

    def wordings(self, goal: str) -> tuple[str, ...]:
        """Return the canonical instruction for a drawer, then four paraphrases."""
        return tuple(wording.format(goal) for wording in _WORDINGS)

    def ways(self, world: World) -> NDArray[np.float64]:
        """Return the ways of the hand before the drawers, (2, 2, 2) in metres."""
        return drawer_ways(world)

    def plan(self, world: World, goal: str, rng: Generator) -> Plan:
        """Yield the stretches that open a drawer."""
        return open_plan(world, goal, rng)
