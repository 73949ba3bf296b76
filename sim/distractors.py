"""Things that no task is about, in shapes and colours that no task uses: up to three at a time.

They are mocap bodies: they stand still, things and fingers bump into them, and a snapshot of
the physics holds where they are. Unused ones wait below the floor, transparent, so that they
are not even drawn.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.random import Generator
from numpy.typing import ArrayLike, NDArray

if TYPE_CHECKING:
    from .scene import World

type Floats = NDArray[np.float64]
"""An array of double precision."""

DISTRACTORS = {
    "stick": (0.034, 0.008, 'type="capsule" size="0.008 0.026" zaxis="1 0 0"'),
    "egg": (0.018, 0.022, 'type="ellipsoid" size="0.016 0.016 0.022"'),
    "pebble": (0.028, 0.010, 'type="ellipsoid" size="0.028 0.020 0.010"'),
    "pill": (0.012, 0.022, 'type="capsule" size="0.012 0.010"'),
}
"""Name → its radius seen from above and the height of its centre in metres, and its geom."""
MOST = 3
"""How many are on the table at most."""
PALETTE = (
    (0.52, 0.16, 0.66),
    (0.10, 0.72, 0.72),
    (0.96, 0.52, 0.74),
    (0.40, 0.22, 0.10),
    (0.96, 0.96, 0.96),
    (0.07, 0.07, 0.08),
)
"""Their colours: purple, turquoise, pink, brown, white, black."""
CLEAR = 0.065
"""Least distance between a distractor and anything of the task, in metres."""

_TRIES = 40
_PARKED = (0.4, 0.0, -0.6)


def distractors_xml() -> str:
    """Return all of them as MJCF elements, parked."""
    x, y, z = _PARKED
    return "".join(
        f'<body name="{name}" mocap="true" pos="{x} {y} {z}">'
        f'<geom name="{name}" {geom} rgba="0 0 0 0"/></body>'
        for name, (_, _, geom) in DISTRACTORS.items()
    )


def scatter_distractors(world: "World", rng: Generator, ways: ArrayLike, area: ArrayLike) -> None:
    """Put 0 to 3 distractors where they are in nobody's way; one without a place stays away.

    Args:
        world: Everything else in it is placed already.
        rng: Draws how many, which, where, how turned and how coloured; always as often.
        ways: (n, 2, 2) ends of the straight ways that the hand takes low above the table.
        area: (2, 2) corners of where they may be, in metres.
    """
    count = int(rng.integers(MOST + 1))
    chosen = rng.permutation(list(DISTRACTORS))[:count]
    low, high = np.asarray(area, float)
    spots = rng.uniform(low, high, (MOST, _TRIES, 2))
    yaws, shades = rng.uniform(0, np.pi, MOST), rng.permutation(len(PALETTE))
    blocked = [*occupied(world), *_blocked_ways(ways)]
    for number, name in enumerate(map(str, chosen)):
        radius, height, _ = DISTRACTORS[name]
        spot = _first_free(spots[number], radius, blocked)
        if spot is None:
            continue
        blocked.append((np.array((spot, spot)), radius - CLEAR / 2))
        world.stand(name, np.append(spot, height), float(yaws[number]))
        world.model.geom(name).rgba[:] = (*PALETTE[shades[number]], 1.0)


def occupied(world: "World") -> list[tuple[Floats, float]]:
    """Return a place (2, 2), both rows the same, and a radius for each geom of the task."""
    model, data = world.model, world.data
    ours = [
        number
        for number in range(model.ngeom)
        if _root(model, number) not in (0, *_bystanders(world))
    ]
    return [
        (np.tile(data.geom_xpos[number][:2], (2, 1)), float(model.geom_rbound[number]))
        for number in ours
    ]


def _bystanders(world: "World") -> Sequence[int]:
    names = (world.arm.base, *DISTRACTORS)
    return [int(world.model.body(name).id) for name in names]


def _root(model: object, geom: int) -> int:
    return int(model.body_rootid[model.geom_bodyid[geom]])  # type: ignore[attr-defined]


def _blocked_ways(ways: ArrayLike) -> list[tuple[Floats, float]]:
    return [(way, 0.0) for way in np.asarray(ways, float).reshape(-1, 2, 2)]


def _first_free(
    spots: Floats, radius: float, blocked: Sequence[tuple[Floats, float]]
) -> Floats | None:
    for spot in spots:
        gaps = (segment_distance(spot, way) - size for way, size in blocked)
        if all(gap >= radius + CLEAR for gap in gaps):
            found: Floats = spot
            return found
    return None


def segment_distance(point: Floats, segment: Floats) -> float:
    """Return the distance of a point (2,) from a segment given by its ends (2, 2)."""
    along = segment[1] - segment[0]
    share = np.dot(point - segment[0], along) / max(float(along @ along), 1e-12)
    return float(np.linalg.norm(point - segment[0] - np.clip(share, 0.0, 1.0) * along))
