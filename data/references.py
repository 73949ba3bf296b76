"""What the start and the goal look like: found for an episode, or given by the user."""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from robo_reward.errors import InputError
from robo_reward.protocols import References

from .episodes import EpisodeDataset, Views

OWN_LAST_FRAME = "own-last-frame"
AUTO, NONE = "auto", "none"


@dataclass(frozen=True, kw_only=True)
class Found:
    """References and where they come from, in words for screen and metadata."""

    references: References
    source: str


class ReferenceFinder:
    """Finds the references of each episode of a dataset, as ``--reference`` asks.

    ``auto``: start and end of the first other successful episode of the same instruction;
    a number N: those of episode N; a directory: ``start/<view>.png`` and ``goal/<view>.png``;
    ``own-last-frame``: the episode's own ends, which looks ahead and is recorded as such;
    ``none``: the episode's own first frame, and no goal. The goal is masked where none is found.
    """

    def __init__(self, dataset: EpisodeDataset, choice: str, *, size: int | None = None) -> None:
        """Check the choice.

        Raises:
            InputError: If it is none of the above, or the directory lacks images.
        """
        self.dataset, self.choice, self.size = dataset, choice, size
        self._ends: dict[int, References] = {}
        self._successes: dict[str, list[int]] | None = None
        self._given: Found | None = None
        if choice not in (AUTO, NONE, OWN_LAST_FRAME) and not choice.isdecimal():
            self._given = Found(
                references=read_directory(Path(choice)), source=f"directory {choice}"
            )
        elif choice.isdecimal() and int(choice) >= len(dataset):
            raise InputError(
                f"--reference {choice}: {dataset.root} has episodes 0 to {len(dataset) - 1}"
            )

    @property
    def looks_ahead(self) -> bool:
        """Whether references come from the episode's own future, so that labels do too."""
        return self.choice == OWN_LAST_FRAME

    def find(self, index: int) -> Found:
        """Return the references of an episode."""
        if self._given is not None:
            return self._given
        if self.choice == OWN_LAST_FRAME:
            return Found(references=self.ends(index), source=f"{OWN_LAST_FRAME} (non-causal)")
        other = int(self.choice) if self.choice.isdecimal() else None
        if self.choice == AUTO:
            other = self._first_success(index)
        if other is None:
            start = References(start=self._first(index))
            return Found(references=start, source="own first frame, no goal")
        return Found(references=self.ends(other), source=f"episode {other}")

    def ends(self, index: int) -> References:
        """Return the first and last frame of an episode, read once."""
        if index not in self._ends:
            episode = self.dataset.episode(index)
            stream = self.dataset.frames(
                index, views=episode.views, size=self.size, stride=max(episode.length - 1, 1)
            )
            shown = [views for _, views in stream]
            self._ends[index] = References(start=shown[0], goal=shown[-1])
        return self._ends[index]

    def _first(self, index: int) -> Views:
        views = self.dataset.episode(index).views
        stream = self.dataset.frames(index, views=views, size=self.size)
        return next(stream)[1]

    def _first_success(self, index: int) -> int | None:
        if self._successes is None:
            self._successes = {}
            for number in range(len(self.dataset)):
                episode = self.dataset.episode(number)
                if episode.outcome:
                    self._successes.setdefault(episode.instructions[0], []).append(number)
        text = self.dataset.episode(index).instructions[0]
        others = [number for number in self._successes.get(text, []) if number != index]
        return others[0] if others else None


def read_directory(directory: Path) -> References:
    """Return the references in ``start/<view>.png`` and ``goal/<view>.png``; either may lack.

    Raises:
        InputError: If there is no image, or one cannot be read.
    """
    shown: dict[str, Views] = {"start": {}, "goal": {}}
    for role, views in shown.items():
        for path in sorted((directory / role).glob("*.png")):
            image = cv2.imread(str(path), cv2.IMREAD_COLOR_RGB)
            if image is None:
                raise InputError(f"{path} is not a readable image; write it again as PNG")
            views[path.stem] = np.asarray(image, np.uint8)
    if not shown["start"] and not shown["goal"]:
        raise InputError(
            f"--reference {directory}: no start/<view>.png or goal/<view>.png there; give such a "
            "directory, an episode number, 'auto', 'none' or 'own-last-frame'"
        )
    return References(start=shown["start"], goal=shown["goal"])
