"""What view disagreement adds to confidence, on episodes whose progress is known.

Usage: python scripts/view_disagreement.py MODEL DATASET …

Confidence is fitted to half of the episodes and judged on the other half, 20 times, with and
without how far Φ moves when a view is left out. Printed: calibration error, AUROC of confidence
for |Φ − truth| ≤ .1, and the AUROC of each feature by itself.
"""

import sys
from dataclasses import replace

import numpy as np

from data.evaluate import judge
from data.heldout import HeldOut
from data.lerobot_dataset import open_dataset
from robo_reward.calibration import CLOSE, FEATURES, fit_calibration
from robo_reward.checkpoint import load
from robo_reward.metrics import auroc, expected_calibration_error, reliability
from robo_reward.model import Model

HALVES = 20


def asked(place: str, sources: list[str]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return features (n, 6), |Φ − truth| (n,) and episode (n,) of every query."""
    loaded = load(place)
    plain = replace(loaded.settings.tracker, calibration=None)
    settings = replace(loaded.settings, tracker=plain, view_disagreement=True)
    model = Model(loaded.network, settings, fingerprint="")
    features, errors, episodes = [], [], []
    for source in sources:
        cases = HeldOut(open_dataset(source), size=settings.image_size).cases()
        for item in judge(model, cases):
            rows = slice(None, None, item.every)
            error = np.abs(item.labels.progress[rows] - item.case.truth[rows])
            known = ~np.isnan(error)
            features.append(item.labels.features[rows][known])
            errors.append(error[known])
            episodes.append(np.full(known.sum(), len(episodes)))
    return np.nan_to_num(np.concatenate(features)), *map(np.concatenate, (errors, episodes))


def main(place: str, sources: list[str]) -> None:
    """Print the figures."""
    features, errors, episodes = asked(place, sources)
    right, count = errors <= CLOSE, episodes.max() + 1
    print(f"{count} episodes, {len(errors)} queries, {right.mean():.3f} of them right")
    signs = (1, -1, -1, -1, -1, -1)
    alone = [auroc(s * column, right) for s, column in zip(signs, features.T, strict=True)]
    print("AUROC of w, |Φ_F − Φ_B|, three spreads, views:", np.round(alone, 3))
    for name, columns in (("without", FEATURES), ("with", FEATURES + 1)):
        told = []
        for seed in range(HALVES):
            half = np.random.default_rng(seed).permutation(count) < count // 2
            fit, rest = half[episodes], ~half[episodes]
            fitted = fit_calibration(features[fit, :columns], errors[fit])
            sure = fitted.confidence(features[rest, :columns])
            error = expected_calibration_error(reliability(sure, right[rest]))
            told.append((error, auroc(sure, right[rest])))
        error, ranked = np.nanmean(told, axis=0)
        print(f"{name} view disagreement: ECE {error:.3f}, AUROC {ranked:.3f}")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
