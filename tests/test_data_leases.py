"""Leases: one holder at a time, dead ones replaced, by hand-moved clocks."""

from pathlib import Path

import pytest
from test_data_label_store import gone

from data.label_store import DirectoryStore, this_process
from data.leases import FOLDER, Lease, Leases, holders
from robo_reward.errors import InputError, OutputError


class Clock:
    """Time that a test moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def store(tmp_path: Path) -> DirectoryStore:
    return DirectoryStore(tmp_path)


def leases(store: DirectoryStore, clock: Clock | None = None) -> Leases:
    return Leases(store, timeout_s=10.0, clock=clock or Clock())


def foreign(store: DirectoryStore, **changes: object) -> Lease:
    """A lease that somebody on another machine holds."""
    lease = Lease(**({"process": "elsewhere-1-7", "token": "theirs"} | changes))  # type: ignore[arg-type]
    store.replace(f"{FOLDER}/a", lease.content)
    return lease


def test_a_unit_has_one_holder(store: DirectoryStore) -> None:
    one, other = leases(store), leases(store)
    assert one.claim("a") == Lease(process=this_process(), token=one.token)
    assert other.claim("a") is None
    assert other.claim("b") is not None
    assert {unit: lease.token for unit, lease in holders(store).items()} == {
        "a": one.token,
        "b": other.token,
    }
    one.release("a")
    assert other.claim("a") is not None


def test_a_process_of_this_machine_that_died_is_replaced_at_once(store: DirectoryStore) -> None:
    foreign(store, process=gone(), deaths=1, begun=True)
    taken = leases(store).claim("a")
    assert taken is not None
    assert taken.deaths == 2


def test_a_silent_holder_elsewhere_is_replaced_after_the_timeout(store: DirectoryStore) -> None:
    clock = Clock()
    mine = leases(store, clock)
    foreign(store)
    assert mine.claim("a") is None
    clock.now = 9.0
    foreign(store, beat=1)
    assert mine.claim("a") is None  # it moved
    clock.now = 18.0
    assert mine.claim("a") is None  # silent for 9 s
    clock.now = 20.0
    taken = mine.claim("a")
    assert taken is not None
    assert taken.deaths == 0  # it was put by, and not begun


def test_who_begins_a_unit_says_so(store: DirectoryStore) -> None:
    mine = leases(store)
    mine.claim("a")
    mine.begin("a")
    mine.beat()
    assert (holders(store)["a"].begun, holders(store)["a"].beat) == (True, 1)
    mine.begin("b")  # not held: somebody else has it
    assert list(holders(store)) == ["a"]


def test_heartbeats_go_on_and_notice_what_was_taken_over(store: DirectoryStore) -> None:
    mine = leases(store)
    mine.claim("a")
    mine.claim("b")
    mine.beat()
    mine.beat()
    assert {unit: lease.beat for unit, lease in holders(store).items()} == {"a": 2, "b": 2}
    foreign(store)
    store.remove(f"{FOLDER}/b")
    mine.beat()
    assert mine.held == {}
    mine.release("a")
    assert holders(store)["a"].token == "theirs"


def test_what_is_held_is_given_back_at_the_end(store: DirectoryStore) -> None:
    with leases(store) as mine:
        mine.claim("a")
        assert list(holders(store)) == ["a"]
    assert holders(store) == {}


def test_a_damaged_lease_is_taken_over_after_the_timeout(store: DirectoryStore) -> None:
    clock = Clock()
    mine = leases(store, clock)
    store.replace(f"{FOLDER}/a", b"{")
    assert mine.claim("a") is None
    clock.now = 11.0
    assert mine.claim("a") is not None


def test_a_disk_that_is_full_for_a_while_does_not_end_the_heartbeat(
    store: DirectoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = Leases(store, timeout_s=0.04)
    calls = []

    def full() -> None:
        calls.append(1)
        raise OutputError("no space")

    monkeypatch.setattr(mine, "beat", full)
    with mine:
        assert mine._closed.wait(0.0) is False
        while len(calls) < 3:
            assert mine._thread.is_alive()


@pytest.mark.parametrize("timeout", [0.0, -1.0, float("nan"), float("inf")])
def test_a_timeout_that_is_no_time_is_refused(store: DirectoryStore, timeout: float) -> None:
    with pytest.raises(InputError, match="--lease-timeout"):
        Leases(store, timeout_s=timeout)
