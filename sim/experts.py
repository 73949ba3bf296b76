"""Scripted behaviours for every task: its plan, followed well or spoilt on purpose.

Every behaviour is the plan with one thing changed. All but ``stop`` end in a random pose clear
of the table, so that how an episode ended cannot be told from where the arm stopped.
"""

import math
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from robo_reward.errors import InputError

from .control import TURN
from .env import TabletopEnv
from .moves import OPEN, Leg, Stretch
from .tasks import Task

type Floats = NDArray[np.float64]

BEHAVIOURS = {
    "expert": "does what is asked",
    "noise": "the same with noise on every action: some succeed, some do not",
    "early_release": "opens the hand on the way, then goes on without what it carried",
    "wrong_object": "does what another instruction asks",
    "pause": "stops for a while on the way, then succeeds",
    "miss": "closes the fingers, or works, beside or above the spot, then goes on",
    "detour": "goes a long way round, then succeeds",
    "recovery": "lets go or breaks off on the way, then begins again and succeeds",
    "stop": "stops for good at some stage before the last",
}
"""Name of a behaviour → what it does."""
IDLE = 12
"""Steps that an episode goes on after the end of the path."""


def behaviours(task: Task) -> tuple[str, ...]:
    """Return the behaviours that a task knows: an early release needs something carried."""
    return tuple(name for name in BEHAVIOURS if name != "early_release" or task.carries)


