"""Random tabular decision processes, a thousand at a time, and which actions are best in them.

Letters: M processes, S states, A actions; the last two of the S + 2 next states are terminal.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

SLACK = 1e-7
"""By how much an action may be worse and still count as best."""

type Pays = Callable[[np.ndarray, np.ndarray, np.ndarray, np.ndarray], np.ndarray]
"""(Φ before, Φ after, steps, terminated), each (N,) → what is paid on top (N,)."""


@dataclass(frozen=True)
class Processes:
    """M processes; `moves` (M, S, A, S + 2) probabilities, `steps` and `reward` alike."""

    moves: np.ndarray
    steps: np.ndarray
    reward: np.ndarray
    phi: np.ndarray
    """(M, S + 2) Φ of every state, the terminal ones as a model would see them."""

    def paid(self, pays: Pays) -> np.ndarray:
        """Return what is paid for each transition, (M, S, A, S + 2)."""
        shape = self.moves.shape
        now = np.broadcast_to(self.phi[:, :-2, None, None], shape)
        following = np.broadcast_to(self.phi[:, None, None, :], shape)
        ends = np.broadcast_to(np.arange(shape[3]) >= shape[1], shape)
        parts = (part.ravel() for part in (now, following, self.steps, ends))
        return pays(*parts).reshape(shape)

    def best(self, reward: np.ndarray, gamma: float) -> np.ndarray:
        """Return (M, S, A) which actions are best, by value iteration."""
        discount = gamma**self.steps
        values = np.zeros((*self.moves.shape[:2],))
        for _ in range(400):
            padded = np.pad(values, ((0, 0), (0, 2)))[:, None, None, :]
            worth = (self.moves * (reward + discount * padded)).sum(-1)
            values = worth.max(-1)
        return worth >= values[..., None] - SLACK


def drawn(count: int, seed: int, states: int = 6, actions: int = 3) -> Processes:
    """Return random processes: sparse moves, a paid goal, an unpaid end, noisy potentials."""
    rng = np.random.default_rng(seed)
    shape = (count, states, actions, states + 2)
    moves = rng.random(shape) * (rng.random(shape) < 0.4) + 1e-3 * rng.random(shape)
    moves /= moves.sum(-1, keepdims=True)
    reward = np.zeros(shape)
    reward[..., -1] = 1.0
    return Processes(
        moves=moves,
        steps=np.broadcast_to(rng.integers(1, 5, size=shape[:3])[..., None], shape),
        reward=reward,
        phi=rng.random((count, states + 2)),
    )
