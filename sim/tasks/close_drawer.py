"""Close the named one of two open drawers by pushing it."""

from numpy.random import Generator

from ..moves import Plan
from ..scene import World
from . import Memory, Verdict
from .cabinet import DRAWERS, DrawerTask, close_plan, judge_closing, read_drawer


class CloseDrawer(DrawerTask):
    """Two open drawers; a goal is one of them."""

    name = "close_drawer"
    begins = (0.08, 0.12)
    stages = ("reach", "push", "leave", "done")
    phrases = (
        "close the {} drawer",
        "push the {} drawer shut",
        "shut the {} drawer",
        "slide the {} drawer back in",
        "get the {} drawer closed",
    )

    def judge(self, world: World, memory: Memory) -> dict[str, Verdict]:
        """Return the truth about each drawer."""
        return {
            name: judge_closing(read_drawer(world, name, first))
            for name, first in zip(DRAWERS, memory, strict=True)
        }

    def plan(self, world: World, goal: str, rng: Generator) -> Plan:
        """Yield the stretches that close a drawer."""
        return close_plan(world, goal, rng)
