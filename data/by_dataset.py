"""The figures of an evaluation on several datasets, each by itself. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .estimators import MODEL
from .figures import FIGURES, LOWER_IS_BETTER, Rows, taken

SHOWN = (
    "voc_harmonic",
    "order_others",
    "mae",
    "concordance",
    "success_auroc",
    "success_recall",
    "false_positive_rate",
)
"""Figures that the table and the page show of each dataset."""


def by_dataset(rows: Mapping[str, Rows], datasets: Sequence[str]) -> dict[str, Any]:
    """Return every figure of every estimator on each dataset, and the model's mean and worst.

    Args:
        rows: Estimator → a row an episode.
        datasets: Dataset of each episode.

    Returns:
        ``datasets``: name → ``episodes``, and ``figures``: figure → estimator → value.
        ``model``: figure → ``mean`` and ``worst`` over the datasets that tell it, and
        ``worst_dataset``. All empty where there is but one dataset.
    """
    names = list(dict.fromkeys(datasets))
    if len(names) < 2:
        return {"datasets": {}, "model": {}}
    found = {}
    for name in names:
        numbers = np.flatnonzero(np.array(datasets) == name)
        here = {one: taken(columns, numbers) for one, columns in rows.items()}
        found[name] = {
            "episodes": len(numbers),
            "figures": {
                title: {one: figure(some) for one, some in here.items()}
                for title, figure in FIGURES.items()
            },
        }
    return {"datasets": found, "model": {title: _summary(title, found) for title in FIGURES}}


def _summary(title: str, found: Mapping[str, Any]) -> dict[str, Any]:
    values = {name: of["figures"][title][MODEL] for name, of in found.items()}
    known = {name: value for name, value in values.items() if not np.isnan(value)}
    if not known:
        return {"mean": float("nan"), "worst": float("nan"), "worst_dataset": ""}
    pick = max if title in LOWER_IS_BETTER else min
    worst = pick(known, key=lambda name: known[name])
    return {
        "mean": float(np.mean(list(known.values()))),
        "worst": known[worst],
        "worst_dataset": worst,
    }
