"""Which earlier queries are shown: worked out by hand."""

import numpy as np
import pytest

from robo_reward.history import kept, lags, recalled, remembered

ENCODED = np.array([0, 3, 10, 18, 19, 20, 40])


def test_the_gaps_double() -> None:
    assert [lags(history) for history in range(6)] == [
        (),
        (),
        (1,),
        (1, 2),
        (1, 2, 4),
        (1, 2, 4, 8),
    ]


@pytest.mark.parametrize(
    ("count", "history", "expected"),
    [
        (0, 3, [None, None, None]),
        (1, 3, [None, None, None]),  # the first query is *before*, and shown as that
        (2, 3, [0, None, 0]),
        (3, 3, [1, 0, 0]),
        (20, 5, [18, 17, 15, 11, 0]),
        (20, 1, [0]),
        (20, 0, []),
    ],
)
def test_slots_show_the_queries_before(
    count: int, history: int, expected: list[int | None]
) -> None:
    """The last of ``count`` queries is *before*; slots look 1, 2, 4 … back from there."""
    assert recalled(range(count), history) == expected


@pytest.mark.parametrize("history", range(6))
def test_what_is_kept_is_enough(history: int) -> None:
    """A long episode needs no more memory than a short one, and recalls the same."""
    past: tuple[int, ...] = ()
    for latest in range(60):
        past = kept(past, latest, history)
        every = range(latest + 1)
        assert past[-1] == latest
        assert recalled(past, history) == recalled(every, history)
    assert len(past) == {0: 1, 1: 2, 2: 3, 3: 4, 4: 6, 5: 10}[history]


def test_training_shows_the_encoded_frame_whose_lag_is_nearest() -> None:
    """Period 2, before = 20: slots want frames 18, 16 and 12; 10 is 1.25 times as far as 12."""
    assert remembered(ENCODED, 20, first=0, period=2, history=4) == [18, None, 10, 0]


def test_a_lag_too_different_shows_nothing() -> None:
    """Before = 40, period 2: frame 20 has lag 10, frame 10 has 15; neither is near 1, 2 or 4."""
    assert remembered(ENCODED, 40, first=0, period=2, history=4) == [None, None, None, 0]
    assert remembered(ENCODED, 40, first=0, period=2, history=5) == [None, None, None, 20, 0]


def test_what_comes_after_before_is_never_shown() -> None:
    for before in ENCODED.tolist():
        for slot in remembered(ENCODED, before, first=0, period=1, history=6):
            assert slot is None or slot < before


def test_the_first_frame_is_not_shown_where_it_may_not_be_seen_or_is_before() -> None:
    assert remembered(ENCODED, 20, first=None, period=2, history=1) == [None]
    assert remembered(ENCODED, 0, first=0, period=2, history=1) == [None]
    assert remembered(ENCODED, 20, first=0, period=2, history=0) == []
