"""Put the cube of the named colour into the bin; four cubes are always there."""

import numpy as np
from numpy.random import Generator

from ..moves import Plan, Transport, pick_and_place
from ..scene import World
from . import Memory, Task, Verdict
from .carrying import STAGES, Target, judge_carry, read_carry
from .objects import COLOURS, HALF, cube, stand, tray

BIN = np.array((0.48, 0.23))
"""Centre of the bin on the Panda's table, in metres."""
BIN_HALF = 0.07
"""Half the inner width of the bin, in metres."""
RIM = 0.05
"""Height of the bin's walls, in metres."""
TARGET = Target(half=BIN_HALF, low=RIM - HALF)
"""Inside the bin, below its rim."""


class PickToBin(Task):
    """Four cubes and a bin; a goal is a colour."""

    name = "pick_to_bin"
    goals = tuple(COLOURS)
    stages = STAGES
    phrases = (
        "put the {} cube into the bin",
        "place the {} block in the bin",
        "pick up the {} cube and drop it in the box",
        "move the {} cube to the bin",
        "the {} cube belongs in the container, put it there",
        "grab the {} block, then release it inside the bin",
        "take the {} cube and put it in the bin",
    )
    carries = 1
    shaded = tuple(COLOURS)

    def objects_xml(self) -> str:
        """Return bin and cubes as MJCF elements."""
        cubes = "".join(cube(name, name) for name in COLOURS)
        return tray("bin", self.placing.spots(BIN), half=BIN_HALF, rim=RIM) + cubes

    def reset(self, world: World, rng: Generator, goal: str) -> None:
        """Place the cubes at random: apart from each other, within reach, off the bin."""
        stand(world, rng, dict.fromkeys(COLOURS, HALF), placing=self.placing)

    def judge(self, world: World, memory: Memory) -> dict[str, Verdict]:
        """Return the truth about each colour."""
        hand, place = world.hand(), world.spot("bin")
        return {
            name: judge_carry(read_carry(world, hand, name, to=place, rest=HALF), TARGET)
            for name in COLOURS
        }

    def plan(self, world: World, goal: str, rng: Generator) -> Plan:
        """Yield the stretches that bring a cube into the bin."""
        return pick_and_place(world, into_bin(world, goal, rng), rng)


def into_bin(world: World, body: str, rng: Generator) -> Transport:
    """Return how a body gets into the bin: let go at random above its middle."""
    cruise = float(rng.uniform(0.19, 0.23))
    centre = world.position("bin")[:2]
    drop = np.append(centre + rng.uniform(-0.02, 0.02, 2), rng.uniform(0.075, 0.095))
    return Transport(body=body, drop=lambda: drop, cruise=cruise)
