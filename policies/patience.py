"""When an episode is given up: its potential has stopped to rise."""

from collections.abc import Mapping

RISE = 0.02
"""By so much must Φ exceed its best so far to count as a rise."""


class Patience:
    """Gives up each episode whose Φ did not rise in a number of verdicts in a row.

    Φ rises where it exceeds the Φ of the last rise, or the first one, by more than `RISE`: a slow
    rise counts, as soon as it has added up. The rule looks at what has been seen alone, and giving
    up is a truncation: a learner that counts on V of the last observation is as right as that V is.
    """

    def __init__(self, decisions: int) -> None:
        """Give up after so many decisions without a rise; 0: never."""
        self.decisions = decisions
        self._best: dict[int, float] = {}
        self._idle: dict[int, int] = {}

    def hopeless(self, known: Mapping[int, float]) -> set[int]:
        """Take note of Φ, number of the episode → its newest; return which are to be given up."""
        for number, progress in known.items():
            rose = progress > self._best.get(number, -1.0) + RISE
            self._idle[number] = 0 if rose else self._idle[number] + 1
            if rose:
                self._best[number] = progress
        return {one for one in known if 0 < self.decisions <= self._idle[one]}
