"""Rollouts: what is remembered of them, and that processes do not change them."""

import os
import signal
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from policy_fixtures import BLIND, SEEING, TASK, FragileEnv, played_in, starts, wave

from policies.playing import Player, ReplayError
from policies.trials import Moment, Start, Trial
from robo_reward.acting import Floats, Situation, Trace
from robo_reward.errors import InputError
from sim.env import TabletopEnv
from sim.workforce import TRIES, WorkerError


class DyingEnv(TabletopEnv):
    """Dies in its third step, so often in all."""

    def __init__(self, tally: Path, times: int, *args: Any, **how: Any) -> None:
        super().__init__(*args, **how)
        self.tally, self.times = tally, times

    def step(self, action: Any) -> Any:
        deaths = len(self.tally.read_text()) if self.tally.exists() else 0
        if self._steps == 2 and deaths < self.times:
            self.tally.write_text("x" * (deaths + 1))
            os.kill(os.getpid(), signal.SIGKILL)
        return super().step(action)


class WaitingEnv(TabletopEnv):
    """Takes no step before there is a file."""

    def __init__(self, gate: Path, *args: Any, **how: Any) -> None:
        super().__init__(*args, **how)
        self.gate = gate

    def step(self, action: Any) -> Any:
        deadline = time.monotonic() + 20.0
        while not self.gate.exists():
            assert time.monotonic() < deadline, "nobody watched while the chunk was carried out"
            time.sleep(0.01)
        return super().step(action)


class WinningEnv(TabletopEnv):
    """Succeeds at the seventh step."""

    def step(self, action: Any) -> Any:
        observation, _, _, truncated, info = super().step(action)
        won = self._steps == 7
        return observation, float(won), won, truncated, info | {"is_success": won}


def same(one: Trial, two: Trial) -> None:
    for name in ("state", "chunks", "reward", "truth"):
        assert np.array_equal(getattr(one, name), getattr(two, name)), name
    assert one.views.keys() == two.views.keys()
    assert all(np.array_equal(one.views[name], two.views[name]) for name in one.views)
    assert np.array_equal(one.decisions.steps, two.decisions.steps)


def test_a_trial_is_what_happened() -> None:
    with played_in() as player:
        (trial,) = player.play(wave, starts(3))
    env = BLIND()
    observation, info = env.reset(seed=3)
    assert trial.instruction == env.task_description
    assert len(trial) == 5
    assert trial.state.shape == (6, len(observation["agent_pos"]))
    for n in range(5):
        assert np.array_equal(trial.state[n], observation["agent_pos"])
        assert trial.truth[n] == info["progress"]
        chunk, trace = wave(
            Situation(views={}, state=trial.state[n : n + 1], instructions=[trial.instruction])
        )
        assert np.array_equal(trial.chunks[n], chunk[0])
        assert np.array_equal(trial.trace["state"][n], trace["state"][0])
        for action in chunk[0]:
            observation, _, _, _, info = env.step(action)
    assert np.array_equal(trial.state[5], observation["agent_pos"])
    assert trial.decisions.steps.tolist() == [4] * 5
    assert trial.decisions.truncated.tolist() == [False] * 4 + [True]
    assert not trial.decisions.terminated.any()
    assert not trial.success
    assert trial.seconds.tolist() == pytest.approx([0.2 * n for n in range(6)])
    assert np.array_equal(trial.situation().state, trial.state[:5])
    assert np.array_equal(trial.final().state, trial.state[5:])


def test_success_ends_an_episode_within_a_chunk_and_is_discounted_there() -> None:
    with played_in(partial(WinningEnv, TASK, pixels=False)) as player:
        (trial,) = player.play(wave, starts(3))
    assert trial.success
    assert trial.decisions.steps.tolist() == [4, 3]
    assert trial.decisions.terminated.tolist() == [False, True]
    assert trial.reward.tolist() == pytest.approx([0.0, 0.9**2])
    assert len(trial.played(2)) == 7


def test_trials_do_not_depend_on_processes() -> None:
    asked = starts(*range(5))
    played = []
    for workers in (0, 1, 2):
        with played_in(SEEING, 3, workers=workers) as player:
            played.append(player.play(wave, asked))
    for other in played[1:]:
        for one, two in zip(played[0], other, strict=True):
            same(one, two)
    assert [trial.start for trial in played[0]] == asked
    assert played[0][0].views["front"].shape == (6, 16, 16, 3)


def test_a_lost_process_loses_its_episode_alone() -> None:
    with played_in(partial(FragileEnv, TASK, pixels=False), 2, workers=2) as player:
        lost, kept = player.play(wave, starts(4, 5))
    assert lost.lost
    assert not lost.success
    assert lost.decisions.truncated.tolist() == [False, True]
    assert np.array_equal(lost.state[2], lost.state[1])
    assert not kept.lost
    assert len(kept) == 5


