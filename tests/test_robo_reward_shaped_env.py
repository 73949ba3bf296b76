"""Shaped environments: what is paid, in every autoreset mode, and what is refused."""

from dataclasses import replace
from itertools import pairwise
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from gymnasium.wrappers import Autoreset
from gymnasium.wrappers.vector import RecordEpisodeStatistics

from robo_reward.errors import InputError
from robo_reward.protocols import Verdict, Views
from robo_reward.shaped_env import Judging, ShapedReward
from robo_reward.shaped_vector import ShapedRewardVector
from robo_reward.testing import FakeProgressModel

GAMMA, FPS, GOAL, HORIZON = 0.9, 10, 5, 8


class Corridor(gym.Env[Any, Any]):
    """Action 1 leads one step nearer to place 5, 0 one back; the picture is as bright as near."""

    metadata = {"render_fps": FPS}  # noqa: RUF012 (Gymnasium's)
    action_space = gym.spaces.Discrete(2)
    observation_space = gym.spaces.Dict(
        {"pixels": gym.spaces.Dict({"front": gym.spaces.Box(0, 255, (2, 2, 3), np.uint8)})}
    )
    task_description = "walk to the end"

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.place, self.steps = 1, 0
        return self._seen(), {}

    def step(self, action: int) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.place = max(self.place + (1 if action else -1), 0)
        self.steps += 1
        done = self.place == GOAL
        return self._seen(), float(done), done, self.steps == HORIZON and not done, {}

    def _seen(self) -> Any:
        return {"pixels": {"front": np.full((2, 2, 3), self.place * 51, np.uint8)}}


class Certain(FakeProgressModel):
    """Says what it sees, without the lag of fusion; blind and doubtful where it is told to be."""

    def score(self, session: Any, views: Views, time: float) -> Verdict:
        verdict = super().score(session, views, time)
        return replace(verdict, progress=float(views["front"].mean()) / 255.0)


JUDGING = Judging(model=Certain(), gamma=GAMMA)


def walk(env: gym.Env[Any, Any], actions: list[int]) -> list[dict[str, Any]]:
    """Return what each step told, its reward among it."""
    env.reset(seed=0)
    told = []
    for action in actions:
        _, reward, terminated, truncated, info = env.step(action)
        told.append(info | {"reward": reward, "ends": (terminated, truncated)})
    return told


def test_what_is_paid_by_hand() -> None:
    told = walk(ShapedReward(Corridor(), JUDGING), [1, 0, 1, 1, 1, 1])
    phi = [0.2, 0.4, 0.2, 0.4, 0.6, 0.8]
    paid = [GAMMA * after - before for before, after in pairwise(phi)]
    assert [step["shaping"] for step in told] == pytest.approx([*paid, -0.8]), "nothing at the end"
    assert [step["task_reward"] for step in told] == [0, 0, 0, 0, 0, 1]
    assert told[-1]["reward"] == pytest.approx(0.2)
    assert [step["potential"] for step in told] == pytest.approx([*phi[1:], 1.0])


@pytest.mark.parametrize("bootstraps", [True, False])
def test_a_truncation_keeps_the_potential_where_the_learner_goes_on(bootstraps: bool) -> None:
    env = ShapedReward(Corridor(), replace(JUDGING, bootstraps=bootstraps))
    told = walk(env, [1, 1, 0, 1, 0, 1, 0, 1])
    assert told[-1]["ends"] == (False, True)
    assert told[-1]["shaping"] == pytest.approx((GAMMA * 0.6 if bootstraps else 0.0) - 0.4)
    total = sum(GAMMA**i * step["shaping"] for i, step in enumerate(told))
    assert total == pytest.approx((GAMMA**8 * 0.6 if bootstraps else 0.0) - 0.2)


class Doubtful(Certain):
    """Blind at place 3, and doubtful at place 2."""

    def score(self, session: Any, views: Views, time: float) -> Verdict:
        verdict = super().score(session, views, time)
        place = round(verdict.progress * GOAL)
        if place == 3:
            return replace(verdict, progress=float("nan"))
        return replace(verdict, valid=place != 2)


