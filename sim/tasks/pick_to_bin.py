"""Put the cube of the named colour into the bin; four cubes are always there.

One function, `judge_cube`, says for each colour what stage, progress and success are, from the
state alone. Progress is the sum of reach .15, grasp .10, lift .20, carry .35 and place .20, each
part rising continuously from 0 to its full weight; a cube inside the bin keeps the parts that
led there, wherever the hand is, and one that is dropped elsewhere loses them.
"""

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from ..scene import World
from . import Verdict

COLOURS = {
    "red": (0.85, 0.12, 0.10),
    "green": (0.12, 0.62, 0.20),
    "blue": (0.12, 0.25, 0.85),
    "yellow": (0.95, 0.80, 0.10),
}
"""Goal → colour of its cube."""
HALF = 0.02
"""Half the edge of a cube, in metres."""
BIN = np.array((0.48, 0.23))
"""Centre of the bin, in metres."""
BIN_HALF = 0.07
"""Half the inner width of the bin, in metres."""
RIM = 0.05
"""Height of the bin's walls, in metres."""
CARRY_HEIGHT = 0.15
"""How far a cube is lifted from the table when lifting counts as complete, in metres."""
APART = 0.13
"""Least distance between the centres of two cubes at the start, in metres."""

_AREA = np.array(((0.36, -0.21), (0.58, 0.07)))
_WALL = 0.004
_WORDINGS = (
    "put the {} cube into the bin",
    "place the {} block in the bin",
    "pick up the {} cube and drop it in the box",
    "move the {} cube to the bin",
    "the {} cube belongs in the container, put it there",
    "grab the {} block, then release it inside the bin",
    "take the {} cube and put it in the bin",
)


@dataclass(frozen=True, kw_only=True)
class CubeState:
    """All that the truth about one cube depends on; metres and metres per second."""

    distance: float
    """Tool point to the centre of the cube."""
    jaw: float
    """Distance between the pads."""
    gripped: bool
    """Whether both pads touch the cube."""
    height: float
    """Centre of the cube above the place it has on the table."""
    offset: NDArray[np.float64]
    """(2,) centre of the cube from the centre of the bin."""
    speed: float
    """Speed of the cube."""


def judge_cube(state: CubeState) -> Verdict:
    """Return stage, progress and success of putting one cube into the bin."""
    inside = _ramp(BIN_HALF - float(np.abs(state.offset).max()), 0.0, 0.015)
    near = _ramp(-state.distance, -0.05, -0.02)
    closing = _ramp(-state.jaw, -0.08, -0.042)
    lifted = max(_ramp(state.height, 0.002, CARRY_HEIGHT), inside)
    away = max(0.0, float(np.linalg.norm(state.offset)) - BIN_HALF)
    under_control = 1.0 if state.gripped else inside
    lowered = _ramp(-state.height, -CARRY_HEIGHT, HALF - RIM)
    clear = _ramp(state.distance, 0.03, 0.08)
    let_go = max(clear, 0.0 if state.gripped else 1.0 - closing)
    success = bool(min(inside, lowered, clear) == 1.0 and state.speed < 0.05)
    progress = (
        0.15 * max(_ramp(-state.distance, -0.312, -0.012), inside)
        + 0.10 * max(near * closing, under_control)
        + 0.20 * lifted * under_control
        + 0.35 * lifted * under_control * (1.0 - min(1.0, away / 0.45))
        + 0.20 * inside * (0.4 * lowered + 0.3 * let_go + 0.3 * clear)
    )
    return Verdict(
        stage=_stage(state, success=success, inside=inside, near=near),
        progress=1.0 if success else min(progress, 0.99),
        success=success,
        held=state.gripped,
        lifted=state.height > 0.01,
    )


def _ramp(value: float, low: float, high: float) -> float:
    """Return 0 below ``low``, 1 above ``high``, and a straight line between."""
    return min(1.0, max(0.0, (value - low) / (high - low)))


