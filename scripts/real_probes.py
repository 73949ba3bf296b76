"""Probe a model on one annotated recording, with all cameras and with each removed in turn.

Usage: python scripts/real_probes.py MODEL DATASET

DATASET has one episode, from which MODEL was adapted or trained but for the blocks of frames that
`adapt` keeps back. A row per set of cameras: the rank correlation with the truth of single frames
in random order; mean |error| on each block kept back; first and last Φ of the reversed video, and
its rank correlation; the largest movement of Φ over five frozen videos.
"""

import sys
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from data.adapt import blocks_of
from data.lerobot_dataset import open_dataset
from robo_reward.checkpoint import load
from robo_reward.goals import episode_goals
from robo_reward.metrics import mean_error, spearman
from robo_reward.model import Labels, Model
from robo_reward.protocols import References, Views

SINGLE, FROZEN = 300, 5


class Recording:
    """The frames of an episode as seen by some of its cameras."""

    def __init__(self, frames: Sequence[Views], text: str, truth: NDArray[np.float64]) -> None:
        self.frames, self.text, self.truth = frames, text, truth
        self.ends = References(start=frames[0], goal=frames[-1])

    def label(self, model: Model, numbers: Iterable[int], fps: float) -> Labels:
        """Return the labels of some of the frames, played as a video."""
        chosen = (self.frames[number] for number in numbers)
        return model.label(chosen, self.text, self.ends, fps=fps)

    def alone(self, model: Model, number: int) -> float:
        """Return Φ_F of a single frame."""
        session = model.begin(self.text, self.ends)
        return model.score(session, self.frames[number], 0.0).forward


def row(model: Model, shown: Recording, fps: float) -> str:
    """Return the figures of one set of cameras, as a row."""
    count, truth = len(shown.frames), shown.truth
    single = np.random.default_rng(0).permutation(count)[:SINGLE]
    order = spearman([shown.alone(model, number) for number in single.tolist()], truth[single])
    plain = shown.label(model, range(count), fps).progress
    blocks = [mean_error(plain[a:b], truth[a:b]) for a, b in blocks_of(count)]
    back = shown.label(model, range(count - 1, -1, -1), fps).progress
    still = [
        np.ptp(shown.label(model, [number] * 300, fps).progress)
        for number in np.linspace(0, count - 7, FROZEN).astype(int).tolist()
    ]
    errors = " ".join(f"{error:.3f}" for error in blocks)
    falls = f"{back[0]:.3f} → {back[-1]:.3f}, {spearman(back, truth[::-1]):.3f}"
    return f"{order:.3f} | {errors} | {falls} | {max(still):.3f}"


def main(place: str, source: str) -> None:
    """Print a row for all cameras, and one without each."""
    model, dataset = load(place), open_dataset(source)
    episode = dataset.episode(0)
    goal = episode_goals(episode)[0]
    stream = dataset.frames(0, views=dataset.views, size=model.settings.image_size)
    frames = [views for _, views in stream]
    print(
        "| without | single frames | withheld blocks | reversed | frozen |\n|---|---|---|---|---|"
    )
    for gone in ("", *dataset.views):
        kept = [{n: image for n, image in views.items() if n != gone} for views in frames]
        shown = Recording(kept, goal.instructions[0], goal.progress)
        print(f"| {gone or '–'} | {row(model, shown, episode.fps)} |", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
