"""Keyframes found in features: where the kind changes, and nowhere else."""

import numpy as np
import pytest

from robo_reward.errors import InputError
from robo_reward.segmentation import segment

STEPS = np.repeat([[0.0, 0.0], [1.0, 0.0], [1.0, 3.0]], [10, 20, 15], axis=0)


def test_bounds_are_where_the_features_jump() -> None:
    assert segment(STEPS) == [0, 10, 30, 44]


def test_noise_moves_no_bound() -> None:
    noisy = STEPS + np.random.default_rng(0).normal(0, 0.05, STEPS.shape)
    assert segment(noisy) == [0, 10, 30, 44]


def test_features_that_never_change_are_one_segment() -> None:
    assert segment(np.ones((30, 3))) == [0, 29]
    assert segment(np.ones((2, 1))) == [0, 1]


def test_there_are_no_more_segments_than_asked_for_the_greatest_first() -> None:
    assert segment(STEPS, most=2) == [0, 30, 44]
    assert segment(STEPS, most=1) == [0, 44]


def test_no_segment_is_shorter_than_asked() -> None:
    blip = np.zeros((40, 1))
    blip[20:23] = 9.0
    bounds = segment(blip, shortest=5)
    assert min(np.diff([*bounds[:-1], 40])) >= 5
    assert segment(np.arange(8.0)[:, None], shortest=5) == [0, 7]


def test_a_ramp_is_cut_in_halves() -> None:
    assert segment(np.arange(40.0)[:, None], most=2) == [0, 20, 39]


@pytest.mark.parametrize(
    "features", [np.ones((1, 3)), np.ones(5), np.array([[0.0], [np.nan]]), np.zeros((0, 2))]
)
def test_what_cannot_be_split_is_refused(features: np.ndarray) -> None:
    with pytest.raises(InputError, match="features must be finite"):
        segment(features)
