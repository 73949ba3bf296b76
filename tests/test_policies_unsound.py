"""On a thousand random decision processes shaping changes no best action, and each rival does."""

import numpy as np
import pytest
from tabular import Pays, Processes, drawn

from policies.unsound import UNSOUND
from robo_reward.shaping import Decisions, shaping

GAMMA = 0.9


GO, OTHER = 0, 1
"""Actions of the examples: what reaches the goal, and what only collects."""


def example(
    other: int, phi: list[float], *, chance: float = 1.0, reward: float = 1.0, steps: int = 1
) -> Processes:
    """Return one process: GO leads from the last state to the goal, or stays; OTHER to ``other``.

    Args:
        other: The state that OTHER leads to; every state but the last leads to the last.
        phi: Φ of the states, of an end that pays nothing, and of the goal.
        chance: That GO reaches the goal.
        reward: What the goal pays.
        steps: What OTHER executes.
    """
    states = len(phi) - 2
    moves = np.zeros((1, states, 2, states + 2))
    moves[0, :-1, :, states - 1] = 1.0
    moves[0, -1, GO, [states - 1, -1]] = 1.0 - chance, chance
    moves[0, -1, OTHER, other] = 1.0
    paid, durations = np.zeros(moves.shape), np.ones(moves.shape, np.int64)
    paid[..., -1] = reward
    durations[:, :, OTHER] = steps
    return Processes(moves=moves, steps=durations, reward=paid, phi=np.array([phi]))


EXAMPLES = {
    "kept at the end": example(1, [0.1, 0.95, 0.0], chance=0.2),
    "undiscounted difference": example(0, [0.9, 0.0, 1.0], reward=0.5),
    "progress as reward": example(0, [0.9, 0.0, 1.0]),
    "trend": example(0, [0.2, 0.6, 0.0, 1.0]),
    "centred": example(0, [0.5, 0.0, 1.0], reward=0.3),
    "discounted once a chunk": example(0, [0.9, 0.0, 1.0], reward=0.5, steps=4),
}
"""By hand: a drop near the goal, hovering, hovering, retreating and advancing, lasting long, and
hovering in long chunks, in this order."""


def shipped(
    now: np.ndarray, following: np.ndarray, steps: np.ndarray, ends: np.ndarray
) -> np.ndarray:
    """Pay what `robo_reward.shaping` pays; each transition is the last that is seen."""
    given = Decisions(steps=steps, terminated=ends, truncated=~ends)
    return shaping(now, following, given, gamma=GAMMA)


def unsound(name: str) -> Pays:
    """Return what one of them pays, under the learner's discount."""
    return lambda now, following, steps, ends: UNSOUND[name](now, following, steps, ends, GAMMA)


@pytest.fixture(scope="module")
def processes() -> Processes:
    return drawn(1000, seed=0)


@pytest.fixture(scope="module")
def best(processes: Processes) -> np.ndarray:
    return processes.best(processes.reward, GAMMA)


def test_shaping_leaves_the_set_of_best_actions_as_it_was(
    processes: Processes, best: np.ndarray
) -> None:
    shaped = processes.reward + processes.paid(shipped)
    assert np.array_equal(processes.best(shaped, GAMMA), best)


@pytest.mark.parametrize("name", UNSOUND)
def test_each_unsound_reward_changes_what_is_best(
    name: str, processes: Processes, best: np.ndarray
) -> None:
    changed = processes.best(processes.reward + processes.paid(unsound(name)), GAMMA) != best
    assert changed.any(axis=(1, 2)).mean() >= 0.05


@pytest.mark.parametrize("name", UNSOUND)
def test_each_unsound_reward_has_its_own_counterexample(name: str) -> None:
    process = EXAMPLES[name]

    def chosen(reward: np.ndarray) -> list[bool]:
        best: list[bool] = process.best(reward, GAMMA)[0, -1].tolist()
        return best

    assert chosen(process.reward) == [True, False], "to go is best"
    assert chosen(process.reward + process.paid(shipped)) == [True, False]
    assert chosen(process.reward + process.paid(unsound(name))) == [False, True]
