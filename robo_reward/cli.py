"""The one program: ``robo-reward COMMAND``, its commands found through entry points.

A command is a frozen dataclass (its fields are the flags, its docstring the help) with a
method ``run() -> None``. Any installed package adds one by an entry point in the group
``robo_reward.commands``. Only the command that was asked for is imported. A class with an
attribute ``group`` instead of ``run`` holds further commands: those of that group. One with
``others``, flag → name, leaves the work to another command, that of this name in the group
``robo_reward.others``, where the flag is given: so a package may do what another one names.
"""

import os
import select
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from importlib.metadata import EntryPoint, entry_points
from typing import Protocol

from .errors import InputError, RoboRewardError
from .meeting import leave_it_to_the_first
from .processes import tells

COMMANDS = "robo_reward.commands"
OTHERS = "robo_reward.others"
ORDER = (
    "demo",
    "import",
    "collect",
    "train",
    "adapt",
    "eval",
    "label",
    "status",
    "verify",
    "report",
    "review",
    "filter",
    "clone",
    "refine",
    "serve",
    "bench",
    "doctor",
)


class Command(Protocol):
    """What an entry point of a command group names, once built from the command line."""

    def run(self) -> None:
        """Do the work; raise `RoboRewardError` for whatever the user can mend."""


def find(group: str) -> dict[str, EntryPoint]:
    """Return the entry points of a group by name, the usual order of work first."""
    found = {point.name: point for point in entry_points(group=group)}
    known = [name for name in ORDER if name in found]
    return {name: found[name] for name in known + sorted(set(found) - set(known))}


def choose(group: str, program: str, args: list[str]) -> Command | None:
    """Return the command that ``args`` asks for, built from its flags.

    Prints the list of commands and returns None if no command is named or help is asked for.

    Raises:
        InputError: If the command does not exist; the message lists those that do.
    """
    import tyro

    points = find(group)
    if not args or args[0] in ("-h", "--help"):
        _print_commands(program, points)
        return None
    name = args[0]
    if name not in points:
        raise InputError(f"{program} has no command {name!r}; it has {', '.join(points)}")
    found = points[name].load()
    if hasattr(found, "group"):
        return choose(found.group, f"{program} {name}", args[1:])
    for flag, other in getattr(found, "others", {}).items():
        if any(arg.partition("=")[0] == flag for arg in args[1:]):
            found = _named(OTHERS, other).load()
    command: Command = tyro.cli(found, prog=f"{program} {name}", args=args[1:])
    return command


def _named(group: str, name: str) -> EntryPoint:
    points = find(group)
    if name not in points:
        raise InputError(f"{name} is not installed: no entry point of {group} has that name")
    return points[name]


def _print_commands(program: str, points: dict[str, EntryPoint]) -> None:
    print(f"usage: {program} COMMAND [--help] [flags]\n")
    for name, point in points.items():
        try:
            summary = (point.load().__doc__ or "").strip().splitlines()[0]
        except ImportError as error:  # one broken package must not take the help of all away
            summary = f"cannot be loaded: {error}"
        print(f"  {name:<9} {summary}")
    print(f"\n'{program} COMMAND --help' shows the flags of a command and an example.")


def main(args: list[str] | None = None) -> None:
    """Run the command line; exit with 2 and one sentence for what the user can mend."""
    args = sys.argv[1:] if args is None else args
    command: Command | None = None
    try:
        with _told_once():
            command = choose(COMMANDS, "robo-reward", args)
        if command is not None:
            command.run()
    except RoboRewardError as error:
        name = args[0] if args else ""
        print(f"robo-reward {name}: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    except KeyboardInterrupt:
        print(f"\nrobo-reward: interrupted; {_what_then(command)}", file=sys.stderr)
        raise SystemExit(130) from None
    except BrokenPipeError:
        if not _reader_has_left():
            raise
        raise SystemExit(141) from None  # what a shell says of a program that SIGPIPE ended


@contextmanager
def _told_once() -> Iterator[None]:
    """Let one of several processes say what is wrong with the flags that all were given."""
    if tells():
        yield
        return
    with (
        open(os.devnull, "w") as nowhere,
        redirect_stdout(nowhere),
        redirect_stderr(nowhere),
    ):
        try:
            yield
        except (RoboRewardError, SystemExit) as ended:
            if isinstance(ended, SystemExit) and not ended.code:
                raise
            leave_it_to_the_first()


def _what_then(command: Command | None) -> str:
    """Return what becomes of an interrupted command; one with ``goes_on`` resumes by itself."""
    if hasattr(command, "resume"):
        return "repeat the command with --resume (and without --overwrite) to go on"
    if getattr(command, "goes_on", False):
        return "repeat the command (without --overwrite) to go on"
    return "the command starts over when it is repeated"


def _reader_has_left() -> bool:
    """Return whether nobody reads the output any more (``| head``); if so, write no more of it."""
    output, state = sys.stdout.fileno(), select.poll()
    state.register(output, 0)
    if not any(event & select.POLLERR for _, event in state.poll(0)):
        return False
    os.dup2(os.open(os.devnull, os.O_WRONLY), output)
    return True
