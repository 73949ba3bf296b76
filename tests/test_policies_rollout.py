"""What a rollout may be, and what it says of itself."""

import math
from dataclasses import replace

import numpy as np
import pytest
from rollouts import rollout

from robo_reward.errors import InputError
from robo_reward.shaping import Decisions


def test_what_follows_a_decision_is_what_the_next_one_saw() -> None:
    given = rollout([0.1, 0.4], final=0.7, residual=[1.0, 2.0], final_residual=3.0)
    assert given.following.tolist() == [0.4, 0.7]
    assert given.following_residual.tolist() == [2.0, 3.0]
    assert len(given) == 2


def test_the_return_is_discounted_by_executed_steps() -> None:
    given = rollout([0, 0, 0], reward=[1, 2, 4], steps=[2, 3, 1])
    assert given.task_return(0.5) == pytest.approx(1 + 2 * 0.25 + 4 * 0.5**5)


@pytest.mark.parametrize("name", ["reward", "potential", "residual"])
def test_a_number_that_is_not_finite_is_named_with_its_place(name: str) -> None:
    given = rollout([0.1, 0.2, 0.3], group=7)
    numbers = np.array([0.0, math.nan, 0.0])
    with pytest.raises(InputError, match=f"{name} is nan at decision 1 of a rollout of group 7"):
        replace(given, **{name: numbers})  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["final_potential", "final_residual"])
def test_so_is_one_of_the_final_observation(name: str) -> None:
    with pytest.raises(InputError, match=f"{name} is inf"):
        replace(rollout([0.1]), **{name: math.inf})  # type: ignore[arg-type]


def test_shapes_and_ends_are_checked() -> None:
    given = rollout([0.1, 0.2])
    with pytest.raises(InputError, match=r"reward must be \(2,\) with at least 1"):
        replace(given, reward=np.zeros(3))
    with pytest.raises(InputError, match="at least 1 decision"):
        rollout([])
    for ended in ([True, False], [True, True], [False, False]):
        decisions = Decisions(
            steps=np.ones(2, np.int64), terminated=np.array(ended), truncated=np.zeros(2, np.bool_)
        )
        with pytest.raises(InputError, match="the end of a rollout is at its last decision"):
            replace(given, decisions=decisions)
    with pytest.raises(InputError, match="a lost rollout is truncated"):
        replace(given, lost=True)
