"""How much a labelled episode deserves a look, and why: a pure function of its curves.

Five values in [0, 1], each over the valid frames except ``invalid``:

=============  ======  =============================================================
value          weight  meaning
=============  ======  =============================================================
fall             0.8   deepest fall of Φ below the highest Φ before it
disagreement     0.8   mean of abs(forward − backward) where both anchors answer
end              1.0   1 − last Φ after a success; 2·(last Φ − 0.5), from 0, after a
                       failure (a failure may well end near the goal); 0 if unknown
invalid          1.0   share of frames without a valid label
doubt            0.5   1 − mean confidence
=============  ======  =============================================================

The score is 1 − Π(1 − weight · value): one strong reason is enough, several add up. A value is
named as a reason from its threshold in `SHOWN_FROM` on.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

type Curve = NDArray[np.floating]

WEIGHTS = {"fall": 0.8, "disagreement": 0.8, "end": 1.0, "invalid": 1.0, "doubt": 0.5}
"""How much of each value counts towards the score."""
SHOWN_FROM = {"fall": 0.1, "disagreement": 0.1, "end": 0.2, "invalid": 1e-9, "doubt": 0.5}
"""The value from which on each is named as a reason."""


@dataclass(frozen=True, kw_only=True)
class Suspicion:
    """The verdict on one episode's labels."""

    score: float
    """In [0, 1]; 0 is beyond suspicion."""
    values: dict[str, float]
    """The five values behind the score, by name."""
    reasons: tuple[str, ...]
    """Words for each value at or above its threshold, the heaviest first."""


def suspicion(
    progress: Curve,
    *,
    forward: Curve,
    backward: Curve,
    confidence: Curve,
    valid: NDArray[np.bool_],
    outcome: bool | None,
) -> Suspicion:
    """Return how suspicious an episode's labels are; the module's docstring has the formula.

    Args:
        progress: (T,) the fused Φ, NaN where invalid.
        forward: (T,) Φ from the start anchor, NaN where it did not answer.
        backward: (T,) Φ from the goal anchor, NaN where it did not answer.
        confidence: (T,) in [0, 1].
        valid: (T,) whether the frame has a label.
        outcome: Whether the episode ended in success; None where nobody knows.
    """
    usable = valid & np.isfinite(progress)
    phi = progress[usable].astype(np.float64)
    values = {
        "fall": _deepest_fall(phi),
        "disagreement": _mean(np.abs(forward[usable] - backward[usable]), default=0.0),
        "end": _end_against_outcome(phi, outcome),
        "invalid": 1.0 - float(usable.mean()),
        "doubt": 1.0 - _mean(confidence[usable], default=1.0),
    }
    values = {name: float(np.clip(value, 0.0, 1.0)) for name, value in values.items()}
    score = 1.0 - float(np.prod([1.0 - WEIGHTS[name] * value for name, value in values.items()]))
    named = [name for name in values if values[name] >= SHOWN_FROM[name]]
    named.sort(key=lambda name: -WEIGHTS[name] * values[name])
    last = float(phi[-1]) if len(phi) else 0.0
    reasons = tuple(_words(name, values[name], last, outcome) for name in named)
    return Suspicion(score=score, values=values, reasons=reasons)


def _deepest_fall(phi: Curve) -> float:
    return float((np.maximum.accumulate(phi) - phi).max()) if len(phi) else 0.0


def _mean(values: Curve, *, default: float) -> float:
    finite = values[np.isfinite(values)]
    return float(finite.mean(dtype=np.float64)) if len(finite) else default


def _end_against_outcome(phi: Curve, outcome: bool | None) -> float:
    if outcome is None or not len(phi):
        return 0.0
    last = float(phi[-1])
    return 1.0 - last if outcome else 2.0 * (last - 0.5)


def _words(name: str, value: float, last: float, outcome: bool | None) -> str:
    if name == "fall":
        return f"falls back by {value:.2f}"
    if name == "disagreement":
        return f"anchors disagree by {value:.2f}"
    if name == "end":
        return f"ends at {last:.2f} after {'success' if outcome else 'failure'}"
    if name == "invalid":
        return f"invalid {max(value, 0.01):.0%}" if value < 1.0 else "nothing valid"
    return f"mean confidence {1.0 - value:.2f}"
