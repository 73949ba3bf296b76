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
    """Period 2: slots want what lies 2, 3, 5, 9 and 17 periods before *after*, within √2 times."""
    assert remembered(ENCODED, 20, first=0, period=2, history=4) == [None, None, 10, 0]
    assert remembered(ENCODED, 40, first=0, period=2, history=6) == [None, None, None, 20, 3, 0]
    assert remembered(ENCODED, 22, first=0, period=2, history=3) == [18, None, 0]


def test_what_comes_later_is_never_shown() -> None:
    for after in ENCODED.tolist():
        for slot in remembered(ENCODED, after, first=0, period=1, history=6):
            assert slot is None or slot < after


def test_the_first_frame_is_not_shown_where_it_may_not_be_seen_or_is_before() -> None:
    assert remembered(ENCODED, 20, first=None, period=2, history=1) == [None]
    assert remembered(ENCODED, 2, first=0, period=2, history=1) == [None]
    assert remembered(ENCODED, 3, first=0, period=2, history=1) == [0]
    assert remembered(ENCODED, 20, first=0, period=2, history=0) == []


def test_training_and_use_agree_on_what_a_slot_shows() -> None:
    """With a frame at every query, what training shows is what a session recalls."""
    every, period = np.arange(0, 120, 4), 4
    for asked in range(1, 30):
        session = recalled(every[:asked].tolist(), 6)
        drawn = remembered(every, 4 * asked, first=0, period=period, history=6)
        for slot, frame in enumerate(session):
            assert frame is None or drawn[slot] == frame
