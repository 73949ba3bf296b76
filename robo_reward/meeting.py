"""Where the processes of a run tell one another what they found: by a deadline, and errors too.

All come to the same meetings in the same order, and whatever is decided is decided on what was told
there, so that none waits for what the others do not do. A process that fails says so at its next
meeting; one that does not come is named by those who did. Who has come stands in the store in which
the processes found each other, so that every one can tell who is missing; what is told goes through
their group.
"""

import math
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NoReturn

from .errors import RoboRewardError
from .processes import ALONE, Processes

if TYPE_CHECKING:
    from torch import nn

GRACE_S = 10.0
"""Seconds that a process which fails waits for the others, so that the reason is told once."""
HERE = b" "
"""What stands in the store of one that came and has not failed; else why it failed."""


class StuckError(RoboRewardError):
    """A process did not come to a meeting."""


class AgreedError(RoboRewardError):
    """Why one of the processes failed, known to all."""


class Meeting:
    """Meetings of the processes of a run; of one alone they cost nothing."""

    def __init__(self, processes: Processes = ALONE, *, patience: float = math.inf) -> None:
        """Meet others.

        Args:
            processes: Who, all of them at the same time.
            patience: Seconds that they wait for one another.
        """
        self.processes, self.patience = processes, patience
        self._met = 0
        self._store: Any = None
        if processes.count > 1:
            from torch.distributed.distributed_c10d import _get_default_store

            self._store = _get_default_store()

    def told[T](self, mine: T, to: str) -> list[T]:
        """Return what every process tells, in the order of their numbers.

        Args:
            mine: What this one tells; anything that can be pickled.
            to: What for, as an error would name it: "share the rollouts of update 3".

        Raises:
            AgreedError: If one has failed.
            StuckError: If one did not come in time.
        """
        if self._store is None:
            return [mine]
        self._come(HERE, to, self.patience)
        from torch import distributed

        found: list[Any] = [None] * self.processes.count
        with self._reaching(to):
            distributed.all_gather_object(found, mine)
        return found

    def add_gradients(self, parameters: "Iterable[nn.Parameter]", to: str) -> None:
        """Replace gradients by their sums over all processes; errors as `told`."""
        with self._reaching(to):
            self.processes.add_gradients(parameters)

    @contextmanager
    def _reaching(self, to: str) -> Iterator[None]:
        """Tell of a connection that breaks, or of a time that is up, in one sentence."""
        import torch

        try:
            yield
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            raise StuckError(
                f"process {self.processes.number} lost the others when it was to {to} ({reason}): "
                "look at what they printed last"
            ) from error

    def wait(self, to: str) -> None:
        """Wait until all have come; errors as `told`."""
        self.told(None, to)

    @contextmanager
    def ending(self) -> Iterator[None]:
        """Let an error of one process end all, told once: by the first if all can be reached.

        Raises:
            RoboRewardError: What was raised here or elsewhere.
            SystemExit: With 2, where the first process tells it.
        """
        try:
            yield
        except RoboRewardError as error:
            if self._store is None:
                raise
            known = error if isinstance(error, AgreedError | StuckError) else self._told_of(error)
            if isinstance(known, AgreedError) and not self.processes.first:
                leave_it_to_the_first()
            raise known from None

    def _told_of(self, error: RoboRewardError) -> RoboRewardError:
        """Tell the others of an error; return what all agree on, or it if they do not come."""
        try:
            self._come(str(error).encode() or HERE, "end", GRACE_S)
        except AgreedError as agreed:
            return agreed
        except StuckError:
            pass
        return error

    def _come(self, why: bytes, to: str, patience: float) -> None:
        numbers = range(self.processes.count)
        keys = [f"meeting/{self._met}/{number}" for number in numbers]
        told: list[str] = []
        try:
            self._store.set(keys[self.processes.number], why)
            self._await(keys, to, patience)
            told = [self._store.get(key).decode() for key in keys]
            if self._met:  # whoever is here has read all of the meeting before
                self._store.delete_key(f"meeting/{self._met - 1}/{self.processes.number}")
        except RuntimeError as error:
            raise StuckError(
                f"process {self.processes.number} waited to {to}, and the one that keeps the "
                "meetings is gone: look at what the others printed"
            ) from error
        self._met += 1
        failed = [number for number in numbers if told[number] != HERE.decode()]
        if failed:
            raise AgreedError(_sentence(told, failed))

    def _await(self, keys: Sequence[str], to: str, patience: float) -> None:
        try:
            self._store.wait(list(keys), timedelta(seconds=patience))
        except RuntimeError as error:  # whatever the kind of store raises when time is up
            missing = [n for n, key in enumerate(keys) if not self._store.check([key])]
            if not missing:
                return
            who = ", ".join(map(str, missing))
            raise StuckError(
                f"process {who} did not come within {patience:g} s to {to}, so nothing goes on: "
                "look at what it printed last; if it was still at work, give more --peer-deadline"
            ) from error


def leave_it_to_the_first() -> NoReturn:
    """End with status 2 and say nothing, after the first process had time to say it.

    A launcher ends all as soon as one has failed, so whoever says nothing does not go first.
    """
    time.sleep(GRACE_S)
    raise SystemExit(2)


def _sentence(told: Sequence[str], failed: Sequence[int]) -> str:
    """Return why processes failed: what all say once, else who says what."""
    reasons = {told[number] for number in failed}
    if len(failed) == len(told) and len(reasons) == 1:
        return told[0]
    return "; ".join(f"process {number}: {told[number]}" for number in failed)
