"""The scripted behaviours: each does what it says, and they cannot be told by their ends."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from robo_reward.errors import InputError
from sim.env import TabletopEnv
from sim.experts import BEHAVIOURS, IDLE, Expert
from sim.seeding import generators
from sim.tasks.pick_to_bin import BIN, COLOURS


@pytest.fixture(scope="module")
def blind() -> Iterator[TabletopEnv]:
    """Without images, going on past success."""
    env = TabletopEnv(pixels=False, terminate_on_success=False)
    yield env
    env.close()


@dataclass
class Played:
    """What happened in one episode, a value per observation."""

    cube: str
    goal: str
    progress: list[float] = field(default_factory=list)
    goals: list[np.ndarray] = field(default_factory=list)
    stages: list[int] = field(default_factory=list)
    rewards: list[float] = field(default_factory=list)
    actions: list[np.ndarray] = field(default_factory=list)
    states: list[np.ndarray] = field(default_factory=list)
    success: list[bool] = field(default_factory=list)
    info: dict[str, Any] = field(default_factory=dict)


def play(env: TabletopEnv, behaviour: str, seed: int) -> Played:
    observation, info = env.reset(seed=seed)
    streams = generators(seed)
    expert = Expert(env, behaviour, rng=streams["expert"], noise_rng=streams["noise"])
    played = Played(cube=expert.goal, goal=env.goal)

    def note(observation: dict[str, Any], info: dict[str, Any]) -> None:
        played.states.append(observation["agent_pos"])
        played.progress.append(info["progress"])
        played.goals.append(info["goals"])
        played.stages.append(info["stage"])
        played.success.append(info["is_success"])
        played.info = info

    note(observation, info)
    for action in expert.actions():
        observation, reward, _, _, info = env.step(action)
        played.actions.append(action)
        played.rewards.append(reward)
        note(observation, info)
    return played


def test_the_expert_succeeds_in_10_of_10_seeds_in_about_100_steps(blind: TabletopEnv) -> None:
    lengths = []
    for seed in range(10):
        played = play(blind, "expert", seed)
        first = played.success.index(True)
        lengths.append(len(played.actions))
        assert all(played.success[first:])
        assert played.progress[first:] == [1.0] * len(played.progress[first:])
        assert len(played.success) - first > 10
        assert sum(played.rewards) == played.rewards[first - 1] == 1.0
        assert played.info["failure_mode"] == "none"
        assert played.info["onset"] == -1
        assert set(played.stages) == {0, 1, 2, 3, 4, 5}
        assert np.diff(played.progress).max() < 0.12
    assert 80 <= np.mean(lengths) <= 120


def test_the_wrong_object_is_done_in_full_while_the_named_one_stays_below_15_percent(
    blind: TabletopEnv,
) -> None:
    for seed in range(8):
        played = play(blind, "wrong_object", seed)
        assert played.cube != played.goal
        assert max(played.progress) < 0.15
        assert played.goals[-1][list(COLOURS).index(played.cube)] == 1.0
        assert played.info["failure_mode"] == "wrong_object"
        assert 0 < played.info["onset"] < len(played.actions)


def test_an_early_release_drops_the_cube_and_the_arm_goes_on_to_the_bin(
    blind: TabletopEnv,
) -> None:
    for seed in range(8):
        played = play(blind, "early_release", seed)
        assert not any(played.success)
        assert max(played.progress) > 0.3
        assert played.progress[-1] < 0.15
        assert played.info["failure_mode"] == "dropped"
        onset = played.info["onset"]
        assert max(played.stages[onset:]) <= 1
        tools = np.array(played.states)[onset:, 8:10]
        assert np.linalg.norm(tools - BIN, axis=1).min() < 0.05


def test_a_miss_never_lifts_the_cube_and_still_visits_the_bin(blind: TabletopEnv) -> None:
    for seed in range(8):
        played = play(blind, "miss", seed)
        assert max(played.progress) < 0.25
        assert played.info["failure_mode"] == "missed_grasp"
        tools = np.array(played.states)[:, 8:10]
        assert np.linalg.norm(tools - BIN, axis=1).min() < 0.05


def test_a_pause_holds_the_arm_for_15_steps_or_more_and_then_succeeds(
    blind: TabletopEnv,
) -> None:
    for seed in range(5):
        played = play(blind, "pause", seed)
        still = [np.array_equal(action[:4], np.zeros(4)) for action in played.actions[:-IDLE]]
        runs = "".join("x" if flag else " " for flag in still).split()
        assert max(map(len, runs)) >= 15
        assert played.success[-1]


def test_noise_fails_and_succeeds_and_leaves_the_plan_alone(blind: TabletopEnv) -> None:
    ends = [play(blind, "noise", seed).success[-1] for seed in range(16)]
    assert 3 <= sum(ends) <= 14


@pytest.mark.parametrize("behaviour", [name for name in BEHAVIOURS if name != "stop"])
def test_every_behaviour_ends_high_above_the_table_with_the_hand_open(
    blind: TabletopEnv, behaviour: str
) -> None:
    ends = []
    for seed in range(4):
        last = play(blind, behaviour, seed).states[-1]
        ends.append(last[8:11])
        assert last[10] > 0.2
        assert last[7] > 0.075
    assert np.ptp(ends, axis=0).max() > 0.05


def test_stored_actions_reproduce_the_stored_states(blind: TabletopEnv) -> None:
    played = play(blind, "noise", 21)
    observation, _ = blind.reset(seed=21)
    assert np.array_equal(observation["agent_pos"], played.states[0])
    for action, state in zip(played.actions, played.states[1:], strict=True):
        assert np.array_equal(blind.step(action)[0]["agent_pos"], state)


def test_an_unknown_behaviour_is_refused_with_a_list_of_those_there_are(
    blind: TabletopEnv,
) -> None:
    blind.reset(seed=0)
    rng = np.random.default_rng(0)
    with pytest.raises(InputError, match=r"'dance'.*expert, noise, early_release"):
        Expert(blind, "dance", rng=rng, noise_rng=rng)


@pytest.mark.slow
def test_100_seeds_of_every_behaviour_keep_its_promise(blind: TabletopEnv) -> None:
    rate = {
        name: float(np.mean([play(blind, name, seed).success[-1] for seed in range(100)]))
        for name in BEHAVIOURS
    }
    assert rate["expert"] >= 0.95
    assert rate["pause"] >= 0.95
    assert rate["wrong_object"] == rate["miss"] == rate["early_release"] == 0.0
    assert 0.2 <= rate["noise"] <= 0.8
