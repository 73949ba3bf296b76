"""A Gymnasium environment whose reward is shaped by a progress model, for learners of others.

`robo_reward.shaped_vector` wraps vectors of them.
Φ is asked for once a step and held where a verdict is missing or invalid; what is paid is that of
`robo_reward.shaping`. The γ given here must be the learner's.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import gymnasium as gym
import numpy as np

from .errors import InputError
from .protocols import ProgressModel, References, Views
from .shaping import Bools, Floats, HeldPotential, check_discount, counted

SHAPED = "reward_is_shaped"
"""Set in the metadata of environments whose reward is shaped."""

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
    """Whether the learner counts on what would have come after a truncation. If not, nothing
    outside the wrapper may truncate: a time limit belongs inside it."""
    views: ReadViews = pixels
    """Finds the views in an observation."""

    def __post_init__(self) -> None:
        """Check γ.

        Raises:
            InputError: If it is not in [0, 1].
        """
        check_discount("gamma", self.gamma)


@dataclass(kw_only=True)
class Episode:
    """What is remembered of one episode: the model's session, Φ, and the steps so far."""

    session: Any
    held: HeldPotential = field(default_factory=HeldPotential)
    steps: int = 0


class Judge:
    """Scores the frames of episodes, several in one pass."""

    def __init__(self, judging: Judging, fps: float) -> None:
        self.judging = judging
        self.seconds = 1.0 / fps

    def begin(self, instructions: Sequence[Any], observations: Sequence[Any]) -> list[Episode]:
        """Return new episodes that have seen their first observations.

        Raises:
            InputError: If an instruction is not known, or an observation cannot be judged.
        """
        given, begun = self.judging.instruction, []
        for instruction in instructions:
            told = instruction if given is None else given
            if not isinstance(told, str):
                raise InputError(
                    "no instruction is known: the environment has no task_description; give one "
                    "(instruction=...)"
                )
            session = self.judging.model.begin(told, self.judging.references)
            begun.append(Episode(session=session))
        self.look(begun, observations)
        return begun

    def look(self, episodes: Sequence[Episode], observations: Sequence[Any]) -> None:
        """Update the potentials of episodes, each by its next observation."""
        shown = [self.judging.views(observation) for observation in observations]
        times = [episode.steps * self.seconds for episode in episodes]
        sessions = [episode.session for episode in episodes]
        verdicts = self.judging.model.score_many(sessions, shown, times)
        for episode, verdict in zip(episodes, verdicts, strict=True):
            episode.held.update(verdict.progress, valid=verdict.valid)

    def step(self, episodes: Sequence[Episode], observations: Sequence[Any], ends: Bools) -> Floats:
        """Return F (n,) of one step of n episodes.

        Args:
            episodes: Those that made a step.
            observations: What followed it; where an episode ended, its final observation; None
                where that was lost.
            ends: (n, 2) bool, terminated and truncated.
        """
        before = np.array([episode.held.value for episode in episodes])
        for episode in episodes:
            episode.steps += 1
        pairs = zip(episodes, observations, strict=True)
        seen = [(episode, shown) for episode, shown in pairs if shown is not None]
        self.look([episode for episode, _ in seen], [shown for _, shown in seen])
        now = np.array([episode.held.value for episode in episodes])
        kept = counted(now, ends[:, 0], ends[:, 1], bootstraps=self.judging.bootstraps)
        paid: Floats = self.judging.gamma * kept - before
        return paid


def steps_per_second(env: Any) -> float:
    """Return the steps of an environment in one second.

    Raises:
        InputError: If it does not say.
    """
    fps = env.metadata.get("render_fps")
    if not fps:
        raise InputError("the environment's metadata has no render_fps: how long is a step?")
    return float(fps)


def marked(env: Any) -> dict[str, Any]:
    """Return the metadata of an environment with a mark that its reward is shaped.

    Vectors copy the metadata of what they are made of, so the mark is seen from outside.

    Raises:
        InputError: If it is shaped already: twice, or with a critic that is anchored too, is not
            sound.
    """
    if env.metadata.get(SHAPED):
        raise InputError(
            "this environment's reward is shaped already; shape it once, here or in the learner"
        )
    return {**env.metadata, SHAPED: True}


class ShapedReward(gym.Wrapper[Any, Any, Any, Any]):
    """An environment whose reward is r + F.

    ``info`` holds ``task_reward`` r, ``shaping`` F, ``potential`` Φ after the step, and at how many
    steps of the episode the verdict was ``missing`` or ``invalid``. `reset` tells the last three.
    """

    def __init__(self, env: gym.Env[Any, Any], judging: Judging) -> None:
        """Wrap an environment.

        Raises:
            InputError: If it is shaped already, or does not say how long a step is.
        """
        super().__init__(env)
        self.metadata = marked(env)
        self.judging = judging
        self._judge = Judge(judging, steps_per_second(env))
        self._episode: Episode | None = None

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Begin an episode and judge its first observation."""
        observation, info = self.env.reset(seed=seed, options=options)
        instruction = getattr(self.env.unwrapped, "task_description", None)
        self._episode = self._judge.begin([instruction], [observation])[0]
        return observation, info | told_of(self._episode)

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
        told = {"task_reward": float(reward), "shaping": paid, **told_of(self._episode)}
        if terminated or truncated:
            self._episode = None
        return observation, float(reward) + paid, terminated, truncated, info | told


def told_of(episode: Episode | None) -> dict[str, Any]:
    """Return what ``info`` tells of an episode, or of one that has not begun."""
    held = HeldPotential() if episode is None else episode.held
    return {"potential": held.value, "missing": held.missing, "invalid": held.invalid}
