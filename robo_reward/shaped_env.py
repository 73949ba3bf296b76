"""Gymnasium environments whose reward is shaped by a progress model, for learners of others.

`ShapedReward` wraps one environment, `ShapedRewardVector` a vector of them in any autoreset mode.
Φ is asked for once a step and held where a verdict is missing or invalid; what is paid is that of
`robo_reward.shaping`. The γ given here must be the learner's.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv, VectorWrapper

from .errors import InputError
from .protocols import ProgressModel, References, Views
from .shaping import Bools, Floats, HeldPotential, check_discount, counted

type ReadViews = Callable[[Any], Views]


def pixels(observation: Any) -> Views:
    """Return the views under ``pixels`` of an observation.

    Raises:
        InputError: If it has none.
    """
    if not isinstance(observation, dict) or not isinstance(observation.get("pixels"), dict):
        raise InputError(
            "the observation has no dictionary 'pixels' of views; draw them (pixels=True), or say "
            "where they are (views=...)"
        )
    found: Views = observation["pixels"]
    return found


@dataclass(frozen=True, kw_only=True)
class Judging:
    """How the episodes of an environment are judged."""

    model: ProgressModel
    gamma: float
    """The learner's discount, per step."""
    references: References = field(default_factory=References)
    """What start and goal look like."""
    instruction: str | None = None
    """What the robot should do; None: the environment's ``task_description``."""
    bootstraps: bool = True
    """Whether the learner counts on what would have come after a truncation."""
    views: ReadViews = pixels
    """Finds the views in an observation."""

    def __post_init__(self) -> None:
        """Check γ.

        Raises:
            InputError: If it is not in [0, 1].
        """
        check_discount("gamma", self.gamma)


@dataclass(kw_only=True)
class _Episode:
    session: Any
    held: HeldPotential = field(default_factory=HeldPotential)
    steps: int = 0


class _Judge:
    """Scores the frames of episodes, several in one pass."""

    def __init__(self, judging: Judging, env: Any) -> None:
        self.judging = judging
        self.seconds = 1.0 / _fps(env)

    def begin(self, instruction: Any, observation: Any) -> _Episode:
        """Return a new episode that has seen its first observation."""
        told = instruction if self.judging.instruction is None else self.judging.instruction
        if not isinstance(told, str):
            raise InputError(
                "no instruction is known: the environment has no task_description; give one "
                "(instruction=...)"
            )
        session = self.judging.model.begin(told, self.judging.references)
        episode = _Episode(session=session)
        self.look([episode], [observation])
        return episode

    def look(self, episodes: Sequence[_Episode], observations: Sequence[Any]) -> None:
        """Update the potentials of episodes, each by its next observation."""
        shown = [self.judging.views(observation) for observation in observations]
        times = [episode.steps * self.seconds for episode in episodes]
        sessions = [episode.session for episode in episodes]
        verdicts = self.judging.model.score_many(sessions, shown, times)
        for episode, verdict in zip(episodes, verdicts, strict=True):
            episode.held.update(verdict.progress, valid=verdict.valid)

    def step(
        self, episodes: Sequence[_Episode], observations: Sequence[Any], ends: Bools
    ) -> Floats:
        """Return F (n,) of one step of n episodes.

        Args:
            episodes: Those that made a step.
            observations: What followed it; where an episode ended, its final observation.
            ends: (n, 2) bool, terminated and truncated.
        """
        before = np.array([episode.held.value for episode in episodes])
        for episode in episodes:
            episode.steps += 1
        self.look(episodes, observations)
        now = np.array([episode.held.value for episode in episodes])
        kept = counted(now, ends[:, 0], ends[:, 1], bootstraps=self.judging.bootstraps)
        paid: Floats = self.judging.gamma * kept - before
        return paid


def _fps(env: Any) -> float:
    """Return the steps of an environment in one second.

    Raises:
        InputError: If it does not say.
    """
    fps = env.metadata.get("render_fps")
    if not fps:
        raise InputError("the environment's metadata has no render_fps: how long is a step?")
    return float(fps)


def check_unshaped(env: Any) -> None:
    """Check that an environment's reward is not shaped yet.

    Raises:
        InputError: If it is: shaping twice, or with a critic that is anchored too, is not sound.
    """
    layer = env
    while layer is not None:
        if isinstance(layer, ShapedReward | ShapedRewardVector):
            raise InputError(
                "this environment's reward is shaped already; shape it once, here or in the learner"
            )
        layer = getattr(layer, "env", None)


