"""What a reviewer's decision makes of the labels of an episode: pure functions on columns.

============================  ================================================================
decision                      labels
============================  ================================================================
accepted, a note              as they are
success                       the episode's last row is a termination (`reward`)
failure                       its last row is none; Φ and its bound at most `MOST_OF_A_FAILURE`,
                              ``success_prob`` 0, ``time_to_go`` NaN
two or more keyframes         Φ and its bound from the keyframes, ``confidence`` 1, ``valid``
                              true; ``success_prob`` 1 and ``time_to_go`` 0 from the last on
the same of a failure         Φ · M/N: M subtasks are bounded, of N, or M + 1 if N is not told
============================  ================================================================

``reward`` is made anew wherever Φ or the end changed. What each anchor said stays. To apply a
decision twice gives what applying it once gives.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robo_reward.episodes import Episode
from robo_reward.targets import Floats, keyframe_progress, time_to_go

from .review_decisions import Decision
from .rewards import ends_done, row_rewards

MOST_OF_A_FAILURE = 0.9
"""Φ of a marked failure at most, where no keyframes say more: a success must reach this."""

CHANGED = (
    "progress_sparse",
    "progress_lower",
    "confidence",
    "valid",
    "success_prob",
    "time_to_go",
    "reward",
)
"""Columns of the labels that a decision may change, those that are there."""

type Columns = dict[str, NDArray[Any]]


def corrected(
    columns: Mapping[str, NDArray[Any]], episode: Episode, decision: Decision, *, gamma: float
) -> Columns:
    """Return the columns of an episode's labels, (T,) each, after a decision.

    Args:
        columns: Those of the labels, with ``progress_sparse`` and ``valid``; not changed.
        episode: What is known of it.
        decision: What the reviewer said; there is no `problem` with it.
        gamma: Discount per row of ``reward``.

    Raises:
        InputError: If the keyframes do not fit the episode.
    """
    known = known_end(episode, decision)
    found: Columns = dict(columns)
    if len(decision.keyframes) > 1:
        found |= _by_keyframes(known, decision)
    elif decision.outcome is False:
        found |= {
            name: np.minimum(columns[name], MOST_OF_A_FAILURE)
            for name in ("progress_sparse", "progress_lower")
            if name in columns
        }
    if decision.outcome is False:
        found |= {
            "success_prob": np.zeros(episode.length),
            "time_to_go": np.full(episode.length, np.nan),
        }
    if decision.outcome is not None or len(decision.keyframes) > 1:
        found["reward"] = row_rewards(
            found["progress_sparse"], found["valid"], done=ends_done(known), gamma=gamma
        )
    return {name: found[name].astype(columns[name].dtype) for name in columns}


def known_end(episode: Episode, decision: Decision) -> Episode:
    """Return an episode as it is known after a decision: the reviewer's outcome goes first."""
    if decision.outcome is None:
        return episode
    return replace(episode, outcome=decision.outcome, success=None)


def _keyframe_phi(episode: Episode, decision: Decision) -> Floats:
    """Return Φ (T,) of two or more keyframes; that of a failure stays below 1."""
    phi = keyframe_progress(decision.keyframes, episode.length)
    if episode.outcome is not False:
        return phi
    bounded = len(decision.keyframes) - 1
    return phi * bounded / (decision.subtasks or bounded + 1)


def _by_keyframes(episode: Episode, decision: Decision) -> Columns:
    phi = _keyframe_phi(episode, decision)
    done = phi >= 1.0
    return {
        "progress_sparse": phi,
        "progress_lower": phi,
        "confidence": np.ones(episode.length),
        "valid": np.ones(episode.length, np.bool_),
        "success_prob": done.astype(np.float64),
        "time_to_go": time_to_go(done, episode.fps),
    }
