"""The truth about carrying one thing to where it belongs; most tasks are made of it.

Progress is the sum of reach .15, grasp .10, lift .20, carry .35 and place .20, each part rising
continuously from 0 to its full weight; a thing that is where it belongs keeps the parts that
led there, wherever the hand is, and one that is dropped elsewhere loses them.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

from ..scene import Hand, Spot, World
from . import Verdict

STAGES = ("reach", "grasp", "lift", "carry", "place", "done")
"""Names of the stages of one transport."""
GRASP = 0.012
"""Distance of tool and thing, in metres, at which reaching is complete."""


@dataclass(frozen=True, kw_only=True)
class Target:
    """Where a thing belongs, and how it is held; metres."""

    half: float
    """Half the width of the square in which its centre must be."""
    edge: float = 0.015
    """Over how much of the way into that square it counts as entering."""
    low: float
    """Height above its first place at or below which it counts as lowered."""
    floor: float = -1.0
    """Height below which it is not there whatever its place: under what it belongs on."""
    carry: float = 0.15
    """Height above its first place at which lifting counts as complete."""
    width: float = 0.04
    """Width of the thing between the pads."""
    open: float = 0.08
    """Jaw that is wide open."""


class CarryState(NamedTuple):
    """All that the truth about one thing depends on; metres and metres per second."""

    distance: float
    """Tool point to where it is grasped."""
    jaw: float
    """Distance between the pads."""
    gripped: bool
    """Whether both pads touch it."""
    height: float
    """How far it is above the place it had on the table."""
    offset: tuple[float, float]
    """Its centre from the centre of where it belongs."""
    speed: float
    """Its speed."""
    reach: float = 0.30
    """Distance from which on coming nearer counts, as `sim.robots.Robot.reach` says."""


def judge_carry(state: CarryState, target: Target) -> Verdict:
    """Return stage, progress and success of bringing one thing to its target."""
    x, y = state.offset
    inside = ramp(target.half - max(abs(x), abs(y)), 0.0, target.edge)
    inside *= state.height >= target.floor
    near = ramp(-state.distance, -0.05, -0.02)
    closing = ramp(-state.jaw, -target.open, -target.width - 0.002)
    lifted = max(ramp(state.height, 0.002, target.carry), inside)
    away = max(0.0, math.hypot(x, y) - target.half)
    under_control = 1.0 if state.gripped else inside
    lowered = ramp(-state.height, -target.carry, -target.low)
    clear = ramp(state.distance, 0.03, 0.08)
    let_go = max(clear, 0.0 if state.gripped else 1.0 - closing)
    success = bool(min(inside, lowered, clear) == 1.0 and state.speed < 0.05)
    progress = (
        0.15 * max(ramp(-state.distance, -state.reach - GRASP, -GRASP), inside)
        + 0.10 * max(near * closing, under_control)
        + 0.20 * lifted * under_control
        + 0.35 * lifted * under_control * (1.0 - min(1.0, away / 0.45))
        + 0.20 * inside * (0.4 * lowered + 0.3 * let_go + 0.3 * clear)
    )
    return Verdict(
        stage=_stage(state, target, success=success, inside=inside, near=near),
        progress=1.0 if success else min(progress, 0.99),
        success=success,
        held=state.gripped,
        lifted=state.height > 0.01,
        arrived=inside == 1.0,
    )


def _stage(state: CarryState, target: Target, *, success: bool, inside: float, near: float) -> int:
    if success:
        return 5
    if inside == 1.0:
        return 4
    if not state.gripped:
        return 1 if near > 0.5 else 0
    return 3 if state.height >= 0.9 * target.carry else 2


def ramp(value: float, low: float, high: float) -> float:
    """Return 0 below ``low``, 1 above ``high``, and a straight line between."""
    share = (value - low) / (high - low)
    return 0.0 if share < 0.0 else 1.0 if share > 1.0 else share


def read_carry(
    world: World, hand: Hand, body: str, *, to: Spot, rest: float, grip: float = 0.0
) -> CarryState:
    """Return what the truth about a body depends on.

    Args:
        world: The world.
        hand: The hand, read in the same state.
        body: Name of the body and of the geom that is grasped.
        to: Where it belongs, in metres.
        rest: Height of its centre where it stands on the table, in metres.
        grip: Height of the grasp above its centre, in metres.
    """
    x, y, z = world.position(body).tolist()
    return CarryState(
        distance=math.dist(hand.tool, (x, y, z + grip)),
        jaw=hand.jaw,
        gripped=world.gripped(body, hand),
        height=z - rest,
        offset=(x - to[0], y - to[1]),
        speed=world.speed(body),
        reach=world.robot.reach,
    )
