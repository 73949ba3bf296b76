"""Intervals of figures: reproducible, paired, and of the right width."""

import math

import numpy as np
import pytest

from robo_reward.bootstrap import figured, interval, resamples, share_interval
from robo_reward.errors import InputError


def test_the_same_seed_draws_the_same_episodes() -> None:
    first, again, other = (resamples(5, 30, seed=seed) for seed in (1, 1, 2))
    assert (first == again).all()
    assert (first != other).any()
    assert set(np.unique(first)) == set(range(5))


def test_the_interval_of_a_mean_is_two_standard_errors_wide() -> None:
    values = np.random.default_rng(0).normal(size=400)
    low, high = interval(figured(lambda n: float(values[n].mean()), resamples(400, 2000, seed=0)))
    error = values.std() / math.sqrt(400)
    assert low == pytest.approx(values.mean() - 1.96 * error, abs=0.2 * error)
    assert high == pytest.approx(values.mean() + 1.96 * error, abs=0.2 * error)


def test_pairing_takes_out_what_two_methods_share() -> None:
    hard = np.random.default_rng(0).normal(size=50)
    one, two = hard + 0.1, hard
    draws = resamples(50, 500, seed=0)
    gaps = figured(lambda n: float(one[n].mean() - two[n].mean()), draws)
    assert interval(gaps) == pytest.approx((0.1, 0.1))
    assert interval(figured(lambda n: float(one[n].mean()), draws))[0] < 0


def test_draws_without_a_value_are_left_out_unless_they_are_most() -> None:
    values = np.array([0.0, 1.0, 2.0, math.nan])
    assert interval(values) == pytest.approx((0.05, 1.95))
    assert np.isnan(interval(np.array([1.0, math.nan, math.nan]))).all()


def test_nothing_to_draw_from_is_refused() -> None:
    with pytest.raises(InputError, match="at least one episode"):
        resamples(0, 10, seed=0)


def test_the_interval_of_a_share_is_exact_and_never_certain() -> None:
    low, high = share_interval(40, 40)
    assert (low, high) == (pytest.approx(0.025 ** (1 / 40)), 1.0)
    assert share_interval(0, 1) == (0.0, pytest.approx(0.975))
    assert share_interval(5, 10) == pytest.approx((0.187086, 0.812914), abs=1e-6)
    assert np.isnan(share_interval(0, 0)).all()
    with pytest.raises(InputError, match="3 of 2 episodes"):
        share_interval(3, 2)
