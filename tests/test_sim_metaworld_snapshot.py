"""Snapshots of Meta-World: what follows a restored one is what followed it."""

import pickle
from typing import Any

import numpy as np
import pytest

from robo_reward.errors import InputError
from sim.seeding import generators

pytest.importorskip("metaworld", reason="Meta-World is an extra: robo-reward[metaworld]")

from sim.metaworld import TASKS, make_env
from sim.metaworld.env import MetaWorldEnv
from sim.metaworld.experts import Expert

type Step = tuple[dict[str, Any], float, dict[str, Any], np.ndarray]
STILL = np.zeros(4, np.float32)


def blind(task: str) -> MetaWorldEnv:
    return make_env(task, pixels=False)


def played(env: MetaWorldEnv, seed: int, steps: int) -> list[np.ndarray]:
    """The first actions of an expert's episode, played."""
    env.reset(seed=seed)
    streams = generators(seed)
    expert = Expert(env, "noise", rng=streams["expert"], noise_rng=streams["noise"])
    actions = []
    for action, _ in zip(expert.actions(), range(steps), strict=False):
        env.step(action)
        actions.append(action)
    return actions


def follow(env: MetaWorldEnv, actions: list[np.ndarray]) -> list[Step]:
    told = []
    for action in actions:
        observation, reward, _, _, info = env.step(action)
        told.append((observation, reward, info, env.sensed))
    return told


def same(one: list[Step], other: list[Step]) -> bool:
    for (seen, reward, info, sensed), (seen_2, reward_2, info_2, sensed_2) in zip(
        one, other, strict=True
    ):
        np.testing.assert_equal(seen, seen_2)
        np.testing.assert_equal(info, info_2)
        assert reward == reward_2
        assert np.array_equal(sensed, sensed_2)
    return True


def check_goes_on(task: str, *, before: int, after: int) -> None:
    env, other = blind(task), blind(task)
    actions = played(env, 3, before + after)
    env.reset(seed=3)
    follow(env, actions[:before])
    taken = env.snapshot()
    kept = pickle.dumps(taken)
    wanted = follow(env, actions[before:])
    rewards = env.stock.evaluate_state(env.sensed, actions[-1])
    assert pickle.dumps(taken) == kept, "what was taken does not change as the episode goes on"
    _, info = other.restore(pickle.loads(kept))
    assert info["goal"] == task
    assert same(follow(other, actions[before:]), wanted), "in an environment that is new"
    env.reset(seed=8)
    follow(env, [STILL] * 3)
    env.restore(taken)
    assert same(follow(env, actions[before:]), wanted), "in one that was playing something else"
    np.testing.assert_equal(env.stock.evaluate_state(env.sensed, actions[-1]), rewards)


@pytest.mark.parametrize("task", ["pick-place", "door-open", "sweep"])
def test_a_snapshot_restored_elsewhere_goes_on_in_the_same_way(task: str) -> None:
    check_goes_on(task, before=40, after=60)


@pytest.mark.slow
@pytest.mark.parametrize("task", TASKS)
def test_so_it_does_in_every_task(task: str) -> None:
    check_goes_on(task, before=40, after=60)


def test_a_success_is_remembered() -> None:
    env = blind("reach")
    env.reset(seed=0)
    env._judge._succeeded = True
    env.step(STILL)
    taken = env.snapshot()
    assert blind("reach").restore(taken)[1]["is_success"]


def test_a_snapshot_of_another_task_is_refused() -> None:
    env = blind("push")
    env.reset(seed=0)
    with pytest.raises(InputError, match="is of push and this environment plays reach"):
        blind("reach").restore(env.snapshot())


def test_before_a_reset_there_is_nothing_to_step_or_to_keep() -> None:
    env = blind("reach")
    for call in (lambda: env.step(STILL), env.snapshot):
        with pytest.raises(InputError, match=r"no episode of reach has begun; call reset\(\)"):
            call()
