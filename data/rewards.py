"""The column ``reward`` of labels: what shaping pays for the step after each row. Pure."""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from robo_reward.shaping import Bools, Decisions, Floats, HeldPotential, shaping

if TYPE_CHECKING:
    from robo_reward.episodes import Episode


def ends_done(episode: "Episode") -> bool:
    """Return whether an episode's last row is a termination: a success, still so at the end.

    A recording that stops for any other reason is truncated; so is a success that is known to have
    been undone.
    """
    still = episode.success is None or bool(episode.success[-1])
    return bool(episode.outcome) and still


def row_rewards(
    progress: NDArray[np.floating[Any]], valid: Bools, *, done: bool, gamma: float
) -> Floats:
    """Return F (T,) = γ Φ(t + 1) − Φ(t), to be added to what the task pays for those steps.

    Φ is the last verdict that counts, 0 before the first, as a learner would hold it; so rows
    between two queries sum up to γ^k Φ′ − Φ. After a termination Φ is 0: the last row has −Φ, and
    the discounted sum over the episode is −Φ(0). Otherwise the verdict after the last row is not
    known, and its reward is NaN.

    Args:
        progress: (T,) verdicts, NaN for none.
        valid: (T,) whether each counts.
        done: Whether the last row is a termination.
        gamma: Discount per row, the learner's.

    Raises:
        InputError: If γ is not in [0, 1], or a verdict is no progress.
    """
    held = HeldPotential()
    told = zip(progress.tolist(), valid.tolist(), strict=True)
    potential = np.array([held.update(phi, valid=counts) for phi, counts in told], np.float64)
    last = np.arange(len(potential)) == len(potential) - 1
    rows = Decisions(
        steps=np.ones(len(potential), np.int64),
        terminated=last & done,
        truncated=last & (not done),
    )
    paid = shaping(potential, potential, rows, gamma=gamma)
    return np.where(rows.truncated, np.nan, paid)
