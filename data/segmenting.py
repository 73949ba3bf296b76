"""Progress of successes that nobody annotated: by what changes in the images, not by the clock."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from robo_reward.goals import Goal
from robo_reward.packing import FrameReader
from robo_reward.segmentation import segment
from robo_reward.targets import keyframe_progress

from .episodes import Episode

type Floats = NDArray[np.float64]

SIDE = 16
"""Side of the grey images that are compared, in pixels: small, so that noise averages out."""
_AT_ONCE = 256


def is_unannotated(episode: Episode) -> bool:
    """Return whether an episode is a success of which nobody says how it progressed."""
    return bool(episode.outcome) and episode.truth is None and not episode.subtasks


def by_change(goal: Goal, grey: Floats) -> Goal:
    """Return a goal whose progress rises with visual change within segments found in the images.

    Segments are worth their length within bounds (``procedural``), as ProcVLM weighs them
    (arXiv 2605.08774); nothing is claimed of when the task was done.

    Args:
        goal: Of a success, T frames.
        grey: (T, D) small grey images of all views.
    """
    change = np.zeros(len(grey))
    change[1:] = np.abs(np.diff(grey, axis=0)).mean(axis=1)
    bounds = segment(grey)
    progress = keyframe_progress(bounds, len(grey), budget="procedural", change=change)
    return replace(goal, progress=progress)


def small_grey(reader: FrameReader, episode: int, length: int) -> Floats:
    """Return (T, V · 256) grey images in [0, 1] of the views that an episode has."""
    there = np.flatnonzero(reader.present(episode))
    parts = []
    for begin in range(0, length, _AT_ONCE):
        frames = np.arange(begin, min(begin + _AT_ONCE, length))
        grey = reader.read(episode, frames)[:, there].mean(axis=-1) / 255.0
        parts.append(_shrunk(grey).reshape(len(frames), -1))
    return np.concatenate(parts)


def _shrunk(images: Floats) -> Floats:
    """Return images (n, V, S, S) as (n, V, 16, 16): means over what falls into each cell."""
    edges = np.linspace(0, images.shape[-1], SIDE + 1).astype(int)[:-1]
    counts = np.diff(np.append(edges, images.shape[-1]))
    sums = np.add.reduceat(np.add.reduceat(images, edges, axis=2), edges, axis=3)
    means: Floats = sums / np.outer(counts, counts)
    return means
