"""Do the words alone tell a model which goal is pursued, and do words that it never saw?

Usage: python scripts/new_words.py MODEL DATASET …

Every episode that pursues a goal is asked about under the words of that goal and under those of
another one, both times with pictures of the goal that is pursued. A row per wording: the AUROC of
mean `match_prob`, right words against wrong ones (.5: the words say nothing), and the mean |error|
of Φ under the right words.
"""

import sys
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from data.evaluate import Case, judge
from data.heldout import HeldOut
from data.lerobot_dataset import open_dataset
from robo_reward.checkpoint import load
from robo_reward.metrics import auroc
from robo_reward.model import Model

COLOURS = {"red": "scarlet", "green": "emerald", "blue": "navy", "yellow": "golden"}
THINGS = {"cube": "brick", "cubes": "bricks", "bin": "receptacle", "button": "knob", "peg": "pin"}
WORDINGS: dict[str, Callable[[str], str]] = {
    "as recorded": lambda text: text,
    "new words for things": lambda text: reworded(text, THINGS),
    "new words for colours": lambda text: reworded(text, COLOURS),
    "new words for both": lambda text: reworded(text, COLOURS | THINGS),
}


def reworded(text: str, instead: dict[str, str]) -> str:
    """Return a text with some of its words replaced."""
    return " ".join(instead.get(word, word) for word in text.split())


def figures(model: Model, cases: list[Case], wording: Callable[[str], str]) -> tuple[float, float]:
    """Return the AUROC of match and the mean |error| under the right words."""
    told = judge(model, [replace(case, instruction=wording(case.instruction)) for case in cases])
    scores = [float(item.labels.match_prob.mean()) for item in told]
    right = [item for item in told if item.case.match == 1.0]
    errors = [np.nanmean(np.abs(item.labels.progress - item.case.truth)) for item in right]
    return auroc(scores, [case.match for case in cases]), float(np.mean(errors))


def main(place: str, *sources: str) -> None:
    """Print a table for each dataset."""
    model = load(place)
    for source in sources:
        episodes = HeldOut(open_dataset(source), size=model.settings.image_size).match_cases()
        cases = [case for number, case in enumerate(episodes) if number % 3 != 1]
        print(
            f"{source}: {len(cases) // 2} episodes\n| words | match AUROC | error |\n|---|---|---|"
        )
        for name, wording in WORDINGS.items():
            match, error = figures(model, cases, wording)
            print(f"| {name} | {match:.3f} | {error:.3f} |", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
