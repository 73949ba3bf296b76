"""From normalised actions to servo targets: a tool target that moves, and inverse kinematics."""

import numpy as np
from numpy.typing import NDArray

from robo_reward.arms.ik import InverseKinematics

from .scene import World

type Floats = NDArray[np.float64]
"""An array of double precision."""

STEP = 0.03
"""Metres that the tool target moves in one control step at action 1."""
TURN = 0.15
"""Radians that the tool target turns about the vertical in one control step at action 1."""
REACH = np.array(((0.28, -0.35, 0.015), (0.68, 0.40, 0.45)))
"""Corners of the box that the tool target stays in, in metres."""

ACTIONS = ("dx", "dy", "dz", "dyaw", "gripper")
"""Names of an action, each in [-1, 1]; the gripper is open at 1."""

_DOWN = np.diag((1.0, -1.0, -1.0))
_MOST_YAW = 1.5


class ArmControl:
    """Turns (dx, dy, dz, dyaw, gripper) in [-1, 1] into joint targets, the tool pointing down.

    The deltas add up on a target of its own, not on the measured pose, so that a held action
    of zero holds the arm exactly.
    """

    def __init__(self, world: World) -> None:
        """Control the arm of ``world``."""
        arm = world.arm
        self._world = world
        self._ik = InverseKinematics(
            world.model, site=arm.tool_site, joints=arm.joints, home=arm.home
        )
        self.position: Floats = np.zeros(3)
        """Where the tool is to go, in metres."""
        self.yaw = 0.0
        """How far it is to be turned about the vertical, in radians."""
        self._joints: Floats = np.array(arm.home)

    def home(self, offset: Floats) -> Floats:
        """Set the target to the home pose moved by ``offset`` (3,); return its joints (7,)."""
        home = self._world.arm.home
        self.position, self.yaw = self._ik.pose(home)[0] + offset, 0.0
        self._joints = self._ik.solve(home, self.position, _DOWN).joints
        return self._joints

    def target(self) -> tuple[Floats, float, Floats]:
        """Return where the tool is sent, its turn, and the joints last commanded."""
        return self.position.copy(), self.yaw, self._joints.copy()

    def restore(self, target: tuple[Floats, float, Floats]) -> None:
        """Go on from a `target` that was taken before."""
        self.position, self.yaw, self._joints = target[0].copy(), target[1], target[2].copy()

    def apply(self, action: Floats) -> None:
        """Move the target by one action (5,) and set the servos.

        Gripper 1 is open, -1 closed. The target stays inside `REACH`.
        """
        self.position = np.clip(self.position + STEP * action[:3], REACH[0], REACH[1])
        self.yaw = float(np.clip(self.yaw + TURN * action[3], -_MOST_YAW, _MOST_YAW))
        cosine, sine = np.cos(self.yaw), np.sin(self.yaw)
        turned = np.array(((cosine, -sine, 0), (sine, cosine, 0), (0, 0, 1))) @ _DOWN
        self._joints = self._ik.solve(
            self._joints, self.position, turned, iterations=4, tolerance=1e-5
        ).joints
        opening = self._world.arm.finger_travel * (float(action[4]) + 1) / 2
        self._world.command(self._joints, opening)


def reject(action: NDArray[np.float64], step: int, names: tuple[str, ...] = ACTIONS) -> str:
    """Return why an action cannot be carried out at a step, or nothing if it can."""
    bad = [
        f"{name} is {value}"
        for name, value in zip(names, action, strict=True)
        if not np.isfinite(value)
    ]
    return f"at step {step} {', '.join(bad)}: actions must be finite" if bad else ""
