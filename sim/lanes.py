"""Several environments in one process, stepped in turn; the inside of a vector environment.

The same code runs in this process and in workers, so how environments are spread over
processes cannot change what happens in them.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import gymnasium as gym
from gymnasium import spaces
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray

from robo_reward.errors import InputError

type Path = tuple[str, ...]
"""Where a part of an observation is: ("pixels", "front")."""
type Blocks = dict[Path, NDArray[Any]]
"""Part of an observation → (N, ...) array with the part of every environment."""


class Outcome(NamedTuple):
    """What one environment answers to a step."""

    reward: float
    terminated: bool
    truncated: bool
    info: dict[str, Any]
    final_obs: dict[str, Any] | None = None
    """The last observation of an episode that ended, where the next one began in this step."""
    final_info: dict[str, Any] | None = None
    """The ``info`` that came with it."""


class Advanced(NamedTuple):
    """What one environment answers to a chunk of actions."""

    rewards: list[float]
    """(k,) of the steps that were carried out: fewer than asked for where the episode ended."""
    terminated: bool
    truncated: bool
    info: dict[str, Any]
    """That of the last step."""


def parts(space: spaces.Space[Any], path: Path = ()) -> Iterator[tuple[Path, spaces.Box]]:
    """Yield the parts of an observation space.

    Raises:
        InputError: If it is made of anything but named boxes.
    """
    if isinstance(space, spaces.Dict):
        for name, inner in space.items():
            yield from parts(inner, (*path, name))
    elif isinstance(space, spaces.Box):
        yield path, space
    else:
        raise InputError(f"observations {space} at {path} are not arrays and cannot be shared")


def part_of(observation: Mapping[str, Any], path: Path) -> Any:
    """Return a part of an observation."""
    value: Any = observation
    for name in path:
        value = value[name]
    return value


def nested(blocks: Blocks, *, copy: bool) -> dict[str, Any]:
    """Return blocks as one observation of all environments."""
    whole: dict[str, Any] = {}
    for path, block in blocks.items():
        inner = whole
        for name in path[:-1]:
            inner = inner.setdefault(name, {})
        inner[path[-1]] = block.copy() if copy else block
    return whole


class Lanes:
    """Environments that write their observations into blocks, a row each."""

    def __init__(
        self,
        make: Callable[[], gym.Env[Any, Any]],
        blocks: Blocks,
        *,
        mode: AutoresetMode,
        limit: int | None,
    ) -> None:
        """Make one environment for each row of the blocks.

        Args:
            make: Returns a new environment.
            blocks: Where observations go.
            mode: When an episode that ended is followed by the next one.
            limit: Steps after which an episode is truncated; None: its own ``_max_episode_steps``.
        """
        count = len(next(iter(blocks.values())))
        self._envs = [make() for _ in range(count)]
        self._blocks, self._mode = blocks, mode
        for env in self._envs if limit else ():
            env.unwrapped._max_episode_steps = limit  # type: ignore[attr-defined]
        self._limit = getattr(self._envs[0].unwrapped, "_max_episode_steps", None) or math.inf
        self._steps, self._ended = [0] * count, [False] * count

    def reset(
        self,
        rows: Sequence[int],
        seeds: Sequence[int | None],
        options: dict[str, Any] | None,
    ) -> list[dict[str, Any]]:
        """Begin a new episode in some environments; return their ``info``."""
        return [
            self._begin(row, seed=seed, options=options)
            for row, seed in zip(rows, seeds, strict=True)
        ]

    def begin(
        self,
        rows: Sequence[int],
        seeds: Sequence[int | None],
        options: dict[str, Any] | None,
    ) -> list[dict[str, Any]]:
        """Do the same; each ``info`` holds the ``instruction`` besides."""
        infos = self.reset(rows, seeds, options)
        words = [self._envs[row].unwrapped.task_description for row in rows]  # type: ignore[attr-defined]
        return [{**info, "instruction": text} for info, text in zip(infos, words, strict=True)]

    def _begin(self, row: int, **how: Any) -> dict[str, Any]:
        observation, info = self._envs[row].reset(**how)
        self._steps[row], self._ended[row] = 0, False
        self._write(row, observation)
        return info

    def step(self, actions: NDArray[Any]) -> list[Outcome]:
        """Apply an action (N, A) in each; return what each answers.

        Raises:
            InputError: If an episode ended and nothing begins the next one.
        """
        return [self._step(row, action) for row, action in enumerate(actions)]

    def _step(self, row: int, action: NDArray[Any]) -> Outcome:
        if self._ended[row] and self._mode is AutoresetMode.NEXT_STEP:
            return Outcome(0.0, False, False, self._begin(row))
        if self._ended[row]:
            raise InputError(
                f"environment {row} of its process ended its episode; reset it with "
                "options={'reset_mask': ...} before the next step"
            )
        observation, reward, terminated, truncated, info = self._envs[row].step(action)
        self._steps[row] += 1
        truncated = truncated or (self._steps[row] >= self._limit and not terminated)
        told = Outcome(float(reward), terminated, truncated, info)
        if not (terminated or truncated):
            self._write(row, observation)
            return told
        self._ended[row] = True
        if self._mode is not AutoresetMode.SAME_STEP:
            self._write(row, observation)
            return told
        return told._replace(info=self._begin(row), final_obs=observation, final_info=info)

    def advance(self, chunks: Mapping[int, NDArray[Any]]) -> dict[int, Advanced]:
        """Carry out chunks of actions, row → (k, A), as far as the episodes go.

        Raises:
            InputError: If an episode ended and was not followed by another.
        """
        return {row: self._advance(row, chunk) for row, chunk in chunks.items()}

    def _advance(self, row: int, chunk: NDArray[Any]) -> Advanced:
        rewards = []
        for action in chunk:
            told = self._step(row, action)
            rewards.append(told.reward)
            if told.terminated or told.truncated:
                break
        return Advanced(rewards, told.terminated, told.truncated, told.info)

    def restore(self, snapshots: Mapping[int, Any]) -> dict[int, dict[str, Any]]:
        """Bring environments to snapshots, row → snapshot; return row → ``info``."""
        told = {}
        for row, snapshot in snapshots.items():
            observation, told[row] = self._envs[row].unwrapped.restore(snapshot)  # type: ignore[attr-defined]
            self._steps[row], self._ended[row] = snapshot.steps, False
            self._write(row, observation)
        return told

    def draw(self) -> None:
        """Draw the images of all environments as they are now."""
        for row, env in enumerate(self._envs):
            for name, image in env.unwrapped.draw().items():  # type: ignore[attr-defined]
                self._blocks["pixels", name][row] = image

    def call(self, name: str, *args: Any, **kwargs: Any) -> list[Any]:
        """Return what a method, or an attribute, of each environment gives."""
        found = [getattr(env.unwrapped, name) for env in self._envs]
        return [value(*args, **kwargs) if callable(value) else value for value in found]

    def close(self) -> None:
        """Close the environments."""
        for env in self._envs:
            env.close()

    def _write(self, row: int, observation: Mapping[str, Any]) -> None:
        for path, block in self._blocks.items():
            block[row] = part_of(observation, path)
