"""Stack one of three cubes on another."""

from itertools import permutations

import numpy as np
from numpy.random import Generator

from ..moves import Plan, Transport, pick_and_place
from ..scene import World
from . import Memory, Task, Verdict
from .carrying import STAGES, Target, judge_carry, read_carry
from .objects import HALF, cube, stand

CUBES = ("red", "green", "blue")
"""Colours of the cubes."""
TARGET = Target(half=HALF, edge=0.008, low=2 * HALF + 0.004, floor=1.5 * HALF, carry=0.12)
"""On top of another cube."""

_AREA = ((0.37, -0.20), (0.58, 0.16))


class StackTwo(Task):
    """Three cubes; a goal names the one on top, then the one below."""

    name = "stack_two"
    goals = tuple(f"{top} on {below}" for top, below in permutations(CUBES, 2))
    between = " on "
    stages = STAGES
    phrases = (
        "stack the {} cube on the {} cube",
        "put the {} block on top of the {} block",
        "place the {} cube onto the {} one",
        "build a tower: {} cube above, {} cube below",
        "set the {} block down on the {} block",
    )
    carries = 1
    shaded = CUBES

    def objects_xml(self) -> str:
        """Return the cubes as MJCF elements."""
        return "".join(cube(name, name) for name in CUBES)

    def reset(self, world: World, rng: Generator, goal: str) -> None:
        """Place the cubes at random, apart from each other."""
        stand(world, rng, dict.fromkeys(CUBES, HALF), area=_AREA, placing=self.placing)

    def judge(self, world: World, memory: Memory) -> dict[str, Verdict]:
        """Return the truth about each ordered pair."""
        hand, found = world.hand(), {}
        for goal in self.goals:
            top, below = goal.split(" on ")
            state = read_carry(world, hand, top, to=world.spot(below), rest=HALF)
            found[goal] = judge_carry(state, TARGET)
        return found

    def plan(self, world: World, goal: str, rng: Generator) -> Plan:
        """Yield the stretches that put one cube on the other."""
        top, below = goal.split(" on ")
        cruise, above = float(rng.uniform(0.17, 0.21)), float(rng.uniform(0.062, 0.066))
        item = Transport(
            body=top,
            drop=lambda: np.append(world.position(below)[:2], above),
            cruise=cruise,
            turn=0.0,
        )
        return pick_and_place(world, item, rng)
