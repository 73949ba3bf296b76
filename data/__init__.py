"""Episodes in, labels out: recordings, LeRobot datasets, frame cache, labelling, reports.

Names are loaded when they are first used, so that importing `data` costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .cache import FrameCache
    from .episodes import Episode, EpisodeDataset, Subtask, Views
    from .layout import DatasetLayout
    from .lerobot_dataset import LeRobotEpisodes, open_dataset
    from .recordings import Recording, Recordings, read_recordings
    from .writer import DatasetWriter

_HOME = {
    "DatasetLayout": "layout",
    "DatasetWriter": "writer",
    "Episode": "episodes",
    "EpisodeDataset": "episodes",
    "FrameCache": "cache",
    "LeRobotEpisodes": "lerobot_dataset",
    "Recording": "recordings",
    "Recordings": "recordings",
    "Subtask": "episodes",
    "Views": "episodes",
    "open_dataset": "lerobot_dataset",
    "read_recordings": "recordings",
}

__all__ = [
    "DatasetLayout",
    "DatasetWriter",
    "Episode",
    "EpisodeDataset",
    "FrameCache",
    "LeRobotEpisodes",
    "Recording",
    "Recordings",
    "Subtask",
    "Views",
    "open_dataset",
    "read_recordings",
]


def __getattr__(name: str) -> object:
    """Import the module of a public name the first time it is asked for."""
    if name not in _HOME:
        raise AttributeError(f"module 'data' has no attribute {name!r}")
    return getattr(import_module(f".{_HOME[name]}", __name__), name)
