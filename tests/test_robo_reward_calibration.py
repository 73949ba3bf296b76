"""Confidence that means something, and thresholds that keep their promise."""

import numpy as np
import pytest

from robo_reward.calibration import (
    FEATURES,
    NEVER,
    Calibration,
    fit_calibration,
    match_threshold,
    success_threshold,
)
from robo_reward.errors import InputError


def test_confidence_by_hand() -> None:
    calibration = Calibration(bias=-1.0, slopes=(2.0, 0.0, 0.0, 0.0, -4.0))
    features = np.array([[0.5, 9, 9, 9, 0.0], [1.0, 9, 9, 9, 0.5], [np.nan, 0, 0, 0, 0]])
    # logits 0, −1, −1
    low = 1 / (1 + np.e)
    assert calibration.confidence(features) == pytest.approx([0.5, low, low])


def test_huge_features_stay_probabilities() -> None:
    calibration = Calibration(bias=0.0, slopes=(1e9, 0.0, 0.0, 0.0, 0.0))
    values = calibration.confidence(np.array([[1e9, 0, 0, 0, 0], [-1e9, 0, 0, 0, 0]]))
    assert np.all((values >= 0) & (values <= 1))


def test_a_calibration_needs_one_slope_a_feature() -> None:
    with pytest.raises(InputError, match="5 slopes, got 1"):
        Calibration(bias=0.0, slopes=(1.0,))


def test_the_fit_recovers_how_often_queries_are_right() -> None:
    rng = np.random.default_rng(0)
    features = np.zeros((4000, FEATURES))
    features[:, 0] = 10 * rng.integers(0, 2, 4000)  # right 9 of 10 times where it is 10, else 3
    right = rng.random(4000) < np.where(features[:, 0] == 10, 0.9, 0.3)
    fitted = fit_calibration(features, np.where(right, 0.05, 0.5))
    told = fitted.confidence(np.eye(2, FEATURES)[::-1] * [[0], [10]])
    assert told == pytest.approx([0.3, 0.9], abs=0.04)


def test_separable_queries_give_finite_slopes() -> None:
    features = np.zeros((20, FEATURES))
    features[10:, 0] = 1.0
    fitted = fit_calibration(features, np.repeat([1.0, 0.0], 10))
    assert np.isfinite(fitted.slopes).all()
    assert fitted.slopes[0] > 0


def test_nothing_to_fit_to_is_refused() -> None:
    with pytest.raises(InputError, match="validation queries"):
        fit_calibration(np.zeros((0, FEATURES)), np.zeros(0))


def test_the_success_threshold_is_the_lowest_that_keeps_the_precision() -> None:
    probs = np.arange(30, 0, -1) / 100
    done = np.ones(30, bool)
    done[[1, 20, 22]] = False
    # down to rank 20: 19/20; 21: 19/21; 22: 20/22; from then on below .95
    assert success_threshold(probs, done) == 0.11
    done[0] = False
    assert success_threshold(probs[:2], ~done[:2]) == 0.29


def test_equal_probabilities_are_declared_together_or_not_at_all() -> None:
    probs = np.array([0.9, 0.9, 0.95])
    done = np.array([True, False, True])
    # at .9 all three are declared, two of them right
    assert success_threshold(probs, done) == 0.95
    many = np.concatenate([probs, np.full(17, 0.9)])
    # at .9 all twenty are declared, nineteen of them right
    assert success_threshold(many, np.concatenate([done, np.ones(17, bool)])) == 0.9


def test_no_threshold_that_keeps_the_precision_declares_nothing() -> None:
    assert success_threshold(np.ones(3), np.array([True, False, False])) == NEVER
    assert success_threshold(np.zeros(0), np.zeros(0, bool)) == NEVER
    assert NEVER > 1


def test_the_match_threshold_lets_true_matches_through() -> None:
    probs = np.linspace(0.2, 1.0, 201)  # one step is .004; the .5 % quantile is one step up
    assert match_threshold(probs) == pytest.approx(0.204)


def test_the_match_threshold_never_exceeds_a_half_and_is_nothing_without_data() -> None:
    assert match_threshold(np.full(10, 0.99)) == 0.5
    assert match_threshold(np.zeros(0)) == 0.0
