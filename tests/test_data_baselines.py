"""Estimates of progress that need no learning, in numbers worked out by hand."""

import numpy as np
import pytest

from data.baselines import clock, constant_hop, pixel_distance
from data.episodes import Views
from robo_reward.protocols import References


def grey(**values: int) -> Views:
    return {name: np.full((8, 8, 3), value, np.uint8) for name, value in values.items()}


def test_the_clock_runs_from_0_to_1() -> None:
    assert clock(5).tolist() == [0, 0.25, 0.5, 0.75, 1]
    assert clock(1).tolist() == [0]


def test_a_constant_hop_closes_a_tenth_of_what_remains_at_every_query() -> None:
    expected = [0, 0, 0.1, 0.1, 0.19, 0.19, 0.271]
    assert constant_hop(7, 2) == pytest.approx(expected)


def test_pixel_distance_is_the_share_of_the_way_from_the_first_frame_to_the_goal() -> None:
    references = References(start=grey(front=0), goal=grey(front=100))
    frames = [grey(front=value) for value in (0, 25, 100, 120)]
    progress = pixel_distance(frames, references, query=np.array([0, 0, 1, 2, 3]), size=4)
    assert progress == pytest.approx([0, 0, 0.25, 1, 0.8])


def test_pixel_distance_never_leaves_0_to_1() -> None:
    references = References(start=grey(front=50), goal=grey(front=100))
    frames = [grey(front=50), grey(front=0)]
    progress = pixel_distance(frames, references, query=np.array([0, 1]))
    assert progress.tolist() == [0, 0]


def test_pixel_distance_averages_the_views_that_both_show() -> None:
    references = References(start=grey(front=0, wrist=0), goal=grey(front=100, wrist=200))
    first, both, one = grey(front=0, wrist=0), grey(front=50, wrist=50), grey(front=50)
    progress = pixel_distance([first, both, one], references, query=np.array([0, 1, 2]))
    assert progress == pytest.approx([0, 1 - 100 / 150, 1 - 50 / 150])


def test_pixel_distance_says_nothing_without_a_goal() -> None:
    progress = pixel_distance([grey(front=0)] * 2, References(), query=np.array([0, 1, 1]))
    assert np.isnan(progress).all()
