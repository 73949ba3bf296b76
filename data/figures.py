"""The figures of an evaluation: a row per episode, and what a set of rows amounts to.

A figure is a function of rows, so that the bootstrap can draw rows again.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robo_reward.calibration import CLOSE
from robo_reward.decisions import Confusion, completion, confusion, grade
from robo_reward.metrics import BINS, auroc, expected_calibration_error, reliability
from robo_reward.ranking import SUCCESS, concordance, harmonic_mean, kendall_tau_a, voc
from robo_reward.starc import Transitions, starc_distance

from .estimators import Track
from .evaluate import AGREEMENT, Case, agreement

type Floats = NDArray[np.float64]
type Rows = Mapping[str, NDArray[Any]]
"""Column name → one entry an episode."""

CELLS = 20
"""Cells of the reward distance per unit of true progress, under each instruction."""


def row(case: Case, forward: Track, backward: Track) -> dict[str, Any]:
    """Return what one episode tells of an estimator.

    Args:
        case: The episode.
        forward: What is said of it.
        backward: What is said of it shown backwards, a frame a query.
    """
    ends = [forward.progress[-1], case.truth[-1]]
    asked = forward.asked
    clean = case.outcome == SUCCESS and case.clean and len(asked) > 1 and not np.isnan(asked).any()
    undone = case.done == 0.0
    return agreement(forward.progress, case) | {
        "voc_forward": voc(asked) if clean else np.nan,
        "voc_reversed": -voc(backward.asked) if clean else np.nan,
        "end": ends[0],
        "outcome": case.outcome,
        "claimed": np.nan if np.isnan(asked).any() else completion(asked),
        "grade_error": float(np.abs(np.diff(grade(ends)))[0]),
        "success_score": forward.success_score,
        "declared": bool(forward.declared.any()),
        "succeeded": case.done[-1],
        "undone": int(undone.sum()),
        "premature": int((undone & forward.declared).sum()),
        "valid": forward.valid.mean() if case.match == 1.0 and forward.judges_match else np.nan,
        "reliability": _reliability(case, forward),
        "moves": _moves(case, forward),
    }


def _reliability(case: Case, track: Track) -> Floats:
    every = track.every
    sure, error = track.confidence[::every], np.abs(track.asked - case.truth[::every])
    known = ~np.isnan(sure) & ~np.isnan(error)
    if not known.any():
        return np.zeros((BINS, 3))
    return reliability(sure[known], error[known] <= CLOSE)


def _moves(case: Case, track: Track) -> Floats:
    """Return (N, 4) transitions between queries: cell before, cell after, Φ′, truth′."""
    truth, phi = case.truth[:: track.every], track.asked
    cell = np.round(truth * CELLS)
    columns = np.stack([cell[:-1], cell[1:], phi[1:], truth[1:]], axis=1)
    kept: Floats = columns[~np.isnan(columns).any(axis=1)]
    return kept


def table(rows: Sequence[Mapping[str, Any]], texts: Sequence[str]) -> Rows:
    """Return the rows as columns; cells under different instructions become different cells.

    Args:
        rows: A row per episode.
        texts: The instruction of each.
    """
    columns: dict[str, NDArray[Any]] = {
        name: np.array([one[name] for one in rows]) for name in rows[0] if name != "moves"
    }
    number = {text: place for place, text in enumerate(dict.fromkeys(texts))}
    columns["task"] = np.array([number[text] for text in texts])
    columns["moves"] = np.empty(len(rows), dtype=object)
    for place, (one, text) in enumerate(zip(rows, texts, strict=True)):
        shift = np.array([1, 1, 0, 0]) * number[text] * (CELLS + 1)
        columns["moves"][place] = one["moves"] + shift
    return columns


def taken(rows: Rows, numbers: NDArray[np.int64]) -> Rows:
    """Return some of the rows, in the order given; one may be taken several times."""
    return {name: column[numbers] for name, column in rows.items()}


def _mean_of(name: str) -> Callable[[Rows], float]:
    return lambda rows: _mean(rows[name])


def _mean(values: NDArray[Any]) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")


def _voc(rows: Rows) -> float:
    return harmonic_mean(_mean(rows["voc_forward"]), _mean(rows["voc_reversed"]))


def _ranked(figure: Callable[[Floats, Floats], float]) -> Callable[[Rows], float]:
    def ranked(rows: Rows) -> float:
        known = ~np.isnan(rows["end"]) & ~np.isnan(rows["outcome"])
        return figure(rows["end"][known], rows["outcome"][known])

    return ranked


def _tau_a_within(rows: Rows) -> float:
    """Return the mean over instructions of tau_a: how RBM-EVAL is published."""
    known = ~np.isnan(rows["end"]) & ~np.isnan(rows["outcome"])
    taus = []
    for task in np.unique(rows["task"][known]):
        mine = known & (rows["task"] == task)
        if len(np.unique(rows["outcome"][mine])) > 1:
            taus.append(kendall_tau_a(rows["end"][mine], rows["outcome"][mine]))
    return _mean(np.array(taus))


def _auroc(rows: Rows) -> float:
    known = ~np.isnan(rows["success_score"]) & ~np.isnan(rows["succeeded"])
    if known.sum() < 2:
        return float("nan")
    return auroc(rows["success_score"][known], rows["succeeded"][known])


def _decided(figure: Callable[[Confusion], float]) -> Callable[[Rows], float]:
    def decided(rows: Rows) -> float:
        known = ~np.isnan(rows["success_score"]) & ~np.isnan(rows["succeeded"])
        return figure(confusion(rows["declared"][known], rows["succeeded"][known] == 1.0))

    return decided


def _premature(rows: Rows) -> float:
    known = ~np.isnan(rows["success_score"])
    undone = int(rows["undone"][known].sum())
    return float(rows["premature"][known].sum()) / undone if undone else float("nan")


def _completion(rows: Rows) -> float:
    known = ~np.isnan(rows["claimed"]) & ~np.isnan(rows["outcome"])
    return _mean((rows["claimed"] == rows["outcome"])[known].astype(np.float64))


def _calibration(rows: Rows) -> float:
    return expected_calibration_error(rows["reliability"].sum(axis=0))


def _starc(rows: Rows) -> float:
    moves = np.concatenate(list(rows["moves"]))
    if not len(moves):
        return float("nan")
    cells = np.unique(moves[:, :2], return_inverse=True)[1].reshape(-1, 2)
    return starc_distance(moves[:, 2], moves[:, 3], Transitions(cells[:, 0], cells[:, 1]))


def _largest(rows: Rows) -> float:
    known = rows["constant_max"][~np.isnan(rows["constant_max"])]
    return float(known.max()) if len(known) else float("nan")


FIGURES: dict[str, Callable[[Rows], float]] = {
    "voc_forward": _mean_of("voc_forward"),
    "voc_reversed": _mean_of("voc_reversed"),
    "voc_harmonic": _voc,
    "order_successes": _mean_of(AGREEMENT[0]),
    "order_others": _mean_of(AGREEMENT[1]),
    "mae": _mean_of("mae"),
    "ccc": _mean_of("ccc"),
    "constant_max": _largest,
    "concordance": _ranked(concordance),
    "tau_a": _ranked(kendall_tau_a),
    "tau_a_within": _tau_a_within,
    "grade_mae": _mean_of("grade_error"),
    "completion": _completion,
    "success_auroc": _auroc,
    "success_f1": _decided(lambda counts: counts.f1),
    "success_mcc": _decided(lambda counts: counts.mcc),
    "success_recall": _decided(lambda counts: counts.recall),
    "false_positive_rate": _decided(lambda counts: counts.false_positive_rate),
    "premature_frames": _premature,
    "calibration_error": _calibration,
    "starc_distance": _starc,
    "valid_share": _mean_of("valid"),
}
"""Name → what rows amount to; NaN where they do not tell."""
LOWER_IS_BETTER = frozenset(
    {
        "mae",
        "constant_max",
        "grade_mae",
        "false_positive_rate",
        "premature_frames",
        "calibration_error",
        "starc_distance",
    }
)
"""The other figures are the better the higher."""
