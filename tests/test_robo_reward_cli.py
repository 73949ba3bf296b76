"""The command line: quick help, one sentence and status 2 for what the user can mend."""

import os
import subprocess
import sys
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import ClassVar

import pytest

from robo_reward import cli
from robo_reward.errors import InputError

HELP = """
import contextlib, io, sys
from robo_reward.cli import COMMANDS, find, main

def told(args):
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        try:
            main(args)
        except SystemExit as stop:
            assert not stop.code, (args, stop.code)
    heavy = {"torch", "transformers", "lerobot", "mujoco"} & set(sys.modules)
    assert not heavy, f"{args} imports {sorted(heavy)}"
    return out.getvalue()

def every(group, before):
    for name, point in find(group).items():
        text = told([*before, name, "--help"])
        assert "usage" in text, (name, text)
        found = point.load()
        if hasattr(found, "group"):
            every(found.group, [*before, name])

listed = told(["--help"])
assert listed == told([]) == told(["-h"])
assert "cannot be loaded" not in listed, listed
for name in find(COMMANDS):
    assert f"  {name} " in listed, name
every(COMMANDS, [])
"""


@dataclass(frozen=True)
class Greet:
    """Say hello.

    Example: robo-reward greet --name you
    """

    name: str = "nobody"

    def run(self) -> None:
        if self.name == "stop":
            raise KeyboardInterrupt
        if self.name == "nobody":
            raise InputError("there is nobody to greet; give --name")
        print(f"hello {self.name}")


@dataclass(frozen=True)
class Sing(Greet):
    """Say hello, or sing."""

    others: ClassVar[dict[str, str]] = {"--song": "song", "--dance": "dance"}


@dataclass(frozen=True)
class Song:
    """Sing.

    Example: robo-reward sing --song la
    """

    song: str

    def run(self) -> None:
        print(self.song * 3)


class Many:
    """Hold further commands."""

    group = "tests.more"


@pytest.fixture(autouse=True)
def commands(monkeypatch: pytest.MonkeyPatch) -> None:
    """Install three commands in this process; one of them is broken."""
    here = f"{__name__}:Greet"
    points = {
        cli.COMMANDS: {
            "greet": here,
            "many": f"{__name__}:Many",
            "sing": f"{__name__}:Sing",
            "absent": "a_package_that_is_not_there:Absent",
        },
        "tests.more": {"greet": here},
        cli.OTHERS: {"song": f"{__name__}:Song"},
    }

    def entry_points(group: str) -> list[EntryPoint]:
        return [EntryPoint(name, value, group) for name, value in points[group].items()]

    monkeypatch.setattr(cli, "entry_points", entry_points)


def test_no_help_imports_torch() -> None:
    subprocess.run([sys.executable, "-c", HELP], check=True, timeout=300)


def test_an_unknown_command_exits_with_two_and_lists_the_commands() -> None:
    program = Path(sys.executable).parent / "robo-reward"
    done = subprocess.run(
        [str(program), "nosuch", "--flag"], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("robo-reward nosuch: robo-reward has no command 'nosuch'; it has")
    assert "train" in done.stderr
    assert "label" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_error_of_the_user_exits_with_two_without_a_traceback(tmp_path: Path) -> None:
    flags = ["label", "--model", "nowhere", "--dataset", "neither", "--out", "new"]
    code = f"from robo_reward.cli import main; main({flags})"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "HF_HUB_OFFLINE": "1", "TERM": "dumb"},
        timeout=300,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.startswith("robo-reward label: ")
    assert not (tmp_path / "new").exists()


def test_a_command_runs_with_its_flags(capsys: pytest.CaptureFixture[str]) -> None:
    cli.main(["greet", "--name", "Ada"])
    assert capsys.readouterr().out == "hello Ada\n"


def test_a_command_of_a_group_runs(capsys: pytest.CaptureFixture[str]) -> None:
    cli.main(["many", "greet", "--name", "Ada"])
    assert capsys.readouterr().out == "hello Ada\n"


def test_what_the_user_can_mend_is_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.main(["greet"])
    assert stop.value.code == 2
    told = capsys.readouterr().err
    assert told == "robo-reward greet: there is nobody to greet; give --name\n"


def test_an_unknown_flag_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.main(["greet", "--nmae", "Ada"])
    assert stop.value.code == 2
    assert "--nmae" in capsys.readouterr().err


@pytest.mark.parametrize("flag", [["--song", "la"], ["--song=la"]])
def test_a_flag_may_leave_the_work_to_another_command(
    capsys: pytest.CaptureFixture[str], flag: list[str]
) -> None:
    cli.main(["sing", *flag])
    assert capsys.readouterr().out == "lalala\n"
    cli.main(["sing", "--name", "Ada"])
    assert capsys.readouterr().out == "hello Ada\n"
    with pytest.raises(SystemExit) as stop:
        cli.main(["sing", "--dance", "on"])
    assert stop.value.code == 2
    assert "dance is not installed" in capsys.readouterr().err


def test_an_interruption_says_how_to_go_on(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.main(["greet", "--name", "stop"])
    assert stop.value.code == 130
    assert "interrupted; the command starts over" in capsys.readouterr().err


def test_an_interrupted_command_that_resumes_says_so(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Greet, "resume", False, raising=False)
    with pytest.raises(SystemExit):
        cli.main(["greet", "--name", "stop"])
    assert "repeat the command with --resume" in capsys.readouterr().err
    monkeypatch.delattr(Greet, "resume")
    monkeypatch.setattr(Greet, "goes_on", True, raising=False)
    with pytest.raises(SystemExit):
        cli.main(["greet", "--name", "stop"])
    assert "repeat the command (without --overwrite) to go on" in capsys.readouterr().err


@pytest.mark.parametrize("args", [[], ["--help"], ["-h"]])
def test_help_lists_every_command_even_when_one_is_broken(
    args: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    cli.main(args)
    told = capsys.readouterr().out
    assert "greet     Say hello." in told
    assert "many      Hold further commands." in told
    assert "absent    cannot be loaded: No module named 'a_package_that_is_not_there'" in told


def test_help_of_a_group_lists_its_commands(capsys: pytest.CaptureFixture[str]) -> None:
    cli.main(["many"])
    assert "usage: robo-reward many COMMAND" in capsys.readouterr().out


def test_an_unknown_command_of_a_group_lists_those_of_the_group(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit):
        cli.main(["many", "nosuch"])
    told = capsys.readouterr().err
    assert "robo-reward many has no command 'nosuch'; it has greet" in told


def test_a_reader_that_leaves_early_leaves_no_traceback() -> None:
    """``robo-reward train --help | head -1`` ends quietly, as other programs do."""
    command = [sys.executable, "-c", "from robo_reward.cli import main; main(['train', '--help'])"]
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, text=True, timeout=120)
    os.close(writing)
    assert done.returncode == 141
    assert done.stderr == ""


def test_a_pipe_that_breaks_elsewhere_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the reader of the output may leave: a worker's broken pipe is an error."""

    def broken(*_: object) -> None:
        raise BrokenPipeError("a worker's")

    monkeypatch.setattr(cli, "choose", broken)
    with pytest.raises(BrokenPipeError, match="a worker's"):
        cli.main(["train"])
