"""The distance of rewards: blind to scale and shaping, and 1 for the opposite."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robo_reward.errors import InputError
from robo_reward.starc import Transitions, canonical, starc_distance

RNG = np.random.default_rng(0)
MOVES = Transitions(RNG.integers(0, 6, 200), RNG.integers(0, 6, 200))
REWARD = RNG.normal(size=200)
GAMMA = 0.9


def distance(first: np.ndarray, second: np.ndarray) -> float:
    return starc_distance(first, second, MOVES, gamma=GAMMA)


def shaping(potential: np.ndarray) -> np.ndarray:
    return GAMMA * potential[MOVES.after] - potential[MOVES.before]


def test_the_canonical_form_by_hand() -> None:
    """0 → 1 pays 1, 1 stays and pays 0: V = (1, 0), so nothing is left of either."""
    chain = Transitions(np.array([0, 1]), np.array([1, 1]))
    assert canonical([1.0, 0.0], chain, gamma=0.5) == pytest.approx([0, 0])
    # 0 → 1 pays 1 and 0 → 2 pays 0: V(0) = ½, V(1) = V(2) = 0, never left
    fork = Transitions(np.array([0, 0]), np.array([1, 2]))
    assert canonical([1.0, 0.0], fork, gamma=0.5) == pytest.approx([0.5, -0.5])


def test_scale_and_shaping_change_nothing() -> None:
    potential = RNG.normal(size=6)
    assert distance(REWARD, 3.0 * REWARD + shaping(potential)) == pytest.approx(0.0, abs=1e-9)


def test_the_opposite_is_as_far_as_can_be() -> None:
    assert distance(REWARD, -REWARD + shaping(RNG.normal(size=6))) == pytest.approx(1.0)


def test_what_orders_no_policy_is_half_way_from_what_does() -> None:
    nothing = shaping(RNG.normal(size=6)) + 2.0
    assert distance(nothing, REWARD) == pytest.approx(0.5)
    assert distance(nothing, np.zeros(200)) == 0.0


def test_noise_moves_a_reward_away_from_itself() -> None:
    small, large = (distance(REWARD, REWARD + s * RNG.normal(size=200)) for s in (0.1, 2.0))
    assert 0 < small < 0.1 < large < 1


def test_it_is_a_distance() -> None:
    one, two, three = (RNG.normal(size=200) for _ in range(3))
    assert distance(one, two) == distance(two, one)
    assert distance(one, three) <= distance(one, two) + distance(two, three)


def test_the_potential_as_a_reward_of_its_own_differs_from_what_it_shapes() -> None:
    """Progress paid as reward prefers hovering near the goal to a single success."""
    chain = Transitions(np.array([0, 0, 1, 1, 2]), np.array([0, 1, 1, 2, 2]))
    potential = np.array([0.0, 0.9, 1.0])
    paid = starc_distance(potential[chain.after], (chain.after == 2) * 1.0, chain)
    assert paid > 0.2


rewards = st.lists(st.floats(-1, 1, width=32), min_size=12, max_size=12)


@settings(max_examples=60, deadline=None)
@given(rewards, rewards, st.lists(st.integers(0, 3), min_size=13, max_size=13))
def test_it_stays_between_0_and_1_for_any_walk(
    one: list[float], two: list[float], walk: list[int]
) -> None:
    moves = Transitions(np.array(walk[:-1]), np.array(walk[1:]))
    assert 0.0 <= starc_distance(one, two, moves) <= 1.0 + 1e-9
    assert starc_distance(one, one, moves) == 0.0


def test_the_reward_that_progress_shapes_is_nowhere_from_the_reward_it_shapes() -> None:
    """By construction: that is why progress is compared as a reward, and not shaped."""
    progress = np.linspace(0, 1, 6)
    assert distance(REWARD, REWARD + shaping(progress)) == pytest.approx(0.0, abs=1e-9)


def test_cells_may_be_numbered_with_gaps() -> None:
    wide = Transitions(MOVES.before * 3, MOVES.after * 3)
    other = RNG.normal(size=200)
    assert starc_distance(REWARD, other, wide, gamma=GAMMA) == pytest.approx(
        distance(REWARD, other)
    )


def test_rewards_that_do_not_pair_are_refused() -> None:
    with pytest.raises(InputError, match="one a transition"):
        canonical([1.0], MOVES)
    with pytest.raises(InputError, match="before and after"):
        Transitions(np.array([0]), np.array([0, 1]))
