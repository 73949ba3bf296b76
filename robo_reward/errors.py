"""Errors that a user can act on.

RoboRewardError
├── InputError        something given to us is wrong: a value, a shape, a name
├── DatasetError      episodes that cannot be read, or are not what they claim
├── CheckpointError   a model directory that is absent, damaged or of another version
├── OutputError       a place we may not, or cannot, write to
└── ServerError       a server that we ask is absent, refuses us, or stopped answering
    └── NoVerdictError    a reward server judged some frames only, or none

Every message says what is wrong, where, why, and what to do. The command line prints it
alone and exits with status 2; a traceback therefore always means a fault of ours.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .protocols import Verdict


class RoboRewardError(Exception):
    """Base of every error that robo-reward raises on purpose."""


class InputError(RoboRewardError, ValueError):
    """A value, shape or name that we were given is wrong."""


class DatasetError(RoboRewardError):
    """Episodes cannot be read, or are not what they claim to be."""


class CheckpointError(RoboRewardError):
    """A model directory is absent, damaged, incomplete or of another version."""


class OutputError(RoboRewardError):
    """A place cannot be written to, or holds something that we were not told to replace."""


class ServerError(RoboRewardError):
    """A server that we ask is absent, refuses us, or stopped answering."""


class NoVerdictError(ServerError):
    """A reward server gave no verdict on some of the frames that it was asked about."""

    def __init__(self, message: str, verdicts: "Sequence[Verdict | None]") -> None:
        """Say why.

        Args:
            message: Why, in a sentence.
            verdicts: What is known of each frame, in their order; None: nothing.
        """
        super().__init__(message)
        self.verdicts = list(verdicts)
