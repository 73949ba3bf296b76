"""Environments of others, in LeRobot's observation shape, behind the interface of our own.

They know success and nothing else of the truth: ``progress`` is 1 from the first success on and
NaN before it, and there is one stage before the last.
"""

import importlib
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from robo_reward.errors import InputError

from .control import require_reset

type Observation = dict[str, Any]
"""``pixels`` by view, and ``agent_pos``."""

STAGES = ("unknown", "done")
"""Names of the stages: nothing is known until success."""
LONE_VIEW = "front"
"""Name given to a view that has none."""

_SUCCESS = ("is_success", "success", "succeed")


@dataclass(frozen=True, kw_only=True)
class ForeignRules:
    """What is known of a foreign task, described as `sim.tasks.Task` describes ours."""

    name: str
    """Its name."""
    instruction: str
    """What is asked for, in its only wording."""
    stages: tuple[str, ...] = STAGES
    """Names of the stages."""
    carries: int = 0
    """How often something is carried: not known."""

    @property
    def goals(self) -> tuple[str, ...]:
        """What may be asked for: one thing, named as the task is."""
        return (self.name,)

    def wordings(self, goal: str) -> tuple[str, ...]:
        """Return the instruction for the goal.

        Raises:
            InputError: If it is not the goal of this task.
        """
        if goal != self.name:
            raise InputError(f"{self.name} has no goal {goal!r}; its only one is {self.name}")
        return (self.instruction,)


class ForeignEnv(gym.Env[Observation, NDArray[Any]]):
    """One environment of somebody else's.

    Observation: ``{"pixels": {view: uint8 (H, W, 3)}, "agent_pos": float32 (D,)}``; where there
    is no ``agent_pos``, all other numbers of the observation in the order of their names. Reward
    is the environment's own. ``info`` has the entries of `sim.env.TabletopEnv`. There is no
    ``render_every``: such an environment draws within its own step, whether or not anybody looks.
    """

    def __init__(
        self, env: gym.Env[Any, Any], *, name: str, instruction: str = "", fps: float = 0.0
    ) -> None:
        """Take over an environment.

        Args:
            env: It; its actions must be a box.
            name: Name of the task.
            instruction: What is asked for; by default what the environment says of itself.
            fps: Control steps in one second; by default what the environment says.

        Raises:
            InputError: If its observations hold no ``pixels`` and numbers, its actions are not
                a box, or neither instruction nor rate are known.
        """
        self._env = env
        self.rules = ForeignRules(name=name, instruction=instruction or _own_words(env, name))
        """What is known of the task."""
        self.task = self.goal = name
        self.metadata = {
            "render_modes": ["rgb_array"],
            "render_fps": fps or _own_rate(env, name),
        }
        self.render_mode = env.render_mode
        self._max_episode_steps = _own_length(env)
        if not isinstance(env.action_space, spaces.Box):
            raise InputError(f"{name} has actions of {env.action_space}; only a Box will do")
        self.action_space = env.action_space
        self.observation_space = _space(env.observation_space, name)
        self._succeeded, self._steps = False, 0
        self._last: Observation = {}

    @property
    def task_description(self) -> str:
        """The instruction of this episode."""
        return str(_attribute(self._env, "task_description") or self.rules.instruction)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Begin an episode, as the environment does with this seed and these options."""
        super().reset(seed=seed)
        told, info = self._env.reset(seed=seed, options=options)
        self._succeeded, self._steps = False, 0
        self._last = _observation(told)
        return self._last, self._info(info)

    def step(self, action: NDArray[Any]) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Apply one action; one that is not finite is not carried out and ends the episode.

        Raises:
            InputError: If the action has another shape, or no episode has begun.
        """
        require_reset(self._last, self.task)
        action = np.asarray(action)
        if action.shape != self.action_space.shape:
            raise InputError(
                f"an action of {self.task} has shape {self.action_space.shape}; got {action.shape}"
            )
        bad = [f"{number} is {value}" for number, value in _not_finite(action)]
        if bad:
            rejected = f"at step {self._steps} {', '.join(bad)}: actions must be finite"
            return self._last, 0.0, False, True, self._info({}, rejected)
        told, reward, terminated, truncated, info = self._env.step(action)
        self._steps += 1
        self._last = _observation(told)
        return self._last, float(reward), bool(terminated), bool(truncated), self._info(info)

    def _info(self, told: Mapping[str, Any], rejected: str = "") -> dict[str, Any]:
        self._succeeded |= any(bool(np.any(told[key])) for key in _SUCCESS if key in told)
        progress = 1.0 if self._succeeded else math.nan
        return {
            "is_success": self._succeeded,
            "stage": int(self._succeeded),
            "stage_name": self.rules.stages[int(self._succeeded)],
            "progress": progress,
            "progress_latched": progress,
            "goals": np.array([progress]),
            "failure_mode": "none",
            "onset": -1,
            "goal": self.goal,
            "pixels_age": 0,
            "rejected": rejected,
        }

    def render(self) -> Any:
        """Return what the environment itself renders."""
        return self._env.render()

    def close(self) -> None:
        """Close the environment."""
        self._env.close()


