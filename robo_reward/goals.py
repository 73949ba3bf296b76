"""What an episode teaches under each instruction it can be judged by."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .episodes import Episode
from .targets import Budget, keyframe_progress, time_progress, unannotated_success

type Floats = NDArray[np.float64]

PURSUED = 0.05
"""A behaviour that never brings any known goal this far pursues none that we can name."""


@dataclass(frozen=True, kw_only=True)
class Goal:
    """Targets of one episode under one instruction; NaN where nobody knows. T frames."""

    instructions: tuple[str, ...]
    """The instruction and its paraphrases."""
    progress: Floats
    """(T,) Φ in [0, 1]."""
    success: Floats
    """(T,) 1 where the task is done, else 0."""
    match: float
    """1 if the behaviour pursues this goal, 0 if not."""
    timed: bool = False
    """Whether progress is elapsed time, for want of better: to train on, not to judge by."""


def episode_goals(episode: Episode, *, budget: Budget = "stepwise") -> tuple[Goal, ...]:
    """Return the goals of an episode, that of its recorded instruction first.

    Progress comes from the simulator's truth, else, for successes alone, from annotated subtasks
    or time. A failure without truth has unknown progress, never 1 at its end: its subtasks say
    what was done of a whole that they do not show. Where the truth of several goals is known, the
    one brought furthest is the one pursued.

    Args:
        episode: The episode.
        budget: How annotated subtasks share the whole.
    """
    if episode.truth is None:
        return (_without_truth(episode, budget),)
    known = {episode.instructions: episode.truth, **episode.other_goals}
    reached = {texts: float(truth.max()) for texts, truth in known.items()}
    pursued = max(reached, key=lambda texts: reached[texts])
    named = reached[pursued] >= PURSUED
    goals = []
    for texts, truth in known.items():
        progress = truth.astype(np.float64)
        match = float(texts == pursued) if named and len(known) > 1 else np.nan
        if len(known) == 1 and episode.outcome:
            match = 1.0
        success = (progress >= 1.0 - 1e-6).astype(np.float64)
        goals.append(Goal(instructions=texts, progress=progress, success=success, match=match))
    return tuple(goals)


def _without_truth(episode: Episode, budget: Budget) -> Goal:
    """Return the goal of a recording: annotation first, then time, then nothing but failure."""
    length = episode.length
    progress: Floats = np.full(length, np.nan)
    success: Floats = np.full(length, np.nan)
    match, timed = np.nan, False
    if episode.subtasks and episode.outcome is not False:
        bounds = [episode.subtasks[0].start, *(subtask.end for subtask in episode.subtasks)]
        progress = keyframe_progress(bounds, length, budget=budget)
        success = (np.arange(length) >= bounds[-1]).astype(np.float64)
        match = 1.0
    elif episode.outcome:
        progress, match, timed = time_progress(length), 1.0, True
        success = unannotated_success(length)
    elif episode.outcome is False:
        success = np.zeros(length)
    if episode.success is not None:
        success = episode.success.astype(np.float64)
    return Goal(
        instructions=episode.instructions,
        progress=progress,
        success=success,
        match=match,
        timed=timed,
    )