def test_the_last_potential_that_counts_is_held_and_the_rest_counted() -> None:
    told = walk(ShapedReward(Corridor(), replace(JUDGING, model=Doubtful())), [1, 1, 1])
    assert [step["potential"] for step in told] == pytest.approx([0.2, 0.2, 0.8])
    assert [step["shaping"] for step in told] == pytest.approx([-0.02, -0.02, GAMMA * 0.8 - 0.2])
    assert (told[-1]["missing"], told[-1]["invalid"]) == (1, 1)


def vector(mode: AutoresetMode, count: int = 2, **changes: Any) -> ShapedRewardVector:
    env = SyncVectorEnv([Corridor] * count, autoreset_mode=mode)
    return ShapedRewardVector(env, replace(JUDGING, **changes))


PLAN = [[1, 1], [1, 0], [1, 1], [1, 0], [0, 1], [1, 1], [1, 0], [1, 1], [1, 1], [1, 1]]
"""Row 0 succeeds in the fourth step, row 1 is truncated in the eighth."""


def alone(row: int, steps: int) -> list[float]:
    """Return the rewards of one row's first episode, played by itself."""
    return [
        step["reward"]
        for step in walk(ShapedReward(Corridor(), JUDGING), [p[row] for p in PLAN[:steps]])
    ]


@pytest.mark.parametrize("mode", [AutoresetMode.SAME_STEP, AutoresetMode.NEXT_STEP])
def test_a_vector_pays_what_its_environments_pay_alone(mode: AutoresetMode) -> None:
    env = vector(mode)
    env.reset(seed=0)
    played = [env.step(np.array(actions)) for actions in PLAN]
    rewards = np.array([step[1] for step in played])
    assert rewards[:4, 0] == pytest.approx(alone(0, 4))
    assert rewards[:8, 1] == pytest.approx(alone(1, 8))
    if mode is AutoresetMode.NEXT_STEP:
        assert rewards[4, 0] == 0.0, "this step only resets"
        assert rewards[8, 1] == 0.0
    after = 5 if mode is AutoresetMode.NEXT_STEP else 4
    first = 1 if PLAN[after][0] else -1
    told = played[after][4]
    assert rewards[after, 0] == pytest.approx(GAMMA * (0.2 + 0.2 * first) - 0.2)
    assert told["shaping"][0] + told["task_reward"][0] == pytest.approx(rewards[after, 0])


def test_without_autoreset_the_rows_of_the_mask_begin_anew() -> None:
    env = vector(AutoresetMode.DISABLED)
    env.reset(seed=0)
    for actions in PLAN[:4]:
        _, rewards, terminated, _, _ = env.step(np.array(actions))
    assert terminated.tolist() == [True, False]
    _, told = env.reset(options={"reset_mask": np.array([True, False])})
    assert told["potential"] == pytest.approx([0.2, told["potential"][1]])
    _, rewards, _, _, _ = env.step(np.array([1, 1]))
    assert rewards[0] == pytest.approx(GAMMA * 0.4 - 0.2)
    assert rewards[1] == pytest.approx(GAMMA * 0.4 - 0.2)


def test_what_is_wrapped_already_cannot_be_shaped_again() -> None:
    once = ShapedReward(Corridor(), JUDGING)
    with pytest.raises(InputError, match="shaped already"):
        ShapedReward(once, JUDGING)
    with pytest.raises(InputError, match="shaped already"):
        ShapedRewardVector(vector(AutoresetMode.SAME_STEP), JUDGING)
    inside = SyncVectorEnv([lambda: ShapedReward(Corridor(), JUDGING)] * 2)
    with pytest.raises(InputError, match="shaped already"):
        ShapedRewardVector(inside, JUDGING)


