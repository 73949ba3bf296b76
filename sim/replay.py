"""Whether stored actions, played again, reproduce the stored states."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from data.lerobot_dataset import open_dataset
from robo_reward.errors import RoboRewardError

from .pieces import Plan

type Floats = NDArray[np.float32]
"""An array of single precision."""


class ReplayError(RoboRewardError):
    """A dataset does not hold what the simulator does."""


def check_replay(root: Path, plan: Plan, *, episodes: int) -> tuple[int, int]:
    """Play the stored actions of some episodes again, without images.

    Args:
        root: A dataset that was collected by ``plan``.
        plan: What its episodes depend on.
        episodes: How many to play, spread over the dataset.

    Returns:
        (frames, successes) of the whole dataset.

    Raises:
        ReplayError: If a state differs; the message says where.
    """
    dataset = open_dataset(root)
    every = [dataset.episode(number) for number in range(len(dataset))]
    chosen = np.unique(np.linspace(0, len(every) - 1, min(episodes, len(every))).astype(int))
    env = plan.bed().make(pixels=False)
    for number in chosen if episodes else ():
        actions, states = stored(root, int(number))
        observation, _ = env.reset(seed=plan.seed + int(number))
        seen = [observation["agent_pos"], *(env.step(a)[0]["agent_pos"] for a in actions[:-1])]
        wrong = np.flatnonzero((np.array(seen) != states).any(axis=1))
        if len(wrong):
            raise ReplayError(
                f"{root}: episode {number} does not replay: its state at frame {wrong[0]} is not "
                "what its actions lead to; the simulator is not deterministic here, report this"
            )
    return sum(e.length for e in every), sum(bool(e.outcome) for e in every)


def stored(root: Path, episode: int) -> tuple[Floats, Floats]:
    """Return the actions (T, A) and states (T, S) of an episode, float32, as they are stored."""
    found = open_dataset(root).columns(episode, ["action", "observation.state"])
    return found["action"], found["observation.state"]
