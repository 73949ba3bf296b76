"""Swap two of three cubes that stand on marks, by way of a free mark: a cycle of three moves."""

import math
from itertools import combinations

import numpy as np
from numpy.random import Generator

from ..moves import Plan, Transport, pick_and_place
from ..scene import Hand, Spot, World
from . import Memory, Task, Verdict
from .carrying import Target, judge_carry, read_carry
from .objects import HALF, cube, mark, scatter

CUBES = ("red", "green", "blue")
"""Colours of the cubes."""
ON = 0.03
"""Distance from a mark at which a cube is on it, in metres."""
TARGET = Target(half=ON, edge=0.010, low=0.006, carry=0.12)
"""On a mark."""

_SPOTS = 4
_FREE = 3
_AREA = ((0.37, -0.20), (0.58, 0.20))


def moves_left(places: dict[str, int], homes: dict[str, int]) -> tuple[tuple[str, int], ...]:
    """Return the moves (cube, spot) that still swap two cubes, the next one first.

    Args:
        places: Cube → the spot it stands on, −1 for none.
        homes: Cube → the spot it began on; two cubes, the free spot is number 3.
    """
    (a, home_a), (b, home_b) = homes.items()
    if places[a] == home_b and places[b] == home_a:
        return ()
    if places[a] == home_b:
        return ((b, home_a),)
    if places[b] == home_a:
        return ((a, home_b),)
    if places[b] == _FREE and places[a] == home_a:
        return ((a, home_b), (b, home_a))
    if places[a] == _FREE or places[b] == home_b:
        last = (b, home_a), (a, home_b)
        return last if places[a] == _FREE else ((a, _FREE), *last)
    return ((b, _FREE), (a, home_b), (b, home_a))


class SwapCubes(Task):
    """Three cubes on three of four marks; a goal is a pair."""

    name = "swap_cubes"
    goals = tuple(f"{a} and {b}" for a, b in combinations(CUBES, 2))
    stages = ("set aside", "first over", "second over", "leave", "done")
    phrases = (
        "swap the {} and the {} cube",
        "exchange the {} block and the {} block",
        "make the {} cube and the {} cube trade places",
        "put the {} cube where the {} cube is and the other way round",
        "switch the places of the {} and the {} cube",
    )
    carries = 3
    shaded = CUBES
    between = " and "

    def objects_xml(self) -> str:
        """Return cubes and marks as MJCF elements."""
        marks = "".join(mark(f"spot_{n}", "yellow", 0.035) for n in range(_SPOTS))
        return marks + "".join(cube(name, name) for name in CUBES)

    def reset(self, world: World, rng: Generator, goal: str) -> None:
        """Place four marks at random, and a cube on each of the first three."""
        spots = scatter(rng, _SPOTS, area=_AREA, placing=self.placing)
        for number, spot in enumerate(spots):
            world.put(f"spot_{number}", spot)
        for name, spot in zip(CUBES, spots, strict=False):
            jitter = rng.uniform(-0.005, 0.005, 2)
            yaw = float(rng.uniform(-np.pi / 4, np.pi / 4))
            world.place(name, np.append(spot + jitter, HALF), yaw)

    def judge(self, world: World, memory: Memory) -> dict[str, Verdict]:
        """Return the truth about each pair."""
        hand = world.hand()
        places = {name: _place(world, hand, name) for name in CUBES}
        return {goal: self._judge_pair(world, hand, goal, places) for goal in self.goals}

    def _judge_pair(self, world: World, hand: Hand, goal: str, places: dict[str, int]) -> Verdict:
        homes = {name: CUBES.index(name) for name in goal.split(" and ")}
        left = moves_left(places, homes)
        held = any(world.gripped(name, hand) for name in homes)
        lost = any(places[name] < 0 for name in homes)
        if not left:
            clear = min(math.dist(hand.tool, world.position(name).tolist()) for name in homes)
            success = clear > 0.08
            return Verdict(
                stage=4 if success else 3,
                progress=1.0 if success else 0.97,
                success=success,
                held=held,
                lifted=False,
                arrived=True,
            )
        name, spot = left[0]
        part = _carry(world, hand, name, spot)
        if len(left) == 3 and part.stage == 0:  # either cube may be the first to be set aside
            part = max(
                (_carry(world, hand, cube, _FREE) for cube in homes), key=lambda v: v.progress
            )
        return Verdict(
            stage=3 - len(left),
            progress=min(0.97, 0.97 * (3 - len(left) + part.progress) / 3),
            success=False,
            held=held,
            lifted=held and lost,
            arrived=not lost,
        )

    def plan(self, world: World, goal: str, rng: Generator) -> Plan:
        """Yield the moves that are left, from wherever the cubes are now."""
        homes = {name: CUBES.index(name) for name in goal.split(" and ")}
        places = {name: _place(world, world.hand(), name) for name in CUBES}
        for name, spot in moves_left(places, homes):
            item = Transport(
                body=name,
                drop=lambda spot=spot: np.append(_mark(world, spot), HALF + 0.003),  # type: ignore[misc]
                cruise=float(rng.uniform(0.13, 0.18)),
            )
            yield from pick_and_place(world, item, rng)


def _mark(world: World, number: int) -> Spot:
    return world.spot(f"spot_{number}")


def _carry(world: World, hand: Hand, name: str, number: int) -> Verdict:
    return judge_carry(read_carry(world, hand, name, to=_mark(world, number), rest=HALF), TARGET)


def _place(world: World, hand: Hand, name: str) -> int:
    """Return the mark that a cube rests on, or −1."""
    x, y, z = world.position(name).tolist()
    if world.gripped(name, hand) or z > HALF + 0.006:
        return -1
    gaps = [math.dist((x, y), _mark(world, number)) for number in range(_SPOTS)]
    least = min(gaps)
    return gaps.index(least) if least < ON else -1
