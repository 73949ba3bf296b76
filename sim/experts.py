"""Scripted behaviours for putting a cube into the bin, from the true state of the world.

Every behaviour is the same path with one thing changed, and ends in a random pose clear of the
bin, so that how an episode ended cannot be told from where the arm stopped.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from robo_reward.errors import InputError

from .control import STEP, TURN
from .env import TabletopEnv
from .tasks.pick_to_bin import BIN, HALF

type Floats = NDArray[np.float64]

BEHAVIOURS = {
    "expert": "puts the named cube into the bin",
    "noise": "the same with noise on every action: some succeed, some do not",
    "early_release": "opens the hand on the way, then goes on to the bin without the cube",
    "wrong_cube": "puts another cube into the bin",
    "pause": "stops for a while on the way, then succeeds",
    "miss": "closes the fingers beside or above the cube, then goes on to the bin without it",
}
"""Name of a behaviour → what it does."""
IDLE = 12
"""Steps that an episode goes on after the end of the path."""

_OPEN, _CLOSED = 1.0, -1.0


@dataclass(frozen=True, kw_only=True)
class _Leg:
    """One stretch of the path: where to, how the hand is, how fast, how long to stay."""

    to: Floats
    gripper: float
    yaw: float
    speed: float = 0.7
    stay: int = 0


class PickExpert:
    """Acts in one episode of `PickToBin`; make a new one after each reset."""

    def __init__(
        self, env: TabletopEnv, behaviour: str, *, rng: Generator, noise_rng: Generator
    ) -> None:
        """Plan the episode.

        Args:
            env: The environment, just reset.
            behaviour: One of `BEHAVIOURS`.
            rng: Draws the plan: heights, moments, the end.
            noise_rng: Draws the noise on the actions.

        Raises:
            InputError: If there is no such behaviour; the message lists those there are.
        """
        if behaviour not in BEHAVIOURS:
            raise InputError(
                f"there is no behaviour {behaviour!r}; there are: {', '.join(BEHAVIOURS)}"
            )
        self._env, self._behaviour = env, behaviour
        self._rng, self._noise = rng, noise_rng
        self.cube = self._choose_cube()
        """Name of the cube that is picked up."""
        self._sigma = float(rng.uniform(0.2, 1.1)) if behaviour == "noise" else 0.0
        self._miss = self._draw_miss()
        self._release = float(rng.uniform(0.15, 0.65)) if behaviour == "early_release" else 2.0
        self._pause_at = int(rng.integers(5, 60)) if behaviour == "pause" else -1
        self._pause = int(rng.integers(15, 40))
        self._commands = self._path()

    def actions(self) -> Iterator[NDArray[np.float32]]:
        """Yield actions (5,) float32 until the episode is over, reading the world before each."""
        gripper = _OPEN
        for count, command in enumerate(self._commands):
            if count == self._pause_at:
                for _ in range(self._pause):
                    yield np.array((0, 0, 0, 0, gripper), np.float32)
            gripper = float(command[4])
            yield self._disturbed(command)
        for _ in range(IDLE):
            yield np.array((0, 0, 0, 0, _OPEN), np.float32)

    def _disturbed(self, command: Floats) -> NDArray[np.float32]:
        if self._sigma:
            command = command + np.append(self._noise.normal(0, self._sigma, 4), 0.0)
        return np.clip(command, -1, 1).astype(np.float32)

    def _choose_cube(self) -> str:
        if self._behaviour != "wrong_cube":
            return self._env.goal
        return str(self._rng.choice([g for g in self._env.rules.goals if g != self._env.goal]))

    def _draw_miss(self) -> Floats:
        """Return where the fingers close, from the centre of the cube in its own frame."""
        rng = self._rng
        if self._behaviour != "miss":
            return np.zeros(3)
        if rng.random() < 0.4:
            return np.array((0.0, 0.0, rng.uniform(0.045, 0.07)))
        return np.array((rng.choice((-1, 1)) * rng.uniform(0.05, 0.07), 0.0, 0.0))

    def _path(self) -> Iterator[Floats]:
        """Yield commands (5,), each read off the world when it is asked for."""
        rng, world = self._rng, self._env.world
        cruise = float(rng.uniform(0.19, 0.23))
        drop = np.append(BIN + rng.uniform(-0.02, 0.02, 2), rng.uniform(0.075, 0.095))
        yaw = _nearest_yaw(world.yaw(self.cube))
        above = self._grasp_point(yaw) + np.array((0, 0, rng.uniform(0.08, 0.11)))
        yield from self._go(_Leg(to=above, gripper=_OPEN, yaw=yaw))
        yaw = _nearest_yaw(world.yaw(self.cube))
        grasp = self._grasp_point(yaw)
        yield from self._go(_Leg(to=grasp, gripper=_OPEN, yaw=yaw, speed=0.5, stay=1))
        yield from self._go(_Leg(to=grasp, gripper=_CLOSED, yaw=yaw, stay=6))
        lift, over = np.append(grasp[:2], cruise), np.append(drop[:2], cruise)
        yield from self._carry(lift, over, yaw)
        hand = _CLOSED if self._release > 1 else _OPEN
        yield from self._go(_Leg(to=drop, gripper=hand, yaw=0.0, speed=0.5, stay=1))
        yield from self._go(_Leg(to=drop, gripper=_OPEN, yaw=0.0, stay=4))
        yield from self._go(_Leg(to=over, gripper=_OPEN, yaw=0.0))
        end = rng.uniform((0.33, -0.22, 0.26), (0.55, 0.25, 0.38))
        yield from self._go(_Leg(to=end, gripper=_OPEN, yaw=float(rng.uniform(-0.4, 0.4))))

    def _carry(self, lift: Floats, over: Floats, yaw: float) -> Iterator[Floats]:
        """Lift and carry; an early release opens the hand after its share of the way."""
        begin = self._env.control.position.copy()
        length = float(np.linalg.norm(lift - begin) + np.linalg.norm(over - lift))
        gone, last = 0.0, begin
        for to, turn in ((lift, yaw), (over, 0.0)):
            for command in self._go(_Leg(to=to, gripper=_CLOSED, yaw=turn)):
                now = self._env.control.position
                gone += float(np.linalg.norm(now - last)) / length
                last = now.copy()
                if gone >= self._release:
                    command[4] = _OPEN
                yield command

    def _go(self, leg: _Leg) -> Iterator[Floats]:
        """Yield commands that bring the control target along a straight line to its end."""
        control = self._env.control
        distance = float(np.linalg.norm(leg.to - control.position)) / (STEP * leg.speed)
        steps = int(np.ceil(max(distance, abs(leg.yaw - control.yaw) / TURN)))
        for left in range(steps, 0, -1):
            way, turn = leg.to - control.position, leg.yaw - control.yaw
            yield np.array((*(way / left / STEP), turn / left / TURN, leg.gripper))
        for _ in range(leg.stay):
            yield np.array((0, 0, 0, 0, leg.gripper), np.float64)

    def _grasp_point(self, yaw: float) -> Floats:
        cosine, sine = np.cos(yaw), np.sin(yaw)
        x, y, z = self._miss
        centre = self._env.world.position(self.cube)
        offset = np.array((cosine * x - sine * y, sine * x + cosine * y, z))
        point: Floats = np.append(centre[:2], HALF) + offset
        return point


def _nearest_yaw(yaw: float) -> float:
    """Return the smallest turn that lines the jaw up with two faces of a cube."""
    return float((yaw + np.pi / 4) % (np.pi / 2) - np.pi / 4)
