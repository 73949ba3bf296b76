"""The decisions of many trials as one table, which a policy scores and learns from.

Letters: M decisions, C actions of a chunk of A numbers.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from robo_reward.acting import Bools, Floats, Situation, Trace

from .trials import Trial


@dataclass(frozen=True, kw_only=True)
class Table:
    """M decisions."""

    seen: Situation
    trace: Trace
    chunks: Floats
    """(M, C, A) what was predicted."""
    done: Bools
    """(M, C) which of its actions were carried out."""

    def __len__(self) -> int:
        """Return M."""
        return len(self.seen)

    def rows(self, chosen: Sequence[int]) -> "Table":
        """Return some of the decisions, in that order."""
        index = list(chosen)
        return Table(
            seen=self.seen.rows(index),
            trace={name: part[index] for name, part in self.trace.items()},
            chunks=self.chunks[index],
            done=self.done[index],
        )


def gathered(trials: Sequence[Trial]) -> Table:
    """Return the decisions of trials, one after another."""
    chunks = np.concatenate([trial.chunks for trial in trials])
    steps = np.concatenate([trial.decisions.steps for trial in trials])
    names = trials[0].trace
    return Table(
        seen=_together([trial.situation() for trial in trials]),
        trace={name: np.concatenate([trial.trace[name] for trial in trials]) for name in names},
        chunks=chunks,
        done=np.arange(chunks.shape[1]) < steps[:, None],
    )


def finals(trials: Sequence[Trial]) -> Situation:
    """Return what was seen at the end of each trial."""
    return _together([trial.final() for trial in trials])


def _together(seen: Sequence[Situation]) -> Situation:
    return Situation(
        views={name: np.concatenate([one.views[name] for one in seen]) for name in seen[0].views},
        state=np.concatenate([one.state for one in seen]),
        instructions=[text for one in seen for text in one.instructions],
    )
