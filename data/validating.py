"""What a training run validates on: episodes kept back, and frames withheld from training."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from robo_reward.errors import InputError
from robo_reward.goals import Goal
from robo_reward.protocols import References, Views

from .episodes import Episode
from .evaluate import Case
from .mixture import MixedFrames, Mixture
from .split import Withheld, parse_withheld, usable_frames


@dataclass(frozen=True, kw_only=True)
class Split:
    """Which episodes and frames of a mixture are learned from, and which are judged."""

    training: list[int]
    validation: list[int]
    withheld: list[Withheld]

    @classmethod
    def draw(
        cls, episodes: Sequence[Episode], halves: tuple[list[int], list[int]], blocks: Sequence[str]
    ) -> "Split":
        """Return the split of drawn halves and of blocks EPISODE:START:STOP.

        Raises:
            InputError: If a block is not within an episode, or leaves nothing of it.
        """
        withheld = [parse_withheld(text) for text in blocks]
        for block in withheld:
            if block.episode >= len(episodes):
                raise InputError(
                    f"--withhold names episode {block.episode}; there are {len(episodes)}"
                )
            usable_frames(episodes[block.episode].length, [block])
        return cls(training=halves[0], validation=halves[1], withheld=withheld)

    def blocks(self, number: int) -> list[Withheld]:
        """Return what is withheld of an episode."""
        return [block for block in self.withheld if block.episode == number]

    def judged(self) -> list[int]:
        """Return the episodes that validation judges: whole ones, then those in part."""
        return self.validation + self.judged_in_part()

    def judged_in_part(self) -> list[int]:
        """Return the episodes that are learned but for what is withheld of them."""
        return sorted({block.episode for block in self.withheld} & set(self.training))


class Validation:
    """The cases of a split, their references, and the frames that they show."""

    def __init__(
        self,
        dataset: Mixture,
        episodes: Sequence[Episode],
        goals: Sequence[tuple[Goal, ...]],
        split: Split,
        frames: MixedFrames,
    ) -> None:
        """Prepare; pixels are read when cases are judged."""
        self._dataset, self._episodes, self._goals = dataset, episodes, goals
        self._split, self._frames = split, frames

    def cases(self) -> list[Case]:
        """Return a case for each judged episode, in the order of `Split.judged`."""
        return [self._case(number) for number in self._split.judged()]

    def flattered(self) -> int:
        """Return how many judged episodes see their own end as the goal."""
        return sum(self.shown(number) == number for number in self._split.judged())

    def shown(self, number: int) -> int | None:
        """Return the first training success of the same task, else the episode itself if it is."""
        for other in (*(n for n in self._split.training if n != number), number):
            if self._episodes[other].outcome and self._task(other) == self._task(number):
                return other
        return None

    def _case(self, number: int) -> Case:
        """Return the case of an episode; of one that is in part learned, the rest has truth."""
        episode, goal = self._episodes[number], self._goals[number][0]
        compared: Any = slice(None)
        if number not in self._split.validation:
            blocks = self._split.blocks(number)
            compared = np.concatenate([np.arange(block.start, block.stop) for block in blocks])
        truth = np.full(episode.length, np.nan)
        truth[compared] = goal.progress[compared]
        done = np.full(episode.length, np.nan)
        done[compared] = goal.success[compared]
        return Case(
            name=f"episode {number}",
            instruction=episode.instructions[0],
            references=self._references(number),
            frames=self._reader(number),
            fps=episode.fps,
            truth=truth,
            done=done,
            match=goal.match,
            clean=bool(episode.outcome),
        )

    def _references(self, number: int) -> References:
        """Return the ends of the episode that is shown; without one the own start alone."""
        shown = self.shown(number)
        if shown is None:
            return References(start=self._view(number, 0))
        return References(start=self._view(shown, 0), goal=self._view(shown, -1))

    def _task(self, number: int) -> tuple[int, str]:
        """Return what tells whether two episodes do the same before the same cameras."""
        return self._dataset.source(number), self._episodes[number].instructions[0]

    def _view(self, number: int, frame: int) -> Views:
        frame = frame % self._episodes[number].length
        return next(iter(self._views(number, [frame])))

    def _reader(self, number: int) -> Callable[[int], Iterator[Views]]:
        length = self._episodes[number].length
        return lambda every: self._views(number, list(range(0, length, every)))

    def _views(self, number: int, frames: list[int]) -> Iterator[Views]:
        there = self._frames.present(number)
        for frame in frames:
            pixels = self._frames.read(number, [frame])[0]
            shown = zip(self._dataset.views, pixels, there, strict=True)
            yield {name: image for name, image, present in shown if present}
