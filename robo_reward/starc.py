"""How far apart two rewards are once shaping and scale are taken out: STARC. Pure.

Skalse et al., "STARC: A General Framework For Quantifying Differences Between Reward Functions",
arXiv 2309.15257: canonicalise (their value-adjusted levelling), divide by the norm, take half
the distance. 0 means the same order of policies, 1 the opposite, ½ that nothing is shared.

The paper's definition needs every transition of a finite MDP. This is an empirical variant:

- Transitions are those of recorded episodes, and the norm is L2 weighted by how often they
  happen, so nothing is said of what no episode shows.
- V^π belongs to the policy that made the episodes, on *cells*: states that the caller counts as
  one. With a cell for every state each transition would explain itself, and every distance
  would be 0; with a single cell no shaping would be removed.
- The expectation over next states is that of deterministic dynamics: the one that happened. It
  holds for a simulator, not for the world.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .errors import InputError

type Floats = NDArray[np.float64]
type Ints = NDArray[np.int64]

GAMMA = 0.99
"""Discount per transition."""
_NOTHING = 1e-9
"""A canonical reward whose norm is below this share of the reward's own is zero."""


@dataclass(frozen=True)
class Transitions:
    """N transitions between cells, numbered 0 … C − 1."""

    before: Ints
    """(N,)"""
    after: Ints
    """(N,)"""

    def __post_init__(self) -> None:
        """Refuse transitions that do not pair."""
        if self.before.shape != self.after.shape or self.before.ndim != 1 or not len(self.before):
            shapes = f"{self.before.shape} and {self.after.shape}"
            raise InputError(f"need a cell before and after each transition, got {shapes}")


def canonical(reward: ArrayLike, moves: Transitions, *, gamma: float = GAMMA) -> Floats:
    """Return c(R) (N,) = R − V^π(before) + γ V^π(after): value-adjusted levelling.

    V^π solves V = r̄ + γ P V on the cells, r̄ and P being the means of what was seen; a cell
    that is never left stays where it is and pays nothing.

    Args:
        reward: (N,) the reward of every transition.
        moves: The transitions.
        gamma: The discount, below 1.

    Raises:
        InputError: If there is not one reward a transition.
    """
    paid = np.asarray(reward, np.float64)
    if paid.shape != moves.before.shape:
        raise InputError(f"need {len(moves.before)} rewards, one a transition, got {paid.shape}")
    cells = int(max(moves.before.max(), moves.after.max())) + 1
    counts = np.zeros((cells, cells))
    np.add.at(counts, (moves.before, moves.after), 1.0)
    left = counts.sum(axis=1)
    mean = np.bincount(moves.before, weights=paid, minlength=cells) / np.maximum(left, 1)
    chance = counts / np.maximum(left, 1)[:, None] + np.diag((left == 0).astype(np.float64))
    value = np.linalg.solve(np.eye(cells) - gamma * chance, mean)
    levelled: Floats = paid - value[moves.before] + gamma * value[moves.after]
    return levelled


def starc_distance(
    first: ArrayLike, second: ArrayLike, moves: Transitions, *, gamma: float = GAMMA
) -> float:
    """Return the distance of two rewards in [0, 1], blind to positive scale and to shaping.

    A reward whose canonical form is zero (a constant, or pure shaping by a function of the
    cell) orders no policies: 0 from another such, ½ from any other.

    Raises:
        InputError: If there is not one reward a transition.
    """
    one, two = (_standard(reward, moves, gamma) for reward in (first, second))
    return float(np.sqrt(np.mean((one - two) ** 2)) / 2)


def _standard(reward: ArrayLike, moves: Transitions, gamma: float) -> Floats:
    levelled = canonical(reward, moves, gamma=gamma)
    norm = float(np.sqrt(np.mean(levelled**2)))
    own = float(np.sqrt(np.mean(np.asarray(reward, np.float64) ** 2)))
    standard: Floats = levelled / norm if norm > _NOTHING * own else np.zeros_like(levelled)
    return standard
