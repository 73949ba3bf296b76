"""Errors that a user can act on.

RoboRewardError
├── InputError        something given to us is wrong: a value, a shape, a name
├── DatasetError      episodes that cannot be read, or are not what they claim
├── CheckpointError   a model directory that is absent, damaged or of another version
├── OutputError       a place we may not, or cannot, write to
└── ServerError       a server that we ask is absent, refuses us, or stopped answering

Every message says what is wrong, where, why, and what to do. The command line prints it
alone and exits with status 2; a traceback therefore always means a fault of ours.
"""


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
