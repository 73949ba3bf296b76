"""A vector of Gymnasium environments whose rewards are shaped by a progress model."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv, VectorWrapper

from .errors import InputError
from .shaped_env import Episode, Judge, Judging, marked, steps_per_second, told_of
from .shaping import Bools, Floats


class ShapedRewardVector(VectorWrapper):
    """A vector environment whose rewards are r + F, in any autoreset mode.

    ``infos`` holds ``task_reward``, ``shaping``, ``potential``, ``missing`` and ``invalid`` (N,),
    those of the episode that the step was of. A step that only resets pays nothing; an episode
    that was lost (`sim.vector`: ``infos["lost"]``) ends with the potential that it had.
    """

    def __init__(self, env: VectorEnv[Any, Any, Any], judging: Judging) -> None:
        """Wrap a vector environment.

        Raises:
            InputError: If it is shaped already, or does not say how long a step is.
        """
        super().__init__(env)
        self.metadata = marked(env)
        self.judging = judging
        self._judge = Judge(judging, steps_per_second(env))
        self._mode = AutoresetMode(env.metadata.get("autoreset_mode", AutoresetMode.NEXT_STEP))
        self._episodes: list[Episode | None] = [None] * env.num_envs
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
        if None in self._episodes:
            raise InputError("not every episode has begun; call reset first")
        observations, rewards, terminated, truncated, infos = self.env.step(actions)
        ends = np.stack([terminated, truncated], axis=1)
        ended: Bools = ends[:, 0] | ends[:, 1]
        paid = np.zeros(self.num_envs)
        same = self._mode is AutoresetMode.SAME_STEP
        lost = np.array(infos.get("lost", np.zeros_like(ended)), np.bool_) & (not same)
        steps = np.flatnonzero(~self._resets)
        final = np.flatnonzero(ended) if same else np.zeros(0, np.int64)
        shown = [
            None if lost[row] else _final(infos, row) if row in final else _row(observations, row)
            for row in steps.tolist()
        ]
        paid[steps] = self._judge.step(self._of(steps), shown, ends[steps])
        told = {"task_reward": np.array(rewards, np.float64), "shaping": paid} | self._told()
        self._begin(ended if same else self._resets | lost, observations)
        self._resets = ended & ~lost & (self._mode is AutoresetMode.NEXT_STEP)
        return observations, rewards + paid, terminated, truncated, infos | told

    def _of(self, rows: Any) -> list[Episode]:
        return [episode for row in rows.tolist() if (episode := self._episodes[row]) is not None]

    def _begin(self, rows: Bools, observations: Any) -> None:
        chosen = np.flatnonzero(rows).tolist()
        if not chosen:
            return
        told, shown = self._instructions(), [_row(observations, row) for row in chosen]
        begun = self._judge.begin([told[row] for row in chosen], shown)
        for row, episode in zip(chosen, begun, strict=True):
            self._episodes[row] = episode

    def _instructions(self) -> Sequence[Any]:
        if self.judging.instruction is not None:
            return [self.judging.instruction] * self.num_envs
        vector: Any = self.env.unwrapped
        try:
            told: Sequence[Any] = vector.get_attr("task_description")
        except AttributeError:
            return [None] * self.num_envs
        return told

    def _told(self) -> dict[str, Any]:
        told = [told_of(episode) for episode in self._episodes]
        return {name: np.array([one[name] for one in told]) for name in told[0]}


def _final(infos: dict[str, Any], row: int) -> Any:
    """Return the observation with which an episode ended, which is not the one that is returned.

    Raises:
        InputError: If the vector does not tell it.
    """
    told = infos.get("final_obs")
    if told is None or told[row] is None:
        raise InputError(
            f"environment {row} ended and began anew in one step, and infos hold no final_obs: "
            "what it ended with cannot be judged; use another autoreset mode"
        )
    return told[row]


def _row(observations: Any, row: int) -> Any:
    """Return the observation of one environment."""
    if isinstance(observations, dict):
        return {name: _row(value, row) for name, value in observations.items()}
    return observations[row]
