"""What probes do to a case: to its frames, their order, its words. Pure but for decoding.

Every case here has a row a query (`at_queries`). A change returns None where it does not apply.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from robo_reward.protocols import Views

from . import probe_images as images
from .evaluate import Case

type Rng = np.random.Generator
type Change = Callable[[Case, Rng], Case | None]

EARLY = 0.3
"""Share of an episode after which stickers and photographs claim that it is complete."""


def at_queries(case: Case, frames: Sequence[Views], every: int) -> Case:
    """Return a case with a row a query, given the frames that are asked about.

    A recorded success of which nobody knows the progress is taken to rise with time: frames in
    another order must then be judged in that order.
    """
    rows = slice(None, None, every)
    truth = case.truth[rows]
    if np.isnan(truth).all() and case.clean and case.done[-1] == 1.0:
        truth = np.arange(len(truth)) / max(len(truth) - 1, 1)
    rivals = tuple(
        replace(goal, progress=goal.progress[rows], success=goal.success[rows])
        for goal in case.rivals
    )
    shown = replace(case, truth=truth, done=case.done[rows], rivals=rivals, fps=case.fps / every)
    return showing(shown, frames)


def showing(case: Case, frames: Sequence[Views]) -> Case:
    """Return the case with other frames."""
    return replace(case, frames=lambda every: iter(frames[::every]))


def ordered(case: Case, order: NDArray[np.int64]) -> Case:
    """Return the case with its frames, and their truth, taken in another order."""
    frames = list(case.frames(1))
    changed = replace(case, truth=case.truth[order], done=case.done[order])
    return showing(changed, [frames[place] for place in order])


def backwards(case: Case, rng: Rng) -> Case:
    """Return the case with its frames in reverse."""
    return ordered(case, np.arange(len(case.truth))[::-1])


def frozen(case: Case, rng: Rng) -> Case:
    """Return the case with the frame in its middle all along."""
    return ordered(case, np.full(len(case.truth), len(case.truth) // 2))


def shuffled(case: Case, rng: Rng) -> Case:
    """Return the case with its frames in random order."""
    return ordered(case, rng.permutation(len(case.truth)))


def clipped(share: float) -> Change:
    """Return the change that ends a case after a share of its frames."""
    return lambda case, rng: _clip(case, share)


def wrong_object(case: Case, rng: Rng) -> Case | None:
    """Return the case as it is where the robot took another object than it was told to."""
    return case if case.behaviour == "wrong_object" else None


def counterfactual(case: Case, rng: Rng) -> Case | None:
    """Return the case under the words of a goal that it does not pursue, and that goal's truth."""
    if case.match != 1.0 or not case.rivals:
        return None
    rival = case.rivals[int(rng.integers(len(case.rivals)))]
    told = rival.instructions[0]
    return replace(case, instruction=told, truth=rival.progress, done=rival.success, match=0.0)


def paraphrased(case: Case, rng: Rng) -> Case | None:
    """Return the case told in other words."""
    if not case.paraphrases:
        return None
    return replace(case, instruction=case.paraphrases[int(rng.integers(len(case.paraphrases)))])


def each(edit: Callable[[Views, Rng], Views]) -> Change:
    """Return the change of every frame."""
    return lambda case, rng: showing(case, [edit(views, rng) for views in case.frames(1)])


def obscured(edit: Callable[[Views, Rng], Views]) -> Change:
    """Return the change of every frame after those that are `seen`; the truth stays as it was."""

    def change(case: Case, rng: Rng) -> Case:
        frames = list(case.frames(1))
        start = seen(len(frames))
        last = np.minimum(np.arange(len(frames)), start - 1)
        shown = [*frames[:start], *(edit(views, rng) for views in frames[start:])]
        return showing(replace(case, truth=case.truth[last], done=case.done[last]), shown)

    return change


def seen(length: int) -> int:
    """Return how many queries of an obscured episode of so many can be seen: a third."""
    return max(1, length // 3)


def stickered(case: Case, rng: Rng) -> Case:
    """Return the case ended early, with a sticker that says it is complete in every view."""
    early = _clip(case, EARLY)
    return showing(early, [images.sticker(views) for views in early.frames(1)])


def photographed(case: Case, rng: Rng) -> Case | None:
    """Return the case ended early, with a photograph of the goal held in one view."""
    early = _clip(case, EARLY)
    edited = [images.photograph(views, case.references.goal) for views in early.frames(1)]
    kept = [views for views in edited if views is not None]
    return showing(early, kept) if len(kept) == len(edited) else None


def without(view: str) -> Change:
    """Return the change that takes a view away; it needs another in every frame."""

    def lose(case: Case, rng: Rng) -> Case | None:
        before = list(case.frames(1))
        after = [{n: image for n, image in views.items() if n != view} for views in before]
        return showing(case, after) if all(after) and any(view in v for v in before) else None

    return lose


def _clip(case: Case, share: float) -> Case:
    return ordered(case, np.arange(max(1, round(share * len(case.truth)))))
