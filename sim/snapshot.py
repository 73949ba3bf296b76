"""The full state of an environment, to be restored into any environment of the same task."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from .scene import VARIED
from .tasks import Memory
from .tasks.failures import FailureMonitor

if TYPE_CHECKING:
    from .env import TabletopEnv


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """All that the rest of an episode depends on; it can be pickled."""

    task: str
    """Name of the task."""
    robot: str
    """Name of the robot."""
    goal: str
    """What the instruction asks for."""
    physics: NDArray[np.float64]
    """MuJoCo's state for integration: positions, velocities, warm start, controls, time."""
    varied: dict[str, NDArray[Any]]
    """The fields of the model that a reset may change."""
    target: tuple[NDArray[np.float64], float, NDArray[np.float64]]
    """Where the tool is sent, its turn, and the joints last commanded."""
    memory: Memory
    """What the task remembers."""
    monitor: FailureMonitor
    """What went wrong so far."""
    steps: int
    """Control steps since the reset."""
    succeeded: bool
    """Whether the goal was ever reached."""


class Simulated(Protocol):
    """A world, or whatever else has a model and data of MuJoCo's."""

    model: Any
    """What does not move."""
    data: Any
    """What does."""


def read_physics(world: Simulated) -> NDArray[np.float64]:
    """Return MuJoCo's integration state of a world."""
    import mujoco

    spec = mujoco.mjtState.mjSTATE_INTEGRATION
    state = np.empty(mujoco.mj_stateSize(world.model, spec))
    mujoco.mj_getState(world.model, world.data, state, spec)
    return state


def write_physics(world: Simulated, state: NDArray[np.float64]) -> None:
    """Set MuJoCo's integration state of a world, and what is derived from it."""
    import mujoco

    spec = mujoco.mjtState.mjSTATE_INTEGRATION
    mujoco.mj_setState(world.model, world.data, state, spec)
    mujoco.mj_forward(world.model, world.data)
    mujoco.mj_setState(world.model, world.data, state, spec)  # MuJoCo 3.3.0 moves the warm start


def read_varied(world: Simulated, names: Sequence[str] = VARIED) -> dict[str, NDArray[Any]]:
    """Return copies of the model's fields that a reset may change."""
    return {name: getattr(world.model, name).copy() for name in names}


def write_varied(world: Simulated, values: dict[str, NDArray[Any]]) -> None:
    """Set the model's fields that a reset may change."""
    for name, value in values.items():
        getattr(world.model, name)[:] = value


def belongs(snapshot: Snapshot, env: "TabletopEnv") -> bool:
    """Return whether a snapshot was taken with the same task, robot and shape."""
    same = (snapshot.task, snapshot.robot) == (env.task, env.robot)
    return same and snapshot.physics.shape == read_physics(env.world).shape
