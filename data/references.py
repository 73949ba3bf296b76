"""What the start and the goal look like: found for an episode, or given by the user."""

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from robo_reward.errors import DatasetError, InputError
from robo_reward.protocols import References

from .episodes import EpisodeDataset, Views
from .video import decode_picture

OWN_LAST_FRAME = "own-last-frame"
AUTO, NONE = "auto", "none"


class ReferenceEpisodeError(DatasetError):
    """An episode whose ends are shown as the references of others cannot be read."""


@dataclass(frozen=True, kw_only=True)
class Found:
    """References and where they come from, in words for screen and metadata."""

    references: References
    source: str


class ReferenceFinder:
    """Finds the references of each episode of a dataset, as ``--reference`` asks.

    ``auto``: start and end of the first other successful episode of the same instruction;
    a number N: those of episode N, whose own labels see no goal, since they would look ahead;
    a directory: ``start/<view>.png`` and ``goal/<view>.png``;
    ``own-last-frame``: the episode's own ends, which looks ahead and is recorded as such;
    ``none``: the episode's own first frame, and no goal. The goal is masked where none is found.
    """

    def __init__(self, dataset: EpisodeDataset, choice: str, *, size: int | None = None) -> None:
        """Check the choice.

        Raises:
            InputError: If it is none of the above, or the directory lacks images or shows views
                that the dataset does not have.
        """
        self.dataset, self.choice, self.size = dataset, choice, size
        self._ends: dict[int, References] = {}
        self._given: References | None = None
        if choice not in (AUTO, NONE, OWN_LAST_FRAME) and not choice.isdecimal():
            self._given = read_directory(Path(choice))
            _check_views(choice, self._given, dataset.views)
        elif choice.isdecimal() and int(choice) >= len(dataset):
            raise InputError(
                f"--reference {choice}: {dataset.root} has episodes 0 to {len(dataset) - 1}; name "
                "one of them"
            )

    @property
    def looks_ahead(self) -> bool:
        """Whether references come from the episode's own future, so that labels do too."""
        return self.choice == OWN_LAST_FRAME

    @cached_property
    def digest(self) -> str:
        """sha256 of the pictures in a directory of references; empty for any other choice."""
        if self._given is None:
            return ""
        digest = hashlib.sha256()
        for role, views in (("start", self._given.start), ("goal", self._given.goal)):
            for name, image in sorted(views.items()):
                digest.update(f"{role}/{name}\0{image.shape}\0".encode() + image.tobytes())
        return digest.hexdigest()

    def source(self, index: int) -> str:
        """Return in words where the references of an episode come from; reads no pixel."""
        if self._given is not None:
            return f"directory {self.choice}"
        if self.looks_ahead:
            return f"{OWN_LAST_FRAME} (non-causal)"
        shown = self._shown(index)
        return "own first frame, no goal" if shown is None else f"episode {shown}"

    def find(self, index: int) -> Found:
        """Return the references of an episode."""
        if self._given is not None:
            return Found(references=self._given, source=self.source(index))
        shown = self._shown(index)
        if shown is None:
            views = self.dataset.episode(index).views
            first = next(self.dataset.frames(index, views=views, size=self.size))[1]
            return Found(references=References(start=first), source=self.source(index))
        ends = self._read_ends(shown) if self.looks_ahead else self.ends(shown)
        return Found(references=ends, source=self.source(index))

    def ends(self, index: int) -> References:
        """Return the first and last frame of an episode, read once and kept.

        Raises:
            ReferenceEpisodeError: If it cannot be read.
        """
        if index not in self._ends:
            try:
                self._ends[index] = self._read_ends(index)
            except DatasetError as error:
                raise ReferenceEpisodeError(
                    f"episode {index}, whose ends are shown as references, cannot be read: "
                    f"{error}; or name another episode with --reference"
                ) from error
        return self._ends[index]

    def success(self, text: str, *, other_than: int) -> int | None:
        """Return the first success under an instruction but for one episode; None without any."""
        successes = self._successes.get(text, [])
        return next((number for number in successes if number != other_than), None)

    def _read_ends(self, index: int) -> References:
        episode = self.dataset.episode(index)
        stream = self.dataset.frames(
            index, views=episode.views, size=self.size, stride=max(episode.length - 1, 1)
        )
        shown = [views for _, views in stream]
        return References(start=shown[0], goal=shown[-1])

    def _shown(self, index: int) -> int | None:
        """Return the episode whose ends are shown; None: the own start alone."""
        if self.looks_ahead:
            return index
        if self.choice == AUTO:
            return self.success(self._texts[index], other_than=index)
        number = None if self.choice == NONE else int(self.choice)
        return None if number == index else number

    @cached_property
    def _texts(self) -> list[str]:
        """Instruction of each episode."""
        return [self.dataset.episode(n).instructions[0] for n in range(len(self.dataset))]

    @cached_property
    def _successes(self) -> dict[str, list[int]]:
        """Instruction → its first two successes: of two, one is another."""
        found: dict[str, list[int]] = {text: [] for text in self._texts}
        for number, text in enumerate(self._texts):
            if len(found[text]) < 2 and self.dataset.episode(number).outcome:
                found[text].append(number)
        return found


def _check_views(choice: str, given: References, views: tuple[str, ...]) -> None:
    unknown = sorted({*given.start, *given.goal} - set(views))
    if unknown:
        raise InputError(
            f"--reference {choice} shows {', '.join(unknown)}, but the views looked at are "
            f"{', '.join(views)}; name each picture after its view"
        )


def read_directory(directory: Path) -> References:
    """Return the references in ``start/<view>.png`` and ``goal/<view>.png``; either may lack.

    Raises:
        InputError: If there is no image, or one cannot be read.
    """
    shown: dict[str, Views] = {"start": {}, "goal": {}}
    for role, views in shown.items():
        for path in sorted((directory / role).glob("*.png")):
            try:
                views[path.stem] = decode_picture(path.read_bytes(), str(path))
            except DatasetError as error:
                raise InputError(f"--reference {directory}: {error}") from error
    if not shown["start"] and not shown["goal"]:
        raise InputError(
            f"--reference {directory}: no start/<view>.png or goal/<view>.png there; give such a "
            "directory, an episode number, 'auto', 'none' or 'own-last-frame'"
        )
    return References(start=shown["start"], goal=shown["goal"])