def foreign_envs(source: str, *, instruction: str = "", **options: Any) -> dict[str, ForeignEnv]:
    """Return environments of others by name of the task.

    Args:
        source: A Gymnasium id with its namespace, such as ``gym_hil/PandaPickCubeBase-v0``, which
            makes one environment; or a type of LeRobot's ``EnvConfig``, such as ``libero``, which
            makes one for each of its tasks, called ``<suite>/<number>``.
        instruction: What is asked for, where the environments do not say it themselves.
        options: For ``gym.make``, or fields of the ``EnvConfig``.

    Raises:
        InputError: If there is no such environment, it is not of LeRobot's shape, or it is to
            draw less often than it does.
    """
    if "render_every" in options:
        raise InputError(
            f"render_every is for our own environments; {source} draws within its own step, so "
            "leave it out"
        )
    if "/" in source:
        env = _make(source, options)
        return {source: ForeignEnv(env, name=source, instruction=instruction)}
    from lerobot.envs.factory import make_env_config

    try:
        config = make_env_config(source, **options)
        suites = config.create_envs(n_envs=1, use_async_envs=False)
    except (ValueError, TypeError, ImportError, gym.error.Error) as error:
        raise InputError(f"LeRobot makes no environment of type {source!r}: {error}") from error
    return {
        f"{suite}/{number}": ForeignEnv(
            vector.envs[0], name=f"{suite}/{number}", instruction=instruction, fps=config.fps
        )
        for suite, tasks in suites.items()
        for number, vector in tasks.items()
    }


def _make(source: str, options: dict[str, Any]) -> gym.Env[Any, Any]:
    """Make a Gymnasium environment, importing the package of its namespace if need be."""
    try:
        if source not in gym.registry:
            importlib.import_module(source.split("/")[0])
        return gym.make(source, disable_env_checker=True, **options)
    except (ImportError, TypeError, gym.error.Error) as error:
        raise InputError(f"there is no environment {source!r}: {error}") from error


def _attribute(env: gym.Env[Any, Any], name: str) -> Any:
    """Return an attribute of an environment or of what it wraps; None if there is none."""
    return env.get_wrapper_attr(name) if env.has_wrapper_attr(name) else None


def _own_words(env: gym.Env[Any, Any], name: str) -> str:
    words = _attribute(env, "task_description") or _attribute(env, "task")
    if not words:
        raise InputError(f"{name} does not say what is asked for; give an instruction")
    return str(words)


def _own_rate(env: gym.Env[Any, Any], name: str) -> float:
    rate = env.metadata.get("render_fps")
    if not rate:
        raise InputError(f"{name} does not say how many steps a second has; give fps")
    return float(rate)


def _own_length(env: gym.Env[Any, Any]) -> int | None:
    steps = _attribute(env, "_max_episode_steps")
    return int(steps) if steps else None


def _space(space: spaces.Space[Any], name: str) -> spaces.Dict:
    """Return the space of our observations of an environment with this space."""
    parts = space.spaces if isinstance(space, spaces.Dict) else {}
    views = parts.get("pixels")
    numbers = [part for part in _leaves(_without_pixels(parts)) if isinstance(part, spaces.Box)]
    if views is None or not numbers:
        raise InputError(
            f"{name} observes {', '.join(parts) or space}; it needs pixels, and agent_pos or "
            "other numbers, as LeRobot's environments have"
        )
    pixels = views if isinstance(views, spaces.Dict) else spaces.Dict({LONE_VIEW: views})
    low, high = (
        np.concatenate([np.ravel(getattr(part, end)) for part in numbers])
        for end in ("low", "high")
    )
    agent = spaces.Box(low.astype(np.float32), high.astype(np.float32), dtype=np.float32)
    return spaces.Dict({"pixels": pixels, "agent_pos": agent})


def _observation(told: Mapping[str, Any]) -> Observation:
    views = told["pixels"]
    pixels = views if isinstance(views, Mapping) else {LONE_VIEW: views}
    numbers = [np.ravel(part) for part in _leaves(_without_pixels(told))]
    return {
        "pixels": {name: np.asarray(image, np.uint8) for name, image in pixels.items()},
        "agent_pos": np.concatenate(numbers).astype(np.float32),
    }


def _without_pixels(parts: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return ``agent_pos`` alone if it is there, else everything that is not an image."""
    if "agent_pos" in parts:
        return {"agent_pos": parts["agent_pos"]}
    return {name: part for name, part in parts.items() if name != "pixels"}


def _leaves(parts: Any) -> Iterator[Any]:
    """Yield what nested dictionaries hold, in the order of the names."""
    inner = parts.spaces if isinstance(parts, spaces.Dict) else parts
    if isinstance(inner, Mapping):
        for name in sorted(inner):
            yield from _leaves(inner[name])
    else:
        yield parts


def _not_finite(action: NDArray[Any]) -> Iterator[tuple[int, float]]:
    for number, value in enumerate(np.ravel(action)):
        if not np.isfinite(value):
            yield number, float(value)