class ShapedReward(gym.Wrapper[Any, Any, Any, Any]):
    """An environment whose reward is r + F.

    ``info`` holds ``task_reward`` r, ``shaping`` F, ``potential`` Φ after the step, and how many
    verdicts of the episode were ``missing`` and ``invalid``. `reset` tells the last three.
    """

    def __init__(self, env: gym.Env[Any, Any], judging: Judging) -> None:
        """Wrap an environment.

        Raises:
            InputError: If it is shaped already, or does not say how long a step is.
        """
        check_unshaped(env)
        super().__init__(env)
        self.judging = judging
        self._judge = _Judge(judging, env)
        self._episode: _Episode | None = None

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Begin an episode and judge its first observation."""
        observation, info = self.env.reset(seed=seed, options=options)
        instruction = getattr(self.env.unwrapped, "task_description", None)
        self._episode = self._judge.begin(instruction, observation)
        return observation, info | _told(self._episode)

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Step and pay r + F.

        Raises:
            InputError: If no episode has begun, or the observation cannot be judged.
        """
        if self._episode is None:
            raise InputError("no episode has begun; call reset first")
        observation, reward, terminated, truncated, info = self.env.step(action)
        ends = np.array([[terminated, truncated]])
        paid = float(self._judge.step([self._episode], [observation], ends)[0])
        told = {"task_reward": float(reward), "shaping": paid, **_told(self._episode)}
        return observation, float(reward) + paid, terminated, truncated, info | told


class ShapedRewardVector(VectorWrapper):
    """A vector environment whose rewards are r + F, in any autoreset mode.

    ``infos`` holds ``task_reward``, ``shaping``, ``potential``, ``missing`` and ``invalid`` (N,),
    those of the episode that the step was of. A step that only resets pays nothing.
    """

    def __init__(self, env: VectorEnv[Any, Any, Any], judging: Judging) -> None:
        """Wrap a vector environment.

        Raises:
            InputError: If it is shaped already, or does not say how long a step is.
        """
        check_unshaped(env)
        super().__init__(env)
        self.judging = judging
        self._judge = _Judge(judging, env)
        self._mode = AutoresetMode(env.metadata.get("autoreset_mode", AutoresetMode.NEXT_STEP))
        self._episodes: list[_Episode | None] = [None] * env.num_envs
        self._resets: Bools = np.zeros(env.num_envs, np.bool_)

    def reset(
        self, *, seed: Any = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Begin episodes, all or those of ``options["reset_mask"]``, and judge what they show."""
        chosen = (options or {}).get("reset_mask")
        rows = np.ones(self.num_envs, np.bool_) if chosen is None else np.array(chosen, np.bool_)
        observations, infos = self.env.reset(seed=seed, options=options)
        self._begin(rows, observations)
        return observations, infos | self._told()

    def step(self, actions: Any) -> tuple[Any, Floats, Bools, Bools, dict[str, Any]]:
        """Step and pay r + F.

        Raises:
            InputError: If an episode has not begun, or an observation cannot be judged.
        """
        episodes = [episode for episode in self._episodes if episode is not None]
        if len(episodes) < self.num_envs:
            raise InputError("not every episode has begun; call reset first")
        observations, rewards, terminated, truncated, infos = self.env.step(actions)
        ends = np.stack([terminated, truncated], axis=1)
        ended: Bools = ends[:, 0] | ends[:, 1]
        resets = self._resets
        paid = np.zeros(self.num_envs)
        rows = np.flatnonzero(~resets)
        finals = infos.get("final_obs") if self._mode is AutoresetMode.SAME_STEP else None
        shown = [
            finals[row] if finals is not None and ended[row] else _row(observations, row)
            for row in rows
        ]
        paid[rows] = self._judge.step([episodes[row] for row in rows], shown, ends[rows])
        told = {"task_reward": np.array(rewards, np.float64), "shaping": paid} | self._told()
        same = self._mode is AutoresetMode.SAME_STEP
        self._begin(ended if same else resets, observations)
        self._resets = ended if self._mode is AutoresetMode.NEXT_STEP else np.zeros_like(ended)
        return observations, rewards + paid, terminated, truncated, infos | told

    def _begin(self, rows: Bools, observations: Any) -> None:
        if not rows.any():
            return
        told = self._instructions()
        for row in np.flatnonzero(rows).tolist():
            self._episodes[row] = self._judge.begin(told[row], _row(observations, row))
            self._resets[row] = False

    def _instructions(self) -> Sequence[Any]:
        if self.judging.instruction is not None:
            return [self.judging.instruction] * self.num_envs
        ask = getattr(self.env, "get_attr", None)
        return [None] * self.num_envs if ask is None else list(ask("task_description"))

    def _told(self) -> dict[str, Any]:
        told = [_told(episode) for episode in self._episodes]
        return {name: np.array([one[name] for one in told]) for name in told[0]}


def _told(episode: _Episode | None) -> dict[str, Any]:
    held = HeldPotential() if episode is None else episode.held
    return {"potential": held.value, "missing": held.missing, "invalid": held.invalid}


def _row(observations: Any, row: int) -> Any:
    """Return the observation of one environment."""
    if isinstance(observations, dict):
        return {name: _row(value, row) for name, value in observations.items()}
    return observations[row]
