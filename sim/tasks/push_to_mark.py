"""Push the block onto the mark of the named colour, the hand closed."""

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from ..moves import CLOSED, Leg, Plan, Stretch, nearest_yaw
from ..scene import World
from . import Memory, Task, Verdict
from .carrying import ramp
from .objects import free_body, mark, scatter

MARKS = ("red", "green", "blue")
"""Colours of the marks."""
RADIUS, HEIGHT = 0.03, 0.03
"""Of the block, a cylinder, in metres."""
ON = 0.02
"""Distance of block and mark at which the block is on it, in metres."""

_HAND = 0.010
_BEHIND = 0.08
_AREA = ((0.38, -0.20), (0.58, 0.20))


def judge_push(
    *, away: float, first: float, distance: float, speed: float, lift: float, reach: float
) -> Verdict:
    """Return the truth about pushing the block onto one mark.

    Args:
        away: Block to mark, in metres.
        first: The same at the start of the episode.
        distance: Tool to block, in metres.
        speed: Of the block, in metres per second.
        lift: Height of the tool, in metres.
        reach: Distance from which on coming nearer counts, in metres.
    """
    done = 1.0 if away <= ON else max(0.0, 1.0 - (away - ON) / max(first - ON, 0.01))
    near = ramp(-distance, -reach, -0.06)
    clear = ramp(lift, 0.03, 0.09)
    success = away <= ON and clear == 1.0 and speed < 0.02
    progress = 0.2 * max(near, done) + 0.6 * done + 0.2 * clear * (away <= ON)
    at_work = distance < 0.07
    stage = 3 if success else 2 if away <= ON else 1 if at_work else 0
    return Verdict(
        stage=stage,
        progress=1.0 if success else min(progress, 0.99),
        success=success,
        arrived=away <= ON,
    )


class PushToMark(Task):
    """One block and three marks; a goal is the colour of a mark."""

    name = "push_to_mark"
    goals = MARKS
    stages = ("reach", "push", "leave", "done")
    phrases = (
        "push the block onto the {} mark",
        "slide the block to the {} disc",
        "move the block onto the {} spot without lifting it",
        "shove the block until it is on the {} circle",
        "push the puck to the {} mark",
    )

    def objects_xml(self) -> str:
        """Return block and marks as MJCF elements."""
        geom = f'type="cylinder" size="{RADIUS} {HEIGHT / 2}"'
        touch = 'condim="4" friction="0.7 0.01 0.0005"'
        block = free_body("block", geom, rest=HEIGHT / 2, rgb=(0.35, 0.33, 0.36), touch=touch)
        return block + "".join(mark(_mark(name), name, 0.045) for name in MARKS)

    def reset(self, world: World, rng: Generator, goal: str) -> None:
        """Place block and marks at random, apart from each other."""
        block, *spots = scatter(rng, 1 + len(MARKS), area=_AREA, placing=self.placing)
        world.place("block", np.append(block, HEIGHT / 2), 0.0)
        for name, spot in zip(MARKS, spots, strict=True):
            world.put(_mark(name), spot)

    def remember(self, world: World, memory: Memory | None) -> Memory:
        """Return how far the block was from each mark at the start."""
        return memory or tuple(float(np.linalg.norm(_way(world, name))) for name in MARKS)

    def judge(self, world: World, memory: Memory) -> dict[str, Verdict]:
        """Return the truth about each mark."""
        tool = world.tool()
        distance = float(np.linalg.norm(tool - world.position("block")))
        return {
            name: judge_push(
                away=float(np.linalg.norm(_way(world, name))),
                first=first,
                distance=distance,
                speed=world.speed("block"),
                lift=float(tool[2]),
                reach=world.robot.reach,
            )
            for name, first in zip(MARKS, memory, strict=True)
        }

    def ways(self, world: World) -> NDArray[np.float64]:
        """Return the ways of the hand, (3, 2, 2) in metres, from behind the block to each mark."""
        block = world.position("block")[:2]
        ways = [_way(world, name) for name in MARKS]
        return np.array(
            [(block - _BEHIND * way / np.linalg.norm(way), block + way) for way in ways]
        )

    def plan(self, world: World, goal: str, rng: Generator) -> Plan:
        """Yield pushes from behind the block, corrected up to twice."""
        for _ in range(3):
            way = _way(world, goal)
            distance = float(np.linalg.norm(way))
            if distance < 0.6 * ON:
                return
            yield from self._push(world, way, rng)

    def _push(self, world: World, way: NDArray[np.float64], rng: Generator) -> Plan:
        distance = float(np.linalg.norm(way))
        ahead, block = way / distance, world.position("block")[:2]
        facing = world.robot.placing.facing(block)
        yaw = facing + nearest_yaw(float(np.arctan2(ahead[1], ahead[0])) - facing)
        behind = block - ahead * (RADIUS + _HAND + 0.025)
        high, low = rng.uniform(0.10, 0.14), rng.uniform(0.018, 0.022)
        end = block + way - ahead * (RADIUS + _HAND)

        def leg(spot: NDArray[np.float64], height: float, speed: float) -> Leg:
            return Leg(to=np.append(spot, height), gripper=CLOSED, yaw=yaw, speed=speed)

        yield Stretch(kind="reach", legs=(leg(behind, high, 0.7), leg(behind, low, 0.5)))
        yield Stretch(kind="act", legs=(leg(end, low, 0.35),))
        back = end - 0.02 * ahead
        yield Stretch(kind="leave", legs=(leg(back, low, 0.3), leg(back, high, 0.7)))


def _mark(name: str) -> str:
    return f"mark_{name}"


def _way(world: World, name: str) -> NDArray[np.float64]:
    """Return the way from the block to a mark, (2,) in metres."""
    way: NDArray[np.float64] = (world.position(_mark(name)) - world.position("block"))[:2]
    return way
