"""The vector environment: Gymnasium's three modes, any spread over processes, lost workers."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from robo_reward.errors import InputError
from sim import IDS, crew
from sim.crew import spread
from sim.env import TabletopEnv
from sim.vector import SimVectorEnv
from sim.workforce import WorkerError

BLIND = partial(TabletopEnv, "press_button", pixels=False)
SEEING = partial(TabletopEnv, "press_button", image_size=16)
MODES = (AutoresetMode.SAME_STEP, AutoresetMode.NEXT_STEP, AutoresetMode.DISABLED)


class FragileEnv(TabletopEnv):
    """Dies or hangs when the first value of an action says so."""

    def step(self, action: Any) -> Any:
        if action[0] > 0.95:
            os.kill(os.getpid(), signal.SIGKILL)
        if action[0] < -0.95:
            time.sleep(600)
        return super().step(action)


@contextmanager
def made(make: Callable[[], gym.Env[Any, Any]], count: int, **how: Any) -> Iterator[SimVectorEnv]:
    env = SimVectorEnv(make, count, **how)
    try:
        yield env
    finally:
        env.close()


def actions(steps: int, count: int) -> np.ndarray:
    return np.random.default_rng(5).uniform(-0.9, 0.9, (steps, count, 5)).astype(np.float32)


def flat(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every array in nested dictionaries, also those in arrays of dictionaries."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from flat(inner, f"{name}/{key}")
    elif isinstance(value, np.ndarray) and value.dtype == object:
        for number, inner in enumerate(value):
            yield from flat(inner, f"{name}/{number}")
    else:
        yield name, value


def same(first: Any, second: Any) -> None:
    one, two = dict(flat(first)), dict(flat(second))
    assert one.keys() == two.keys()
    for name, value in one.items():
        assert np.array_equal(value, two[name]), name


def play(env: Any, mode: AutoresetMode, steps: int = 25) -> list[Any]:
    """Everything that comes out of some steps with episodes of 10."""
    told: list[Any] = [env.reset(seed=3)]
    for action in actions(steps, env.num_envs):
        told.append(env.step(action))
        ended = told[-1][2] | told[-1][3]
        if mode is AutoresetMode.DISABLED and ended.any():
            told.append(env.reset(options={"reset_mask": ended}))
    return told


@pytest.mark.parametrize("mode", MODES)
def test_it_does_what_gymnasiums_own_does(mode: AutoresetMode) -> None:
    def limited() -> gym.Env[Any, Any]:
        return gym.wrappers.TimeLimit(SEEING(), 10)

    theirs = SyncVectorEnv([limited] * 3, autoreset_mode=mode)
    expected = play(theirs, mode)
    theirs.close()
    with made(SEEING, 3, workers=0, autoreset_mode=mode, max_steps=10) as env:
        assert env.metadata["autoreset_mode"] is mode
        assert env.observation_space == theirs.observation_space
        for ours, other in zip(play(env, mode), expected, strict=True):
            for one, two in zip(ours, other, strict=True):
                same(one, two)


def test_episodes_do_not_depend_on_processes_and_environments_in_each() -> None:
    told = []
    for workers in (0, 1, 2, 3):
        crowded = workers > len(os.sched_getaffinity(0))
        with pytest.warns(UserWarning, match="more than") if crowded else nullcontext():
            how = {"workers": workers, "max_steps": 8}
            with made(SEEING, 3, **how) as env:
                told.append(play(env, AutoresetMode.SAME_STEP, steps=12))
    for other in told[1:]:
        for one, two in zip(told[0], other, strict=True):
            for a, b in zip(one, two, strict=True):
                same(a, b)


def test_what_is_returned_is_not_overwritten_by_the_next_step() -> None:
    with made(BLIND, 2, workers=0) as env:
        first, _ = env.reset(seed=0)
        kept = first["agent_pos"].copy()
        env.step(actions(1, 2)[0])
        assert np.array_equal(first["agent_pos"], kept)


@pytest.mark.parametrize(("value", "reason"), [(1.0, "died"), (-1.0, "gave no answer within 3 s")])
def test_a_lost_worker_costs_its_episodes_and_is_named(value: float, reason: str) -> None:
    make = partial(FragileEnv, "press_button", pixels=False)
    with made(make, 4, workers=2, deadline=3.0) as env:
        before, _ = env.reset(seed=0)
        wanted = actions(1, 4)[0]
        wanted[3, 0] = value
        observation, reward, terminated, truncated, infos = env.step(wanted)
        assert truncated.tolist() == [False, False, True, True]
        assert not terminated.any()
        assert not reward.any()
        assert infos["lost"].tolist() == [False, False, True, True]
        assert reason in infos["worker_error"][3]
        assert "environments 2 to 3" in infos["worker_error"][3]
        assert np.array_equal(infos["final_obs"][2]["agent_pos"], before["agent_pos"][2])
        assert not np.array_equal(observation["agent_pos"][2], before["agent_pos"][2])
        assert env.lost_episodes == 2
        _, _, _, truncated, infos = env.step(actions(1, 4)[0])
        assert not truncated.any()
        assert "lost" not in infos


class LongAnswerEnv(TabletopEnv):
    """Has more to tell than a pipe holds."""

    def memories(self) -> bytes:
        return bytes(5_000_000)


def test_a_process_that_stops_in_the_middle_of_its_answer_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(crew, "TALK_S", 0.5)
    with made(partial(LongAnswerEnv, "press_button", pixels=False), 1, workers=1) as env:
        assert len(env.call("memories")[0]) == 5_000_000
        worker = env._workers[0]
        worker.ask("call", "memories")
        time.sleep(1.0)  # it writes, and nobody reads
        os.kill(worker.pid, signal.SIGSTOP)
        told = worker.answer(60.0)
        assert isinstance(told, crew.Lost)
        assert "stopped for 0 s in the middle of an answer" in told.reason
        assert len(env.call("memories")[0]) == 5_000_000


def test_a_worker_lost_in_the_reset_of_some_truncates_the_others_too() -> None:
    with made(BLIND, 2, workers=1, autoreset_mode=AutoresetMode.DISABLED) as env:
        env.reset(seed=0)
        os.kill(env.pids()[0], signal.SIGKILL)
        env.reset(seed=5, options={"reset_mask": np.array([False, True])})
        _, _, _, truncated, infos = env.step(actions(1, 2)[0])
        assert truncated.all()
        assert "died" in infos["worker_error"][0]
        assert not env.step(actions(1, 2)[0])[3].any()


def test_a_worker_that_cannot_start_is_an_error_in_the_end() -> None:
    with (
        made(partial(_only_here, os.getpid()), 1, workers=1, deadline=60.0) as env,
        pytest.raises(WorkerError, match=r"environments 0 to 0 died .*3 times in a row"),
    ):
        env.reset(seed=0)


def _only_here(pid: int) -> TabletopEnv:
    if os.getpid() != pid:
        os.kill(os.getpid(), signal.SIGKILL)
    return BLIND()


@pytest.mark.parametrize("workers", [0, 2])
def test_a_group_starts_from_one_snapshot(workers: int) -> None:
    with made(BLIND, 4, workers=workers) as env:
        env.reset(seed=0)
        for action in actions(5, 4):
            env.step(action)
        taken = env.call("snapshot")[1]
        observation, infos = env.restore(dict.fromkeys((0, 2, 3), taken))
        states = observation["agent_pos"]
        assert all(np.array_equal(states[row], states[1]) for row in (0, 2, 3))
        action = np.broadcast_to(actions(1, 1)[0], (4, 5))
        states = env.step(action)[0]["agent_pos"]
        assert all(np.array_equal(states[row], states[1]) for row in (0, 2, 3))
        assert set(infos["goal"][[0, 2, 3]]) == {env.call("goal")[1]}


def test_the_last_image_of_an_episode_that_is_cut_off_is_drawn() -> None:
    with made(partial(SEEING, render_every=50), 1, workers=0, max_steps=3) as env:
        env.reset(seed=0)
        for action in actions(3, 1):
            *_, infos = env.step(action)
        assert infos["final_info"]["pixels_age"].tolist() == [0]


def test_images_can_be_drawn_on_demand_between_the_rare_ones() -> None:
    with made(partial(SEEING, render_every=5), 2, workers=0) as env:
        first, _ = env.reset(seed=0)
        stale, *_, infos = env.step(np.full((2, 5), 0.8, np.float32))
        assert infos["pixels_age"].tolist() == [1, 1]
        assert np.array_equal(stale["pixels"]["front"], first["pixels"]["front"])
        drawn = env.draw()
        assert not np.array_equal(drawn["pixels"]["front"], first["pixels"]["front"])


def test_gymnasium_makes_it_by_id() -> None:
    env = gym.make_vec(IDS["stack_two"], num_envs=2, pixels=False, workers=0)
    assert isinstance(env, SimVectorEnv)
    assert env.call("task") == ("stack_two", "stack_two")
    assert env.get_attr("_max_episode_steps") == (200, 200)
    env.close()


def test_a_nan_action_truncates_only_its_own_episode() -> None:
    with made(BLIND, 2, workers=0, autoreset_mode=AutoresetMode.DISABLED) as env:
        env.reset(seed=0)
        wanted = actions(1, 2)[0]
        wanted[1, 2] = np.nan
        _, _, _, truncated, infos = env.step(wanted)
        assert truncated.tolist() == [False, True]
        assert infos["rejected"][1].startswith("at step 0 dz is nan")
        with pytest.raises(InputError, match=r"environment 1 .*reset_mask"):
            env.step(actions(1, 2)[0])


@pytest.mark.parametrize(
    ("how", "message"),
    [({"num_envs": 0}, "num_envs is 0"), ({"num_envs": 2, "workers": -1}, "workers is -1")],
)
def test_impossible_numbers_are_refused(how: dict[str, int], message: str) -> None:
    with pytest.raises(InputError, match=message):
        SimVectorEnv(BLIND, **how)


def test_wrong_seeds_masks_and_actions_are_refused() -> None:
    with made(BLIND, 2, workers=0) as env:
        with pytest.raises(InputError, match="3 seeds for 2 environments"):
            env.reset(seed=[1, 2, 3])
        with pytest.raises(InputError, match=r"reset_mask is int64 .*must be bool"):
            env.reset(options={"reset_mask": np.array([0, 1])})
        env.reset(seed=0)
        with pytest.raises(InputError, match="3 actions for 2 environments"):
            env.step(actions(1, 3)[0])


def test_environments_are_spread_evenly() -> None:
    assert spread(7, 3) == [(0, 2), (2, 5), (5, 7)]
    assert spread(2, 3) == [(0, 1), (1, 2)]
    assert spread(4, 1) == [(0, 4)]
