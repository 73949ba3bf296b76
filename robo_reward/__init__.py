"""Progress judged from several cameras, and the reward made of it.

``robo_reward.load(directory)`` gives a trained model. Names are loaded when they are first
used, so that importing `robo_reward` costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .checkpoint import load
    from .errors import RoboRewardError
    from .model import Labels, Model
    from .protocols import Backbone, ProgressModel, References, Verdict, Views

_HOME = {
    "Backbone": "protocols",
    "Labels": "model",
    "Model": "model",
    "ProgressModel": "protocols",
    "References": "protocols",
    "RoboRewardError": "errors",
    "Verdict": "protocols",
    "Views": "protocols",
    "load": "checkpoint",
}

__all__ = [
    "Backbone",
    "Labels",
    "Model",
    "ProgressModel",
    "References",
    "RoboRewardError",
    "Verdict",
    "Views",
    "load",
]


def __getattr__(name: str) -> object:
    """Import the module of a public name the first time it is asked for."""
    if name not in _HOME:
        raise AttributeError(f"module 'robo_reward' has no attribute {name!r}")
    return getattr(import_module(f".{_HOME[name]}", __name__), name)
