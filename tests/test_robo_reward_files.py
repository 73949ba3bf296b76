"""Files appear whole or not at all; killed writers leave nothing for ever."""

import os
import stat
from pathlib import Path

import pytest

from robo_reward.files import TEMPORARY, finite, left_behind, replacing, write_atomically


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def test_a_file_is_replaced_and_nothing_else_is_left(tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    for content in (b"old", b"new"):
        write_atomically(path, content)
        assert path.read_bytes() == content
    assert names(tmp_path) == ["page.html"]


def test_the_old_file_stays_until_the_end_and_after_a_failure(tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    path.write_text("old")

    def interrupted() -> None:
        with replacing(path) as temporary:
            temporary.write_text("half")
            assert path.read_text() == "old"
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert path.read_text() == "old"
    assert names(tmp_path) == ["page.html"]


def test_two_writers_of_one_file_do_not_meet(tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    with replacing(path) as one, replacing(path) as two:
        assert one != two
        one.write_text("one")
        two.write_text("two")
    assert path.read_text() == "one"


def test_others_may_read_what_the_umask_lets_them(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        write_atomically(tmp_path / "config.json", b"{}")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "config.json").stat().st_mode) == 0o644


def test_what_a_killed_writer_left_is_removed_by_the_next(tmp_path: Path, gone: int) -> None:
    running = f"{TEMPORARY}{os.getppid()}-12ab-config.json"
    for name in (f"{TEMPORARY}{gone}-12ab-model.safetensors", running, ".bashrc"):
        (tmp_path / name).touch()
    write_atomically(tmp_path / "config.json", b"{}")
    assert names(tmp_path) == sorted([".bashrc", running, "config.json"])


def test_what_is_no_number_becomes_null() -> None:
    nan = float("nan")
    told = finite({"a": [nan, 1.5, {"b": -float("inf")}], "c": (1, "NaN", None), "d": True})
    assert told == {"a": [None, 1.5, {"b": None}], "c": [1, "NaN", None], "d": True}


def test_only_the_names_of_processes_that_are_gone_are_left_behind(
    tmp_path: Path, gone: int
) -> None:
    assert left_behind(tmp_path / "nowhere", "d.old-") == []
    for name in (f"d.old-{gone}", f"d.old-{os.getpid()}", "d.old-1", "d.old-mine", f"e.old-{gone}"):
        (tmp_path / name).mkdir()
    (tmp_path / f"d.old-{10**30}").mkdir()
    left = [f"d.old-{gone}", f"d.old-{10**30}"]
    assert [path.name for path in left_behind(tmp_path, "d.old-")] == sorted(left)
