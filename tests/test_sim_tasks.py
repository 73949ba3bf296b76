"""Every task: its truth at both ends, its experts, its failures, its words."""

from collections.abc import Iterator
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from robo_reward.errors import InputError
from sim import IDS
from sim.env import TabletopEnv
from sim.experts import BEHAVIOURS, Expert, behaviours
from sim.seeding import generators
from sim.tasks import TASKS, make_task
from sim.tasks.swap_cubes import moves_left

SUCCEEDING = ("expert", "pause", "detour", "recovery")


@pytest.fixture(scope="module", params=list(TASKS))
def env(request: pytest.FixtureRequest) -> Iterator[TabletopEnv]:
    """Each task without images, going on past success."""
    env = TabletopEnv(request.param, pixels=False, terminate_on_success=False)
    yield env
    env.close()


def play(env: TabletopEnv, behaviour: str, seed: int) -> tuple[Expert, list[dict[str, Any]]]:
    """Return the expert and the ``info`` of every observation."""
    _, info = env.reset(seed=seed)
    streams = generators(seed)
    expert = Expert(env, behaviour, rng=streams["expert"], noise_rng=streams["noise"])
    return expert, [info, *(env.step(action)[4] for action in expert.actions())]


def test_there_are_ten_tasks_and_each_has_an_id_that_passes_the_checker(env: TabletopEnv) -> None:
    from gymnasium.utils.env_checker import check_env

    assert len(TASKS) >= 10
    check_env(gym.make(IDS[env.task], pixels=False).unwrapped)


def test_the_expert_reaches_every_stage_and_progress_ends_at_1(env: TabletopEnv) -> None:
    for seed in range(3):
        expert, infos = play(env, "expert", seed)
        progress = np.array([info["progress"] for info in infos])
        assert expert.goal == env.goal
        assert progress[0] < 0.08
        assert infos[-1]["is_success"]
        assert progress[-1] == 1.0
        latched = [info["progress_latched"] for info in infos]
        assert latched == np.maximum.accumulate(progress).tolist()
        assert infos[-1]["failure_mode"] == "none"
        seen = {info["stage"] for info in infos}
        assert max(seen) == len(env.rules.stages) - 1
        assert len(seen) >= len(env.rules.stages) - 1
        assert sum(info["is_success"] for info in infos) > 10
        assert len(infos) <= env._max_episode_steps


@pytest.mark.parametrize("behaviour", SUCCEEDING[1:])
def test_disturbed_experts_still_succeed(env: TabletopEnv, behaviour: str) -> None:
    ends = [play(env, behaviour, seed)[1][-1]["is_success"] for seed in range(4)]
    assert sum(ends) >= 3


def test_progress_is_1_exactly_at_success_for_every_goal_and_behaviour(env: TabletopEnv) -> None:
    for number, behaviour in enumerate(behaviours(env.rules)):
        play_through = play(env, behaviour, 50 + number)[1]
        for info in play_through:
            assert info["goals"].min() >= 0.0
            assert info["goals"].max() <= 1.0
            assert (info["progress"] == 1.0) == info["is_success"]
            assert (info["stage"] == len(env.rules.stages) - 1) == info["is_success"]


def test_doing_something_else_is_a_wrong_object_and_reaches_that(env: TabletopEnv) -> None:
    for seed in range(3):
        expert, infos = play(env, "wrong_object", seed)
        assert expert.goal != env.goal
        assert not infos[-1]["is_success"]
        assert infos[-1]["failure_mode"] == "wrong_object"
        assert 0 < infos[-1]["onset"] < len(infos)
        assert infos[-1]["goals"][env.rules.goals.index(expert.goal)] == 1.0


def test_a_miss_fails_and_a_missed_grasp_is_told(env: TabletopEnv) -> None:
    for seed in range(3):
        last = play(env, "miss", seed)[1][-1]
        assert not last["is_success"]
        if env.rules.carries == 1:
            assert last["failure_mode"] == "missed_grasp"


def test_a_stop_stays_at_its_stage_to_the_end(env: TabletopEnv) -> None:
    stages = set()
    for seed in range(8):
        infos = play(env, "stop", seed)[1]
        assert not infos[-1]["is_success"]
        assert infos[-1]["progress"] < 1.0
        stages.add(infos[-1]["stage"])
    assert len(stages) >= 2


def test_an_early_release_is_only_offered_where_something_is_carried(env: TabletopEnv) -> None:
    carried = env.rules.carries > 0
    assert ("early_release" in behaviours(env.rules)) == carried
    if not carried:
        with pytest.raises(InputError, match=f"no behaviour 'early_release' in {env.task}"):
            play(env, "early_release", 0)
        return
    ends = [play(env, "early_release", seed)[1][-1]["is_success"] for seed in range(4)]
    assert sum(ends) <= 2


def test_each_goal_has_five_wordings_that_no_other_goal_has(env: TabletopEnv) -> None:
    rules = make_task(env.task)
    wordings = [rules.wordings(goal) for goal in rules.goals]
    assert len(rules.goals) >= 2
    assert min(map(len, wordings)) >= 5
    assert len({text for texts in wordings for text in texts}) == sum(map(len, wordings))


def test_a_snapshot_keeps_what_a_task_remembers(env: TabletopEnv) -> None:
    env.reset(seed=3)
    streams = generators(3)
    expert = Expert(env, "expert", rng=streams["expert"], noise_rng=streams["noise"])
    rest = []
    for number, action in enumerate(expert.actions()):
        if number == 45:
            taken = env.snapshot()
        info = env.step(action)[4]
        if number >= 45:
            rest.append((action, info["goals"], info["stage"], info["failure_mode"]))
    env.reset(seed=77)
    env.restore(taken)
    for action, goals, stage, mode in rest:
        info = env.step(action)[4]
        assert np.array_equal(info["goals"], goals)
        assert (info["stage"], info["failure_mode"]) == (stage, mode)


def test_lifting_counts_only_once_it_happened() -> None:
    env = TabletopEnv("lift_and_return", pixels=False, terminate_on_success=False)
    _, infos = play(env, "expert", 0)
    assert infos[0]["progress"] < 0.05
    assert infos[-1]["progress"] == 1.0
    held = env.world.position(env.goal)
    assert held[2] == pytest.approx(0.02, abs=2e-3)


@pytest.mark.parametrize(
    ("red", "blue", "left"),
    [
        (0, 2, [("red", 3), ("blue", 0), ("red", 2)]),
        (0, 3, [("red", 2), ("blue", 0)]),
        (3, 2, [("blue", 0), ("red", 2)]),
        (2, 3, [("blue", 0)]),
        (3, 0, [("red", 2)]),
        (2, 0, []),
        (-1, 2, [("red", 3), ("blue", 0), ("red", 2)]),
        (0, -1, [("blue", 3), ("red", 2), ("blue", 0)]),
    ],
)
def test_a_swap_takes_three_moves_less_those_that_are_done(
    red: int, blue: int, left: list[tuple[str, int]]
) -> None:
    assert list(moves_left({"red": red, "blue": blue}, {"red": 0, "blue": 2})) == left


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_experts_of_every_task_succeed_in_95_of_100_seeds(env: TabletopEnv) -> None:
    ends = [play(env, "expert", seed)[1][-1]["is_success"] for seed in range(100)]
    assert sum(ends) >= 95
    assert set(behaviours(env.rules)) <= set(BEHAVIOURS)
