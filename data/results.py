"""Findings as figures with intervals: the content of the JSON, of the table and of the page."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robo_reward.bootstrap import figured, interval, resamples, share_interval
from robo_reward.ranking import FAILURE, PARTIAL, SUCCESS, tau_a_ceiling

from .by_dataset import by_dataset
from .estimators import MODEL
from .figures import FIGURES, LOWER_IS_BETTER, Rows, taken
from .probes import Probe
from .probing import Findings, pair_passes, pairs

type Floats = NDArray[np.float64]
type Ints = NDArray[np.int64]


def results(
    findings: Findings, probes: Mapping[str, Probe], *, draws: int, seed: int
) -> dict[str, Any]:
    """Return all figures, with 95 % intervals.

    Those of figures come from the same draws of episodes for all, none from a single episode;
    those of shares of episodes that pass a probe are exact.

    Args:
        findings: What was found on the episodes.
        probes: Those that were asked.
        draws: How often episodes are drawn anew.
        seed: Of the draws.
    """
    rows = findings.rows
    outcome = rows[MODEL]["outcome"]
    drawn = resamples(len(outcome), draws, seed=seed)
    return {
        "episodes": len(outcome),
        "outcomes": {
            name: int((outcome == value).sum())
            for name, value in (("failure", FAILURE), ("partial", PARTIAL), ("success", SUCCESS))
        },
        "tau_a_ceiling": tau_a_ceiling(outcome[~np.isnan(outcome)]),
        "draws": draws,
        "figures": {name: _figure(name, rows, drawn) for name in FIGURES},
        "by_dataset": by_dataset(rows, findings.datasets),
        "reliability": _curve(rows[MODEL]["reliability"].sum(axis=0)),
        "probes": {
            name: _probe(probe, findings.effects[name]) | {"failed": _failed(probe, findings)}
            for name, probe in probes.items()
        },
        "pairs": {
            probe.name: {
                "partner": probe.partner,
                "results": {
                    name: _share(pair_passes(probe, probes, findings.effects, name))
                    for name in rows
                },
            }
            for probe in pairs(probes.values(), tuple(probes))
        },
        "per_episode": _episodes(findings),
    }


def _failed(probe: Probe, findings: Findings) -> list[str]:
    """Return the episodes on which the model fails a probe."""
    passed = probe.passes(findings.effects[probe.name][MODEL])
    return [name for name, right in zip(findings.names, passed, strict=True) if right == 0.0]


def _episodes(findings: Findings) -> list[dict[str, Any]]:
    """Return what each episode told of the model."""
    scalars = {
        name: column
        for name, column in findings.rows[MODEL].items()
        if column.ndim == 1 and column.dtype != object
    }
    return [
        {"name": name}
        | {column: float(values[place]) for column, values in scalars.items()}
        | {"probes": {p: float(of[MODEL][place]) for p, of in findings.effects.items()}}
        for place, name in enumerate(findings.names)
    ]


def _figure(name: str, rows: Mapping[str, Rows], drawn: Ints) -> dict[str, Any]:
    """Return a figure of every estimator, and by how much the model's differs from each other."""
    figure = FIGURES[name]
    values = {one: figure(found) for one, found in rows.items()}
    known = {one: found for one, found in rows.items() if not np.isnan(values[one])}
    nothing = np.full(len(drawn), np.nan)
    again = {one: _drawn(figure, found, drawn) for one, found in known.items()}
    return {
        "better": "lower" if name in LOWER_IS_BETTER else "higher",
        "values": {one: _told(values[one], again.get(one, nothing)) for one in rows},
        "model_minus": {
            one: _told(values[MODEL] - values[one], again[MODEL] - again[one])
            for one in known
            if one != MODEL and MODEL in known
        },
    }


def _drawn(figure: Callable[[Rows], float], rows: Rows, drawn: Ints) -> Floats:
    """Return a figure on every draw; NaN where there is but one episode to draw."""
    if drawn.shape[1] < 2:
        return np.full(len(drawn), np.nan)
    return figured(lambda numbers: figure(taken(rows, numbers)), drawn)


def _told(value: float, again: Floats) -> dict[str, float]:
    low, high = interval(again)
    return {"value": value, "low": low, "high": high}


def _probe(probe: Probe, effects: Mapping[str, Floats]) -> dict[str, Any]:
    return {
        "kind": probe.kind,
        "says": probe.says,
        "at_least": probe.at_least,
        "at_most": probe.at_most,
        "results": {
            name: _share(probe.passes(values)) | {"effect": _mean(values)}
            for name, values in effects.items()
        },
    }


def _share(passed: Floats) -> dict[str, float]:
    """Return the share of the episodes that count, its interval, and how many count."""
    count = int((~np.isnan(passed)).sum())
    low, high = share_interval(int(np.nansum(passed)), count)
    return {"value": _mean(passed), "low": low, "high": high, "episodes": count}


def _curve(sums: Floats) -> list[dict[str, float]]:
    return [
        {"count": int(count), "confidence": sure / count, "right": right / count}
        for count, sure, right in sums
        if count
    ]


def _mean(values: Floats) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")
