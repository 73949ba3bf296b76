"""Insert the peg of the named colour into the socket, 4 mm of play on each side."""

import numpy as np
from numpy.random import Generator

from ..moves import Plan, Transport, pick_and_place
from ..scene import World
from . import Memory, Task, Verdict
from .carrying import STAGES, Target, judge_carry, read_carry
from .objects import COLOURS, free_body, stand

PEGS = ("red", "blue")
"""Colours of the pegs."""
HALF, TALL = 0.014, 0.05
"""Half the width and half the height of a peg, in metres."""
HOLE, RIM = 0.018, 0.038
"""Half the width of the socket's hole, and its height, in metres."""
TARGET = Target(half=0.008, edge=0.003, low=0.010, carry=0.10, width=2 * HALF)
"""In the socket, down to the table."""

_GRIP = 0.006
_SOCKET = np.array((0.48, 0.20))
_AREA = ((0.38, -0.20), (0.58, 0.04))


class InsertPeg(Task):
    """Two upright pegs and a socket; a goal is a colour."""

    name = "insert_peg"
    goals = PEGS
    stages = STAGES
    phrases = (
        "insert the {} peg into the socket",
        "put the {} peg in the hole",
        "place the {} stick into the square hole",
        "plug the {} peg into the socket",
        "the {} peg belongs in the hole, put it there",
    )
    carries = 1
    shaded = PEGS

    def objects_xml(self) -> str:
        """Return pegs and socket as MJCF elements."""
        size = f'type="box" size="{HALF} {HALF} {TALL}"'
        pegs = "".join(free_body(name, size, rest=TALL, rgb=COLOURS[name]) for name in PEGS)
        thick, shade_ = 0.012, 'rgba="0.30 0.32 0.36 1"'
        side, wide = HOLE + thick, HOLE + 2 * thick
        walls = "".join(
            f'<geom type="box" size="{size} {RIM / 2}" pos="{x} {y} {RIM / 2}" {shade_}/>'
            for size, x, y in (
                (f"{thick} {wide}", -side, 0),
                (f"{thick} {wide}", side, 0),
                (f"{HOLE} {thick}", 0, -side),
                (f"{HOLE} {thick}", 0, side),
            )
        )
        return f'<body name="socket">{walls}</body>{pegs}'

    def reset(self, world: World, rng: Generator, goal: str) -> None:
        """Place pegs and socket at random, apart from each other."""
        world.put("socket", _SOCKET + rng.uniform(-0.04, 0.04, 2))
        stand(world, rng, dict.fromkeys(PEGS, TALL), area=_AREA)

    def judge(self, world: World, memory: Memory) -> dict[str, Verdict]:
        """Return the truth about each peg."""
        hand, hole = world.hand(), world.spot("socket")
        return {
            name: judge_carry(read_carry(world, hand, name, to=hole, rest=TALL, grip=_GRIP), TARGET)
            for name in PEGS
        }

    def plan(self, world: World, goal: str, rng: Generator) -> Plan:
        """Yield the stretches that bring a peg into the socket."""
        cruise, low = float(rng.uniform(0.20, 0.24)), TALL + _GRIP + 0.004
        item = Transport(
            body=goal,
            drop=lambda: np.append(world.position("socket")[:2], low),
            cruise=cruise,
            grip=TALL + _GRIP,
        )
        return pick_and_place(world, item, rng)
