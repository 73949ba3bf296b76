"""The reward model as a server, for several programs at once: ``robo-reward serve``.

``robo_reward.serving.connect(address)`` gives a `robo_reward.ProgressModel` that asks it.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .answers import Answer, Scored, Stale, Unavailable
    from .client import ServedModel
    from .connecting import connect

_HOME = {
    "Answer": "answers",
    "Scored": "answers",
    "ServedModel": "client",
    "Stale": "answers",
    "Unavailable": "answers",
    "connect": "connecting",
}

__all__ = ["Answer", "Scored", "ServedModel", "Stale", "Unavailable", "connect"]


def __getattr__(name: str) -> object:
    """Import the module of a public name the first time it is asked for."""
    if name not in _HOME:
        raise AttributeError(f"module 'robo_reward.serving' has no attribute {name!r}")
    return getattr(import_module(f".{_HOME[name]}", __name__), name)