def test_an_episode_can_go_on_where_another_was() -> None:
    with played_in(SEEING) as player:
        (whole,) = player.play(wave, starts(3))
        (rest,) = player.play(wave, [Start(seed=3, group=0, played=whole.played(2))])
        again = rest.played(3)
    assert np.array_equal(rest.state[0], whole.state[2])
    assert np.array_equal(rest.views["front"][0], whole.views["front"][2])
    assert len(rest) == 3
    assert np.array_equal(again, whole.played(5))


def test_actions_that_lead_elsewhere_are_an_error() -> None:
    with played_in() as player, pytest.raises(ReplayError, match="seed 3 does not lead"):
        player.play(wave, [Start(seed=3, group=0, played=np.zeros((20, 5), np.float32))])


def test_a_process_that_is_lost_on_the_way_to_a_start_is_no_lost_episode(tmp_path: Path) -> None:
    asked = [Start(seed=3, group=0, played=np.full((8, 5), 0.1, np.float32)), *starts(5)]
    with played_in() as player:
        expected = player.play(wave, asked)
    make = partial(DyingEnv, tmp_path / "died", 1, TASK, pixels=False)
    with played_in(make, workers=1) as player:
        found = player.play(wave, asked)
        assert len(player.env.losses) == 1
    same(found[0], expected[0])
    assert not found[0].lost
    assert found[1].lost  # it had begun beside it
    make = partial(DyingEnv, tmp_path / "dies", TRIES, TASK, pixels=False)
    with played_in(make, workers=1) as player, pytest.raises(WorkerError, match="3 times in a row"):
        player.play(wave, asked)


def test_a_bar_hears_of_every_episode() -> None:
    heard = []
    with played_in() as player:
        player.play(wave, starts(1, 2, 3), lambda steps=1, note="": heard.append(steps))
    assert heard == [1, 1, 1]


def test_every_observation_is_watched_once_in_order() -> None:
    passes: list[list[Moment]] = []
    with played_in(SEEING) as player:
        trials = player.play(wave, starts(1, 2, 3), watch=lambda seen: passes.append([*seen]) or ())
    numbers = [[one.number for one in seen] for seen in passes]
    assert numbers == [[0, 1]] * 5 + [[0, 1, 2]] + [[2]] * 5
    for number, trial in enumerate(trials):
        mine = [one for seen in passes for one in seen if one.number == number]
        assert [one.seconds for one in mine] == pytest.approx(trial.seconds.tolist())
        assert [one.truth for one in mine] == trial.truth.tolist()
        for name, images in trial.views.items():
            assert np.array_equal(np.stack([one.views[name] for one in mine]), images)
        assert {one.instruction for one in mine} == {trial.instruction}


def test_it_is_watched_while_another_process_plays(tmp_path: Path) -> None:
    gate = tmp_path / "gate"

    def watch(seen: Any) -> tuple[int, ...]:
        gate.touch()
        return ()

    with played_in(partial(WaitingEnv, gate, TASK, pixels=False), 1, workers=1) as player:
        (trial,) = player.play(wave, starts(3), watch=watch)
    assert len(trial) == 5
    assert not trial.lost


def test_an_episode_that_is_given_up_is_truncated_after_its_chunk() -> None:
    passes: list[list[int]] = []

    def watch(seen: Any) -> set[int]:
        passes.append([one.number for one in seen])
        return {0} if len(passes) in (2, 5) else set()

    with played_in() as player:
        whole = player.play(wave, starts(1, 2, 3))
        given_up, *others = player.play(wave, starts(1, 2, 3), watch=watch)
    assert given_up.given_up
    assert given_up.decisions.truncated.tolist() == [False, True]
    assert not given_up.decisions.terminated.any()
    assert not given_up.success
    assert not given_up.lost
    assert np.array_equal(given_up.state, whole[0].state[:3])
    assert given_up.truth.tolist() == whole[0].truth[:3].tolist()
    for one, two in zip(others, whole[1:], strict=True):
        same(one, two)
        assert not one.given_up
    assert passes[:3] == [[0, 1], [0, 1], [0, 1, 2]]  # the last observation, beside the next start


def test_an_end_is_not_given_up() -> None:
    with played_in(partial(WinningEnv, TASK, pixels=False), 1) as player:
        (won,) = player.play(wave, starts(3), watch=lambda seen: {0} if seen[0].seconds else ())
    assert won.success
    assert not won.given_up
    assert not won.decisions.truncated.any()
    make = partial(FragileEnv, TASK, pixels=False)
    with played_in(make, 1, workers=1) as player:
        (lost,) = player.play(wave, starts(4), watch=lambda seen: {0} if seen[0].seconds else ())
    assert lost.lost
    assert not lost.given_up


def test_chunks_that_are_too_short_are_refused() -> None:
    def short(seen: Situation) -> tuple[Floats, Trace]:
        return np.zeros((len(seen), 2, 5), np.float32), {}

    with played_in() as player:
        with pytest.raises(InputError, match="predicts 2 actions and replan_steps is 4"):
            player.play(short, starts(1))
        with pytest.raises(InputError, match="at least 1"):
            Player(player.env, replan=0, gamma=0.9)
