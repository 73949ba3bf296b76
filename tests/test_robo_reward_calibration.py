"""Confidence that means something, and thresholds that keep their promise."""

import numpy as np
import pytest

from robo_reward.calibration import (
    FEATURES,
    NEVER,
    Calibration,
    fit_calibration,
    fit_margin,
    match_threshold,
    success_threshold,
    unsure,
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
    with pytest.raises(InputError, match="5 slopes, or 6 with view disagreement, got 1"):
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


def test_what_is_unsure_by_hand() -> None:
    assert unsure(np.array([1.0, 0.6])) == pytest.approx([0.1, 0.5])


def test_the_margin_is_a_rank_among_episodes_by_hand() -> None:
    # ten constant episodes 0 … 9: ⌈.9 · 11⌉ = 10th smallest; nine of them: the 9th
    assert fit_margin([np.full(4, float(n)) for n in range(10)]) == 9.0
    assert fit_margin([np.full(4, float(n)) for n in range(9)]) == 8.0
    # nineteen: ⌈.9 · 20⌉ = 18th smallest
    assert fit_margin([np.full(4, float(n)) for n in range(19)]) == 17.0


def test_an_episode_counts_by_the_quantile_of_its_queries() -> None:
    one = np.array([0.0] * 9 + [5.0])
    assert fit_margin([one] * 9) == pytest.approx(float(np.quantile(one, 0.9)))


def test_few_episodes_promise_nothing_and_an_empty_one_is_none() -> None:
    assert fit_margin([np.ones(4)] * 8) is None
    assert fit_margin([np.ones(4)] * 8 + [np.zeros(0)]) is None
    assert fit_margin([]) is None


def test_a_model_that_is_always_too_low_needs_no_margin() -> None:
    assert fit_margin([-np.ones(4)] * 20) == 0.0


def test_the_bound_holds_in_as_many_new_episodes_as_promised() -> None:
    rng = np.random.default_rng(0)

    def episodes(count: int) -> list[np.ndarray]:
        return [rng.normal(rng.normal(0, 0.05), 0.03, 30) for _ in range(count)]

    held = []
    for _ in range(300):
        margin = fit_margin(episodes(12)) or 0.0
        held.append(np.mean(episodes(1)[0] <= margin) >= 0.9)
    assert np.mean(held) >= 0.87  # .9 promised, 300 draws
