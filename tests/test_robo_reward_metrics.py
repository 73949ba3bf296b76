"""Metrics by hand, and against scipy."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr

from robo_reward.errors import InputError
from robo_reward.metrics import (
    auroc,
    calibration_error,
    ccc,
    expected_calibration_error,
    mean_error,
    reliability,
    spearman,
)

numbers = st.integers(0, 5).map(float)


def test_rank_correlation_by_hand() -> None:
    assert spearman([0.1, 0.2, 0.9], [1, 2, 3]) == pytest.approx(1.0)
    assert spearman([3, 2, 1], [1, 2, 3]) == pytest.approx(-1.0)
    # ranks 1 2 3 against 1 3 2: 1 − 6·2/(3·8)
    assert spearman([1, 2, 3], [1, 3, 2]) == pytest.approx(0.5)


def test_a_constant_has_no_rank_correlation() -> None:
    assert math.isnan(spearman([1, 1, 1], [1, 2, 3]))
    assert math.isnan(spearman([1, 2, 3], [0, 0, 0]))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(numbers, numbers), min_size=2, max_size=20))
def test_rank_correlation_with_ties_is_that_of_scipy(pairs: list[tuple[float, float]]) -> None:
    a, b = np.array(pairs).T
    if np.ptp(a) == 0 or np.ptp(b) == 0:
        assert math.isnan(spearman(a, b))
    else:
        assert spearman(a, b) == pytest.approx(spearmanr(a, b).statistic, abs=1e-9)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(numbers, st.booleans()), min_size=2, max_size=20))
def test_auroc_counts_the_pairs_in_right_order(pairs: list[tuple[float, bool]]) -> None:
    scores, labels = zip(*pairs, strict=True)
    positive = [s for s, label in pairs if label]
    negative = [s for s, label in pairs if not label]
    got = auroc(scores, labels)
    if not positive or not negative:
        assert math.isnan(got)
    else:
        won = sum((p > n) + 0.5 * (p == n) for p in positive for n in negative)
        assert got == pytest.approx(won / len(positive) / len(negative))


def test_one_value_has_no_order_but_an_error() -> None:
    assert mean_error([0.5], [0.25]) == 0.25
    assert reliability([0.95], [1])[9].tolist() == [1.0, 0.95, 1.0]
    with pytest.raises(InputError, match="at least 2"):
        spearman([1.0], [1.0])


def test_the_mean_error_by_hand() -> None:
    assert mean_error([0.0, 1.0], [0.5, 0.75]) == pytest.approx(0.375)


def test_the_calibration_error_by_hand() -> None:
    # bin of .15: told .15, right 0 of 1; bin of .9…1: told .95 and 1, right 1 of 2
    got = calibration_error([0.15, 0.95, 1.0], [0, 1, 0])
    assert got == pytest.approx((0.15 + 2 * 0.475) / 3)


def test_perfect_confidence_has_no_calibration_error() -> None:
    assert calibration_error([1.0, 1.0, 0.0], [1, 1, 0]) == 0.0


def test_the_curve_of_reliability_adds_up_over_episodes() -> None:
    first = reliability([0.15, 0.95], [0, 1], bins=10)
    assert first[1].tolist() == [1.0, 0.15, 0.0]
    assert first[9].tolist() == [1.0, 0.95, 1.0]
    both = first + reliability([1.0, 1.0], [0, 1], bins=10)
    assert both[9].tolist() == pytest.approx([3.0, 2.95, 2.0])
    assert expected_calibration_error(both) == pytest.approx((0.15 + 0.95) / 4)
    assert math.isnan(expected_calibration_error(np.zeros((10, 3))))


def test_agreement_punishes_scale_and_offset() -> None:
    truth = np.array([0.0, 0.5, 1.0])
    assert ccc(truth, truth) == pytest.approx(1.0)
    assert ccc(1 - truth, truth) == pytest.approx(-1.0)
    # half the scale: 2 · ½var / (¼var + var + ¼²), var = 1/6
    assert ccc(truth / 2, truth) == pytest.approx((1 / 6) / (1.25 / 6 + 0.0625))
    assert ccc([0.5, 0.5, 0.5], truth) == 0.0
    assert math.isnan(ccc([0.5, 0.5], [0.1, 0.1]))


@pytest.mark.parametrize("metric", [spearman, auroc, mean_error, calibration_error, ccc])
@pytest.mark.parametrize(("a", "b"), [([], []), ([1, 2], [1, 2, 3]), ([[1, 2]], [[1, 2]])])
def test_lists_that_do_not_pair_are_refused(metric: object, a: list, b: list) -> None:
    with pytest.raises(InputError, match="two lists of equal length"):
        metric(a, b)  # type: ignore[operator]
