"""Inverse kinematics of any arm in a MuJoCo model: damped least squares on a scratch state.

λ² = 1e-6 + 2e-3 · min(1, |e|) (Wampler 1986, damping that fades with the error e), plus a pull
to the home pose in the nullspace of the task that fades in the same way: a constant pull, or a
constant λ, would stop short of the target.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

type Floats = NDArray[np.float64]
"""An array of double precision."""

_LONGEST_STEP = 0.5
"""Radians that a joint may move in one iteration."""


@dataclass(frozen=True, kw_only=True)
class IkSolution:
    """What the solver found."""

    joints: Floats
    """(n,) joint angles in radians, inside the limits."""
    error: float
    """Length of the remaining error: metres and radians together."""
    iterations: int
    """Linear solves that it took."""


class InverseKinematics:
    """Solves for the joints that bring a site to a pose; keeps its own ``MjData``."""

    def __init__(
        self, model: Any, *, site: str, joints: Sequence[str], home: Sequence[float]
    ) -> None:
        """Prepare for one arm of ``model``.

        Args:
            model: A compiled ``mujoco.MjModel``.
            site: Name of the site to be placed.
            joints: Names of the hinge joints that may move.
            home: Preferred joint angles in radians, one per joint.
        """
        import mujoco

        self._model, self._data = model, mujoco.MjData(model)
        self._site = int(model.site(site).id)
        # Rows of MuJoCo's own memory: reading one is much cheaper than asking for the whole.
        self._qpos, self._at = self._data.qpos, self._data.site_xpos[self._site]
        self._turn = self._data.site_xmat[self._site]
        self._joints = np.array([model.joint(name).qposadr[0] for name in joints])
        self._dof = np.array([model.joint(name).dofadr[0] for name in joints])
        limits = np.array([model.joint(name).range for name in joints])
        self._low, self._high = limits[:, 0], limits[:, 1]
        self._home = np.asarray(home, np.float64)
        self._jacobian = np.zeros((6, model.nv))

    def pose(self, joints: ArrayLike) -> tuple[Floats, Floats]:
        """Return position (3,) in metres and rotation (3, 3) of the site at ``joints``."""
        self._place(np.asarray(joints, np.float64))
        return self._at.copy(), self._turn.reshape(3, 3).copy()

    def solve(
        self,
        start: ArrayLike,
        position: ArrayLike,
        rotation: ArrayLike,
        *,
        iterations: int = 100,
        tolerance: float = 1e-4,
    ) -> IkSolution:
        """Return joints that bring the site to a pose, beginning at ``start``.

        Args:
            start: (n,) joint angles in radians.
            position: (3,) wanted position in metres, world frame.
            rotation: (3, 3) wanted rotation matrix, world frame.
            iterations: Linear solves at most.
            tolerance: Error, metres and radians together, at which to stop.
        """
        joints = self._within(np.asarray(start, np.float64))
        wanted, turn = np.asarray(position, np.float64), _quaternion(rotation)
        for count in range(iterations + 1):
            self._place(joints)
            error = self._error(wanted, turn)
            size = math.sqrt(error @ error)
            if size < tolerance or count == iterations:
                break
            joints = self._within(joints + self._step(joints, error, size))
        return IkSolution(joints=joints, error=size, iterations=count)

    def _within(self, joints: Floats) -> Floats:
        inside: Floats = np.minimum(np.maximum(joints, self._low), self._high)
        return inside

    def _place(self, joints: Floats) -> None:
        import mujoco

        self._qpos[self._joints] = joints
        mujoco.mj_kinematics(self._model, self._data)
        mujoco.mj_comPos(self._model, self._data)

    def _error(self, wanted: Floats, turn: Floats) -> Floats:
        import mujoco

        now, error = np.empty(4), np.empty(6)
        mujoco.mju_mat2Quat(now, self._turn)
        mujoco.mju_negQuat(now, now)
        mujoco.mju_mulQuat(now, turn, now)
        mujoco.mju_quat2Vel(error[3:], now, 1.0)
        error[:3] = wanted - self._at
        return error

    def _step(self, joints: Floats, error: Floats, size: float) -> Floats:
        import mujoco

        full = self._jacobian
        mujoco.mj_jacSite(self._model, self._data, full[:3], full[3:], self._site)
        jacobian = full[:, self._dof]
        fading = min(1.0, size)
        square = jacobian @ jacobian.T
        square.flat[::7] += 1e-6 + 2e-3 * fading
        pull = 0.5 * fading * (self._home - joints)
        # J⁺(e − J·pull) + pull: the pull acts only where it leaves the tool at rest.
        step: Floats = jacobian.T @ solve_positive(square, error - jacobian @ pull) + pull
        longest = max(map(abs, step.tolist()))
        limited: Floats = step * min(1.0, _LONGEST_STEP / max(longest, 1e-12))
        return limited


def solve_positive(matrix: Floats, right: Floats) -> Floats:
    """Return x with ``matrix`` x = ``right``, the matrix symmetric and positive definite."""
    from scipy.linalg.lapack import dposv

    solution: Floats = dposv(matrix, right)[1]  # type: ignore[arg-type]
    return solution


def _quaternion(rotation: ArrayLike) -> Floats:
    import mujoco

    quaternion = np.zeros(4)
    mujoco.mju_mat2Quat(quaternion, np.asarray(rotation, np.float64).reshape(9))
    return quaternion
