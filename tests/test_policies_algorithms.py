"""The table of algorithms keeps what it says of each."""

from dataclasses import replace

import numpy as np
import pytest
from rollouts import random_rollouts

from policies.algorithms import ALGORITHMS, find_algorithm
from policies.credit import Rules
from policies.rollout import Rollout
from robo_reward.errors import InputError

RULES = Rules(gamma=0.9, lam=0.8)
COUNT = sum(len(one) for one in random_rollouts(0))


@pytest.mark.parametrize("name", ALGORITHMS)
def test_each_gives_a_number_for_every_decision(name: str) -> None:
    algorithm = ALGORITHMS[name]
    credit = algorithm.credit(random_rollouts(0), RULES)
    assert credit.advantage.shape == (COUNT,)
    assert (credit.target is not None) == algorithm.needs_critic
    assert (credit.weight is not None) == algorithm.clones


@pytest.mark.parametrize("name", ALGORITHMS)
def test_the_name_says_what_is_not_invariant(name: str) -> None:
    assert ALGORITHMS[name].invariant != name.startswith("unsound-")


def terminated(one: Rollout) -> Rollout:
    """Return the rollout, its end a termination."""
    ends = one.decisions.terminated | one.decisions.truncated
    none = np.zeros(len(one), np.bool_)
    return replace(one, decisions=replace(one.decisions, terminated=ends, truncated=none))


@pytest.mark.parametrize("name", [n for n, a in ALGORITHMS.items() if a.invariant])
def test_what_is_invariant_does_not_see_phi_of_an_end(name: str) -> None:
    ended = [terminated(one) for one in random_rollouts(2)]
    other = [replace(one, final_potential=1.0 - one.final_potential) for one in ended]
    give = ALGORITHMS[name].credit
    assert np.array_equal(give(ended, RULES).advantage, give(other, RULES).advantage)


@pytest.mark.parametrize("name", [n for n, a in ALGORITHMS.items() if a.invariant])
def test_and_with_lambda_one_phi_is_a_baseline_of_states_alone(name: str) -> None:
    """Any two outcomes from one state differ in advantage as in return, whatever Φ says of it."""
    rules = Rules(gamma=0.9, lam=1.0)
    ends = [terminated(one) for one in random_rollouts(4, count=2, groups=1)]
    low = [replace(one, success=True, residual=np.zeros(len(one))) for one in ends]
    high = [replace(one, potential=one.potential / 2.0) for one in low]
    first = np.array([0, len(low[0])])
    give = ALGORITHMS[name].credit
    shift = give(high, rules).advantage[first] - give(low, rules).advantage[first]
    dropped = np.array([one.potential[0] / 2.0 for one in low])
    assert shift == pytest.approx(dropped if "phi" in name or name == "awr" else [0.0, 0.0])


@pytest.mark.parametrize("name", [n for n, a in ALGORITHMS.items() if a.needs_groups])
def test_what_needs_groups_refuses_a_group_of_one(name: str) -> None:
    batch = random_rollouts(0, count=1)
    with pytest.raises(InputError, match="group 0 has a single rollout"):
        ALGORITHMS[name].credit(batch, RULES)


@pytest.mark.parametrize("name", [n for n, a in ALGORITHMS.items() if not a.needs_groups])
def test_what_needs_none_does_with_one_rollout(name: str) -> None:
    credit = ALGORITHMS[name].credit(random_rollouts(0, count=1), RULES)
    assert np.isfinite(credit.advantage).all()


def test_an_unknown_name_is_told_those_that_exist() -> None:
    with pytest.raises(InputError, match="no algorithm is called 'ppo2'; there are phi-ppo, ppo, "):
        find_algorithm("ppo2")
    assert find_algorithm("phi-ppo") is ALGORITHMS["phi-ppo"]
