"""Which episodes to keep, to drop and to look at, from their labels: pure functions.

Each rule gives a reason and a verdict; the gravest verdict counts. Φ is taken where it is valid,
*end* is its last value, *highest* its highest.

===============================================  =======  ======================================
rule                                             verdict  limit
===============================================  =======  ======================================
it failed, as recorded or as a reviewer said     drop
invalid in a share of its frames from            drop     ``invalid``
                                                 look     ``some_invalid``
highest − lowest Φ below                         drop     ``still``
not known to have failed, and ends below         drop     ``low_end``
                                                 look     ``fair_end``
the same, and ends below its highest by          look     ``fall``
the same, and nearer to a failure than           look     ``near``
anchors disagree, on average, by                 look     ``disagreement``
nearer to an earlier episode than                look     ``duplicate``
===============================================  =======  ======================================

A reviewer's *accepted* keeps an episode whatever the rules say, unless it failed.

**Distance** of two episodes of one instruction: half of (p / p̃ + c / c̃). p is the mean absolute
difference of their first and last pictures, `SIDE` × `SIDE`, colours in [0, 1]; c that of their
curves of Φ at `POINTS` equal steps from first to last frame. p̃ and c̃ are the medians over all
pairs of that instruction, at least `LEAST_PICTURE` and `LEAST_CURVE`. So 0 is the same and 1 is as
different as two episodes usually are.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from robo_reward.errors import InputError

type Verdict = Literal["keep", "look", "drop"]
type Floats = NDArray[np.floating]

SIDE = 8
"""Pixels of the small pictures."""
POINTS = 32
"""Points of the curves that are compared."""
LEAST_PICTURE, LEAST_CURVE = 0.005, 0.02
"""The usual differences are taken to be at least these."""
GRAVITY: tuple[Verdict, ...] = ("keep", "look", "drop")
"""Verdicts, the gravest last."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """From where on a rule speaks; all are shares or Φ in [0, 1], but for distances."""

    low_end: float = 0.5
    """Drop what is no known failure and ends below this Φ."""
    fair_end: float = 0.8
    """Look at what is no known failure and ends below this Φ."""
    fall: float = 0.3
    """Look at what ends this far below its highest Φ."""
    still: float = 0.1
    """Drop episodes whose Φ spans less than this."""
    invalid: float = 0.5
    """Drop episodes with this share of invalid frames."""
    some_invalid: float = 0.1
    """Look at episodes with this share of invalid frames."""
    disagreement: float = 0.2
    """Look at episodes whose start and goal anchors differ by this much on average."""
    near: float = 0.25
    """Look at episodes nearer than this to a failure; 1 is the usual distance."""
    duplicate: float = 0.1
    """Look at episodes nearer than this to an earlier one; 1 is the usual distance."""

    def check(self) -> None:
        """Refuse limits that no episode could be measured by.

        Raises:
            InputError: Which limit, and what it may be.
        """
        for name, value in vars(self).items():
            if not 0.0 <= value <= 1.0:
                flag = f"--limits.{name.replace('_', '-')}"
                raise InputError(f"{flag} {value} is not between 0 and 1")


@dataclass(frozen=True, kw_only=True)
class Traits:
    """What is known of one episode."""

    phi: Floats
    """(T,) Φ."""
    valid: NDArray[np.bool_]
    """(T,) whether it counts."""
    disagreement: float
    """Mean of abs(forward − backward)."""
    outcome: bool | None
    """How it ended: what a reviewer says, else what was recorded."""
    accepted: bool = False
    """Whether a reviewer accepted its labels."""


@dataclass(frozen=True, kw_only=True)
class Near:
    """Another episode, and how far it is."""

    episode: int
    distance: float


@dataclass(frozen=True, kw_only=True)
class Judged:
    """The verdict on one episode."""

    verdict: Verdict
    reasons: tuple[str, ...]
    """In words, the gravest first."""
    end: float | None
    """Last Φ that is valid."""
    highest: float | None
    """Highest Φ that is valid."""


def judge(
    traits: Traits, limits: Limits, *, failure: Near | None = None, twin: Near | None = None
) -> Judged:
    """Return the verdict on an episode; the module's docstring has the rules.

    Args:
        traits: The episode.
        limits: From where on a rule speaks.
        failure: The nearest episode that failed.
        twin: The nearest earlier episode.
    """
    usable = traits.phi[traits.valid & np.isfinite(traits.phi)].astype(np.float64)
    found: list[tuple[Verdict, str]] = []
    if traits.outcome is False:
        found.append(("drop", "failed"))
    found += _of_validity(1.0 - len(usable) / len(traits.phi), limits)
    if len(usable):
        found += _of_progress(usable, limits, failed=traits.outcome is False)
    if traits.disagreement >= limits.disagreement:
        found.append(("look", f"anchors disagree by {traits.disagreement:.2f}"))
    if failure and traits.outcome is not False and failure.distance < limits.near:
        found.append(("look", f"like failure {failure.episode} ({failure.distance:.2f})"))
    if twin and twin.distance < limits.duplicate:
        found.append(("look", f"much the same as {twin.episode} ({twin.distance:.2f})"))
    found.sort(key=lambda one: -GRAVITY.index(one[0]))
    verdict = found[0][0] if found else "keep"
    if traits.accepted and traits.outcome is not False:
        verdict, found = "keep", [("keep", "accepted by a reviewer"), *found]
    return Judged(
        verdict=verdict,
        reasons=tuple(words for _, words in found),
        end=float(usable[-1]) if len(usable) else None,
        highest=float(usable.max()) if len(usable) else None,
    )


def _of_validity(share: float, limits: Limits) -> list[tuple[Verdict, str]]:
    if share >= limits.invalid:
        return [("drop", f"invalid {share:.0%}")]
    return [("look", f"invalid {share:.0%}")] if share >= limits.some_invalid else []


def _of_progress(phi: Floats, limits: Limits, *, failed: bool) -> list[tuple[Verdict, str]]:
    found: list[tuple[Verdict, str]] = []
    end, highest = float(phi[-1]), float(phi.max())
    if highest - float(phi.min()) < limits.still:
        found.append(("drop", f"Φ spans {highest - float(phi.min()):.2f}"))
    if failed:
        return found
    if end < limits.fair_end:
        found.append(("drop" if end < limits.low_end else "look", f"ends at {end:.2f}"))
    if highest - end >= limits.fall:
        found.append(("look", f"falls from {highest:.2f} to {end:.2f}"))
    return found


def curve_points(phi: Floats, valid: NDArray[np.bool_]) -> Floats:
    """Return Φ (`POINTS`,) at equal steps from first to last frame; the last valid one is held."""
    counts = valid & np.isfinite(phi)
    last = np.maximum.accumulate(np.where(counts, np.arange(len(phi)), -1))
    held = np.where(last >= 0, phi[np.maximum(last, 0)], 0.0)
    return np.asarray(held[np.linspace(0, len(phi) - 1, POINTS).round().astype(np.int64)])


def distances(pictures: Floats, curves: Floats) -> Floats:
    """Return the distances (N, N) of the episodes of one instruction; see the module's docstring.

    Args:
        pictures: (N, P) their small pictures, flattened, in [0, 1].
        curves: (N, `POINTS`) their curves.
    """
    found = np.zeros((len(curves), len(curves)))
    for values, least in ((pictures, LEAST_PICTURE), (curves, LEAST_CURVE)):
        apart = np.stack([np.abs(values - one).mean(axis=1) for one in values])
        pairs = apart[np.triu_indices(len(apart), 1)]
        usual = float(np.median(pairs)) if len(pairs) else 0.0
        found += apart / max(usual, least) / 2
    return found


def neighbours(
    apart: Floats, episodes: Sequence[int], failed: NDArray[np.bool_]
) -> list[tuple[Near | None, Near | None]]:
    """Return for each episode the nearest other that failed, and the nearest earlier one.

    Args:
        apart: (N, N) distances.
        episodes: (N,) rising numbers.
        failed: (N,) which of them failed.
    """
    found = []
    for place in range(len(episodes)):
        others = [n for n in np.flatnonzero(failed).tolist() if n != place]
        found.append(
            (
                _nearest(apart[place], others, episodes),
                _nearest(apart[place], list(range(place)), episodes),
            )
        )
    return found


def _nearest(apart: Floats, places: list[int], episodes: Sequence[int]) -> Near | None:
    if not places:
        return None
    best = min(places, key=lambda place: apart[place])
    return Near(episode=episodes[best], distance=float(apart[best]))


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """How well *drop* finds the failures, from the labels alone."""

    episodes: int
    """Episodes whose outcome is known."""
    failures: int
    """Those that failed."""
    dropped: int
    """Those that would be dropped if all claimed success."""
    hits: int
    """Those that would be dropped and failed."""

    @property
    def precision(self) -> float | None:
        """Share of the dropped that failed; None if none is dropped."""
        return self.hits / self.dropped if self.dropped else None

    @property
    def recall(self) -> float | None:
        """Share of the failed that are dropped; None if none failed."""
        return self.hits / self.failures if self.failures else None


def agreement(known: Sequence[tuple[Traits, bool]], limits: Limits) -> Agreement:
    """Return how well *drop* agrees with known outcomes if every episode claimed success.

    Args:
        known: Episodes, and whether each ended in success.
        limits: From where on a rule speaks.
    """
    claims = [replace(traits, outcome=True, accepted=False) for traits, _ in known]
    dropped = [judge(traits, limits).verdict == "drop" for traits in claims]
    failed = [not outcome for _, outcome in known]
    return Agreement(
        episodes=len(known),
        failures=sum(failed),
        dropped=sum(dropped),
        hits=sum(a and b for a, b in zip(dropped, failed, strict=True)),
    )
