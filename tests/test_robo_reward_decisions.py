"""Success, completion and grades, in numbers worked out by hand."""

import math

import numpy as np
import pytest

from robo_reward.decisions import Confusion, completion, confusion, grade
from robo_reward.errors import InputError
from robo_reward.ranking import FAILURE, PARTIAL, SUCCESS


def test_decisions_are_counted_against_the_truth() -> None:
    counts = confusion([1, 1, 1, 0, 0, 0], [1, 1, 0, 1, 0, 0])
    assert counts == Confusion(hits=2, false_alarms=1, misses=1, rejections=2)
    assert counts.f1 == pytest.approx(4 / 6)
    assert counts.false_positive_rate == pytest.approx(1 / 3)
    assert counts.mcc == pytest.approx((2 * 2 - 1) / math.sqrt(3 * 3 * 3 * 3))


def test_the_correlation_is_that_of_the_answers() -> None:
    said, true = np.array([1, 0, 1, 1, 0]), np.array([1, 0, 0, 1, 1])
    assert confusion(said, true).mcc == pytest.approx(np.corrcoef(said, true)[0, 1])


@pytest.mark.parametrize("said", [True, False])
def test_a_constant_answer_correlates_with_nothing(said: bool) -> None:
    assert confusion([said] * 4, [1, 1, 0, 0]).mcc == 0.0


def test_what_cannot_be_known_is_nan() -> None:
    only_yes, only_no = confusion([1, 0], [1, 1]), confusion([0, 1], [0, 0])
    assert math.isnan(only_yes.false_positive_rate)
    assert math.isnan(only_yes.mcc)
    assert math.isnan(only_no.f1)
    assert only_no.false_positive_rate == 0.5


@pytest.mark.parametrize(
    ("progress", "claimed"),
    [
        ([0.0, 0.3, 0.5, 0.7, 0.9, 1.0], SUCCESS),
        ([0.0, 0.3, 0.5, 0.7, 0.9, 0.8], PARTIAL),  # the end must be above .8
        ([0.0, 0.0, 0.0, 0.0, 0.3, 1.0], SUCCESS),  # mean of the last third .65
        ([0.0, 0.0, 0.0, 0.0, 0.2, 1.0], PARTIAL),  # mean .6 is not above .6
        ([0.0, 0.9, 0.9, 0.9, 0.4, 0.4], PARTIAL),
        ([0.0, 0.9, 0.9, 0.9, 0.4, 0.3], FAILURE),
        ([1.0], SUCCESS),
        ([0.9, 0.1], FAILURE),
    ],
)
def test_the_completion_rule(progress: list[float], claimed: int) -> None:
    assert completion(progress) == claimed


def test_grades_run_from_1_to_5_and_halves_go_up() -> None:
    graded = grade([0.0, 0.124, 0.125, 0.5, 0.874, 0.875, 1.0, 1.7, -1.0])
    assert graded.tolist() == [1, 1, 2, 3, 4, 5, 5, 5, 1]
    assert np.isnan(grade([float("nan")])).all()


def test_what_does_not_pair_is_refused() -> None:
    with pytest.raises(InputError, match="a truth per declaration"):
        confusion([1], [1, 0])
    with pytest.raises(InputError, match="at least one frame"):
        completion([])
