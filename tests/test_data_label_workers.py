"""Processes that share a run: they end as they should, also when they do not."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from label_kills import workers
from test_data_label import HERE, checkpoint

from data.compaction import FILE
from data.label import Label
from data.label_workers import MOST_STARTS, run_workers
from robo_reward.errors import DatasetError, OutputError

pytestmark = pytest.mark.usefixtures("one_thread")


def nothing() -> None:
    """Look at nothing."""


def say(told: Any, number: int) -> list[str]:
    return [f"{told}"]


def refuse(told: Any, number: int) -> list[str]:
    if number == 1:
        raise DatasetError("it is damaged")
    return []


def die_once(told: Path, number: int) -> list[str]:
    mark = told / f"{number}"
    if not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return [f"worker {number} came back"]


def die(told: Path, number: int) -> list[str]:
    (told / f"{os.getpid()}").touch()
    os.kill(os.getpid(), signal.SIGKILL)
    return []


def test_remarks_come_once() -> None:
    assert run_workers(say, "all is well", count=2, done=lambda: 0, on_look=nothing) == [
        "all is well"
    ]


def test_an_error_of_one_is_raised_when_all_have_ended() -> None:
    with pytest.raises(DatasetError, match="it is damaged"):
        run_workers(refuse, None, count=2, done=lambda: 0, on_look=nothing)


def refuse_at_length(told: Any, number: int) -> list[str]:
    raise DatasetError("it is damaged " * 20_000)


def test_an_error_may_be_longer_than_a_pipe() -> None:
    with pytest.raises(DatasetError, match="it is damaged"):
        run_workers(refuse_at_length, None, count=1, done=lambda: 0, on_look=nothing)


def test_a_worker_that_dies_is_replaced(tmp_path: Path) -> None:
    told = run_workers(die_once, tmp_path, count=2, done=lambda: 0, on_look=nothing)
    assert sorted(told) == ["worker 0 came back", "worker 1 came back"]


@pytest.mark.slow
def test_workers_that_die_for_ever_are_given_up(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"5 workers died .* \(signal 9\) and nothing was"):
        run_workers(die, tmp_path, count=1, done=lambda: 0, on_look=nothing)
    assert len(list(tmp_path.iterdir())) == MOST_STARTS


def test_two_workers_make_what_one_makes(tiny_dataset: Path, tmp_path: Path) -> None:
    model = checkpoint(tmp_path / "model")
    one = Label(dataset=str(tiny_dataset), model=model, out=tmp_path / "one", decode=HERE)
    two = replace(one, out=tmp_path / "two", workers=2)
    one.run()
    two.run()
    assert (one.out / FILE).read_bytes() == (two.out / FILE).read_bytes()


def test_shares_of_a_world_meet_in_one_place(tiny_dataset: Path, tmp_path: Path) -> None:
    """One after the other: the first does all, the second finds it done."""
    model = checkpoint(tmp_path / "model")
    command = Label(
        dataset=str(tiny_dataset), model=model, out=tmp_path / "out", world=2, decode=HERE
    )
    replace(command, rank=1).run()
    before = (command.out / FILE).stat().st_mtime_ns
    replace(command, rank=0).run()
    assert (command.out / FILE).stat().st_mtime_ns == before


WAITING = """
import signal
from data.label_workers import run_workers
from {module} import wait

if __name__ == "__main__":
    # a shell lets what it runs in the background ignore this one
    signal.signal(signal.SIGINT, signal.default_int_handler)
    run_workers(wait, None, count=2, done=lambda: 0, on_look=lambda: None)
"""


def wait(told: Any, number: int) -> list[str]:
    time.sleep(120)
    return []


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGINT])
def test_workers_end_with_whoever_started_them(tmp_path: Path, end: signal.Signals) -> None:
    script = tmp_path / "waiting.py"
    script.write_text(WAITING.format(module=Path(__file__).stem))
    path = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    run = subprocess.Popen(
        [sys.executable, str(script)],
        env=os.environ | {"PYTHONPATH": path},
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 60
    try:
        while len(workers(run.pid)) < 2 and time.monotonic() < deadline:
            time.sleep(0.05)
        begun = workers(run.pid)
        assert len(begun) == 2
        time.sleep(1.0)
        run.send_signal(end)
        run.wait(60)
        while any(Path(f"/proc/{pid}").exists() for pid in begun) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not any(Path(f"/proc/{pid}").exists() for pid in begun)
    finally:
        run.kill()
        run.wait()
