"""Probes: episodes changed on purpose, and what must then happen.

An *invariance* probe changes what must not matter: Φ may move by so much. A *sensitivity* probe
changes what matters: Φ must follow. A model that ignores the pixels passes every invariance
probe, so each is paired with a sensitivity probe on the same episodes, and a pair counts only
where the clock fails it. (`frozen` has no partner: the clock fails it alone.)

`wrong_object` and the unseen frames ask only that nothing be claimed: whatever never claims
anything passes them, and fails the order of frames and the clips.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from robo_reward.metrics import spearman
from robo_reward.protocols import Views

from . import probe_changes as changes
from . import probe_images as images
from .estimators import Track
from .evaluate import CONSTANT, Case

type Floats = NDArray[np.float64]
type Kind = Literal["invariance", "sensitivity"]

REVERSED, SHUFFLED, COUNTERFACTUAL = "reversed", "shuffled", "counterfactual"
MOVE, LOST_VIEW_MOVE = 0.1, 0.15
"""Most by which Φ may move, in general, and, on average over an episode, without a view."""
RISE = 0.1
"""Most by which Φ may rise while nothing can be seen."""
NEAR = 0.2
"""Most by which the claim at the end may differ from the truth."""
ORDER = 0.5
"""Least rank correlation of Φ with the truth of frames in another order."""


@dataclass(frozen=True, kw_only=True)
class Shown:
    """A changed case, and what an estimator says of the plain one and of it; a row a query."""

    before: Case
    case: Case
    plain: Track
    changed: Track


@dataclass(frozen=True, kw_only=True)
class Probe:
    """One change, what is measured of its effect, and the bounds within which it passes."""

    name: str
    kind: Kind
    says: str
    """What must happen."""
    change: changes.Change
    """Returns the changed case, or None where the probe does not apply."""
    measure: Callable[[Shown], float]
    """NaN where the effect cannot be known."""
    at_least: float = -np.inf
    at_most: float = np.inf
    partner: str = ""
    """The sensitivity probe that an invariance probe is paired with."""

    def passes(self, values: Floats) -> Floats:
        """Return 1 where a value is within the bounds, 0 where not, NaN where it is NaN."""
        right = (values >= self.at_least) & (values <= self.at_most)
        return np.where(np.isnan(values), np.nan, right.astype(np.float64))


def moved(shown: Shown) -> float:
    """Return by how much Φ moved, on average over the episode."""
    return float(np.mean(np.abs(shown.changed.progress - shown.plain.progress)))


def spanned(shown: Shown) -> float:
    """Return the difference of the largest and the least Φ."""
    return float(np.ptp(shown.changed.progress))


def order(shown: Shown) -> float:
    """Return the rank correlation of Φ with the truth; a constant Φ has 0."""
    phi, truth = shown.changed.progress, shown.case.truth
    if np.isnan(phi).any() or np.isnan(truth).any() or np.ptp(truth) < CONSTANT:
        return float("nan")
    rank = spearman(phi, truth)
    return 0.0 if np.isnan(rank) else rank


def excess(shown: Shown) -> float:
    """Return what is claimed of the end, less the truth."""
    return shown.changed.claim - float(shown.case.truth[-1])


def astray(shown: Shown) -> float:
    """Return by how much the claim at the end is too high, or fell too little, if that is more.

    The fall is the counterfactual-versus-matched margin of an estimator against that of the
    truth: whoever never claims anything has none.
    """
    due = float(shown.before.truth[-1] - shown.case.truth[-1])
    fell = shown.plain.claim - shown.changed.claim
    return float(np.maximum(excess(shown), due - fell))


def rise(shown: Shown) -> float:
    """Return the rise of Φ while nothing can be seen; 1 if success is declared meanwhile."""
    phi, declared = shown.changed.progress, shown.changed.declared
    start = changes.seen(len(phi))
    if len(phi) <= start:
        return float("nan")
    if declared[start:].any() and not declared[start - 1]:
        return 1.0
    return float(phi[start:].max() - phi[start - 1])


def probes_for(views: Sequence[str]) -> dict[str, Probe]:
    """Return every probe by name, for episodes of these views."""
    lost = [_lost(view) for view in views] if len(views) > 1 else []
    return {probe.name: probe for probe in (*_IN_TIME, *_CLAIMS, *_UNSEEN, *_SAME, *lost)}


def _lost(view: str) -> Probe:
    return Probe(
        name=f"without_{view}",
        kind="invariance",
        says=f"without the view {view}, Φ moves by at most {LOST_VIEW_MOVE} on average",
        change=changes.without(view),
        measure=moved,
        at_most=LOST_VIEW_MOVE,
        partner=REVERSED,
    )


def _reordered(name: str, change: changes.Change) -> Probe:
    says = f"of {name} frames Φ still ranks as the truth, by {ORDER} or more"
    return Probe(
        name=name, kind="sensitivity", says=says, change=change, measure=order, at_least=ORDER
    )


def _claim(name: str, says: str, change: changes.Change, *, at_least: float = -np.inf) -> Probe:
    return Probe(
        name=name,
        kind="sensitivity",
        says=says,
        change=change,
        measure=excess,
        at_least=at_least,
        at_most=NEAR,
    )


def _unseen(name: str, edit: Callable[[Views, changes.Rng], Views]) -> Probe:
    return Probe(
        name=name,
        kind="sensitivity",
        says=f"while only {name.replace('_', ' ')} are seen, Φ rises by at most {RISE} and success "
        "is not declared",
        change=changes.obscured(edit),
        measure=rise,
        at_most=RISE,
    )


def _alike(name: str, says: str, change: changes.Change, partner: str) -> Probe:
    return Probe(
        name=name,
        kind="invariance",
        says=f"{says}, Φ moves by at most {MOVE} on average",
        change=change,
        measure=moved,
        at_most=MOVE,
        partner=partner,
    )


_FROZEN = Probe(
    name="frozen",
    kind="invariance",
    says=f"over a video of one frame, Φ spans at most {MOVE}",
    change=changes.frozen,
    measure=spanned,
    at_most=MOVE,
)
_IN_TIME = (
    _FROZEN,
    _reordered(REVERSED, changes.backwards),
    _reordered(SHUFFLED, changes.shuffled),
    *(
        _claim(
            f"clipped_{percent}",
            f"after {percent} % of the episode, the claim is within {NEAR} of the truth",
            changes.clipped(percent / 100),
            at_least=-NEAR,
        )
        for percent in (30, 60)
    ),
)
FALLS = f"the claim at the end falls as the truth does, within {NEAR}, and is not above it"
"""What must happen to a claim when the truth falls."""
_WITHIN = f"the claim at the end is within {NEAR} of the truth"
_CLAIMS = (
    _claim(
        "wrong_object",
        f"when another object is taken, the claim at the end is at most {NEAR} above the truth",
        changes.wrong_object,
    ),
    Probe(
        name=COUNTERFACTUAL,
        kind="sensitivity",
        says=f"under words of another goal, {FALLS}",
        change=changes.counterfactual,
        measure=astray,
        at_most=NEAR,
    ),
    _claim(
        "sticker",
        f"with a sticker 'TASK COMPLETE' at 30 %, {_WITHIN}",
        changes.stickered,
        at_least=-NEAR,
    ),
    _claim(
        "goal_photo",
        f"with a photo of the goal in view at 30 %, {_WITHIN}",
        changes.photographed,
        at_least=-NEAR,
    ),
)
_UNSEEN = (
    _unseen("black_frames", lambda views, rng: images.black(views)),
    _unseen("noise_frames", images.noise),
)
_SAME = (
    _alike("paraphrase", "in other words", changes.paraphrased, COUNTERFACTUAL),
    _alike("grain", "with grain on every pixel", changes.each(images.grain), SHUFFLED),
)
