"""How far a Meta-World episode has got, made from what the benchmark measures at each step.

Meta-World judges success, and only at the moment; it knows neither stages nor progress, and
its ``near_object`` and ``grasp_success`` mean something else in every other task (a distance,
a constant). So progress is made of two shares that mean the same everywhere:

* reach: how much of its first distance to the object the hand has covered;
* move: how much of its first distance to the target the object has covered. By default it is
  read from ``in_place_reward``, which is 1 / (1 + (3 d / d₀)²) of the distance d left outside
  the tolerance; undoing that gives a straight line. Where that reward measures something else,
  the distance is taken from ``obj_to_target``, from the positions, or from the height.

Progress = .35 max(reach, move) + .65 move, at most .99 before success; from the first success
on it is 1, since success is latched. It falls when work is undone. It is a measure of distance:
it does not know of detours that a task demands, so it may stand still or fall on the way over a
wall, and it jumps where success takes less than the whole way. ``stick-push`` is odd in version
3.1.1: the container slides to its goal by itself, and lifting the stick is a success; move stays
at 0 until then.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..tasks import Verdict
from .rules import Source

SETTLE = 8
"""Steps after a reset in which things still fall into place; what they are then is the start."""

_REACH = 0.35
_NEAR = 0.03
_AT, _MOVED = 0.8, 0.1
_LEAST = 0.01
_HELD, _LIFTED = 0.06, 0.02


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What one step of Meta-World tells; metres."""

    hand: float
    """Distance from the point between the fingers to the object."""
    way: float
    """Distance that the object, or the hand itself, has yet to go, in any unit."""
    height: float
    """Height of the object."""
    success: bool
    """Whether the benchmark calls this moment a success."""


def measure(
    source: Source,
    observation: NDArray[np.float64],
    fingers: NDArray[np.float64],
    info: Mapping[str, float],
) -> Measured:
    """Return what a step tells.

    Args:
        source: What says how far the object is on its way.
        observation: Meta-World's observation (39,), the goal visible.
        fingers: Point between the fingers (3,), in metres.
        info: Meta-World's ``info`` of the step.
    """
    thing, goal = observation[4:7], observation[-3:]
    if source == "goal":
        way = float(np.linalg.norm(goal - thing))
    elif source == "height":
        way = max(0.0, float(goal[2] - thing[2]))
    elif source == "obj_to_target":
        way = float(info["obj_to_target"])
    else:
        way = float(np.sqrt(1.0 / max(float(info["in_place_reward"]), _LEAST) - 1.0))
    return Measured(
        hand=float(np.linalg.norm(fingers - thing)),
        way=way,
        height=float(thing[2]),
        success=bool(info["success"]),
    )


class Judge:
    """Turns what the steps of one episode tell into verdicts; success is latched."""

    def __init__(self, source: Source) -> None:
        """Begin an episode of a task that is measured by ``source``."""
        self._source: Source = source
        self._start: Measured | None = None
        self._steps, self._succeeded = 0, False

    def start(self) -> Verdict:
        """Return the verdict on the first observation, before anything was measured."""
        return self._verdict(0.0, 0.0, Measured(hand=1.0, way=1.0, height=0.0, success=False))

    def judge(self, now: Measured) -> Verdict:
        """Return the verdict after a step."""
        self._steps += 1
        self._succeeded |= now.success
        if self._start is None or self._steps <= SETTLE:
            self._start = now
        first = self._start
        move = _share(now.way, first.way)
        reach = _share(now.hand - _NEAR, first.hand - _NEAR)
        if self._source == "hand":
            reach = move
        return self._verdict(reach, move, now)

    def _verdict(self, reach: float, move: float, now: Measured) -> Verdict:
        progress = min(0.99, _REACH * max(reach, move) + (1.0 - _REACH) * move)
        lowest = self._start.height if self._start else now.height
        return Verdict(
            stage=self._stage(reach, move),
            progress=1.0 if self._succeeded else progress,
            success=self._succeeded,
            held=now.hand < _HELD,
            lifted=now.height > lowest + _LIFTED,
            arrived=self._succeeded,
        )

    def _stage(self, reach: float, move: float) -> int:
        if self._succeeded:
            return 3
        if self._source == "hand":
            return 0
        if move > _MOVED:
            return 2
        return int(reach > _AT)


def _share(left: float, whole: float) -> float:
    """Return how much of a way is done, in [0, 1]; 0 for a way of no length."""
    return min(1.0, max(0.0, 1.0 - left / whole)) if whole > 0 else 0.0