def _stage(state: CubeState, *, success: bool, inside: float, near: float) -> int:
    if success:
        return 5
    if inside == 1.0:
        return 4
    if not state.gripped:
        return 1 if near > 0.5 else 0
    return 3 if state.height >= 0.9 * CARRY_HEIGHT else 2


class PickToBin:
    """The task: four cubes and a bin; a goal is a colour."""

    name = "pick_to_bin"
    goals = tuple(COLOURS)
    stages = ("reach", "grasp", "lift", "carry", "place", "done")

    def objects_xml(self) -> str:
        """Return bin and cubes as MJCF elements."""
        wall, size = BIN_HALF + _WALL, f"{_WALL} {BIN_HALF + 2 * _WALL} {RIM / 2}"
        turned = f"{BIN_HALF + 2 * _WALL} {_WALL} {RIM / 2}"
        shade = 'rgba="0.42 0.34 0.30 1"'
        walls = "".join(
            f'<geom name="bin_{side}" type="box" size="{extent}" pos="{x} {y} {RIM / 2}" {shade}/>'
            for side, extent, x, y in (
                ("near", size, -wall, 0),
                ("far", size, wall, 0),
                ("right", turned, 0, -wall),
                ("left", turned, 0, wall),
            )
        )
        bottom = (
            f'<geom name="bin_floor" type="box" size="{BIN_HALF} {BIN_HALF} 0.001" '
            f'pos="0 0 0.001" rgba="0.30 0.25 0.22 1"/>'
        )
        cubes = "".join(_cube_xml(name) for name in COLOURS)
        return f'<body name="bin" pos="{BIN[0]} {BIN[1]} 0">{bottom}{walls}</body>{cubes}'

    def reset(self, world: World, rng: Generator) -> None:
        """Place the cubes at random: apart from each other, within reach, off the bin."""
        for name, spot in zip(COLOURS, scatter(rng), strict=True):
            yaw = float(rng.uniform(-np.pi / 4, np.pi / 4))
            world.place(name, np.array((*spot, HALF)), yaw)

    def judge(self, world: World) -> dict[str, Verdict]:
        """Return the truth about each colour."""
        return {name: judge_cube(read_cube(world, name)) for name in COLOURS}

    def wordings(self, goal: str) -> tuple[str, ...]:
        """Return the canonical instruction for a colour, then six paraphrases."""
        return tuple(wording.format(goal) for wording in _WORDINGS)

    def vary_colour(self, world: World, rng: Generator) -> None:
        """Vary the shades of the cubes a little, within their colour names."""
        for name in COLOURS:
            world.model.geom(name).rgba[:3] *= rng.uniform(0.9, 1.05)


def read_cube(world: World, name: str) -> CubeState:
    """Return what the truth about the cube ``name`` depends on."""
    position = world.position(name)
    return CubeState(
        distance=float(np.linalg.norm(world.tool() - position)),
        jaw=world.jaw(),
        gripped=world.gripped(name),
        height=float(position[2]) - HALF,
        offset=position[:2] - BIN,
        speed=world.speed(name),
    )


def scatter(rng: Generator) -> NDArray[np.float64]:
    """Return one random spot per colour, (4, 2) in metres, at least `APART` from each other."""
    while True:
        spots = rng.uniform(_AREA[0], _AREA[1], (len(COLOURS), 2))
        gaps = np.linalg.norm(spots[:, None] - spots[None], axis=-1)
        if gaps[np.triu_indices(len(spots), 1)].min() >= APART:
            return spots


def _cube_xml(name: str) -> str:
    colour = " ".join(map(str, COLOURS[name]))
    return (
        f'<body name="{name}" pos="0.5 0 {HALF}"><freejoint name="{name}"/>'
        f'<geom name="{name}" type="box" size="{HALF} {HALF} {HALF}" mass="0.05" condim="4" '
        f'friction="1.2 0.01 0.0005" rgba="{colour} 1"/></body>'
    )
