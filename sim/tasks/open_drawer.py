"""Open the named one of two drawers by its handle."""

from numpy.random import Generator

from ..moves import Plan
from ..scene import World
from . import Memory, Verdict
from .cabinet import DRAWERS, DrawerTask, judge_opening, open_plan, read_drawer


class OpenDrawer(DrawerTask):
    """Two closed drawers; a goal is one of them."""

    name = "open_drawer"
    stages = ("reach", "grasp", "pull", "leave", "done")
    phrases = (
        "open the {} drawer",
        "pull the {} drawer open",
        "pull out the {} drawer by its handle",
        "slide the {} drawer out",
        "get the {} drawer open",
    )
    carries = 1

    def judge(self, world: World, memory: Memory) -> dict[str, Verdict]:
        """Return the truth about each drawer."""
        return {
            name: judge_opening(read_drawer(world, name, first))
            for name, first in zip(DRAWERS, memory, strict=True)
        }

    def plan(self, world: World, goal: str, rng: Generator) -> Plan:
        """Yield the stretches that open a drawer."""
        return open_plan(world, goal, rng)
