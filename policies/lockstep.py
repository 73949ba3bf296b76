"""How several processes begin one run of refinement, and hear of each other's losses."""

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

from torch import nn

from data.places import written
from robo_reward.errors import InputError
from robo_reward.meeting import Meeting

from .run_state import begin_or_resume, changing, forget, identity

if TYPE_CHECKING:
    from .refining import Refinement


def begin_together(run: "Refinement") -> None:
    """Begin a run, or go on with the one in ``--out``; demonstrations are decoded once.

    Raises:
        RoboRewardError: If it cannot go on, the demonstrations cannot be read, or processes do not
            begin alike.
    """
    command, meeting = run.command, run.meeting
    if command.overwrite and run.processes.first:
        with written(command.out):
            forget(command.out)
    meeting.wait("begin")
    begin_or_resume(run)
    _check_alike(run)
    showing = run.setting.showing
    if showing is not None:
        for first in (True, False):  # what the first process has decoded the others only find
            if first == run.processes.first:
                showing.fill()
            meeting.wait("have the demonstrations")


def _check_alike(run: "Refinement") -> None:
    """Refuse processes that would not make the same updates.

    Raises:
        InputError: If a setting, what they go on from, or a weight differs.
    """
    if run.processes.count == 1:
        return
    mine = identity(run) | {
        "rollouts": run.command.rollouts,
        "reward model": run.setting.reward_fingerprint,
        "state in --out": run.state.updates,
        "weights": _digest(run.learner.policy),
    }
    told = run.meeting.told(mine, "begin alike")
    other = [name for name in mine if any(one[name] != told[0][name] for one in told)]
    if other:
        raise InputError(
            f"the processes differ in {', '.join(other)}: give all the same flags and files, and "
            "an --out on a disk that they share"
        )


def _digest(policy: nn.Module) -> str:
    """Return a hash of what is trained of a policy."""
    found = hashlib.sha256()
    for value in changing(policy).values():
        found.update(value.detach().cpu().contiguous().numpy().tobytes())
    return found.hexdigest()


class Losses:
    """Why processes that play were lost, those of all learners."""

    def __init__(self, meeting: Meeting) -> None:
        self._meeting, self._told = meeting, 0
        self.known: list[str] = []
        """All that were told so far, by whichever process."""

    def tell(self, mine: Sequence[str]) -> list[str]:
        """Return all that are known, after telling those that this process has had so far."""
        new, self._told = list(mine[self._told :]), len(mine)
        told = self._meeting.told(new, "tell of lost environments")
        for number, reasons in enumerate(told):
            by = f"process {number}: " if len(told) > 1 else ""
            self.known += [f"{by}{reason}" for reason in reasons]
        return self.known
