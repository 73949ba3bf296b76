"""What the ridge of the confidence's calibration does, by how many episodes it is fitted to.

Usage: python scripts/calibration_ridge.py MODEL DATASET … (episodes the model was not trained on)

A row per number of episodes and ridge: mean negative log-likelihood and expected calibration error
(10 bins) on the other episodes, over 12 random choices.
"""

import sys
from unittest.mock import patch

import numpy as np
from numpy.typing import NDArray

from data.evaluate import Judged, judge
from data.heldout import HeldOut
from data.lerobot_dataset import open_dataset
from robo_reward import calibration
from robo_reward.checkpoint import load

type Floats = NDArray[np.float64]

RIDGES = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5)
EPISODES = (10, 20, 40, 80)
CHOICES = 12
MOST = 20
"""Episodes of each dataset."""


def queries(judged: list[Judged]) -> tuple[Floats, Floats]:
    """Return (features (n, 5), |Φ − truth| (n,)) of the frames whose truth is known."""
    known = [~np.isnan(item.case.truth) for item in judged]
    features = [item.labels.features[rows] for item, rows in zip(judged, known, strict=True)]
    errors = [
        np.abs(item.labels.progress - item.case.truth)[rows]
        for item, rows in zip(judged, known, strict=True)
    ]
    return np.concatenate(features), np.concatenate(errors)


def scores(probs: Floats, right: Floats) -> tuple[float, float]:
    """Return (negative log-likelihood, expected calibration error)."""
    sure = np.clip(probs, 1e-6, 1.0 - 1e-6)
    loss = -np.mean(right * np.log(sure) + (1.0 - right) * np.log(1.0 - sure))
    bins = np.minimum((probs * 10).astype(int), 9)
    gaps = [
        abs(probs[bins == b].mean() - right[bins == b].mean()) * (bins == b).mean()
        for b in np.unique(bins)
    ]
    return float(loss), float(sum(gaps))


def main(model: str, *datasets: str) -> None:
    """Judge the episodes once, then fit and score."""
    made = load(model)
    judged: list[Judged] = []
    for source in datasets:
        dataset = open_dataset(source)
        chosen = list(range(min(MOST, len(dataset))))
        size = made.settings.image_size
        judged += judge(made, HeldOut(dataset, size=size, chosen=chosen).cases())
    print("| episodes | ridge | log-likelihood | ECE |\n|---|---|---|---|")
    for count in (count for count in EPISODES if count < len(judged)):
        for ridge in RIDGES:
            told = []
            for seed in range(CHOICES):
                order = np.random.default_rng(seed).permutation(len(judged))
                fitted_to, others = order[:count], order[count:]
                with patch.object(calibration, "RIDGE", ridge):
                    fitted = calibration.fit_calibration(*queries([judged[i] for i in fitted_to]))
                features, errors = queries([judged[i] for i in others])
                right = (errors <= calibration.CLOSE).astype(np.float64)
                told.append(scores(fitted.confidence(features), right))
            loss, gap = np.mean(told, axis=0)
            print(f"| {count} | {ridge:g} | {-loss:.3f} | {gap:.3f} |")


if __name__ == "__main__":
    main(*sys.argv[1:])
