"""Meta-World's scripted policies, followed well or spoilt on purpose.

The policies look at the state and answer with the next action, so one that was interrupted goes
on from where things are; mostly, but not always, it still succeeds. Every episode ends with the
hand still: a success at least `IDLE` steps after it, a failure when patience runs out.
"""

import math
import warnings
from collections.abc import Iterator

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from robo_reward.errors import InputError

from .env import MetaWorldEnv
from .rules import MetaWorldRules
from .snapshot import read_stock, write_stock
from .stock import make_policy

type Floats = NDArray[np.float64]

BEHAVIOURS = {
    "expert": "does what is asked",
    "noise": "the same with noise on every action: some succeed, some do not",
    "early_release": "opens the hand on the way, then goes on without what it carried",
    "pause": "stops for a while on the way, then goes on",
    "miss": "goes through all of it beside the spot, from beginning to end",
    "detour": "goes a long way round, then goes on",
    "recovery": "lets go or breaks off on the way, then begins again",
    "stop": "stops for good at some point before the end",
}
"""Name of a behaviour → what it does; the names are those of `sim.experts.BEHAVIOURS`."""
IDLE = 40
"""Steps that an episode goes on after success, or after giving up: half a second at 80 Hz, so that
two queries at the usual periods see the end."""
PATIENCE = 300
"""Steps without success after which an expert gives up."""
OPEN, CLOSED = -1.0, 1.0
"""Gripper part of an action."""

_GAIN = 10.0
_AFTER_RELEASE = 60
_REACH = 0.35


def behaviours(rules: MetaWorldRules) -> tuple[str, ...]:
    """Return the behaviours that a task knows: an early release needs something gripped."""
    return tuple(name for name in BEHAVIOURS if name != "early_release" or rules.carries)


class Expert:
    """Acts in one episode; make a new one after each reset."""

    def __init__(
        self, env: MetaWorldEnv, behaviour: str, *, rng: Generator, noise_rng: Generator
    ) -> None:
        """Plan the episode.

        Args:
            env: The environment, just reset.
            behaviour: One of `behaviours` of its task.
            rng: Draws the plan: moments and ways.
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
        self.goal = env.goal
        """What it does."""
        self._policy = make_policy(env.task)
        self._gripper = OPEN
        self._sigma = float(rng.uniform(0.3, 2.0)) if behaviour == "noise" else 0.0
        latest = {"pause": 40, "detour": 12}.get(behaviour, 0)
        self._moment = int(rng.integers(3, latest)) if latest else -1
        spoils = behaviour in ("early_release", "recovery")
        self._break = _REACH + 0.65 * float(rng.uniform(0.1, 0.5)) if spoils else math.inf
        self._stop = float(rng.uniform(0.08, 0.8)) if behaviour == "stop" else math.inf
        self._left = PATIENCE
        self._beside = _draw_miss(rng) if behaviour == "miss" else None

    def actions(self) -> Iterator[NDArray[np.float32]]:
        """Yield actions (4,) float32 until the episode is over, reading the state before each."""
        count = 0
        if self._beside is not None:
            yield from self._ghost(self._beside)
        while self._left > 0 and not self._succeeded() and self._progress() < self._stop:
            if count == self._moment:
                yield from self._interruption()
            if self._progress() >= self._break:
                self._break = math.inf
                yield from self._let_go()
            yield self._act(self._followed(self._env.sensed))
            count += 1
        yield from self._still()

    def _still(self) -> Iterator[NDArray[np.float32]]:
        """Hold still; a success that comes only now is followed by as many steps again."""
        succeeded, left = self._succeeded(), IDLE
        while left:
            yield np.array((0, 0, 0, self._gripper), np.float32)
            left -= 1
            if self._succeeded() and not succeeded:
                succeeded, left = True, IDLE

    def _succeeded(self) -> bool:
        return self._env.verdicts[self.goal].success

    def _progress(self) -> float:
        return self._env.verdicts[self.goal].progress

    def _ghost(self, beside: Floats) -> Iterator[NDArray[np.float32]]:
        """Move as an expert would, so far beside it, and give up."""
        for *hand, gripper in self._rehearsed():
            self._gripper = gripper
            yield from self._go(np.array(hand) + beside, 1)
        self._left = 0

    def _rehearsed(self) -> list[Floats]:
        """Return hand and gripper (4,) after each step of an expert, which is then taken back."""
        stock, sensed = self._env.stock, self._env.sensed
        before, path, done = read_stock(stock), list[Floats](), False
        while not done and len(path) < PATIENCE:
            action = self._followed(sensed)
            sensed, _, _, _, told = stock.step(action.astype(np.float32))
            path.append(np.append(sensed[:3], action[3]))
            done = bool(told["success"])
        write_stock(stock, before)
        return path

    def _followed(self, sensed: Floats) -> Floats:
        """Return what the scripted policy does now; it may change what it is shown."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            action = self._policy.get_action(sensed.copy())
        return np.clip(np.asarray(action, np.float64), -1.0, 1.0)

    def _act(self, command: Floats) -> NDArray[np.float32]:
        if self._sigma:
            command = command + np.append(self._noise.normal(0, self._sigma, 3), 0.0)
        self._gripper = float(command[3])
        self._left -= 1
        return np.clip(command, -1.0, 1.0).astype(np.float32)

    def _interruption(self) -> Iterator[NDArray[np.float32]]:
        """Stop for a while, or rise, go aside and back with the hand as it is."""
        rng = self._rng
        if self._behaviour == "pause":
            for _ in range(int(rng.integers(20, 60))):
                yield self._act(np.array((0, 0, 0, self._gripper)))
            return
        hand = self._env.sensed[:3].copy()
        up = hand + np.array((0.0, 0.0, rng.uniform(0.08, 0.15)))
        aside = up + np.append(rng.choice((-1, 1), 2) * rng.uniform(0.06, 0.15, 2), 0.0)
        for to in (up, aside, up, hand):
            yield from self._go(to, 15)

    def _go(self, to: Floats, steps: int) -> Iterator[NDArray[np.float32]]:
        for _ in range(steps):
            way = np.clip(_GAIN * (to - self._env.sensed[:3]), -1.0, 1.0)
            yield self._act(np.append(way, self._gripper))

    def _let_go(self) -> Iterator[NDArray[np.float32]]:
        """Open the hand on the way; then rise and begin again, or go on without."""
        if self._behaviour == "early_release":
            self._left = 0
            for _ in range(_AFTER_RELEASE):
                yield self._act(np.append(self._followed(self._env.sensed)[:3], OPEN))
            return
        for _ in range(8):
            yield self._act(np.array((0, 0, 0, OPEN)))
        yield from self._go(self._env.sensed[:3] + np.array((0.0, 0.0, 0.1)), 25)


def _draw_miss(rng: Generator) -> Floats:
    """Return (3,) how far beside the spot everything is done, in metres: 7 to 12 cm."""
    angle, away = rng.uniform(0.0, 2.0 * math.pi), rng.uniform(0.07, 0.12)
    return np.array((away * math.cos(angle), away * math.sin(angle), rng.uniform(0.0, 0.04)))
