"""Times of frames: finite, and never back."""

import math

import pytest

from robo_reward.errors import InputError
from robo_reward.times import check_times

NONE = -math.inf


def test_times_go_on_or_stay() -> None:
    check_times([], [])
    check_times([0.0, -3.0, 5.0], [NONE, NONE, 5.0])


@pytest.mark.parametrize("time", [math.nan, math.inf, -math.inf])
def test_a_time_is_finite(time: float) -> None:
    with pytest.raises(InputError, match="times must be finite seconds"):
        check_times([0.0, time], [NONE, NONE])


def test_one_that_goes_back_is_told() -> None:
    with pytest.raises(InputError, match=r"a frame of 4\.5 s came after one of 5 s"):
        check_times([1.0, 4.5], [0.0, 5.0])


def test_each_frame_has_a_session() -> None:
    with pytest.raises(ValueError, match="shorter"):
        check_times([1.0, 2.0], [0.0])
