"""A place for units: a name gets its content once, whole, whoever writes and dies."""

import errno
import os
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from data.label_store import ASIDE, DirectoryStore, is_dead, this_process
from robo_reward.errors import OutputError


@pytest.fixture
def store(tmp_path: Path) -> DirectoryStore:
    return DirectoryStore(tmp_path / "place")


def gone() -> str:
    """The name of a process of this machine that has ended."""
    code = "from data.label_store import this_process; print(this_process())"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return run.stdout.strip()


def test_nothing_is_there_before_it_is_written(store: DirectoryStore) -> None:
    assert store.names("units") == []
    assert store.read("units/a") is None
    store.remove("units/a")
    assert not store.root.exists()


def test_a_name_gets_its_content_once(store: DirectoryStore) -> None:
    assert store.create("units/a", b"first")
    assert not store.create("units/a", b"second")
    assert store.read("units/a") == b"first"
    store.replace("units/a", b"third")
    assert store.read("units/a") == b"third"
    assert store.names("units") == ["a"]
    store.remove("units/a")
    assert store.names("units") == []
    assert list((store.root / ASIDE).iterdir()) == []


def test_what_must_last_is_forced_to_the_disk(
    store: DirectoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    forced: list[int] = []
    monkeypatch.setattr(os, "fsync", forced.append)
    store.create("units/a", b"first")
    store.replace("units/a", b"second")
    assert len(forced) == 4  # each content, and the name of each
    store.create("leases/a", b"first", lasting=False)
    store.replace("leases/a", b"second", lasting=False)
    assert len(forced) == 4


def test_of_many_writers_one_wins(store: DirectoryStore) -> None:
    won: list[int] = []
    start = threading.Barrier(8)

    def write(number: int) -> None:
        start.wait(10)
        if store.create("units/a", bytes([number]) * 100_000):
            won.append(number)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(won) == 1
    assert store.read("units/a") == bytes(won) * 100_000


def test_what_the_dead_left_aside_is_removed_and_no_other(store: DirectoryStore) -> None:
    aside = store.root / ASIDE
    aside.mkdir(parents=True)
    elsewhere = f"another-host-1-{os.getpid() + 1}-12345678"
    for name in (f"{gone()}-12345678", f"{this_process()}-12345678", elsewhere):
        (aside / name).write_bytes(b"half")
    store.sweep()
    left = sorted(path.name for path in aside.iterdir())
    assert left == sorted([f"{this_process()}-12345678", elsewhere])


def test_processes_of_other_machines_are_never_known_to_be_dead() -> None:
    assert is_dead(gone())
    assert not is_dead(this_process())
    assert not is_dead("another-host-1-999999999")
    assert not is_dead("")
    assert not is_dead(this_process().rpartition("-")[0] + "-1")


@pytest.mark.parametrize(
    ("code", "words"),
    [(errno.EPERM, "has no hard links"), (errno.ENOSPC, "No space left on device")],
)
def test_a_disk_that_fails_is_told_in_a_sentence(
    store: DirectoryStore, monkeypatch: pytest.MonkeyPatch, code: int, words: str
) -> None:
    def fail(*names: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "link", fail)
    with pytest.raises(OutputError, match=re.escape(words)):
        store.create("units/a", b"content")
    assert store.read("units/a") is None
    assert list((store.root / ASIDE).iterdir()) == []


def test_a_place_that_is_a_file_is_told_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    store = DirectoryStore(tmp_path / "file")
    with pytest.raises(OutputError, match="cannot write"):
        store.create("units/a", b"content")
    with pytest.raises(OutputError, match=r"cannot write .*Not a directory"):
        store.names("units")
