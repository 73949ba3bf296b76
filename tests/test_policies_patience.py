"""When an episode is given up."""

import pytest

from policies.patience import RISE, Patience


def given_up(decisions: int, *progress: float) -> list[int]:
    """After which verdicts an episode of this Φ would be given up."""
    patience = Patience(decisions)
    return [n for n, phi in enumerate(progress) if patience.hopeless({7: phi})]


def test_an_episode_that_does_not_rise_is_given_up() -> None:
    assert given_up(3, 0.2, 0.2, 0.1, 0.2, 0.2) == [3, 4]
    assert given_up(1, 0.2, 0.3, 0.3) == [2]


def test_a_rise_begins_the_count_anew() -> None:
    assert given_up(2, 0.2, 0.2, 0.3, 0.3, 0.3) == [4]
    assert given_up(2, 0.5, 0.1, 0.2) == [2]  # below its best is no rise


@pytest.mark.parametrize(("step", "found"), [(0.9 * RISE, []), (0.4 * RISE, [2, 5, 8])])
def test_a_slow_rise_counts_once_it_has_added_up(step: float, found: list[int]) -> None:
    assert given_up(2, *(0.1 + step * n for n in range(9))) == found


def test_nothing_is_given_up_without_patience() -> None:
    assert given_up(0, *[0.1] * 50) == []


def test_episodes_are_told_apart_and_silence_does_not_count() -> None:
    patience = Patience(2)
    assert patience.hopeless({0: 0.1, 1: 0.1}) == set()
    assert patience.hopeless({0: 0.1}) == set()
    assert patience.hopeless({0: 0.1, 1: 0.1}) == {0}
    assert patience.hopeless({}) == set()
    assert patience.hopeless({1: 0.1}) == {1}
