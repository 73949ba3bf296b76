"""Things on the table as MJCF text, and places for them."""

from collections.abc import Mapping

import numpy as np
from numpy.random import Generator
from numpy.typing import ArrayLike, NDArray

from ..placing import Placing
from ..scene import World

COLOURS = {
    "red": (0.85, 0.12, 0.10),
    "green": (0.12, 0.62, 0.20),
    "blue": (0.12, 0.25, 0.85),
    "yellow": (0.95, 0.80, 0.10),
}
"""Colour name → red, green, blue."""
HALF = 0.02
"""Half the edge of a cube, in metres."""
APART = 0.13
"""Least distance between the centres of two things at the start, in metres."""
AREA = ((0.36, -0.21), (0.58, 0.07))
"""Corners of where things start beside a bin, in metres."""

GRIP = 'condim="4" friction="1.2 0.01 0.0005"'
"""Contact attributes of what is grasped."""


def free_body(
    name: str, geom: str, *, rest: float, rgb: ArrayLike = (0.5, 0.5, 0.5), touch: str = GRIP
) -> str:
    """Return a body that moves freely, with one geom of the same name.

    Args:
        name: Name of body, joint and geom.
        geom: ``type`` and ``size`` of the geom, and whatever else it needs.
        rest: Height of its centre where it stands on the table, in metres.
        rgb: (3,) colour.
        touch: Contact attributes of the geom.
    """
    colour = " ".join(f"{value:g}" for value in np.asarray(rgb))
    return (
        f'<body name="{name}" pos="0.5 0 {rest}"><freejoint name="{name}"/>'
        f'<geom name="{name}" mass="0.05" {touch} {geom} rgba="{colour} 1"/></body>'
    )


def cube(name: str, colour: str) -> str:
    """Return a cube of 4 cm."""
    size = f'type="box" size="{HALF} {HALF} {HALF}"'
    return free_body(name, size, rest=HALF, rgb=COLOURS[colour])


def tray(name: str, centre: ArrayLike, *, half: float, rim: float, wall: float = 0.004) -> str:
    """Return an open box that stands still: a bin.

    Args:
        name: Name of the body.
        centre: (2,) its centre on the table, in metres.
        half: Half its inner width, in metres.
        rim: Height of its walls, in metres.
        wall: Half their thickness, in metres.
    """
    x, y = np.asarray(centre, float)
    side, size = half + wall, f"{wall} {half + 2 * wall} {rim / 2}"
    turned = f"{half + 2 * wall} {wall} {rim / 2}"
    shade = 'rgba="0.42 0.34 0.30 1"'
    walls = "".join(
        f'<geom name="{name}_{where}" type="box" size="{extent}" pos="{dx} {dy} {rim / 2}" '
        f"{shade}/>"
        for where, extent, dx, dy in (
            ("near", size, -side, 0),
            ("far", size, side, 0),
            ("right", turned, 0, -side),
            ("left", turned, 0, side),
        )
    )
    bottom = (
        f'<geom name="{name}_floor" type="box" size="{half} {half} 0.001" '
        f'pos="0 0 0.001" rgba="0.30 0.25 0.22 1"/>'
    )
    return f'<body name="{name}" pos="{x} {y} 0">{bottom}{walls}</body>'


def mark(name: str, colour: str, radius: float, centre: ArrayLike = (0.0, 0.0)) -> str:
    """Return a flat disc that is only seen; move it with `sim.scene.World.put`."""
    x, y = np.asarray(centre, float)
    rgb = " ".join(f"{0.75 * value + 0.15:g}" for value in COLOURS[colour])
    return (
        f'<body name="{name}" pos="{x} {y} 0"><geom name="{name}" type="cylinder" '
        f'size="{radius} 0.0006" pos="0 0 0.0006" contype="0" conaffinity="0" '
        f'rgba="{rgb} 1"/></body>'
    )


def scatter(
    rng: Generator,
    count: int,
    *,
    area: ArrayLike = AREA,
    apart: float = APART,
    placing: Placing | None = None,
) -> NDArray[np.float64]:
    """Return random spots (count, 2) in metres, at least ``apart`` from each other.

    Args:
        rng: Draws them.
        count: How many.
        area: (2, 2) corners of where they may be on the Panda's table.
        apart: Least distance between two of them there.
        placing: Brings both into a robot's workspace; the Panda's if None.
    """
    placing = placing or Placing()
    low, high = np.asarray(area, float)
    least = apart * placing.closeness
    while True:
        spots = placing.spots(rng.uniform(low, high, (count, 2)))
        gaps = np.linalg.norm(spots[:, None] - spots[None], axis=-1)
        if count < 2 or gaps[np.triu_indices(count, 1)].min() >= least:
            return spots


def stand(
    world: World,
    rng: Generator,
    rests: Mapping[str, float],
    *,
    area: ArrayLike = AREA,
    placing: Placing | None = None,
) -> None:
    """Put free bodies on the table at random: apart from each other, turned by up to 45°.

    Args:
        world: Where they are put.
        rng: Draws places and turns.
        rests: Name of a body → height of its centre where it stands, in metres.
        area: See `scatter`.
        placing: See `scatter`.
    """
    spots = scatter(rng, len(rests), area=area, placing=placing)
    for (name, rest), spot in zip(rests.items(), spots, strict=True):
        yaw = float(rng.uniform(-np.pi / 4, np.pi / 4))
        world.place(name, np.append(spot, rest), yaw)


def shade(rng: Generator) -> float:
    """Return a factor that makes a colour a little darker or lighter."""
    return float(rng.uniform(0.9, 1.05))
