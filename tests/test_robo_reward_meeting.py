"""Meetings of processes: what is told, errors that are told once, and who did not come."""

import json
from pathlib import Path

import pytest
from launching import launch

from robo_reward.cli import main
from robo_reward.errors import InputError
from robo_reward.meeting import GRACE_S, Meeting, leave_it_to_the_first
from robo_reward.processes import ALONE, Processes, tells

SCRIPT = """
import json
import torch
from time import sleep as nap
from robo_reward.errors import InputError
from robo_reward import meeting as meetings
from robo_reward.meeting import Meeting
from robo_reward.processes import Processes
meetings.leave_it_to_the_first = lambda: sys.exit(2)
meeting = Meeting(Processes(number=number, count=count, device="cpu"), patience=60)
found = {}

def outcome(name, work):
    try:
        with meeting.ending():
            found[name] = work()
    except (Exception, SystemExit) as error:
        found[name] = [type(error).__name__, str(error)]

def fail(who, why="no disk"):
    def work():
        if number in who:
            raise InputError(why)
        return meeting.told(number, "go on")
    return work

outcome("told", lambda: [meeting.told((number, "x"), "go on") for _ in range(3)])
outcome("one fails", fail([1]))
outcome("all fail", fail([0, 1]))
outcome("each fails otherwise", fail([0, 1], f"no disk {number}"))
def broken(*_):
    raise RuntimeError("Connection closed by peer")

given, distributed.all_reduce = distributed.all_reduce, broken
weight = torch.nn.Parameter(torch.ones(1))
outcome("lost", lambda: meeting.add_gradients([weight], "take update 3, step 1"))
distributed.all_reduce = given
outcome("goes on", lambda: meeting.told(number, "go on"))
meeting.patience = 0.5
if number == 1:
    for _ in range(1200):
        if os.path.exists(f"{place}/over"):
            break
        nap(0.05)
else:
    outcome("stuck", lambda: meeting.told(number, "take update 3, step 1"))
    open(f"{place}/over", "w").close()
with open(f"{place}/{number}.json", "w") as file:
    json.dump(found, file)
"""


def test_what_is_told_what_fails_and_who_is_missing(tmp_path: Path) -> None:
    ended = launch(SCRIPT, tmp_path)
    assert [one.status for one in ended] == [0, 0], ended
    first, second = (json.loads((tmp_path / f"{n}.json").read_text()) for n in range(2))
    assert first["told"] == second["told"] == [[[0, "x"], [1, "x"]]] * 3
    assert first["one fails"] == ["AgreedError", "process 1: no disk"]
    assert first["all fail"] == ["AgreedError", "no disk"]
    assert first["each fails otherwise"][1] == "process 0: no disk 0; process 1: no disk 1"
    for name in ("one fails", "all fail", "each fails otherwise"):
        assert second[name] == ["SystemExit", "2"]
    for number, found in enumerate((first, second)):
        assert found["lost"][0] == "StuckError"
        said = f"process {number} lost the others when it was to take update 3, step 1 (Connection"
        assert found["lost"][1].startswith(said)
    assert first["goes on"] == second["goes on"] == [0, 1]
    assert first["stuck"][0] == "StuckError"
    assert first["stuck"][1].startswith(
        "process 1 did not come within 0.5 s to take update 3, step 1, so nothing goes on: "
    )


def test_alone_nobody_is_waited_for_and_errors_stay_what_they_are() -> None:
    meeting = Meeting()
    assert meeting.told("x", "go on") == ["x"]
    meeting.wait("go on")
    with pytest.raises(InputError, match=r"^no disk$"), meeting.ending():
        raise InputError("no disk")


def test_whoever_says_nothing_leaves_time_to_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr("time.sleep", slept.append)
    with pytest.raises(SystemExit) as ended:
        leave_it_to_the_first()
    assert ended.value.code == 2
    assert slept == [GRACE_S]


def test_flags_that_all_were_given_are_refused_once(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("time.sleep", lambda _: None)
    monkeypatch.setenv("WORLD_SIZE", "2")
    given = ["refine", "--policy", "p", "--env", "e", "--out", "o"]
    for flags in (["--gamma", "3"], ["--no-such-flag"]):
        for number, told in (("1", False), ("0", True)):
            monkeypatch.setenv("RANK", number)
            with pytest.raises(SystemExit) as ended:
                main(given + flags)
            assert ended.value.code == 2
            assert bool(capfd.readouterr().err) == told


def test_help_is_shown_once(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    with pytest.raises(SystemExit) as ended:
        main(["refine", "--help"])
    assert not ended.value.code
    assert not capfd.readouterr().out


def test_several_on_a_machine_share_its_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(12)))
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    assert ALONE.workers(None, most=2) is None
    assert ALONE.workers(5, most=2) == 5
    several = Processes(count=8)
    assert several.workers(None, most=16) == 3
    assert several.workers(None, most=2) == 2
    assert several.workers(0, most=16) == 0
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "40")
    assert several.workers(None, most=16) == 1


@pytest.mark.parametrize(
    ("told", "expected"),
    [({}, True), ({"RANK": "1"}, True), ({"RANK": "1", "WORLD_SIZE": "2"}, False)],
)
def test_one_tells_what_all_find_alike(
    told: dict[str, str], expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    assert tells() is expected
