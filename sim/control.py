"""From normalised actions to servo targets: a tool target that moves, and inverse kinematics."""

import math
from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from robo_reward.arms import so101
from robo_reward.arms.ik import InverseKinematics
from robo_reward.errors import InputError

from .scene import World

type Floats = NDArray[np.float64]
"""An array of double precision."""

TURN = 0.15
"""Radians that the tool target turns about the vertical in one control step at action 1."""
REACH = np.array(((0.28, -0.35, 0.015), (0.68, 0.40, 0.45)))
"""Corners of the box that the Panda's tool target stays in, in metres."""
RING = ((0.12, 0.36), 1.5, (0.015, 0.28))
"""Where the SO-101's stays: distance from the base, bearing in radians, and height in metres."""

ACTIONS = ("dx", "dy", "dz", "dyaw", "gripper")
"""Names of an action, each in [-1, 1]; the gripper is open at 1."""

_DOWN = np.diag((1.0, -1.0, -1.0))
_MOST_YAW = 1.5
_MOST_ROLL = 2.6


class Approach(Protocol):
    """How an arm brings its tool to a target."""

    def home(self, offset: Floats) -> tuple[Floats, float, Floats]:
        """Return the home target moved by ``offset`` (3,), its yaw, and its joints (n,)."""
        ...

    def clip(self, position: Floats, yaw: float) -> tuple[Floats, float]:
        """Return the nearest target within reach."""
        ...

    def solve(self, position: Floats, yaw: float, joints: Floats) -> Floats:
        """Return joints (n,) in radians for a target, from those last commanded."""
        ...


class StraightDown:
    """An arm of six or more joints: the tool always points straight down."""

    def __init__(self, world: World) -> None:
        """Control the arm of ``world``."""
        arm = world.arm
        self._home = arm.home
        self._ik = InverseKinematics(
            world.model, site=arm.tool_site, joints=arm.joints, home=arm.home
        )

    def home(self, offset: Floats) -> tuple[Floats, float, Floats]:
        """Return the home target moved by ``offset`` (3,), its yaw, and its joints (n,)."""
        position = self._ik.pose(self._home)[0] + offset
        return position, 0.0, self._ik.solve(self._home, position, _DOWN).joints

    def clip(self, position: Floats, yaw: float) -> tuple[Floats, float]:
        """Return the nearest target within the box `REACH`."""
        inside = np.minimum(np.maximum(position, REACH[0]), REACH[1])
        return inside, float(min(max(yaw, -_MOST_YAW), _MOST_YAW))

    def solve(self, position: Floats, yaw: float, joints: Floats) -> Floats:
        """Return joints (n,) in radians, a few steps of the solver from the last ones."""
        cosine, sine = math.cos(yaw), math.sin(yaw)
        turned = np.array(((cosine, sine, 0), (sine, -cosine, 0), (0, 0, -1)))
        return self._ik.solve(joints, position, turned, iterations=4, tolerance=1e-4).joints


class InPlane:
    """An arm of five joints: the tool lies in the plane of the base axis, tilted when it must.

    The target is the point between the jaws. As only one jaw moves, that point wanders across
    the hand; the arm follows the measured width, so the jaws close around the target evenly.
    """

    def __init__(self, world: World) -> None:
        """Control the arm of ``world``."""
        self._world = world

    def home(self, offset: Floats) -> tuple[Floats, float, Floats]:
        """Return the home target moved by ``offset`` (3,), its yaw, and its joints (5,)."""
        arm = self._world.arm
        position = so101.forward(arm.home)[0] + self._base() + offset
        yaw = _bearing(position)
        width = arm.jaw_ratio * arm.finger_travel
        return position, yaw, self._joints(position, yaw, width)

    def clip(self, position: Floats, yaw: float) -> tuple[Floats, float]:
        """Return the nearest target within `RING`."""
        (near, far), widest, (low, high) = RING
        out = float(np.clip(np.hypot(*position[:2]), near, far))
        around = float(np.clip(_bearing(position), -widest, widest))
        height = float(np.clip(position[2], low, high))
        inside = np.array((out * np.cos(around), out * np.sin(around), height))
        return inside, float(np.clip(yaw, around - _MOST_ROLL, around + _MOST_ROLL))

    def solve(self, position: Floats, yaw: float, joints: Floats) -> Floats:
        """Return joints (5,) in radians, in closed form."""
        del joints
        return self._joints(position, yaw, self._world.jaw())

    def _base(self) -> Floats:
        base: Floats = self._world.model.body(self._world.arm.base).pos
        return base

    def _joints(self, position: Floats, yaw: float, width: float) -> Floats:
        target = position - self._base()
        site = target
        for _ in range(3):  # the plane of the hand depends on where the site is, hardly at all
            tilt, bearing = so101.least_tilt(site), _bearing(site)
            across = so101.frame(bearing, tilt, yaw - bearing)[:, 1]
            site = target - self._world.arm.jaw_side * width * across
        return so101.solve(site, so101.least_tilt(site), yaw - _bearing(site))


def _bearing(position: Floats) -> float:
    return float(np.arctan2(position[1], position[0]))


class ArmControl:
    """Turns (dx, dy, dz, dyaw, gripper) in [-1, 1] into joint targets.

    The deltas add up on a target of its own, not on the measured pose, so that a held action
    of zero holds the arm exactly.
    """

    def __init__(self, world: World) -> None:
        """Control the arm of ``world``."""
        arm = world.arm
        self._world = world
        self._approach: Approach = InPlane(world) if len(arm.joints) < 6 else StraightDown(world)
        self.step = world.robot.step
        """Metres that the tool target moves in one control step at action 1."""
        self.position: Floats = np.zeros(3)
        """Where the tool is to go, in metres."""
        self.yaw = 0.0
        """How far it is to be turned about the vertical, in radians."""
        self._joints: Floats = np.array(arm.home)

    def home(self, offset: Floats) -> Floats:
        """Set the target to the home pose moved by ``offset`` (3,); return its joints (n,)."""
        self.position, self.yaw, self._joints = self._approach.home(offset)
        return self._joints

    def target(self) -> tuple[Floats, float, Floats]:
        """Return where the tool is sent, its turn, and the joints last commanded."""
        return self.position.copy(), self.yaw, self._joints.copy()

    def restore(self, target: tuple[Floats, float, Floats]) -> None:
        """Go on from a `target` that was taken before."""
        self.position, self.yaw, self._joints = target[0].copy(), target[1], target[2].copy()

    def apply(self, action: Floats) -> None:
        """Move the target by one action (5,), within reach, and set the servos.

        Gripper 1 is open, -1 closed.
        """
        self.position, self.yaw = self._approach.clip(
            self.position + self.step * action[:3], self.yaw + TURN * action[3]
        )
        self._joints = self._approach.solve(self.position, self.yaw, self._joints)
        opening = self._world.arm.finger_travel * (float(action[4]) + 1) / 2
        self._world.command(self._joints, opening)


def require_reset(known: Mapping[str, Any], task: str) -> None:
    """Check that an episode has begun: something is known of it.

    Raises:
        InputError: If not.
    """
    if not known:
        raise InputError(f"no episode of {task} has begun; call reset() first")


def reject(action: NDArray[np.float64], step: int, names: tuple[str, ...] = ACTIONS) -> str:
    """Return why an action cannot be carried out at a step, or nothing if it can."""
    if math.isfinite(sum(action.tolist())):
        return ""
    bad = [
        f"{name} is {value}"
        for name, value in zip(names, action, strict=True)
        if not np.isfinite(value)
    ]
    return f"at step {step} {', '.join(bad)}: actions must be finite" if bad else ""
