"""How far progress by the clock, and progress found in images, are from what is known.

Usage: python scripts/unannotated.py DATASET …

Each dataset has successes whose progress is known (a simulator's truth, or annotated subtasks).
What is known is put aside, progress is made up for them as `train --unannotated` does, and the
mean |difference| is printed.
"""

import sys
from dataclasses import replace

import numpy as np

from data.episodes import Episode
from data.lerobot_dataset import LeRobotEpisodes, open_dataset
from data.segmenting import by_change, small_grey
from robo_reward.goals import Goal, episode_goals

SIZE = 64


class Decoded:
    """The frames of one episode, as a reader."""

    def __init__(self, dataset: LeRobotEpisodes, episode: Episode) -> None:
        stream = dataset.frames(episode.index, views=episode.views, size=SIZE)
        self.images = np.stack(
            [np.stack([views[name] for name in episode.views]) for _, views in stream]
        )

    def read(self, episode: int, frames: np.ndarray) -> np.ndarray:
        """Return (n, V, S, S, 3)."""
        return self.images[frames]

    def present(self, episode: int) -> np.ndarray:
        """Return (V,) true."""
        return np.ones(self.images.shape[1], np.bool_)


def main(sources: list[str]) -> None:
    """Print a line for each dataset."""
    for source in sources:
        dataset, clock, found = open_dataset(source), [], []
        for number in range(len(dataset)):
            episode = dataset.episode(number)
            known: Goal = episode_goals(episode)[0]
            if not episode.outcome or episode.behaviour not in (None, "expert"):
                continue
            bare = episode_goals(replace(episode, truth=None, subtasks=(), other_goals={}))[0]
            grey = small_grey(Decoded(dataset, episode), number, episode.length)
            clock.append(np.abs(bare.progress - known.progress).mean())
            found.append(np.abs(by_change(bare, grey).progress - known.progress).mean())
        told = f"clock {np.mean(clock):.3f}, images {np.mean(found):.3f}"
        print(f"{source}: {len(clock)} successes, {told}")


if __name__ == "__main__":
    main(sys.argv[1:])
