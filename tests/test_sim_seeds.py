"""The sets of seeds share none."""

from itertools import pairwise

import pytest

from robo_reward.errors import InputError
from sim.seeds import SIZE, SPLITS, first_seed, seeds, split_of


def test_the_three_sets_begin_at_0_half_a_million_and_a_million() -> None:
    assert [first_seed(split) for split in SPLITS] == [0, 500_000, 1_000_000]
    assert SPLITS == ("train", "validation", "held-out")


def test_whole_sets_are_disjoint() -> None:
    whole = [seeds(split, SIZE) for split in SPLITS]
    for first, second in pairwise(whole):
        assert first.stop <= second.start
    assert len({number for part in whole for number in part}) == 3 * SIZE


def test_the_same_seeds_come_every_time_and_more_of_them_begin_with_fewer() -> None:
    assert list(seeds("validation", 3)) == [500_000, 500_001, 500_002]
    assert list(seeds("held-out", 2, start=7)) == [1_000_007, 1_000_008]
    assert list(seeds("train", 5))[:3] == list(seeds("train", 3))
    assert list(seeds("train", 0)) == []


@pytest.mark.parametrize(
    ("seed", "split"),
    [
        (0, "train"),
        (499_999, "train"),
        (500_000, "validation"),
        (999_999, "validation"),
        (1_000_000, "held-out"),
        (1_500_000, ""),
        (-1, ""),
    ],
)
def test_each_seed_knows_its_set(seed: int, split: str) -> None:
    assert split_of(seed) == split


def test_an_unknown_set_is_refused_with_a_list_of_those_there_are() -> None:
    with pytest.raises(InputError, match=r"no set of seeds 'test'.*train, validation, held-out"):
        seeds("test", 3)


@pytest.mark.parametrize(("count", "start"), [(SIZE + 1, 0), (2, SIZE - 1), (-1, 0), (1, -1)])
def test_seeds_beyond_a_set_are_refused(count: int, start: int) -> None:
    with pytest.raises(InputError, match=r"it has 0 … 499999, so ask for fewer"):
        seeds("train", count, start=start)
