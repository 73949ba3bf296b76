"""Two-hot distributions: weights, expectation and spread by hand."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from robo_reward.bins import (
    BINS,
    MOST_S,
    centres,
    expectation,
    expected_seconds,
    seconds_two_hot,
    spread,
    symexp,
    symlog,
    two_hot,
)


def logits(probs: torch.Tensor) -> torch.Tensor:
    return probs.clamp_min(1e-30).log()


def test_a_value_on_a_bin_is_one_hot() -> None:
    # bins lie .04 apart: .2 is bin 30 of 0 … 50
    weights = two_hot(torch.tensor([0.2, -1.0, 1.0, 0.0], dtype=torch.float64))
    assert weights.argmax(-1).tolist() == [30, 0, 50, 25]
    assert weights.amax(-1).tolist() == pytest.approx([1.0] * 4)


def test_a_value_between_bins_puts_its_weight_on_both() -> None:
    # .21 lies a quarter of the way from bin 30 (.20) to bin 31 (.24)
    weights = two_hot(torch.tensor(0.21, dtype=torch.float64))
    assert weights[30].item() == pytest.approx(0.75)
    assert weights[31].item() == pytest.approx(0.25)
    assert int((weights > 0).sum()) == 2


def test_values_outside_the_range_are_clamped() -> None:
    weights = two_hot(torch.tensor([-3.0, 7.0]))
    assert weights[0, 0] == 1
    assert weights[1, BINS - 1] == 1


@settings(max_examples=80, deadline=None)
@given(st.floats(-1, 1))
def test_the_expectation_of_a_two_hot_is_its_value_and_its_spread_is_nothing(value: float) -> None:
    told = logits(two_hot(torch.tensor([value], dtype=torch.float64)))
    assert expectation(told).item() == pytest.approx(value, abs=1e-9)
    assert spread(told).item() == pytest.approx(0.0, abs=1e-6)


def test_the_spread_of_two_far_bins_is_half_their_distance() -> None:
    probs = torch.zeros(BINS, dtype=torch.float64)
    probs[20] = probs[30] = 0.5  # −.2 and .2, mean 0 on a bin
    assert expectation(logits(probs)).item() == pytest.approx(0.0, abs=1e-12)
    assert spread(logits(probs)).item() == pytest.approx(0.2)


def test_the_spread_takes_off_what_the_bins_force() -> None:
    # −.2 and .24, half each: mean .02 lies midway, variance .22², floor ¼·.04²
    probs = torch.zeros(BINS, dtype=torch.float64)
    probs[20] = probs[31] = 0.5
    assert spread(logits(probs)).item() == pytest.approx((0.22**2 - 0.25 * 0.04**2) ** 0.5)


def test_the_centres_run_from_minus_one_to_one() -> None:
    grid = centres(torch.zeros(1, dtype=torch.float64))
    assert grid[[0, 25, 50]].tolist() == pytest.approx([-1.0, 0.0, 1.0])
    assert len(grid) == 51


def test_shapes_are_kept() -> None:
    assert two_hot(torch.zeros(2, 3)).shape == (2, 3, BINS)
    assert expectation(torch.zeros(2, 3, BINS)).shape == (2, 3)


def test_symlog_and_symexp_by_hand() -> None:
    values = torch.tensor([0.0, math.e - 1.0, -(math.e**2 - 1.0)], dtype=torch.float64)
    assert symlog(values).tolist() == pytest.approx([0.0, 1.0, -2.0])
    assert symexp(torch.tensor([0.0, 1.0, -2.0])).tolist() == pytest.approx(values.tolist())


def test_seconds_lie_between_bins_that_are_even_in_symlog() -> None:
    # 51 bins from 0 to ln 1001, so bin 10 is at 1001^.2 − 1 s; halfway in symlog is the middle
    third, fourth = 1001**0.2 - 1.0, 1001**0.22 - 1.0
    halfway = math.sqrt((third + 1.0) * (fourth + 1.0)) - 1.0
    weights = seconds_two_hot(torch.tensor([0.0, third, halfway, 5e4], dtype=torch.float64))
    assert weights[0, 0] == 1
    assert weights[1, 10].item() == pytest.approx(1.0)
    assert weights[2, 10:12].tolist() == pytest.approx([0.5, 0.5])
    assert weights[3, BINS - 1].item() == pytest.approx(1.0)
    told = expected_seconds(logits(weights))
    assert told.tolist() == pytest.approx([0.0, third, halfway, MOST_S])


@settings(max_examples=50, deadline=None)
@given(st.floats(0, MOST_S))
def test_a_head_that_is_certain_of_seconds_tells_them(seconds: float) -> None:
    told = seconds_two_hot(torch.tensor([seconds], dtype=torch.float64))
    assert expected_seconds(logits(told)).item() == pytest.approx(seconds, rel=1e-9, abs=1e-9)
