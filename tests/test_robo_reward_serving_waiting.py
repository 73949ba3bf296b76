"""Who goes into the next pass, and who is answered without one; worked out by hand."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from robo_reward.serving.answers import Stale, Unavailable
from robo_reward.serving.sessions import Rate, Sessions
from robo_reward.serving.waiting import Asked, Waiting


def asked(stream: int, number: int = 1, arrived: float = 0.0, **how: Any) -> Asked:
    told: dict[str, Any] = {"budget_s": 1.0, "size": 10}
    return Asked(stream=stream, number=number, arrived=arrived, **told | how)


def waiting(most: int = 4, gather_s: float = 0.01, most_bytes: int = 1000) -> Waiting:
    return Waiting(most=most, gather_s=gather_s, most_bytes=most_bytes)


def numbers(some: list[Asked]) -> list[tuple[Any, int]]:
    return [(one.stream, one.number) for one in some]


def test_nobody_is_due_while_nobody_waits() -> None:
    line = waiting()
    assert line.due_in(5.0) is None
    assert line.soonest is None
    assert line.take() == []
    assert len(line) == 0


def test_a_lone_request_is_due_at_once() -> None:
    line = waiting()
    assert line.put(asked(1)) == []
    assert line.due_in(0.0) == 0.0
    assert numbers(line.take()) == [(1, 1)]
    assert line.due_in(0.0) is None


def test_the_newest_request_of_a_stream_replaces_the_one_that_waits() -> None:
    line = waiting()
    line.put(asked(1, 1))
    line.put(asked(2, 1))
    ((old, answer),) = line.put(asked(1, 2))
    assert (old.stream, old.number) == (1, 1)
    assert isinstance(answer, Stale)
    assert "newer frame" in answer.why
    assert numbers(line.take()) == [(2, 1), (1, 2)]


def test_one_that_is_in_a_pass_is_not_replaced() -> None:
    line = waiting()
    line.put(asked(1, 1))
    line.take()
    assert line.put(asked(1, 2)) == []
    assert numbers(line.take()) == [(1, 2)]


def test_a_pass_takes_those_that_waited_longest() -> None:
    line = waiting(most=2)
    for stream in (5, 3, 4):
        line.put(asked(stream))
    assert numbers(line.take()) == [(5, 1), (3, 1)]
    assert numbers(line.take()) == [(4, 1)]


def test_a_pass_waits_for_as_many_as_took_part_in_the_last_but_not_long() -> None:
    line = waiting()
    for stream in (1, 2, 3):
        line.put(asked(stream))
    line.take()
    line.put(asked(1, 2, arrived=2.0))
    assert line.due_in(2.004) == pytest.approx(0.006)
    line.put(asked(2, 2, arrived=2.004))
    assert line.due_in(2.005) == pytest.approx(0.005)
    assert line.due_in(2.02) == 0.0
    line.put(asked(3, 2, arrived=2.005))
    assert line.due_in(2.005) == 0.0
    line.take()
    line.put(asked(1, 3, arrived=3.0))
    line.take()
    line.put(asked(1, 4, arrived=4.0))
    assert line.due_in(4.0) == 0.0, "now one took part in the last"


def test_a_full_pass_waits_for_nobody() -> None:
    line = waiting(most=2)
    for stream in (1, 2):
        line.put(asked(stream))
    line.take()
    for stream in (1, 2):
        line.put(asked(stream, 2))
    assert line.due_in(0.0) == 0.0


def test_what_waits_longer_than_it_may_is_not_judged() -> None:
    line = waiting()
    line.put(asked(1, arrived=0.0, budget_s=0.5))
    line.put(asked(2, arrived=0.125, budget_s=0.2))
    assert line.soonest == 0.325
    assert line.expire(0.32) == []
    ((late, answer),) = line.expire(0.325)
    assert late.stream == 2
    assert isinstance(answer, Stale)
    assert "200 ms" in answer.why
    assert numbers(line.take()) == [(1, 1)]


def test_nothing_waits_with_no_time_at_all() -> None:
    line = waiting()
    line.put(asked(1, budget_s=0.0))
    assert len(line.expire(0.0)) == 1
    assert line.take() == []


def test_what_is_more_than_fits_is_refused_and_the_newer_one_still_replaces() -> None:
    line = waiting(most_bytes=25)
    assert line.put(asked(1)) == line.put(asked(2)) == []
    ((refused, answer),) = line.put(asked(3))
    assert refused.stream == 3
    assert isinstance(answer, Unavailable)
    assert "full" in answer.why
    told = line.put(asked(1, 2, size=16))
    assert [type(answer) for _, answer in told] == [Stale, Unavailable]
    assert line.bytes == 10
    assert [type(answer) for _, answer in line.put(asked(2, 2, size=25))] == [Stale]
    assert line.bytes == 25


def test_what_is_held_takes_the_room_of_what_waits() -> None:
    line = waiting(most_bytes=25)
    assert line.hold(20)
    assert not line.hold(6)
    ((_, answer),) = line.put(asked(1))
    assert isinstance(answer, Unavailable)
    line.release(20)
    assert (line.put(asked(1)), line.bytes) == ([], 10)


def test_who_ends_is_answered() -> None:
    line = waiting()
    for stream in (1, 2, 3):
        line.put(asked(stream))
    ((gone, answer),) = line.drop([2, 9], "it ended")
    assert (gone.stream, answer) == (2, Unavailable(why="it ended"))
    assert {one.stream for one, _ in line.drop_all("over")} == {1, 3}
    assert (len(line), line.bytes) == (0, 0)


@given(
    st.lists(
        st.tuples(st.sampled_from("ptex"), st.integers(0, 5), st.floats(0.0, 0.2)), max_size=60
    )
)
def test_every_request_has_exactly_one_end(steps: list[tuple[str, int, float]]) -> None:
    line, now, put, ended = waiting(most=3, most_bytes=45), 0.0, [], []
    for number, (step, stream, passed) in enumerate(steps):
        now += passed
        if step == "p":
            one = asked(stream, number, now, budget_s=0.3)
            put.append(one)
            ended += [old for old, _ in line.put(one)]
        elif step == "t":
            taken = line.take()
            assert len({one.stream for one in taken}) == len(taken) <= 3
            ended += taken
        elif step == "e":
            ended += [old for old, _ in line.expire(now)]
        else:
            ended += [old for old, _ in line.drop([stream], "gone")]
        assert line.bytes == 10 * len(line) <= 45
    ended += [old for old, _ in line.drop_all("over")]
    assert sorted(one.number for one in ended) == [one.number for one in put]


def sessions() -> Sessions:
    return Sessions(most=3, most_each=2, idle_s=5.0)


def test_a_connection_finds_its_own_sessions_alone() -> None:
    held = sessions()
    mine = held.add(1, "model", "state", 0.0)
    assert held.find(mine.number, 1, 1.0) is mine
    assert held.find(mine.number, 2, 1.0) is None
    assert held.find(99, 1, 1.0) is None


def test_there_is_room_for_so_many_of_one_connection_and_of_all() -> None:
    held = sessions()
    held.add(1, "model", "state", 0.0)
    assert held.room(1) == ""
    held.add(1, "model", "state", 0.0)
    assert "at most 2 sessions" in held.room(1)
    assert held.room(2) == ""
    held.add(2, "model", "state", 0.0)
    assert "holds 3 sessions" in held.room(2)
    held.end(lambda one: one.owner == 1)
    assert (held.room(1), len(held)) == ("", 1)


def test_a_session_that_nobody_asks_about_ends() -> None:
    held = sessions()
    one, two = (held.add(1, "model", "state", 0.0) for _ in range(2))
    held.find(two.number, 1, 4.0)
    assert held.expire(5.0) == []
    assert held.expire(5.1) == [one]
    assert held.find(one.number, 1, 5.1) is None
    assert held.expire(9.1) == [two]


def test_numbers_of_sessions_are_not_used_twice() -> None:
    held = sessions()
    first = held.add(1, "model", "state", 0.0).number
    held.end(lambda _: True)
    assert held.add(1, "model", "state", 0.0).number != first


def test_a_rate_lets_a_burst_through_and_then_so_many_a_second() -> None:
    rate = Rate(4.0, 0.0)
    assert [rate.allows(0.0) for _ in range(5)] == [True] * 4 + [False]
    assert [rate.allows(0.25), rate.allows(0.25)] == [True, False]
    assert [rate.allows(100.0) for _ in range(5)] == [True] * 4 + [False]
