"""Put the thing of the named shape into the bin; all four have one colour, so shape decides."""

from dataclasses import replace

import numpy as np
from numpy.random import Generator

from ..moves import Plan, pick_and_place
from ..scene import World
from . import Memory, Task, Verdict
from .carrying import STAGES, Target, judge_carry, read_carry
from .objects import GRIP, free_body, stand, tray
from .pick_to_bin import BIN, BIN_HALF, RIM, into_bin

SHAPES = {
    "cube": ('type="box" size="0.02 0.02 0.02"', 0.02),
    "cylinder": ('type="cylinder" size="0.02 0.03"', 0.03),
    "bar": ('type="box" size="0.045 0.015 0.015"', 0.015),
    "ball": ('type="sphere" size="0.023"', 0.023),
}
"""Goal → its geom in MJCF, and the height of its centre on the table in metres."""

_ROLLING = 'condim="6" friction="1.2 0.02 0.003"'
_WIDTH = {"cube": 0.04, "cylinder": 0.04, "bar": 0.03, "ball": 0.046}


class PickShapeToBin(Task):
    """A cube, a cylinder, a bar, a ball and a bin; a goal is a shape."""

    name = "pick_shape_to_bin"
    goals = tuple(SHAPES)
    stages = STAGES
    phrases = (
        "put the {} into the bin",
        "place the {} in the bin",
        "pick up the {} and drop it in the box",
        "move the {} to the bin",
        "grab the {}, then release it inside the bin",
    )
    carries = 1

    def objects_xml(self) -> str:
        """Return bin and things as MJCF elements."""
        things = "".join(
            free_body(name, geom, rest=rest, touch=_ROLLING if name == "ball" else GRIP)
            for name, (geom, rest) in SHAPES.items()
        )
        return tray("bin", self.placing.spots(BIN), half=BIN_HALF, rim=RIM) + things

    def reset(self, world: World, rng: Generator, goal: str) -> None:
        """Place the things at random: apart from each other, within reach, off the bin."""
        rests = {name: rest for name, (_, rest) in SHAPES.items()}
        stand(world, rng, rests, placing=self.placing)

    def judge(self, world: World, memory: Memory) -> dict[str, Verdict]:
        """Return the truth about each shape."""
        hand, place = world.hand(), world.spot("bin")
        return {
            name: judge_carry(
                read_carry(world, hand, name, to=place, rest=rest),
                Target(half=BIN_HALF, low=RIM - rest, width=_WIDTH[name]),
            )
            for name, (_, rest) in SHAPES.items()
        }

    def plan(self, world: World, goal: str, rng: Generator) -> Plan:
        """Yield the stretches that bring a thing into the bin."""
        item = replace(
            into_bin(world, goal, rng),
            grip=max(0.02, SHAPES[goal][1]),
            period=np.pi if goal == "bar" else np.pi / 2,
        )
        return pick_and_place(world, item, rng)

    def vary_colour(self, world: World, rng: Generator) -> None:
        """Give all the things one random colour."""
        rgb = rng.uniform(0.1, 0.9, 3)
        for name in SHAPES:
            world.model.geom(name).rgba[:3] = rgb
