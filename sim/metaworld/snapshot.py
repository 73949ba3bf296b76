"""The full state of a Meta-World episode, to be restored into any environment of the same task.

Beside the physics, the benchmark keeps what a reset measured in attributes of the environment.
Some of these are views into MuJoCo's memory, which move as the arm does; they are no state of
their own and must stay views, or rewards and progress would differ afterwards.
"""

from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from ..snapshot import read_physics, read_varied, write_physics, write_varied
from ..tasks import Verdict
from ..tasks.failures import FailureMonitor
from .truth import Judge

_VARIED = ("body_pos", "site_pos")
_PARTS = ("model", "data", "mujoco_renderer")


@dataclass(frozen=True, kw_only=True)
class StockState:
    """What the benchmark's own environment is in; it can be pickled."""

    physics: NDArray[np.float64]
    """MuJoCo's state for integration."""
    varied: dict[str, NDArray[Any]]
    """The fields of the model that a reset changes."""
    attributes: dict[str, Any]
    """The attributes of the environment, but for views, spaces and MuJoCo's objects."""


@dataclass(frozen=True, kw_only=True)
class MetaWorldSnapshot:
    """All that the rest of an episode depends on; it can be pickled."""

    task: str
    """Name of the task."""
    stock: StockState
    """What the benchmark's own environment is in."""
    sensed: NDArray[np.float64]
    """Meta-World's last observation (39,)."""
    verdicts: dict[str, Verdict]
    """The truth about the goal at that observation."""
    judge: Judge
    """What the judge of progress remembers."""
    monitor: FailureMonitor
    """What went wrong so far."""
    steps: int
    """Control steps since the reset."""
    gripper: float
    """Gripper part of the last action."""


def read_stock(stock: Any) -> StockState:
    """Return what the benchmark's own environment is in."""
    return StockState(
        physics=read_physics(stock),
        varied=read_varied(stock, _VARIED),
        attributes=deepcopy(
            {name: value for name, value in vars(stock).items() if _is_state(name, value)}
        ),
    )


def write_stock(stock: Any, state: StockState) -> None:
    """Bring the benchmark's own environment into a state; a reset first makes its views."""
    stock.reset()
    vars(stock).update(deepcopy(state.attributes))
    write_varied(stock, state.varied)
    write_physics(stock, state.physics)


def _is_state(name: str, value: Any) -> bool:
    if name in _PARTS or isinstance(value, spaces.Space):
        return False
    return not (isinstance(value, np.ndarray) and _is_view(value))


def _is_view(array: NDArray[Any]) -> bool:
    """Return whether an array shows memory of MuJoCo's."""
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array.base is not None
