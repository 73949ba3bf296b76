"""One `Episode` type, whatever the source: what is known of an episode but its pixels."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from .errors import DatasetError


@dataclass(frozen=True, kw_only=True)
class Subtask:
    """One annotated stretch of an episode: frames start … end, the end being its keyframe."""

    name: str
    start: int
    end: int


@dataclass(frozen=True, kw_only=True)
class Episode:
    """What is known of one episode; its pixels are read through its dataset.

    An episode of T steps has ``length`` = T + 1 frames where its source stores the final
    observation, T where it does not.
    """

    index: int
    """Number of the episode in its dataset (LeRobot's ``episode_index``)."""
    length: int
    """Frames."""
    fps: float
    """Frames per second."""
    views: tuple[str, ...]
    """Names of the cameras this episode has, sorted."""
    instructions: tuple[str, ...]
    """The recorded instruction, then its paraphrases."""
    first_row: int = 0
    """Dataset-wide index of frame 0 (LeRobot's ``index``)."""
    subtasks: tuple[Subtask, ...] = ()
    """Annotated subtasks in order; empty where there is no annotation."""
    outcome: bool | None = None
    """Whether the episode ended in success; None where nobody recorded it."""
    success: NDArray[np.bool_] | None = None
    """(length,) whether the task is done at each frame; None where unknown."""
    truth: NDArray[np.float32] | None = None
    """(length,) true progress in [0, 1], from a simulator; None where unknown."""
    other_goals: Mapping[tuple[str, ...], NDArray[np.float32]] = field(default_factory=dict)
    """Phrasings of another goal of the scene → (length,) its true progress here."""
    behaviour: str | None = None
    """How the episode was made (``expert``, ``early_release``, …), where recorded."""

    def __post_init__(self) -> None:
        """Refuse what no source may hand out."""
        where = f"episode {self.index}"
        if self.length < 1:
            raise DatasetError(f"{where} has no frames; delete it from the dataset")
        if not self.instructions:
            raise DatasetError(f"{where} has no instruction; give the dataset a task text")
        if tuple(sorted(self.views)) != self.views or not self.views:
            raise DatasetError(f"{where} needs at least one view, sorted by name: {self.views}")
        for name, values in (("truth", self.truth), ("success", self.success)):
            if values is not None and values.shape != (self.length,):
                raise DatasetError(
                    f"{where}: {name} has shape {values.shape}, expected ({self.length},)"
                )
