"""Order of frames and of episodes, counted by hand and against scipy."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import kendalltau

from robo_reward.errors import InputError
from robo_reward.ranking import concordance, harmonic_mean, kendall_tau_a, tau_a_ceiling, voc

NAN = float("nan")


def test_a_clock_has_perfect_order_forward_and_the_worst_one_reversed() -> None:
    clock = np.linspace(0, 1, 9)
    assert voc(clock) == pytest.approx(1.0)
    assert voc(1 - clock) == pytest.approx(-1.0)


@pytest.mark.parametrize("progress", [[0.3, 0.3, 0.3], [0.1, NAN, 0.3]])
def test_what_orders_nothing_has_no_order(progress: list[float]) -> None:
    assert voc(progress) == 0.0


def test_the_harmonic_mean_is_worth_nothing_once_one_side_is() -> None:
    assert harmonic_mean(0.5, 1.0) == pytest.approx(2 / 3)
    assert harmonic_mean(1.0, -1.0) == 0.0
    assert harmonic_mean(0.0, 1.0) == 0.0
    assert math.isnan(harmonic_mean(NAN, 1.0))


def test_concordance_counts_pairs_of_different_class() -> None:
    # pairs of different class: (0,1) won, (0,2) tied, (1,2) lost; (2,3) is of one class
    scores, classes = [0.1, 0.6, 0.1, 0.5], [0, 1, 2, 2]
    # further: (0,3) won, (1,3) lost
    assert concordance(scores, classes) == pytest.approx((2 + 0.5) / 5)
    assert kendall_tau_a(scores, classes) == pytest.approx((2 - 2) / 6)
    assert tau_a_ceiling(classes) == pytest.approx(5 / 6)


def test_perfect_scores_reach_the_ceiling_and_no_more() -> None:
    classes = np.repeat([0, 1, 2], 20)
    assert concordance(classes, classes) == 1.0
    assert kendall_tau_a(classes, classes) == tau_a_ceiling(classes)
    assert tau_a_ceiling(classes) == pytest.approx(2 / 3 * 60 / 59)


def test_a_constant_score_is_a_coin() -> None:
    assert concordance([1, 1, 1], [0, 1, 2]) == 0.5
    assert kendall_tau_a([1, 1, 1], [0, 1, 2]) == 0.0


def test_episodes_of_one_class_have_no_order() -> None:
    assert math.isnan(concordance([0.1, 0.2], [2, 2]))
    assert tau_a_ceiling([2, 2]) == 0.0
    assert math.isnan(kendall_tau_a([0.1], [2]))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=3, max_size=12, unique=True), st.randoms())
def test_without_ties_tau_a_is_that_of_scipy(scores: list[float], random: object) -> None:
    classes = list(range(len(scores)))
    random.shuffle(classes)  # type: ignore[attr-defined]
    assert kendall_tau_a(scores, classes) == pytest.approx(kendalltau(scores, classes).statistic)


graded = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 2)), min_size=2, max_size=15)


@settings(max_examples=60, deadline=None)
@given(graded)
def test_pairs_are_those_that_counting_finds(episodes: list[tuple[int, int]]) -> None:
    scores, classes = zip(*episodes, strict=True)
    pairs = [(a, b) for a in episodes for b in episodes if a[1] > b[1]]
    won = sum((a[0] > b[0]) + 0.5 * (a[0] == b[0]) for a, b in pairs)
    if pairs:
        assert concordance(scores, classes) == pytest.approx(won / len(pairs))
    else:
        assert math.isnan(concordance(scores, classes))


@settings(max_examples=60, deadline=None)
@given(graded)
def test_only_the_order_of_scores_matters_and_turning_it_around_turns_the_figure(
    episodes: list[tuple[int, int]],
) -> None:
    scores, classes = (np.array(column, float) for column in zip(*episodes, strict=True))
    share, tau = concordance(scores, classes), kendall_tau_a(scores, classes)
    assert concordance(np.exp(scores), classes) == pytest.approx(share, nan_ok=True)
    assert concordance(-scores, classes) == pytest.approx(1 - share, nan_ok=True)
    assert kendall_tau_a(-scores, classes) == pytest.approx(-tau)
    assert abs(tau) <= tau_a_ceiling(classes) + 1e-12


def test_a_score_per_episode_is_needed() -> None:
    with pytest.raises(InputError, match="a score and a class per episode"):
        concordance([0.1], [0, 1])
