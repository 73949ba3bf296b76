"""Where a robot's tasks take place: places on the Panda's table, brought into its workspace."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

type Floats = NDArray[np.float64]
"""An array of double precision."""


@dataclass(frozen=True, kw_only=True)
class Placing:
    """Leaves every place where it is: tasks are written down for the Panda's table."""

    closeness: float = 1.0
    """What the least distance between two things at the start is multiplied by."""

    def spots(self, places: ArrayLike) -> Floats:
        """Return where places (..., 2) of the Panda's table are for this robot, in metres."""
        return np.asarray(places, np.float64)

    def facing(self, spot: ArrayLike) -> float:
        """Return the yaw of the jaw, in radians, from which the hand turns least at a spot."""
        del spot
        return 0.0


@dataclass(frozen=True, kw_only=True)
class RingPlacing(Placing):
    """Bends the table into a ring around the base, for an arm that reaches down only there."""

    near: float
    """Distance from the base that x = ``edge`` becomes, in metres."""
    edge: float
    """The x that becomes ``near``, in metres."""
    depth: float
    """Metres outwards for each metre along x."""
    sweep: float
    """Radians around the base for each metre along y."""

    def spots(self, places: ArrayLike) -> Floats:
        """Return where places (..., 2) of the Panda's table are in the ring, in metres."""
        x, y = np.moveaxis(np.asarray(places, np.float64), -1, 0)
        out, around = self.near + self.depth * (x - self.edge), self.sweep * y
        return np.stack((out * np.cos(around), out * np.sin(around)), axis=-1)

    def facing(self, spot: ArrayLike) -> float:
        """Return the bearing of a spot: there the jaw closes across the plane of the hand."""
        x, y = np.asarray(spot, np.float64)[:2]
        return float(np.arctan2(y, x))
