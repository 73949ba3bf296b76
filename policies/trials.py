"""Episodes of a policy: where they begin, what they show meanwhile, and what is left of them.

Letters: N decisions of an episode, C actions of a chunk.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from robo_reward.acting import Floats, Situation, Trace
from robo_reward.shaping import Decisions


@dataclass(frozen=True, kw_only=True)
class Start:
    """Where an episode begins."""

    seed: int
    """What it depends on: layout, goal and look."""
    group: int
    """Episodes of one group begin alike, and are compared."""
    played: Floats | None = None
    """(t, A) actions that come before the first decision: they lead to the state of an earlier
    episode, if the environment is deterministic."""


@dataclass(frozen=True, kw_only=True)
class Moment:
    """What an episode shows where a decision is made, or at its end."""

    number: int
    """Of the episode: its place among the starts."""
    instruction: str
    views: Mapping[str, NDArray[np.uint8]]
    """Name → (H, W, 3)."""
    seconds: float
    """Since its first observation."""
    truth: float
    """True progress; NaN where the simulator does not tell."""


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One episode of a policy: N decisions, N + 1 observations."""

    start: Start
    instruction: str
    views: dict[str, NDArray[np.uint8]]
    """Name → (N + 1, H, W, 3), the final observation last."""
    state: Floats
    """(N + 1, n)."""
    chunks: Floats
    """(N, C, A) what was predicted; of each the first ``decisions.steps`` were carried out."""
    trace: Trace
    """(N, …) by name: what scores the chunks."""
    decisions: Decisions
    reward: NDArray[np.float64]
    """(N,) the task reward of each decision, discounted within it."""
    success: bool
    lost: bool
    """Whether the process that played it was lost: how it would have ended is not known."""
    given_up: bool
    """Whether it was cut off because it seemed hopeless: whether it would have succeeded is not
    known, and ``success`` is false."""
    truth: NDArray[np.float64]
    """(N + 1,) true progress, NaN where the simulator does not tell."""
    fps: float
    by: int = 0
    """Number of the process that played it; the others know neither views nor trace."""

    def __len__(self) -> int:
        """Return N."""
        return len(self.decisions)

    @property
    def seconds(self) -> NDArray[np.float64]:
        """(N + 1,) when each observation was made, since the first."""
        return np.append(0.0, np.cumsum(self.decisions.steps)) / self.fps

    def played(self, decisions: int) -> Floats:
        """Return (t, A) the actions that were carried out in the first decisions."""
        steps = self.decisions.steps[:decisions]
        parts = [chunk[:k] for chunk, k in zip(self.chunks, steps, strict=False)]
        before = [] if self.start.played is None else [self.start.played]
        return np.concatenate([*before, *parts])

    def moment(self, number: int, decision: int) -> Moment:
        """Return what it showed at one of N + 1 observations, as that of an episode by number."""
        return Moment(
            number=number,
            instruction=self.instruction,
            views={name: images[decision] for name, images in self.views.items()},
            seconds=float(self.seconds[decision]),
            truth=float(self.truth[decision]),
        )

    def situation(self) -> Situation:
        """Return what was seen at the N decisions."""
        count = len(self)
        return Situation(
            views={name: images[:count] for name, images in self.views.items()},
            state=self.state[:count],
            instructions=[self.instruction] * count,
        )

    def final(self) -> Situation:
        """Return what was seen at the end."""
        return Situation(
            views={name: images[-1:] for name, images in self.views.items()},
            state=self.state[-1:],
            instructions=[self.instruction],
        )
