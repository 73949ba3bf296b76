"""From raw outputs to probabilities and thresholds that validation episodes bear out."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .errors import InputError

type Floats = NDArray[np.float64]

CLOSE = 0.1
"""Confidence is the probability that |Φ − truth| is at most this."""
UNANCHORED_CAP = 0.5
"""Most confidence that Φ may have while both absolute anchors are missing."""
NEVER = 2.0
"""Success threshold above every probability: nothing is declared."""
RIDGE = 1e-4
"""Weight of the squared slopes of a calibration, so that separable data give finite ones."""
PRECISION = 0.95
"""Share of the declarations of success that must be right."""
KEPT = 0.995
"""Share of true matches that stay valid."""
COVERED = 0.9
"""Share of episodes, and of the queries of each, in which the lower bound is to hold."""
FEATURES = 5
"""Numbers that confidence is made of: w, |Φ_F − Φ_B| and three spreads; one more, how far Φ moves
when a view is left out, where the model tries that. In place of w the filter gives its own
probability that Φ is within `CLOSE`.

Without one absolute anchor the other's spread stands in; without both NaN, which reads as 0.
"""


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """Logistic map from the features of a query to P(|Φ − truth| ≤ .1)."""

    bias: float
    slopes: tuple[float, ...]
    """One a feature: w, |Φ_F − Φ_B|, spread of the three hop heads, maybe view disagreement."""

    def __post_init__(self) -> None:
        """Check the number of slopes."""
        if len(self.slopes) not in (FEATURES, FEATURES + 1):
            raise InputError(
                f"a calibration has {FEATURES} slopes, or {FEATURES + 1} with view disagreement, "
                f"got {len(self.slopes)}"
            )

    def confidence(self, features: Floats) -> Floats:
        """Return probabilities (n,) for features (n, slopes); NaN features count as 0."""
        logits = np.nan_to_num(features) @ np.array(self.slopes) + self.bias
        result: Floats = 1.0 / (1.0 + np.exp(-np.clip(logits, -30, 30)))
        return result


def fit_calibration(features: Floats, errors: Floats) -> Calibration:
    """Return the calibration fitted to queries of known |Φ − truth|: ridge logistic regression.

    Args:
        features: (n, 5), or (n, 6) with view disagreement.
        errors: (n,) |Φ − truth|.

    Raises:
        InputError: If there is no query to fit to.
    """
    from scipy.optimize import minimize

    if len(errors) == 0:
        raise InputError("confidence cannot be calibrated without validation queries")
    x = np.column_stack([np.ones(len(errors)), np.nan_to_num(features)])
    y = (errors <= CLOSE).astype(np.float64)

    def objective(weights: Floats) -> tuple[float, Floats]:
        logits = x @ weights
        loss = np.mean(np.logaddexp(0.0, logits) - y * logits) + RIDGE * np.sum(weights[1:] ** 2)
        slope = x.T @ (1.0 / (1.0 + np.exp(-logits)) - y) / len(y)
        slope[1:] += 2.0 * RIDGE * weights[1:]
        return float(loss), slope

    fitted = minimize(objective, np.zeros(x.shape[1]), jac=True, method="L-BFGS-B").x
    return Calibration(bias=float(fitted[0]), slopes=tuple(float(w) for w in fitted[1:]))


def unsure(confidence: Floats) -> Floats:
    """Return the scale by which a lower bound widens: 1.1 − confidence."""
    scale: Floats = 1.1 - np.asarray(confidence, np.float64)
    return scale


def fit_margin(excess: Sequence[Floats]) -> float | None:
    """Return m such that Φ − m · `unsure` is at most the truth: split conformal, by episode.

    An episode's score is the 90 % quantile over its queries of (Φ − truth) / `unsure`; m is the
    ⌈.9 (n + 1)⌉-th smallest of n scores (Vovk et al. 2005; Angelopoulos & Bates, arXiv 2107.07511,
    section 1, with the episode as the unit, since frames of one are alike). If a new episode is
    drawn as those were, then with probability .9 or more the bound holds in 90 % of its queries.
    Confidence is fitted to the same episodes, which makes m a little too small.

    Args:
        excess: For each episode (q,) its (Φ − truth) / `unsure`; empty ones are left out.

    Returns:
        m, at least 0; None below nine episodes, where no such number can be promised.
    """
    scores = sorted(float(np.quantile(one, COVERED)) for one in excess if len(one))
    rank = math.ceil(COVERED * (len(scores) + 1))
    return max(scores[rank - 1], 0.0) if 0 < rank <= len(scores) else None


def success_threshold(probs: Floats, done: NDArray[np.bool_]) -> float:
    """Return the lowest threshold whose declarations are right at least `PRECISION` of the time.

    Args:
        probs: (n,) debounced success probabilities (the lower of two successive queries).
        done: (n,) whether the task was done.

    Returns:
        The threshold in [0, 1]; `NEVER` if no threshold reaches the precision.
    """
    order = np.argsort(-probs, kind="stable")
    ranked = probs[order]
    right = np.cumsum(done[order]) / np.arange(1, len(probs) + 1)
    last_of_ties = np.append(ranked[1:] < ranked[:-1], True)[: len(probs)]
    good = np.flatnonzero((right >= PRECISION) & last_of_ties)
    return float(ranked[good[-1]]) if len(good) else NEVER


def match_threshold(probs: Floats) -> float:
    """Return the threshold below which a verdict is invalid: `KEPT` of true matches stay above.

    Never above .5, so that a model sure of a match is never overruled. 0 without data.
    """
    return min(float(np.quantile(probs, 1.0 - KEPT)), 0.5) if len(probs) else 0.0
