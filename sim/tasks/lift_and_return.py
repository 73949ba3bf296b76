"""Lift the cube of the named colour and put it back where it was: the end looks like the start."""

import math

import numpy as np
from numpy.random import Generator

from ..moves import Plan, Transport, pick_and_place
from ..scene import World
from . import Memory, Task, Verdict
from .carrying import GRASP, CarryState, ramp, read_carry
from .objects import HALF, cube, stand

CUBES = ("red", "green", "blue")
"""Colours of the cubes."""
HIGH = 0.10
"""Height above the table that counts as lifted, in metres."""
BACK = 0.03
"""Distance from its first place at which a cube is back, in metres."""

_AREA = ((0.37, -0.20), (0.58, 0.18))


def judge_return(state: CarryState, peak: float) -> Verdict:
    """Return the truth about lifting one cube and putting it back, half of it each.

    Args:
        state: Of the cube; its target is the place where it began.
        peak: The greatest height that it was held at so far, in metres.
    """
    near = ramp(-state.distance, -state.reach - GRASP, -GRASP)
    grip = float(state.gripped)
    home = ramp(-math.hypot(*state.offset), -2 * BACK, -BACK)
    lowered = ramp(-state.height, -HIGH, -0.004)
    clear = ramp(state.distance, 0.03, 0.08)
    rested = home == 1.0 and lowered == 1.0 and not state.gripped
    success = peak >= HIGH and rested and clear == 1.0 and state.speed < 0.05
    if peak < HIGH:
        lifted = ramp(state.height, 0.002, HIGH) * grip
        progress = 0.15 * max(near, grip) + 0.10 * grip + 0.25 * lifted
        stage = 0 if not state.gripped and state.distance > 0.035 else 1
        stage = 2 if state.gripped else stage
    else:
        progress = 0.5 + 0.3 * lowered * home + 0.2 * clear * rested
        stage = 5 if success else 4 if home * lowered == 1.0 else 3
    return Verdict(
        stage=stage,
        progress=1.0 if success else min(progress, 0.99),
        success=success,
        held=state.gripped,
        lifted=state.height > 0.01,
        arrived=home * lowered == 1.0,
    )


class LiftAndReturn(Task):
    """Three cubes; a goal is a colour. It takes memory to tell the end from the start."""

    name = "lift_and_return"
    goals = CUBES
    stages = ("reach", "grasp", "lift", "return", "leave", "done")
    phrases = (
        "lift the {} cube and put it back",
        "pick up the {} block, then set it down where it was",
        "raise the {} cube high, then return it to its place",
        "lift the {} block and lower it onto the same spot",
        "take the {} cube up and put it down again",
    )
    carries = 1
    shaded = CUBES

    def objects_xml(self) -> str:
        """Return the cubes as MJCF elements."""
        return "".join(cube(name, name) for name in CUBES)

    def reset(self, world: World, rng: Generator, goal: str) -> None:
        """Place the cubes at random, apart from each other."""
        stand(world, rng, dict.fromkeys(CUBES, HALF), area=_AREA, placing=self.placing)

    def remember(self, world: World, memory: Memory | None) -> Memory:
        """Return, for each cube, where it began (x, y) and the greatest height it was held at."""
        hand, kept = world.hand(), list[float]()
        for number, name in enumerate(CUBES):
            position = world.position(name)
            x, y, peak = memory[3 * number : 3 * number + 3] if memory else (*position[:2], 0.0)
            held = float(position[2]) - HALF if world.gripped(name, hand) else 0.0
            kept += [float(x), float(y), max(float(peak), held)]
        return tuple(kept)

    def judge(self, world: World, memory: Memory) -> dict[str, Verdict]:
        """Return the truth about each cube."""
        hand, found = world.hand(), {}
        for number, name in enumerate(CUBES):
            x, y, peak = memory[3 * number : 3 * number + 3]
            state = read_carry(world, hand, name, to=(x, y), rest=HALF)
            found[name] = judge_return(state, peak)
        return found

    def plan(self, world: World, goal: str, rng: Generator) -> Plan:
        """Yield the stretches that lift a cube and put it back."""
        place = np.append(world.position(goal)[:2], HALF + 0.003)
        cruise = float(rng.uniform(0.15, 0.22))
        item = Transport(body=goal, drop=lambda: place, cruise=cruise)
        return pick_and_place(world, item, rng)
