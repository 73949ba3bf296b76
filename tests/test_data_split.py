"""Which episodes and frames are kept back."""

import re

import pytest

from data.split import Withheld, parse_withheld, split_episodes, usable_frames
from robo_reward.errors import InputError


def test_a_block_is_episode_start_stop() -> None:
    assert parse_withheld("2:100:140") == Withheld(episode=2, start=100, stop=140)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("2:100", "must be EPISODE:START:STOP"),
        ("a:1:2", "must be EPISODE:START:STOP"),
        ("0:-1:2", "must be EPISODE:START:STOP"),
        ("0:²:9", "must be EPISODE:START:STOP"),
        ("0:5:5", "START must be below STOP"),
    ],
)
def test_a_malformed_block_is_refused(text: str, words: str) -> None:
    with pytest.raises(InputError, match=re.escape(words)):
        parse_withheld(text)


def test_frames_in_a_block_are_not_usable() -> None:
    blocks = [Withheld(episode=0, start=2, stop=4), Withheld(episode=0, start=3, stop=5)]
    assert usable_frames(7, blocks).tolist() == [0, 1, 5, 6]


def test_a_block_must_lie_in_its_episode_and_leave_something() -> None:
    with pytest.raises(InputError, match=r"3:2:8: episode 3 has 7 frames"):
        usable_frames(7, [Withheld(episode=3, start=2, stop=8)])
    with pytest.raises(InputError, match="leaves no frame"):
        usable_frames(7, [Withheld(episode=3, start=0, stop=7)])


@pytest.mark.parametrize(
    ("count", "share", "kept_back"),
    [(20, 0.1, 2), (3, 0.1, 1), (2, 0.9, 1), (1, 0.5, 0), (10, 0.0, 0)],
)
def test_a_share_validates_but_one_always_trains(count: int, share: float, kept_back: int) -> None:
    training, validation = split_episodes(count, share, seed=0)
    assert len(validation) == kept_back
    assert sorted(training + validation) == list(range(count))


def test_the_split_is_a_matter_of_the_seed() -> None:
    assert split_episodes(50, 0.2, 1) == split_episodes(50, 0.2, 1)
    assert split_episodes(50, 0.2, 1) != split_episodes(50, 0.2, 2)


def test_a_share_of_everything_is_refused() -> None:
    with pytest.raises(InputError, match="must be a share in"):
        split_episodes(5, 1.0, 0)