def test_what_cannot_be_judged_is_refused() -> None:
    class Blind(Corridor):
        def _seen(self) -> Any:
            return {"agent_pos": np.zeros(2)}

    class Mute(Corridor):
        task_description = None  # type: ignore[assignment]

    class Timeless(Corridor):
        metadata = {}  # noqa: RUF012

    with pytest.raises(InputError, match="no dictionary 'pixels' of views"):
        ShapedReward(Blind(), JUDGING).reset()
    with pytest.raises(InputError, match="no instruction is known"):
        ShapedReward(Mute(), JUDGING).reset()
    ShapedReward(Mute(), replace(JUDGING, instruction="walk")).reset()
    with pytest.raises(InputError, match="no render_fps"):
        ShapedReward(Timeless(), JUDGING)
    with pytest.raises(InputError, match="call reset first"):
        ShapedReward(Corridor(), JUDGING).step(1)
    with pytest.raises(InputError, match="call reset first"):
        vector(AutoresetMode.SAME_STEP).step(np.array([1, 1]))
    with pytest.raises(InputError, match="gamma must be in"):
        replace(JUDGING, gamma=1.5)


def test_after_an_end_there_is_no_episode_until_the_next_reset() -> None:
    env = ShapedReward(Autoreset(Corridor()), JUDGING)
    walk(env, [1, 1, 1, 1])
    with pytest.raises(InputError, match="call reset first"):
        env.step(1)


class Forgets(SyncVectorEnv):
    """Begins anew in the same step, and does not tell with what it ended."""

    def step(self, actions: Any) -> Any:
        *played, infos = super().step(actions)
        infos.pop("final_obs", None)
        return *played, infos


def test_a_vector_that_hides_its_final_observations_is_refused() -> None:
    env = ShapedRewardVector(
        Forgets([Corridor] * 2, autoreset_mode=AutoresetMode.SAME_STEP), JUDGING
    )
    env.reset(seed=0)
    for actions in PLAN[:3]:
        env.step(np.array(actions))
    with pytest.raises(InputError, match="environment 0 ended and began anew in one step"):
        env.step(np.array(PLAN[3]))


class Loses(SyncVectorEnv):
    """Loses row 1 in its second step, as `sim.vector` does: another episode is there at once."""

    def step(self, actions: Any) -> Any:
        observations, rewards, terminated, truncated, infos = super().step(actions)
        self.count = getattr(self, "count", 0) + 1
        if self.count == 2:
            self.envs[1].reset()
            observations["pixels"]["front"][1] = 51
            truncated[1], infos["lost"] = True, np.array([False, True])
            self._autoreset_envs[1] = False
        else:
            infos.pop("lost", None)
        return observations, rewards, terminated, truncated, infos


def test_a_lost_episode_ends_with_the_potential_it_had_and_the_next_begins_at_once() -> None:
    env = ShapedRewardVector(Loses([Corridor] * 2, autoreset_mode=AutoresetMode.NEXT_STEP), JUDGING)
    env.reset(seed=0)
    played = [env.step(np.array([0, 1])) for _ in range(3)]
    paid = [step[4]["shaping"][1] for step in played]
    assert paid[1] == pytest.approx(GAMMA * 0.4 - 0.4), "held, not that of the new episode"
    assert paid[2] == pytest.approx(GAMMA * 0.4 - 0.2), "a real step of the new one"


def test_instructions_are_found_behind_other_wrappers() -> None:
    inside = RecordEpisodeStatistics(SyncVectorEnv([Corridor] * 2))
    env = ShapedRewardVector(inside, JUDGING)
    _, told = env.reset(seed=0)
    assert told["potential"] == pytest.approx([0.2, 0.2])

    class Mute(Corridor):
        @property
        def task_description(self) -> str:  # type: ignore[override]
            raise AttributeError("none")

    with pytest.raises(InputError, match="no instruction is known"):
        ShapedRewardVector(SyncVectorEnv([Mute] * 2), JUDGING).reset()