class Expert:
    """Acts in one episode; make a new one after each reset."""

    def __init__(
        self, env: TabletopEnv, behaviour: str, *, rng: Generator, noise_rng: Generator
    ) -> None:
        """Plan the episode.

        Args:
            env: The environment, just reset.
            behaviour: One of `behaviours` of its task.
            rng: Draws the plan: heights, moments, the end.
            noise_rng: Draws the noise on the actions.

        Raises:
            InputError: If there is no such behaviour; the message lists those there are.
        """
        known = behaviours(env.rules)
        if behaviour not in known:
            raise InputError(
                f"there is no behaviour {behaviour!r} in {env.task}; there are: {', '.join(known)}"
            )
        self._env, self._behaviour = env, behaviour
        self._rng, self._noise = rng, noise_rng
        self.goal = self._choose_goal()
        """What it really does."""
        self._sigma = float(rng.uniform(0.2, 1.1)) if behaviour == "noise" else 0.0
        self._miss = self._draw_miss()
        self._release = float(rng.uniform(0.15, 0.65)) if behaviour == "early_release" else math.inf
        self._pause_at = int(rng.integers(5, 60)) if behaviour == "pause" else -1
        self._pause = int(rng.integers(15, 40))
        self._draw_interruptions()
        self._commands = self._path()

    def _draw_interruptions(self) -> None:
        rng, rules = self._rng, self._env.rules
        carries = rules.carries
        self._spoilt = int(rng.integers(carries)) if self._behaviour == "early_release" else -1
        self._detour = int(rng.integers(1 + (carries > 0))) if self._behaviour == "detour" else -1
        self._break = float(rng.uniform(0.3, 0.8)) if self._behaviour == "recovery" else math.inf
        last = len(rules.stages) - 1
        self._stop = int(rng.integers(1, last)) if self._behaviour == "stop" else last

    def actions(self) -> Iterator[NDArray[np.float32]]:
        """Yield actions (5,) float32 until the episode is over, reading the world before each."""
        gripper = OPEN
        for count, command in enumerate(self._commands):
            if self._behaviour == "stop" and self._own_stage() >= self._stop:
                yield from self._still(gripper, 2 * IDLE)
                return
            if count == self._pause_at:
                yield from self._still(gripper, self._pause)
            gripper = float(command[4])
            yield self._disturbed(command)
        yield from self._still(OPEN, IDLE + self._env.world.robot.settle)

    def _own_stage(self) -> int:
        return self._env.verdicts[self.goal].stage

    def _still(self, gripper: float, steps: int) -> Iterator[NDArray[np.float32]]:
        for _ in range(steps):
            yield np.array((0, 0, 0, 0, gripper), np.float32)

    def _disturbed(self, command: Floats) -> NDArray[np.float32]:
        if self._sigma:
            command = command + np.append(self._noise.normal(0, self._sigma, 4), 0.0)
        return np.clip(command, -1, 1).astype(np.float32)

    def _choose_goal(self) -> str:
        if self._behaviour != "wrong_object":
            return self._env.goal
        return str(self._rng.choice([g for g in self._env.rules.goals if g != self._env.goal]))

    def _draw_miss(self) -> Floats:
        """Return where the tool goes beside the right place, in its own frame."""
        rng = self._rng
        if self._behaviour != "miss":
            return np.zeros(3)
        if self._env.rules.carries and rng.random() < 0.4:
            return np.array((0.0, 0.0, rng.uniform(0.045, 0.07)))
        return np.array((rng.choice((-1, 1)) * rng.uniform(0.05, 0.07), 0.0, 0.0))

    def _path(self) -> Iterator[Floats]:
        """Yield commands (5,), each read off the world when it is asked for."""
        if self._behaviour == "recovery":
            yield from self._broken_off()
        carried = reached = 0
        for stretch in map(self._missed, self._plan()):
            carried += stretch.kind == "carry"
            reached += stretch.kind == "reach"
            if stretch.kind == "reach" and reached == self._detour + 1:
                yield from self._way_round()
            released = carried == self._spoilt + 1 and stretch.kind in ("carry", "place")
            share = math.inf
            if released:
                share = self._release if stretch.kind == "carry" else 0.0
            yield from self._along(stretch, release=share)
        robot = self._env.world.robot
        end = self._rng.uniform(*robot.rest)
        yaw = robot.placing.facing(end) + float(self._rng.uniform(-0.4, 0.4))
        yield from self._go(Leg(to=end, gripper=OPEN, yaw=yaw))

    def _plan(self) -> Iterator[Stretch]:
        return self._env.rules.plan(self._env.world, self.goal, self._rng)

    def _broken_off(self) -> Iterator[Floats]:
        """Follow the plan into its first working stretch, let go there, and rise."""
        for stretch in self._plan():
            working = stretch.kind in ("carry", "act")
            for share, command in self._shares(stretch):
                if working and share >= self._break:
                    for _ in range(4):
                        yield np.array((0, 0, 0, 0, OPEN))
                    up = np.append(self._env.control.position[:2], self._env.world.robot.high)
                    yield from self._go(Leg(to=up, gripper=OPEN, yaw=self._env.control.yaw))
                    return
                yield command

    def _way_round(self) -> Iterator[Floats]:
        """Rise and go aside with an open hand, and come back."""
        control, rng = self._env.control, self._rng
        up = np.append(control.position[:2], self._env.world.robot.high)
        aside = up + np.append(rng.choice((-1, 1), 2) * rng.uniform(0.06, 0.12, 2), 0.0)
        back = control.position.copy()
        for to in (up, aside, up, back):
            yield from self._go(Leg(to=to, gripper=OPEN, yaw=control.yaw))

    def _missed(self, stretch: Stretch) -> Stretch:
        if stretch.kind not in ("reach", "grasp", "act"):
            return stretch
        legs = []
        for leg in stretch.legs:
            cosine, sine = np.cos(leg.yaw), np.sin(leg.yaw)
            x, y, z = self._miss
            offset = np.array((cosine * x - sine * y, sine * x + cosine * y, z))
            legs.append(replace(leg, to=leg.to + offset))
        return replace(stretch, legs=tuple(legs))

    def _along(self, stretch: Stretch, *, release: float) -> Iterator[Floats]:
        """Yield the commands of a stretch; from the share ``release`` on with an open hand."""
        for share, command in self._shares(stretch):
            if share >= release:
                command[4] = OPEN
            yield command

    def _shares(self, stretch: Stretch) -> Iterator[tuple[float, Floats]]:
        """Yield the share of the way that is gone, and the command, until its end."""
        control = self._env.control
        ends = [control.position.copy(), *(leg.to for leg in stretch.legs)]
        length = sum(float(np.linalg.norm(b - a)) for a, b in pairwise(ends))
        gone, last = 0.0, ends[0]
        for leg in stretch.legs:
            for command in self._go(leg):
                gone += float(np.linalg.norm(control.position - last)) / max(length, 1e-9)
                last = control.position.copy()
                yield gone, command

    def _go(self, leg: Leg) -> Iterator[Floats]:
        """Yield commands that bring the control target along a straight line to its end."""
        control = self._env.control
        distance = float(np.linalg.norm(leg.to - control.position)) / (control.step * leg.speed)
        steps = int(np.ceil(max(distance, abs(leg.yaw - control.yaw) / TURN)))
        for left in range(steps, 0, -1):
            way, turn = leg.to - control.position, leg.yaw - control.yaw
            yield np.array((*(way / left / control.step), turn / left / TURN, leg.gripper))
        for _ in range(leg.stay):
            yield np.array((0, 0, 0, 0, leg.gripper), np.float64)
