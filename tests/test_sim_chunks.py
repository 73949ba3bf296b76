"""Environments that carry out chunks: as many steps, one message, lost processes."""

import os
import signal
from functools import partial
from typing import Any

import numpy as np
import pytest

from robo_reward.errors import InputError
from sim import crew
from sim.chunks import ChunkedEnv
from sim.env import TabletopEnv

BLIND = partial(TabletopEnv, "press_button", pixels=False)


class FragileEnv(TabletopEnv):
    """Dies when the first value of an action says so."""

    def step(self, action: Any) -> Any:
        if action[0] > 0.95:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().step(action)


def chunk(steps: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-0.9, 0.9, (steps, 5)).astype(np.float32)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_chunk_is_so_many_steps(workers: int) -> None:
    env = ChunkedEnv(BLIND, 3, workers=workers)
    alone = BLIND()
    try:
        shown, infos = env.begin({2: 7, 0: 5})
        expected, info = alone.reset(seed=7)
        assert np.array_equal(shown["agent_pos"][2], expected["agent_pos"])
        assert sorted(infos) == [0, 2]
        assert infos[2]["instruction"] == alone.task_description
        assert infos[2]["progress"] == info["progress"]
        shown, told = env.advance({2: chunk(6)})
        for action in chunk(6):
            expected, reward, terminated, truncated, info = alone.step(action)
        assert list(told) == [2]
        assert told[2].rewards == [0.0] * 6
        assert (told[2].terminated, told[2].truncated) == (terminated, truncated)
        assert told[2].info["progress"] == info["progress"]
        assert np.array_equal(shown["agent_pos"][2], expected["agent_pos"])
        assert reward == 0.0
    finally:
        env.close()


def test_a_chunk_stops_where_the_episode_does_and_others_wait() -> None:
    env = ChunkedEnv(BLIND, 2, workers=0, max_steps=5)
    try:
        env.begin({0: 1, 1: 2})
        before = env.advance({0: chunk(4)})[0]["agent_pos"][1].copy()
        shown, told = env.advance({0: chunk(4)})
        assert told[0].truncated
        assert len(told[0].rewards) == 1
        assert np.array_equal(shown["agent_pos"][1], before)
        with pytest.raises(InputError, match="reset it"):
            env.advance({0: chunk(1)})
        env.begin({0: 3})
        assert not env.advance({0: chunk(1)})[1][0].truncated
    finally:
        env.close()


def test_a_lost_process_is_a_truncation_that_says_why() -> None:
    env = ChunkedEnv(partial(FragileEnv, "press_button", pixels=False), 2, workers=2)
    try:
        env.begin({0: 1, 1: 2})
        deadly = chunk(3)
        deadly[1, 0] = 1.0
        _, told = env.advance({0: deadly, 1: chunk(3)})
        assert told[0].info["lost"]
        assert "died" in told[0].info["worker_error"]
        assert (told[0].rewards, told[0].truncated, told[0].terminated) == ([], True, False)
        assert len(told[1].rewards) == 3
        assert env.lost_episodes == 1
        env.begin({0: 1})
        assert len(env.advance({0: chunk(3)})[1][0].rewards) == 3
    finally:
        env.close()


def test_a_process_that_dies_while_it_waits_takes_the_episodes_that_go_on() -> None:
    env = ChunkedEnv(BLIND, 2, workers=1)
    try:
        env.begin({0: 1, 1: 2})
        env.advance({0: chunk(3)})
        os.kill(env.pids()[0], signal.SIGKILL)
        env.begin({1: 3})  # in a new process, where environment 0 has no episode
        _, told = env.advance({0: chunk(3), 1: chunk(3)})
        assert "environments 0 to 1 died" in told[0].info["worker_error"]
        assert (told[0].rewards, told[0].truncated) == ([], True)
        assert len(told[1].rewards) == 3
        assert env.lost_episodes == 1
        assert len(env.losses) == 1
        env.begin({0: 1})
        assert len(env.advance({0: chunk(3)})[1][0].rewards) == 3
    finally:
        env.close()


def test_a_stopped_process_does_not_hold_up_who_sends_it_much(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(crew, "TALK_S", 0.5)
    env = ChunkedEnv(BLIND, 1, workers=1, deadline=1.0)
    try:
        env.begin({0: 1})
        os.kill(env.pids()[0], signal.SIGSTOP)
        _, told = env.advance({0: chunk(200_000)})  # 4 MB: more than a pipe holds
        assert "environments 0 to 0 gave no answer within 1 s" in told[0].info["worker_error"]
    finally:
        env.close()


def test_empty_chunks_are_refused() -> None:
    env = ChunkedEnv(BLIND, 1, workers=0)
    try:
        env.begin({0: 1})
        with pytest.raises(InputError, match="k at least 1"):
            env.advance({0: np.zeros((0, 5))})
    finally:
        env.close()


def test_the_halves_of_an_advance_are_the_whole() -> None:
    env = ChunkedEnv(BLIND, 2, workers=1)
    try:
        env.begin({0: 1, 1: 2})
        shown, told = env.advance({0: chunk(4), 1: chunk(4)})
        env.begin({0: 1, 1: 2})
        env.send({0: chunk(4), 1: chunk(4)})
        with pytest.raises(InputError, match=r"environments \[0, 1\] were sent chunks: receive"):
            env.send({0: chunk(4)})
        again, answers = env.receive()
        assert [answers[row][:3] for row in (0, 1)] == [told[row][:3] for row in (0, 1)]
        assert np.array_equal(again["agent_pos"], shown["agent_pos"])
    finally:
        env.close()


def test_a_process_that_dies_before_it_is_heard_loses_its_episodes() -> None:
    env = ChunkedEnv(BLIND, 2, workers=1)
    try:
        env.begin({0: 1, 1: 2})
        os.kill(env.pids()[0], signal.SIGSTOP)
        env.send({0: chunk(4)})
        os.kill(env.pids()[0], signal.SIGKILL)
        _, told = env.receive()
        assert told[0].truncated
        assert "died" in told[0].info["worker_error"]
        env.begin({0: 1, 1: 2})
        assert len(env.advance({0: chunk(3)})[1][0].rewards) == 3
    finally:
        env.close()
